"""Bundles with a fault in a delivery: receipt, admission, event, history."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

import msgspec

from document_exchange import event
from document_exchange.evidence import Step
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import ReceiptType
from tests import evidence_stories as stories
from tests.cms_for_tests import make_cms, make_signer
from tests.evidence_faults import (
    CITY,
    DELIVERED,
    FOREIGN,
    SIGNED,
    Case,
    by,
    flip,
    rewritten,
    sealed,
    signed,
    told,
)
from tests.evidence_for_tests import (
    Files,
    FixedSigner,
    Forgery,
    Story,
    Value,
    make_bundle,
)
from tests.evidence_for_tests import Step as Statement
from tests.evidence_stories import OTHER, RECIPIENT, SENDER, SIGNED_FOR
from tests.pki_for_tests import (
    SEAL_PURPOSES,
    Holder,
    unit_seal_id,
)


def _not_a_seal() -> Holder:
    """Issued by the CA of the seals, for mail alone."""
    return CITY.leaf(unit_seal_id(RECIPIENT), "for mail", purposes=SEAL_PURPOSES[1:])


def _issued_by_unit() -> Holder:
    return CITY.leaf(unit_seal_id(RECIPIENT), "by a unit", issuer=CITY.seal(OTHER))


def _another_event(files: Files) -> None:
    path = f"{SIGNED}.event.json"
    content = files[path].replace(b'"type":"SIGNED_FOR"', b'"type":"COMPLETED"')
    assert content != files[path]
    files[path] = content


def _shifted_salt(files: Files) -> None:
    """The same digest of salt and event, with another border between them."""
    salt, told = files[f"{SIGNED}.salt"], files[f"{SIGNED}.event.json"]
    files[f"{SIGNED}.salt"], files[f"{SIGNED}.event.json"] = salt + told[:1], told[1:]
    assert event.leaf(salt, told) == sha256_hex(salt + told)


def _of_another_envelope(files: Files) -> None:
    told = stories.simple()
    other = dataclasses.replace(told, manifest=_with_other_title(told), made_at=told.made_at)
    for path, data in make_bundle(CITY, other).items():
        if path.startswith(SIGNED):
            files[path] = data


def _with_other_title(told: Story) -> Manifest:
    document = msgspec.structs.replace(told.manifest.document, title="另一份通知")
    return msgspec.structs.replace(told.manifest, document=document)


def _gap(files: Files) -> None:
    for path in [path for path in files if path.startswith(DELIVERED)]:
        del files[path]


GRANTED_UNASKED = (
    *SIGNED_FOR,
    Statement(ReceiptType.WITHDRAWAL_REQUESTED, stories.at(3), reason="发错了"),
    Statement(ReceiptType.WITHDRAWAL_DECLINED, stories.at(4)),
)


def _renamed_grant() -> Files:
    """A second answer to a request that was answered before."""
    stem = f"deliveries/{RECIPIENT}/0005-WITHDRAWAL_DECLINED"
    asked_twice = (
        *GRANTED_UNASKED,
        Statement(ReceiptType.PROGRESS, stories.at(5), reason="x"),
    )
    progress = f"deliveries/{RECIPIENT}/0005-PROGRESS"

    def as_answer(value: Value) -> Value:
        value = value | {"type": "WITHDRAWAL_DECLINED"}
        return value

    def rename(files: Files) -> None:
        for path in [path for path in files if path.startswith(progress)]:
            files[path.replace(progress, stem)] = files.pop(path)

    story = dataclasses.replace(stories.simple(), histories={RECIPIENT: asked_twice})
    return make_bundle(
        CITY,
        story,
        Forgery(
            rewritten={f"{progress}{suffix}": as_answer for suffix in (".json", ".event.json")},
            before_index=rename,
        ),
    )


def _without_signed_attributes(content: bytes) -> bytes:
    """CMS, but no CAdES: the signature is over the content itself."""
    holder = CITY.seal(RECIPIENT)
    bare = make_signer(
        content, holder, signed_attrs=None, signature=FixedSigner(holder).sign(content)
    )
    return make_cms([bare], [holder])


def _backwards() -> Story:
    late, early = stories.at(3), stories.at(2)
    turned = (
        Statement(ReceiptType.DELIVERED, late),
        Statement(ReceiptType.SIGNED_FOR, early),
    )
    return dataclasses.replace(stories.simple(), histories={RECIPIENT: turned})


def _before_acceptance() -> Story:
    early = tuple(
        dataclasses.replace(each, at=each.at - dt.timedelta(minutes=20)) for each in SIGNED_FOR
    )
    return dataclasses.replace(stories.simple(), histories={RECIPIENT: early})


OF_DELIVERIES: Mapping[str, Case] = {
    "delivered-by-unit": Case(
        Step.RECEIPT,
        "the recipient's seal signed the centre's receipt",
        signed(f"{DELIVERED}.p7s", lambda: CITY.seal(RECIPIENT)),
    ),
    "receipt-by-another-unit": Case(
        Step.RECEIPT,
        "another unit's seal signed the receipt",
        signed(f"{SIGNED}.p7s", lambda: CITY.seal(OTHER)),
    ),
    "receipt-by-sender": Case(
        Step.RECEIPT,
        "the sender's seal signed the recipient's receipt",
        signed(f"{SIGNED}.p7s", lambda: CITY.seal(SENDER)),
    ),
    "receipt-by-centre": Case(
        Step.RECEIPT,
        "the centre's seal signed the recipient's receipt",
        signed(f"{SIGNED}.p7s", lambda: CITY.centre),
    ),
    "receipt-by-system": Case(
        Step.RECEIPT,
        "a TLS certificate signed the receipt",
        signed(f"{SIGNED}.p7s", lambda: CITY.system(RECIPIENT)),
    ),
    "receipt-by-stranger": Case(
        Step.RECEIPT,
        "a seal of another root signed the receipt",
        signed(f"{SIGNED}.p7s", lambda: FOREIGN.seal(RECIPIENT)),
    ),
    "receipt-by-time-stamping": Case(
        Step.RECEIPT,
        "the certificate of the time-stamping service signed the receipt",
        signed(f"{SIGNED}.p7s", lambda: CITY.tsa),
    ),
    "receipt-by-other-purpose": Case(
        Step.RECEIPT,
        "a certificate that is not for documents signed the receipt",
        signed(f"{SIGNED}.p7s", _not_a_seal),
    ),
    "receipt-by-issued-by-unit": Case(
        Step.RECEIPT,
        "a certificate that a unit's seal issued signed the receipt",
        signed(f"{SIGNED}.p7s", _issued_by_unit),
    ),
    "receipt-without-signed-attributes": Case(
        Step.RECEIPT,
        "the recipient's signature is over the receipt itself, without signed attributes",
        by(made={f"{SIGNED}.p7s": _without_signed_attributes}),
    ),
    "receipt-names-another": Case(
        Step.RECEIPT,
        "the receipt names another seal than the one that signed it",
        rewritten(f"{SIGNED}.json", by=unit_seal_id(RECIPIENT, "seal-2")),
    ),
    "receipt-of-another-envelope": Case(
        Step.RECEIPT,
        "receipt, admission and event are about another manifest",
        sealed(_of_another_envelope),
    ),
    "receipt-seal-revoked": Case(
        Step.RECEIPT,
        "the recipient's seal had been revoked before its receipt was recorded",
        lambda: make_bundle(
            CITY, dataclasses.replace(stories.simple(), revoked={0: (CITY.seal(RECIPIENT),)})
        ),
    ),
    "receipt-of-another-schema": Case(
        Step.RECEIPT,
        "what the recipient signed is no receipt: its schema is another",
        rewritten(f"{SIGNED}.json", schema="document-exchange/manifest/1"),
    ),
    "admission-of-another-schema": Case(
        Step.RECEIPT,
        "what the centre signed is no admission: its schema is another",
        rewritten(f"{SIGNED}.admission.json", schema="document-exchange/receipt/1"),
    ),
    "event-of-another-schema": Case(
        Step.LEAF,
        "what the leaf commits to is no event: its schema is another",
        rewritten(f"{SIGNED}.event.json", schema="document-exchange/receipt/1"),
    ),
    "admission-by-unit": Case(
        Step.ADMISSION,
        "the recipient's own seal signed the admission",
        signed(f"{SIGNED}.admission.p7s", lambda: CITY.seal(RECIPIENT)),
    ),
    "admission-of-another-receipt": Case(
        Step.ADMISSION,
        "the admission has the digest of another receipt",
        rewritten(f"{SIGNED}.admission.json", receipt_sha256=sha256_hex(b"another")),
    ),
    "admission-of-another-signature": Case(
        Step.ADMISSION,
        "the admission has the digest of another signature",
        rewritten(f"{SIGNED}.admission.json", receipt_signature_sha256=sha256_hex(b"another")),
    ),
    "admission-with-other-effect": Case(
        Step.ADMISSION,
        "by the admission SIGNED_FOR leads to COMPLETED",
        rewritten(f"{SIGNED}.admission.json", state_after="COMPLETED"),
    ),
    "event-other": Case(Step.LEAF, "the event is not the one of the leaf", sealed(_another_event)),
    "salt-other": Case(
        Step.LEAF, "the salt is not the one of the leaf", sealed(flip(f"{SIGNED}.salt"))
    ),
    "salt-shifted": Case(
        Step.LEAF, "salt and event have another border, and the same digest", sealed(_shifted_salt)
    ),
    "event-of-another-statement": Case(
        Step.LEAF,
        "the event is about the statement with another number",
        rewritten(f"{SIGNED}.event.json", seq=3),
    ),
    "history-gap": Case(Step.HISTORY, "the first statement is missing", sealed(_gap)),
    "history-number": Case(
        Step.HISTORY,
        "the second statement has the number 3",
        by(
            rewritten={
                path: lambda value: value | {"seq": 3}
                for path in (f"{SIGNED}.admission.json", f"{SIGNED}.event.json")
            }
        ),
    ),
    "history-early": Case(
        Step.HISTORY, "the statements are dated before the acceptance", by(_before_acceptance)
    ),
    "history-not-asked": Case(
        Step.HISTORY, "a request for withdrawal is answered a second time", _renamed_grant
    ),
    "history-backwards": Case(
        Step.HISTORY, "the second statement is dated before the first", by(_backwards)
    ),
    "history-after-index": Case(
        Step.HISTORY,
        "a statement is dated after the index that tells it",
        by(told(made_at=stories.at(1))),
    ),
}
"""By name. The centre erred, or its seal was stolen."""
