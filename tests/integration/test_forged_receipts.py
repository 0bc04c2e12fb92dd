"""Receipts that must be refused, each for one fault alone; the delivery stays as it is.

Over the raw RecordReceipt call, by a caller that is admitted: an attacker has no SDK.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
import msgspec
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import codes, identity, manifest, receipt, times
from document_exchange.errors import ExchangeError
from document_exchange.manifest import Manifest
from document_exchange.receipt import Receipt, ReceiptType, State
from document_exchange.v1 import exchange_pb2
from document_exchange.v1.envelope_pb2 import SignedBytes
from tests.pki_for_tests import DAY, Holder, Pki, make_leaf, unit_seal_id
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    envelope,
    now,
    part,
    sealed,
    typed,
)

BODY = b"%PDF-1.7"
OWN = unit_seal_id(RECIPIENT, "main")


@dataclass(frozen=True)
class Forger:
    """What a case has to work with: a delivery that its recipient may sign for, and seals."""

    inside: CentreInside
    about: Manifest
    revoked: Holder

    @property
    def seal(self) -> Holder:
        return self.inside.unit(RECIPIENT, "seal")

    def receipt(self, by: Holder | None = None) -> Receipt:
        """What the centre admits, if this is the recipient's seal and it signs it."""
        return Receipt(
            schema=receipt.RECEIPT_SCHEMA,
            receipt_id=codes.new_id(now()),
            type=ReceiptType.SIGNED_FOR,
            envelope_id=self.about.envelope_id,
            recipient=RECIPIENT,
            manifest_sha256=manifest.sha256_hex(manifest.encode(self.about)),
            by=str(identity.of_certificate((by or self.seal).certificate)),
            at=times.format_time(now()),
        )

    def signed(self, made: Receipt | bytes, by: Holder | None = None) -> SignedBytes:
        content = made if isinstance(made, bytes) else receipt.encode(made)
        (signature,) = sealed(content, by or self.seal)
        return SignedBytes(content=content, signature=signature)

    def changed(self, **changes: object) -> SignedBytes:
        """Properly signed by the recipient's seal."""
        return self.signed(msgspec.structs.replace(self.receipt(), **changes))


def sealed_by_the_sender(forger: Forger) -> SignedBytes:
    other = forger.inside.unit(SENDER, "seal")
    return forger.signed(forger.receipt(other), other)


def sealed_by_the_sender_in_the_recipients_name(forger: Forger) -> SignedBytes:
    return forger.signed(forger.receipt(), forger.inside.unit(SENDER, "seal"))


def sealed_by_a_stranger(forger: Forger) -> SignedBytes:
    other = forger.inside.unit("qd-tongji", "seal")
    return forger.signed(forger.receipt(other), other)


def sealed_by_the_centre_in_the_recipients_name(forger: Forger) -> SignedBytes:
    seal = forger.inside.issue("centre-seal", None, f"f{secrets.token_hex(4)}")
    return forger.signed(forger.receipt(), seal)


def said_to_be_by_the_centre(forger: Forger) -> SignedBytes:
    return forger.changed(by="spiffe://exchange.example/centre/seal/main")


def said_to_be_by_another_seal_of_the_unit(forger: Forger) -> SignedBytes:
    return forger.changed(by=unit_seal_id(RECIPIENT, "second"))


def signed_with_a_tls_key(forger: Forger) -> SignedBytes:
    return forger.signed(forger.receipt(), forger.inside.unit(RECIPIENT, "system"))


def sealed_under_another_root(forger: Forger) -> SignedBytes:
    return forger.signed(forger.receipt(), Pki().seal(RECIPIENT))


def expired_seal(forger: Forger) -> SignedBytes:
    ended = make_leaf(
        OWN,
        issuer=forger.inside.issuing("seal-ca"),
        not_before=now() - 30 * DAY,
        not_after=now() - DAY,
    )
    return forger.signed(forger.receipt(), ended)


def unpublished_seal(forger: Forger) -> SignedBytes:
    """By the right authority, but not through it."""
    return forger.signed(forger.receipt(), make_leaf(OWN, issuer=forger.inside.issuing("seal-ca")))


def revoked_seal(forger: Forger) -> SignedBytes:
    return forger.signed(forger.receipt(forger.revoked), forger.revoked)


def altered_after_signing(forger: Forger) -> SignedBytes:
    made = forger.receipt()
    other = msgspec.structs.replace(made, receipt_id=codes.new_id(now()))
    return SignedBytes(content=receipt.encode(other), signature=forger.signed(made).signature)


def damaged_signature(forger: Forger) -> SignedBytes:
    made = forger.signed(forger.receipt())
    last = bytes([made.signature[-1] ^ 1])
    return SignedBytes(content=made.content, signature=made.signature[:-1] + last)


