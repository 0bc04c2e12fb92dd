"""A document from a unit to itself: sent, received, signed for. Then the unit knows that all works.

It is composed and sealed once, and its manifest kept beside the profile, so that repeating the
test sends the same envelope again, which the centre accepts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from document_exchange import codes
from document_exchange.errors import (
    CertificateNotAdmitted,
    ConfigurationError,
    ExchangeError,
    SealRevoked,
    StateConflict,
)
from document_exchange.receipt import ReceiptType, State
from document_exchange.v1 import directory_pb2
from exchange_client import keys, parts
from exchange_client.authority import AuthorityClient
from exchange_client.client import AsyncClient
from exchange_client.compose import Draft, compose, recipients_of, seal
from exchange_client.parts import PartSource

T = TypeVar("T")

TITLE = "入网测试"
"""Of the test document: "test of joining"."""
_TEXT = "本文件由单位发给自己，用于验证入网是否成功。\nA unit's test document to itself.\n"
_MANIFEST_FILE = "self-test.json"
_SIGNATURE_FILE = "self-test.p7s"

_ADMISSION_TIMEOUT_S = 15.0
_ADMISSION_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the document's journey left behind."""

    envelope_id: str
    doc_id: str
    accepted_at: datetime
    signed_for_at: datetime
    receipt_id: str
    """Of the receipt SIGNED_FOR."""
    admission_seq: int
    """Its place among the statements of the delivery."""


async def wait_until_admitted(client: AsyncClient) -> None:
    """Return as soon as centre and authority know the certificate of this client.

    An issue reaches every process of theirs within two seconds.

    Raises:
        CertificateNotAdmitted: one of them does not after 15 s.
    """
    connection = client.session.connection

    async def ask_centre() -> object:
        return await connection.call(connection.directory.WhoAmI, directory_pb2.WhoAmIRequest())

    await _while_unknown(ask_centre, CertificateNotAdmitted)
    if client.profile.authority:
        async with AuthorityClient(client.profile, client.timing) as authority:
            await _while_unknown(lambda: authority.get_crl("root"), CertificateNotAdmitted)


async def run(client: AsyncClient) -> SelfTest:
    """Send a document to the own unit, receive it and sign for it. Safe to repeat.

    Raises:
        ConfigurationError: the profile has no seal, or exists in memory alone.
        ExchangeError: what the exchange of documents raises.
    """
    directory = client.profile.directory
    if directory is None:
        raise ConfigurationError("the profile is not on disk: there is no place for the test")
    source = PartSource(_TEXT.encode(), filename="test.txt", media_type="text/plain")
    manifest, signature = await _test_document(client, source, directory)
    # A seal that was issued a moment ago may not be known to this server process yet.
    submission = await _while_unknown(
        lambda: client.send_manifest(manifest, [signature], [source]), SealRevoked
    )
    delivery = await client.delivery(submission.envelope_id)
    if delivery.state is State.PENDING:
        await delivery.read()
    if delivery.state is State.DELIVERED:
        with contextlib.suppress(StateConflict):  # another program of the unit may be quicker
            await delivery.sign_for()
    tracking = await client.track(submission.envelope_id)
    [own] = [each for each in tracking.deliveries if each.recipient == client.unit_id]
    signed = next((s for s in own.statements if s.type is ReceiptType.SIGNED_FOR), None)
    if signed is None:
        raise StateConflict(
            f"the test document {submission.envelope_id} was not signed for: another program of"
            f" {client.unit_id} has brought it to the state {own.state.value}",
            state=own.state.value,
        )
    return SelfTest(
        envelope_id=submission.envelope_id,
        doc_id=submission.manifest.document.doc_id,
        accepted_at=submission.accepted_at,
        signed_for_at=signed.recorded_at,
        receipt_id=signed.receipt.receipt_id,
        admission_seq=signed.seq,
    )


async def _test_document(
    client: AsyncClient, source: PartSource, directory: Path
) -> tuple[bytes, bytes]:
    """The manifest's bytes and the seal's signature: those kept, or new ones, kept from now on."""
    manifest_path, signature_path = directory / _MANIFEST_FILE, directory / _SIGNATURE_FILE
    if signature_path.exists():
        return keys.read_small(manifest_path), keys.read_small(signature_path)
    session = client.session
    now = session.now()
    draft = Draft(
        envelope_id=codes.new_id(now),
        at=now,
        sender=session.profile.system,
        title=TITLE,
        doc_id=await client.new_doc_id(),
        recipients=recipients_of(session.unit, ()),
        parts=tuple(each.part for each in await parts.prepare([source])),
    )
    _, content = compose(draft, {})
    session.profile.require_seal()
    [signature] = seal(content, [session.unit], session.profile.seal, (), now)
    keys.write_private(manifest_path, content)
    keys.write_private(signature_path, signature)  # last: its presence says that both are there
    return content, signature


async def _while_unknown(work: Callable[[], Awaitable[T]], unknown: type[ExchangeError]) -> T:
    """``work()``, tried again for a while where the centre does not know of a certificate yet."""
    give_up_at = time.monotonic() + _ADMISSION_TIMEOUT_S
    while True:
        try:
            return await work()
        except unknown:
            if time.monotonic() >= give_up_at:
                raise
        await asyncio.sleep(_ADMISSION_PAUSE_S)
