"""What was sealed before the seal was renewed, expired or revoked verifies as of its acceptance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509
from exchange_client import AsyncClient, Envelope, PartSource, Profile, Submission, Timing
from exchange_client.testing import LocalCentre

from document_exchange import signature
from document_exchange.certificates import CrlPair, fingerprint
from document_exchange.errors import SealExpired, SealRevoked
from tests.integration.renewing_centre import authority, short_lived
from tests.integration.test_received_files import run
from tests.real_centre import RECIPIENT, SENDER, CentreInside

LIFETIME_S = 8
SEALS = 3
ONCE = Timing(retry_budget_s=0)


def seal_of(profile: Profile) -> x509.Certificate:
    return profile.require_seal().certificate


async def send(client: AsyncClient) -> Submission:
    return await client.send(
        title="关于更换数字证书的通知",
        recipients=[RECIPIENT],
        files=[PartSource(b"%PDF-1.7", filename="a.pdf")],
    )


async def send_for_ever(client: AsyncClient) -> NoReturn:
    while True:
        await send(client)


@asynccontextmanager
async def offices(
    inside: CentreInside, directory: Path
) -> AsyncIterator[tuple[AsyncClient, AsyncClient]]:
    """A sender and a recipient whose seals live for seconds."""
    async with authority(inside, f"seal_s = {LIFETIME_S}") as service:
        lifetime = timedelta(seconds=LIFETIME_S)
        profiles = await short_lived(
            inside, service, directory, [SENDER, RECIPIENT], lifetime, "seal"
        )
        async with (
            AsyncClient(profiles[0], ONCE) as sender,
            AsyncClient(profiles[1], ONCE) as recipient,
        ):
            yield sender, recipient


def seal_on(envelope: Envelope) -> x509.Certificate:
    (signed,) = envelope.signatures
    return signature.verify(envelope.manifest_bytes, signed)


@pytest.mark.timeout(180)
async def test_documents_outlive_the_seals_on_them(
    inside: CentreInside, local_centre: LocalCentre, tmp_path: Path
) -> None:
    sent: list[str] = []
    seals: list[x509.Certificate] = []
    signing: set[str] = set()
    # Seals are renewed while documents go to and fro.
    async with offices(inside, tmp_path) as (sender, recipient), asyncio.timeout(120):
        while len({fingerprint(each) for each in seals}) < SEALS or len(signing) < SEALS:
            sent.append((await send(sender)).envelope_id)
            delivery = await recipient.delivery(sent[-1])
            seals.append(seal_on(await delivery.fetch()))
            await delivery.read()
            statement = await delivery.sign_for()
            signed = statement.signed_receipt
            signing.add(fingerprint(signature.verify(signed.content, signed.signature)))
        # The first have expired; the last one is revoked now, and the list says so.
        revoked = seal_of(sender.profile)
        last = await send(sender)
        revoking = inside.authority()
        revoking.revoke(revoking.serial_of(revoked), "keyCompromise")
        revoking.issue_crls(["root", "seal-ca"])
        await inside.publish()
        with pytest.raises(SealRevoked):
            await send_for_ever(sender)
    trust, now = recipient.profile.trust, datetime.now(UTC)
    newest = CrlPair(
        x509.load_der_x509_crl(revoking.crl_der("root")),
        x509.load_der_x509_crl(revoking.crl_der("seal-ca")),
    )
    # As of now neither would do; that is what is not asked.
    with pytest.raises(SealExpired):
        trust.check(seals[0], at=now, crls=None)
    within = revoked.not_valid_after_utc
    # The list is in force from the first whole second after the revocation.
    listed = max(now, newest.seal_crl.last_update_utc)
    with pytest.raises(SealRevoked):
        trust.check(revoked, at=min(listed, within), crls=newest)
    await all_verifies(local_centre, [sent[0], sent[-1], last.envelope_id], tmp_path / "received")


async def all_verifies(centre: LocalCentre, envelope_ids: list[str], directory: Path) -> None:
    """With the SDK as recipient and as sender, and with openssl alone."""
    async with (
        centre.async_client(SENDER) as sender,
        centre.async_client(RECIPIENT) as recipient,
    ):
        for envelope_id in envelope_ids:
            document = await (await recipient.delivery(envelope_id)).download(directory)
            done = await asyncio.to_thread(run, document.directory)
            assert done.returncode == 0, done.stderr
            assert f"/unit/{SENDER}/seal/" in done.stdout
            tracking = await sender.track(envelope_id)
            assert tracking.envelope.sealed_by[0].name == "renewed"
