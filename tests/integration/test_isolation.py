"""Who may not call gets nothing; who may call learns nothing of what is not its own."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from exchange_client import PartSource
from exchange_client.testing import LocalCentre

from document_exchange import codes, manifest, receipt, signature, times
from document_exchange.errors import (
    CertificateNotAdmitted,
    CertificateRevoked,
    ExchangeError,
    NotFound,
    NotPermitted,
    Unauthenticated,
    Unavailable,
)
from document_exchange.receipt import Receipt, ReceiptType
from document_exchange.v1 import envelope_pb2, exchange_pb2, exchange_pb2_grpc
from tests.pki_for_tests import DAY, Holder, make_authority, make_system
from tests.real_centre import RECIPIENT, SENDER, CentreInside, now, typed

STRANGER = "qd-tongji"
SYSTEM = f"spiffe://exchange.example/unit/{STRANGER}/system/oa"
OUT_WITHIN_S = 2.0


def of_another_authority(inside: CentreInside) -> Holder:
    return make_system(SYSTEM, make_authority("TLS CA", issuer=None, path_length=0))


def expired(inside: CentreInside) -> Holder:
    issuer = inside.issuing("tls-ca")
    return make_system(SYSTEM, issuer, not_before=now() - 2 * DAY, not_after=now() - DAY)


def a_seal(inside: CentreInside) -> Holder:
    return inside.unit(STRANGER, "seal")


def none(inside: CentreInside) -> None:
    return None


async def refusal(call: Any) -> ExchangeError:
    """The typed error of a call that must fail, unary or a stream."""
    try:
        if hasattr(call, "read"):
            await call.read()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return typed(error)
    raise AssertionError("the call went through")


def the_genuine_one(inside: CentreInside) -> Holder:
    return inside.unit(STRANGER)


async def list_deliveries(inside: CentreInside, caller: Holder | None) -> None:
    async with inside.stub(caller) as stub:
        await stub.ListDeliveries(exchange_pb2.ListDeliveriesRequest(), timeout=5)


@pytest.mark.parametrize("caller", [of_another_authority, expired, a_seal, none])
async def test_nobody_else_gets_a_call_through(
    inside: CentreInside, caller: Callable[[CentreInside], Holder | None]
) -> None:
    error = await refusal(list_deliveries(inside, caller(inside)))
    assert isinstance(error, Unauthenticated | Unavailable), repr(error)
    # The same call on the same server, so it is the certificate that makes the difference.
    await list_deliveries(inside, the_genuine_one(inside))


async def test_a_genuine_certificate_that_was_never_published_opens_nothing(
    inside: CentreInside,
) -> None:
    """The right CA, the right name, the right purpose: only the registry does not know it."""
    unpublished = make_system(SYSTEM, inside.issuing("tls-ca"))
    assert isinstance(await refusal(list_deliveries(inside, unpublished)), CertificateNotAdmitted)


async def test_staff_can_look_up_units_and_no_document(inside: CentreInside) -> None:
    """Every method of the service, so none was forgotten; nor does one that is in no list work."""
    clerk = await inside.staff("operator")
    service = exchange_pb2.DESCRIPTOR.services_by_name["ExchangeService"]
    async with inside.channel(clerk) as channel, inside.channel(inside.unit(SENDER)) as unit:
        stub: Any = exchange_pb2_grpc.ExchangeServiceStub(channel)
        for method in service.methods:
            empty = getattr(exchange_pb2, method.input_type.name)()
            request = iter([empty]) if method.name == "Submit" else empty
            error = await refusal(getattr(stub, method.name)(request, timeout=5))
            assert type(error) is NotPermitted, f"{method.name}: {error!r}"
            assert error.attributes["method"] == f"/{service.full_name}/{method.name}"
        for each in (channel, unit):
            unlisted: Any = each.unary_unary("/grpc.health.v1.Health/List")
            assert type(await refusal(unlisted(b"", timeout=5))) is NotPermitted


async def test_a_certificate_counts_once_published_and_until_revoked(inside: CentreInside) -> None:
    """On one connection all the while, and for a watch that was open before."""
    fresh = inside.issue("system", STRANGER, f"s{secrets.token_hex(4)}")
    request = exchange_pb2.ListDeliveriesRequest()
    async with inside.stub(fresh) as stub:
        error = await refusal(stub.ListDeliveries(request, timeout=5))
        assert isinstance(error, CertificateNotAdmitted)
        await inside.publish()
        async with asyncio.timeout(10):
            while not await _goes_through(stub):
                pass
        watch: Any = stub.WatchDeliveries(exchange_pb2.WatchDeliveriesRequest(), timeout=60)
        while (await watch.read()).WhichOneof("event") != "caught_up":
            pass
        await inside.revoke(fresh)
        async with asyncio.timeout(OUT_WITHIN_S):
            while await _goes_through(stub):
                pass
            assert isinstance(await refusal(watch), CertificateRevoked)
        error = await refusal(stub.ListDeliveries(request, timeout=5))
        assert isinstance(error, CertificateRevoked)


async def _goes_through(stub: Any) -> bool:
    try:
        await stub.ListDeliveries(exchange_pb2.ListDeliveriesRequest(), timeout=5)
    except grpc.aio.AioRpcError:
        return False
    return True


def signed_for(inside: CentreInside, envelope_id: str, content: bytes) -> envelope_pb2.SignedBytes:
    """A receipt that is right in itself, by the stranger for itself."""
    made = receipt.encode(
        Receipt(
            schema=receipt.RECEIPT_SCHEMA,
            receipt_id=codes.new_id(now()),
            type=ReceiptType.SIGNED_FOR,
            envelope_id=envelope_id,
            recipient=STRANGER,
            manifest_sha256=manifest.sha256_hex(content),
            by=f"spiffe://exchange.example/unit/{STRANGER}/seal/main",
            at=times.format_time(now()),
        )
    )
    seal = inside.unit(STRANGER, "seal").signer
    return envelope_pb2.SignedBytes(content=made, signature=signature.sign(made, seal, at=now()))


async def test_what_belongs_to_others_looks_as_if_it_did_not_exist(
    local_centre: LocalCentre, inside: CentreInside
) -> None:
    async with local_centre.async_client(SENDER) as client:
        sent = await client.send(
            title="不为人知", recipients=[RECIPIENT], files=[PartSource(b"%PDF-1.7")]
        )
    part_id = sent.manifest.parts[0].part_id
    content = manifest.encode(sent.manifest)
    digest = manifest.sha256_hex(content)
    further: dict[str, dict[str, Any]] = {
        "GetEnvelope": {},
        "DownloadPart": {"part_id": part_id},
        "ConfirmDelivery": {"manifest_sha256": digest},
        "ConfirmSeen": {"recipient": STRANGER, "seq": 0, "party": exchange_pb2.PARTY_RECIPIENT},
        "TrackEnvelope": {},
    }
    methods = exchange_pb2.DESCRIPTOR.services_by_name["ExchangeService"].methods
    naming = {
        each.name: each for each in methods if "envelope_id" in each.input_type.fields_by_name
    }
    assert set(naming) == set(further), "a method that names an envelope is not tried here"

    async with inside.stub(inside.unit(STRANGER)) as stub:

        async def answer(method: str, envelope_id: str) -> tuple[str, str, tuple[str, ...]]:
            if method == "RecordReceipt":
                made = signed_for(inside, envelope_id, content)
                request: Any = exchange_pb2.RecordReceiptRequest(receipt=made)
            else:
                kind = getattr(exchange_pb2, naming[method].input_type.name)
                request = kind(envelope_id=envelope_id, **further[method])
            error = await refusal(getattr(stub, method)(request, timeout=10))
            assert isinstance(error, NotFound), f"{method}: {error!r}"
            message = error.message.replace(envelope_id, "ID")
            return error.code, message, tuple(sorted(error.attributes))

        for method in (*further, "RecordReceipt"):
            missing = await answer(method, codes.new_id(now()))
            assert await answer(method, sent.envelope_id) == missing, method


async def test_hostile_file_names_stay_inside(local_centre: LocalCentre, tmp_path: Path) -> None:
    names = ["../../etc/passwd", "nul\x00in.pdf", "a" * 400, "same.pdf", "same.pdf"]
    contents = [f"{place} {name}".encode() for place, name in enumerate(names)]
    async with (
        local_centre.async_client(SENDER) as sender,
        local_centre.async_client(RECIPIENT) as client,
    ):
        sent = await sender.send(
            title="恶意文件名",
            recipients=[RECIPIENT],
            files=[
                PartSource(contents[place], filename=name, role="ATTACHMENT" if place else "BODY")
                for place, name in enumerate(names)
            ],
        )
        out = tmp_path / "a" / "b" / "received"
        received = await (await client.delivery(sent.envelope_id)).download(out)
    assert [each.path.read_bytes() for each in received.parts] == contents
    written = {path.resolve() for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(out.resolve()) for path in written)


@pytest.mark.parametrize("port", ["centre", "authority", "enrolment"])
def test_nothing_below_tls_1_3(inside: CentreInside, tmp_path: Path, port: str) -> None:
    """From outside, on each port that there is."""
    authority = inside.description["authority"]
    addresses = {
        "centre": inside.address,
        "authority": authority["address"],
        "enrolment": authority["enrolment_address"],
    }
    holder = inside.unit(SENDER)
    (tmp_path / "c.pem").write_bytes(holder.pem)
    (tmp_path / "c.key").write_bytes(holder.key_pem)

    def connects(version: str) -> bool:
        command = ["openssl", "s_client", "-connect", addresses[port], version, "-alpn", "h2"]
        command += ["-cert", str(tmp_path / "c.pem"), "-key", str(tmp_path / "c.key")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        return done.returncode == 0 and b"Cipher is (NONE)" not in done.stdout

    assert connects("-tls1_3")
    assert not connects("-tls1_2")