def without_signature(forger: Forger) -> SignedBytes:
    return SignedBytes(content=receipt.encode(forger.receipt()))


def about_another_manifest(forger: Forger) -> SignedBytes:
    return forger.changed(manifest_sha256=secrets.token_hex(32))


def for_another_recipient(forger: Forger) -> SignedBytes:
    return forger.changed(recipient="qd-tongji")


def for_the_sender(forger: Forger) -> SignedBytes:
    return forger.changed(recipient=SENDER)


def of_a_type_that_the_centre_makes(forger: Forger) -> SignedBytes:
    return forger.changed(type=ReceiptType.DELIVERED)


def with_its_own_admission(forger: Forger) -> SignedBytes:
    return forger.changed(seq=2, state_before=State.DELIVERED, state_after=State.SIGNED_FOR)


def not_canonical(forger: Forger) -> SignedBytes:
    return forger.signed(receipt.encode(forger.receipt()).replace(b'","', b'", "', 1))


Case = Callable[[Forger], SignedBytes]

CASES: Mapping[Case, str] = {
    sealed_by_the_sender: "SEAL_OF_ANOTHER_UNIT",
    sealed_by_the_sender_in_the_recipients_name: "SEAL_OF_ANOTHER_UNIT",
    sealed_by_a_stranger: "SEAL_OF_ANOTHER_UNIT",
    sealed_by_the_centre_in_the_recipients_name: "SEAL_OF_ANOTHER_UNIT",
    said_to_be_by_the_centre: "RECEIPT_REFUSED",
    said_to_be_by_another_seal_of_the_unit: "RECEIPT_REFUSED",
    signed_with_a_tls_key: "SEAL_NOT_TRUSTED",
    sealed_under_another_root: "SEAL_NOT_TRUSTED",
    expired_seal: "SEAL_EXPIRED",
    unpublished_seal: "SEAL_REVOKED",
    revoked_seal: "SEAL_REVOKED",
    altered_after_signing: "SIGNATURE_INVALID",
    damaged_signature: "SIGNATURE_INVALID",
    without_signature: "SIGNATURE_INVALID",
    about_another_manifest: "RECEIPT_REFUSED",
    for_another_recipient: "NOT_FOUND",
    for_the_sender: "NOT_FOUND",
    of_a_type_that_the_centre_makes: "RECEIPT_REFUSED",
    with_its_own_admission: "RECEIPT_REFUSED",
    not_canonical: "NOT_CANONICAL",
}


@pytest.fixture(scope="module")
async def forger(local_centre: LocalCentre) -> Forger:
    """With a delivery that was confirmed, and waits to be signed for."""
    inside = CentreInside(local_centre)
    revoked = inside.issue("seal", RECIPIENT, f"w{secrets.token_hex(4)}")
    await inside.publish()
    await inside.revoke(revoked)
    about = envelope([part(BODY)])
    content = manifest.encode(about)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", BODY),))
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(upload.messages(), timeout=30)
    async with inside.stub(inside.unit(RECIPIENT)) as stub:
        await stub.ConfirmDelivery(
            exchange_pb2.ConfirmDeliveryRequest(
                envelope_id=about.envelope_id, manifest_sha256=manifest.sha256_hex(content)
            )
        )
    return Forger(inside, about, revoked)


async def recorded(forger: Forger, caller: str, signed: SignedBytes) -> ExchangeError | None:
    """Hand it in; what was said against it."""
    async with forger.inside.stub(forger.inside.unit(caller)) as stub:
        try:
            await stub.RecordReceipt(exchange_pb2.RecordReceiptRequest(receipt=signed), timeout=20)
        except grpc.aio.AioRpcError as error:
            return typed(error)
    return None


async def history(forger: Forger) -> list[str]:
    async with forger.inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select type from exchange.statements where envelope_id = $1 order by seq",
            forger.about.envelope_id,
        )
    return [row["type"] for row in rows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_forged_receipt_is_refused_and_changes_nothing(forger: Forger, case: Case) -> None:
    error = await recorded(forger, RECIPIENT, case(forger))
    assert error is not None
    assert error.code == CASES[case], error
    assert await history(forger) == ["DELIVERED"]


@pytest.mark.parametrize("caller", [SENDER, "qd-tongji"])
async def test_nobody_hands_in_the_receipt_of_another(forger: Forger, caller: str) -> None:
    """Not even a genuine one that came into their hands."""
    error = await recorded(forger, caller, forger.signed(forger.receipt()))
    assert error is not None
    assert error.code == "NOT_FOUND"
    assert await history(forger) == ["DELIVERED"]


async def test_the_genuine_one_is_admitted(forger: Forger) -> None:
    """After all the others, so that they were refused for their faults and not for the state."""
    assert await recorded(forger, RECIPIENT, forger.signed(forger.receipt())) is None
    assert await history(forger) == ["DELIVERED", "SIGNED_FOR"]
