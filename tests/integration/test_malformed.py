"""No bytes of a request, whatever they are, are answered as a fault of the centre."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from exchange_client.testing import LocalCentre
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from document_exchange import codes, manifest
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    ManifestRefused,
    NotFound,
    NotPermitted,
)
from document_exchange.v1 import directory_pb2, exchange_pb2
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    document,
    envelope,
    now,
    part,
    sealed,
    typed,
)

BODY = b"%PDF-1.7"
PLACE = "@@@"
STRINGS = (
    "\x00",
    "qd-jiaoyu\x00",
    "qd-jiaoyu\n",
    "\ufffe\uffff",
    "\U0010ffff",
    "١٢٣",
    "ｑｄ－ｊｉａｏｙｕ",
    "关于编制部门预算的函",
    "\u202eqd-jiaoyu",
    "' or true --",
    "../../etc/passwd",
    "x" * 100_000,
    "汉" * 100_000,
)
NO_UTF8 = (b"\xed\xa0\x80", b"\xff\xfe\xfd", b"\xc0\x80a")
"""Half of a surrogate pair, no UTF-8 at all, a NUL written too long. Three bytes, as PLACE."""


@pytest.fixture(scope="session")
def inside(local_centre: LocalCentre) -> CentreInside:
    return CentreInside(local_centre)


@pytest.fixture(scope="session")
async def envelope_id(inside: CentreInside) -> str:
    """An envelope that is really there, so that what is wrong is looked at closely."""
    made = envelope([part(BODY)])
    content = manifest.encode(made)
    header = exchange_pb2.SubmitHeader(
        manifest=content, signatures=sealed(content, inside.unit(SENDER, "seal"))
    )
    chunk = exchange_pb2.PartChunk(part_id="part-1", data=BODY)
    async with inside.stub(inside.unit(SENDER)) as stub:
        await stub.Submit(
            iter(
                [
                    exchange_pb2.SubmitRequest(header=header),
                    exchange_pb2.SubmitRequest(chunk=chunk),
                ]
            )
        )
    return made.envelope_id


def methods() -> Iterator[MethodDescriptor]:
    for module, name in ((exchange_pb2, "ExchangeService"), (directory_pb2, "DirectoryService")):
        yield from module.DESCRIPTOR.services_by_name[name].methods


TEXTS = [
    (method, field)
    for method in methods()
    for field in method.input_type.fields
    if field.type == FieldDescriptor.TYPE_STRING
]
"""Every string of every request; those inside of Submit's messages have a test of their own."""


def request_of(method: MethodDescriptor, envelope_id: str) -> Any:
    """A request that is right in all that it says."""
    module = exchange_pb2 if method.containing_service.name == "ExchangeService" else directory_pb2
    made = getattr(module, method.input_type.name)()
    right = {
        "envelope_id": envelope_id,
        "recipient": RECIPIENT,
        "part_id": "part-1",
        "manifest_sha256": "0" * 64,
        "party": exchange_pb2.PARTY_RECIPIENT,
    }
    for field in method.input_type.fields:
        if field.name in right:
            setattr(made, field.name, right[field.name])
    return made


