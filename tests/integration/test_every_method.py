"""Every method, as every kind of caller, with every kind of identifier, against one table.

Methods and requests come from the wire contract, so what is added later is asked for too; a
method without a row in the table fails. Nothing that a caller may not know is in any answer, and
no request, however hostile, is answered with a fault of the server's own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
import pytest
from exchange_client.answer import answer_of
from exchange_client.testing import LocalCentre, local_centre_fixture
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from document_exchange import manifest
from document_exchange.certificates import fingerprint
from document_exchange.v1 import exchange_pb2
from tests.admin_desk import a_route, desk, put
from tests.integration.conftest import SMALL_CITY
from tests.pki_for_tests import Holder
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    document,
    envelope,
    part,
    sealed,
)
from tests.requests_from_descriptors import UNKNOWN_ID, Genuine, methods, path_of

OK, INVALID, DENIED, NOT_FOUND = "OK", "INVALID_ARGUMENT", "PERMISSION_DENIED", "NOT_FOUND"
REFUSED, CONFLICT = "FAILED_PRECONDITION", "ALREADY_EXISTS"

STRANGER = "qd-tongji"
CALLERS = ("party", "stranger", "operator", "security", "auditor")

NO = frozenset({DENIED})
OWN = frozenset({OK, INVALID})
"""Answers about the caller's own things, or about what is everybody's."""
HIDDEN = frozenset({NOT_FOUND, INVALID})
"""What belongs to others looks as if it did not exist; there is nothing to be had."""
FOUND = OWN | {NOT_FOUND}
ACTS = FOUND | {REFUSED, CONFLICT, DENIED}
"""May change something: each fault of the request has a refusal of its own."""

Row = Mapping[str, frozenset[str]]


def row(
    party: frozenset[str],
    stranger: frozenset[str],
    operator: frozenset[str] = NO,
    security: frozenset[str] = NO,
    auditor: frozenset[str] = NO,
) -> Row:
    return dict(zip(CALLERS, (party, stranger, operator, security, auditor), strict=True))


def units(party: frozenset[str], stranger: frozenset[str]) -> Row:
    return row(party, stranger)


def staff(*, operator: bool = False, security: bool = False, auditor: bool = False) -> Row:
    return row(
        NO,
        NO,
        ACTS if operator else NO,
        ACTS if security else NO,
        ACTS if auditor else NO,
    )


def everybody(allowed: frozenset[str]) -> Row:
    return dict.fromkeys(CALLERS, allowed)


_EXCHANGE = "/document_exchange.v1.ExchangeService/"
_CORRESPONDENCE = "/document_exchange.v1.CorrespondenceService/"
_EVIDENCE = "/document_exchange.v1.EvidenceService/"
_DIRECTORY = "/document_exchange.v1.DirectoryService/"
_ADMIN = "/document_exchange.v1.AdminService/"
_AUTHORITY = "/document_exchange.v1.AuthorityService/"
_ENROLMENT = "/document_exchange.v1.EnrolmentService/"

TABLE: Mapping[str, Row] = {
    # Another's manifest is refused for its sender before anything else about it is looked at.
    _EXCHANGE + "Submit": units(frozenset({OK, INVALID, DENIED}), frozenset({INVALID, DENIED})),
    _EXCHANGE + "ListDeliveries": units(OWN, OWN),
    _EXCHANGE + "WatchDeliveries": units(OWN, OWN),
    _EXCHANGE + "GetEnvelope": units(FOUND, HIDDEN),
    _EXCHANGE + "DownloadPart": units(FOUND | {"OUT_OF_RANGE"}, HIDDEN),
    _EXCHANGE + "ConfirmDelivery": units(FOUND | {REFUSED}, HIDDEN),
    _EXCHANGE + "RecordReceipt": units(FOUND | {REFUSED}, HIDDEN),
    _EXCHANGE + "ConfirmSeen": units(FOUND, HIDDEN),
    _EXCHANGE + "TrackEnvelope": units(FOUND, HIDDEN),
    _EXCHANGE + "ListSubmissions": units(OWN, OWN),
    _EXCHANGE + "WatchSubmissions": units(OWN, OWN),
    _CORRESPONDENCE + "GetThread": units(FOUND, HIDDEN),
    _CORRESPONDENCE + "GetCirculation": units(FOUND, HIDDEN),
    _EVIDENCE + "GetEvidence": units(FOUND, HIDDEN),
    _DIRECTORY + "ListUnits": everybody(OWN),
    _DIRECTORY + "GetUnit": everybody(FOUND),
    _DIRECTORY + "ListGroups": everybody(OWN),
    _DIRECTORY + "WhoAmI": everybody(OWN),
    # A unit that names another sender than itself is denied.
    _DIRECTORY + "CheckRoute": row(OWN | NO, OWN | NO, FOUND, FOUND, FOUND),
    _DIRECTORY + "ListOwnCertificates": everybody(OWN),
    _DIRECTORY + "WatchOwnCertificates": everybody(OWN),
    _ADMIN + "ListEntries": staff(operator=True, security=True, auditor=True),
    _ADMIN + "ApplyChanges": staff(operator=True, security=True),
    _ADMIN + "ListProposals": staff(operator=True, security=True, auditor=True),
    _ADMIN + "GetProposal": staff(operator=True, security=True, auditor=True),
    _ADMIN + "DecideProposal": staff(security=True),
    _AUTHORITY + "Renew": everybody(frozenset({OK, INVALID})),
    _AUTHORITY + "RenewSeal": units(OWN, OWN),
    _AUTHORITY + "GetCrl": everybody(FOUND),
    _AUTHORITY + "IssueToken": staff(operator=True),
    _AUTHORITY + "ListTokens": staff(operator=True, security=True, auditor=True),
    _AUTHORITY + "WithdrawToken": staff(operator=True),
    _AUTHORITY + "ListSealRequests": staff(operator=True, security=True, auditor=True),
    _AUTHORITY + "ApproveSeal": staff(security=True),
    _AUTHORITY + "Revoke": staff(security=True),
    _AUTHORITY + "ListCertificates": staff(operator=True, security=True, auditor=True),
    # On its own port, where nobody has a certificate: a token that was never issued opens nothing.
    _ENROLMENT + "Enrol": everybody(frozenset({INVALID, DENIED})),
    _ENROLMENT + "GetTrustBundle": everybody(frozenset({OK})),
}

own_centre = local_centre_fixture(scope="module", registry=SMALL_CITY)


def test_every_method_has_a_row_and_every_row_a_method() -> None:
    assert {path_of(method) for method in methods()} == set(TABLE)


@dataclass(frozen=True)
class Scene:
    """A centre with one document under way, and everybody who calls."""

    inside: CentreInside
    callers: Mapping[str, Holder]
    genuine: Genuine
    upload: Upload
    marker: bytes
    """In the title and the part of the document, and in nothing that a stranger may see."""


@pytest.fixture(scope="module")
async def scene(own_centre: LocalCentre) -> Scene:
    inside = CentreInside(own_centre)
    marker = f"M{secrets.token_hex(12)}"
    staff_of = {role: await inside.staff(role) for role in ("operator", "security", "auditor")}
    victim = inside.issue("system", "qd-zhengfu", "to-be-revoked")
    await inside.publish()
    async with desk(inside, "security") as proposer:
        proposed = await proposer.apply(put(route=a_route()))
    data = marker.encode()
    made = envelope(
        [part(data)],
        document=msgspec.structs.replace(document(), title=f"函 {marker}", open_circulation=True),
    )
    content = manifest.encode(made)
    upload = Upload(content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", data),))
    async with inside.stub(inside.unit(SENDER)) as stub:
        answer = await stub.Submit(upload.messages(), timeout=10)
    texts = {
        "envelope_id": made.envelope_id,
        "recipient": RECIPIENT,
        "sender": SENDER,
        "unit_id": RECIPIENT,
        "unit": SENDER,
        "system": "oa",
        "seal": "main",
        "part_id": "part-1",
        "manifest_sha256": manifest.sha256_hex(content),
        "issuer": "seal-ca",
        "proposal_id": proposed.proposal_id,
        "request_id": UNKNOWN_ID,
        "token_id": UNKNOWN_ID,
        "fingerprint": fingerprint(victim.certificate),
        "reason": "superseded",
        "token": secrets.token_urlsafe(24),
    }
    blobs = {
        "content": answer.accepted.receipt.content,
        "signature": answer.accepted.receipt.signature,
        "manifest": content,
        "signatures": upload.signatures[0],
    }
    callers = {"party": inside.unit(RECIPIENT), "stranger": inside.unit(STRANGER), **staff_of}
    return Scene(inside, callers, Genuine(texts, blobs), upload, marker.encode())


@pytest.fixture(scope="module")
async def channels(scene: Scene) -> AsyncIterator[Mapping[tuple[str, str], grpc.aio.Channel]]:
    """A connection of each caller to each port: centre, authority, enrolment."""
    authority = scene.inside.description["authority"]
    ports = {
        "centre": scene.inside.address,
        "authority": authority["address"],
        "enrolment": authority["enrolment_address"],
    }
    async with AsyncExitStack() as stack:
        yield {
            (name, port): await stack.enter_async_context(
                scene.inside.channel(None if port == "enrolment" else holder, address)
            )
            for name, holder in scene.callers.items()
            for port, address in ports.items()
        }


def port_of(method: MethodDescriptor) -> str:
    service = method.containing_service.name
    return {"AuthorityService": "authority", "EnrolmentService": "enrolment"}.get(service, "centre")


async def answered(
    channel: grpc.aio.Channel, method: MethodDescriptor, request: Message
) -> tuple[str, bytes]:
    """The status, and all bytes of answers and errors; a watch is left once it is caught up."""
    answer_class = message_factory.GetMessageClass(method.output_type)
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
    }
    call_of: Any = kinds[(bool(method.client_streaming), bool(method.server_streaming))]
    call = call_of(path_of(method), type(request).SerializeToString, answer_class.FromString)
    argument = iter([request]) if method.client_streaming else request
    said = b""
    try:
        running = call(argument, timeout=20)
        if not method.server_streaming:
            # An answer that comes while this side still sends is lost otherwise.
            answer = await (answer_of(running) if method.client_streaming else running)
            said = answer.SerializeToString()
        else:
            async for answer in running:
                said += answer.SerializeToString()
                if "caught_up" in answer.DESCRIPTOR.fields_by_name and answer.HasField("caught_up"):
                    running.cancel()
                    break
    except grpc.aio.AioRpcError as error:
        details = b"".join(
            value if isinstance(value, bytes) else value.encode()
            for _, value in error.trailing_metadata() or ()
        )
        return error.code().name, said + (error.details() or "").encode() + details
    return OK, said


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    "method", list(methods()), ids=lambda method: method.full_name.split(".", 2)[2]
)
async def test_every_answer_is_one_that_the_table_allows(
    scene: Scene,
    channels: Mapping[tuple[str, str], grpc.aio.Channel],
    method: MethodDescriptor,
    caller: str,
) -> None:
    channel = channels[caller, port_of(method)]
    allowed = TABLE[path_of(method)][caller]
    limit = asyncio.Semaphore(4)  # fewer than the enrolment port takes on one connection

    async def check(request: Message) -> str:
        async with limit:
            code, said = await answered(channel, method, request)
        assert code in allowed, f"{code} {said[:300]!r} upon\n{str(request)[:600]}"
        if caller != "party":
            assert scene.marker not in said
        return code

    codes = await asyncio.gather(*map(check, scene.genuine.requests(method)))
    if OK in allowed and method.name not in MUTATING:
        # Being let in is not only the absence of a refusal.
        assert OK in codes or caller == "stranger", sorted(set(codes))


MUTATING = frozenset(
    method.name
    for method in methods()
    if not method.name.startswith(("List", "Get", "Watch", "WhoAmI", "Check", "Download", "Track"))
)


async def test_nothing_of_it_changed_anything(scene: Scene) -> None:
    """The document is as it was, and the units' certificates work."""
    async with scene.inside.stub(scene.inside.unit(SENDER)) as stub:
        again = await stub.Submit(scene.upload.messages(), timeout=10)
        assert again.repeated_submission
        tracked = await stub.TrackEnvelope(
            exchange_pb2.TrackEnvelopeRequest(envelope_id=scene.genuine.texts["envelope_id"]),
            timeout=10,
        )
    assert [len(delivery.statements) for delivery in tracked.deliveries] == [1]  # the party's own