async def outcome(channel: grpc.aio.Channel, method: MethodDescriptor, request: bytes) -> Any:
    """None, or the error; the bytes go out as they are."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.name == "DownloadPart":
            stream: Any = channel.unary_stream(path)(request, timeout=10)  # type: ignore[arg-type]
            await stream.read()
        else:
            unary: Any = channel.unary_unary(path)
            await unary(request, timeout=10)
    except grpc.aio.AioRpcError as error:
        return refused(error)
    return None


def refused(error: grpc.aio.AioRpcError) -> ExchangeError:
    assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), error
    return typed(error)


@pytest.mark.parametrize(
    ("method", "field"), TEXTS, ids=[f"{method.name}.{field.name}" for method, field in TEXTS]
)
async def test_no_string_is_a_fault_of_the_centre(
    inside: CentreInside, envelope_id: str, method: MethodDescriptor, field: FieldDescriptor
) -> None:
    request = request_of(method, envelope_id)
    async with inside.channel(inside.unit(RECIPIENT)) as channel:
        for text in STRINGS:
            setattr(request, field.name, text)
            error = await outcome(channel, method, request.SerializeToString())
            assert error is None or not error.retryable, f"{text[:20]!r}: {error!r}"
            if isinstance(error, InvalidRequest):
                assert error.attributes["field"] == field.name
        setattr(request, field.name, PLACE)
        whole = request.SerializeToString()
        for wrong in NO_UTF8:
            error = await outcome(channel, method, whole.replace(PLACE.encode(), wrong))
            assert type(error) is InvalidRequest, f"{wrong!r}: {error!r}"


@pytest.mark.parametrize(
    ("method", "field", "text"),
    [
        ("ConfirmSeen", "recipient", "\x00"),
        ("DownloadPart", "part_id", "\x00"),
        ("TrackEnvelope", "page_token", "\x00"),
        ("ListUnits", "page_token", "qd-\x00"),
    ],
)
async def test_what_has_not_the_shape_of_its_field_is_named(
    inside: CentreInside, envelope_id: str, method: str, field: str, text: str
) -> None:
    (described,) = (each for each in methods() if each.name == method)
    request = request_of(described, envelope_id)
    setattr(request, field, text)
    async with inside.channel(inside.unit(RECIPIENT)) as channel:
        error = await outcome(channel, described, request.SerializeToString())
    assert type(error) is InvalidRequest
    assert error.attributes == {"field": field}


@pytest.mark.parametrize("garbage", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 200])
async def test_bytes_that_are_no_message_are_refused(inside: CentreInside, garbage: bytes) -> None:
    async with inside.channel(inside.unit(RECIPIENT)) as channel:
        for method in methods():
            if method.name not in ("Submit", "WatchDeliveries", "WatchSubmissions"):
                error = await outcome(channel, method, garbage)
                assert type(error) is InvalidRequest, f"{method.name}: {error!r}"
        for name in ("WatchDeliveries", "WatchSubmissions"):
            path = f"/document_exchange.v1.ExchangeService/{name}"
            stream: Any = channel.unary_stream(path)(garbage, timeout=10)  # type: ignore[arg-type]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert type(refused(caught.value)) is InvalidRequest


def chunk_of(part_id: str) -> bytes:
    chunk = exchange_pb2.PartChunk(part_id=part_id, data=BODY)
    return exchange_pb2.SubmitRequest(chunk=chunk).SerializeToString()


async def submitted(inside: CentreInside, *messages: bytes) -> ExchangeError:
    async with inside.channel(inside.unit(SENDER)) as channel:
        call: Any = channel.stream_unary("/document_exchange.v1.ExchangeService/Submit")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(iter(messages), timeout=10)
    return refused(caught.value)


def header_of(inside: CentreInside) -> bytes:
    content = manifest.encode(envelope([part(BODY)]))
    signatures = sealed(content, inside.unit(SENDER, "seal"))
    header = exchange_pb2.SubmitHeader(manifest=content, signatures=signatures)
    message: Message = exchange_pb2.SubmitRequest(header=header)
    return message.SerializeToString()


async def test_no_chunk_is_a_fault_of_the_centre(inside: CentreInside) -> None:
    for text in STRINGS:
        error = await submitted(inside, header_of(inside), chunk_of(text))
        assert error.code == "PART_OUT_OF_ORDER"
    for wrong in NO_UTF8:
        chunk = chunk_of(PLACE).replace(PLACE.encode(), wrong)
        assert type(await submitted(inside, header_of(inside), chunk)) is InvalidRequest
    assert type(await submitted(inside, b"\xff")) is InvalidRequest


SECRET = "关于某军事设施的秘密"


async def test_what_was_sent_is_not_written_down(local_centre: LocalCentre, tmp_path: Path) -> None:
    """Neither in the log nor in the events, whatever was wrong with it."""
    log = tmp_path / "server.log"
    inside = CentreInside(local_centre)
    made = envelope([part(BODY)])
    content = manifest.encode(made)
    hostile = (
        content.replace(document().title.encode(), ("\\u202e" + SECRET).encode()),
        content.replace(b'"title":', f'"{SECRET}":1,"title":'.encode()),
        content.replace(b'"NORMAL"', f'"{SECRET}"'.encode()),
    )
    before = codes.new_id(now())
    async with inside.second_server(log):
        for each in hostile:
            header = exchange_pb2.SubmitHeader(manifest=each)
            message = exchange_pb2.SubmitRequest(header=header).SerializeToString()
            error = await submitted(inside, message)
            assert isinstance(error, ManifestRefused)
            assert SECRET in error.message or SECRET in error.attributes.get("field", "")
        assert (await submitted(inside, header_of(inside), chunk_of(SECRET))).code
        async with inside.channel(inside.unit(SENDER)) as channel:
            for method, field in TEXTS:
                request = request_of(method, made.envelope_id)
                setattr(request, field.name, SECRET)
                error = await outcome(channel, method, request.SerializeToString())
                assert error is None or isinstance(error, InvalidRequest | NotFound | NotPermitted)
    written = log.read_text()
    assert written.count("call_refused") >= len(hostile)
    for shown in (SECRET, SECRET.encode("unicode_escape").decode()):
        assert shown not in written
    async with inside.ledger() as ledger:
        rows = await ledger.fetch(
            "select event from exchange.events where type = 'DENIED' and event_id > $1", before
        )
    assert rows
    assert not any(SECRET.encode() in row["event"] for row in rows)
