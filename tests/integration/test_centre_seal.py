"""The centre's own seal, in a running centre: without a good one it starts not, nor signs."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from document_exchange import manifest, signature
from document_exchange.errors import ExchangeError, Unavailable
from tests.pki_for_tests import DAY, Holder, make_leaf
from tests.real_centre import (
    SENDER,
    CentreInside,
    Upload,
    envelope,
    now,
    part,
    sealed,
    typed,
)


@pytest.fixture
def seal(inside: CentreInside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """Another centre-seal, which a second server is to use."""
    made = inside.issue("centre-seal", None, f"s{secrets.token_hex(4)}")
    write(made, tmp_path)
    monkeypatch.setenv("EXCHANGE_SERVER_SEAL__CERTIFICATE", str(tmp_path / "seal.pem"))
    monkeypatch.setenv("EXCHANGE_SERVER_SEAL__KEY", str(tmp_path / "seal.key"))
    return made


def write(seal: Holder, directory: Path) -> None:
    (directory / "seal.pem").write_bytes(seal.pem)
    (directory / "seal.key").write_bytes(seal.key_pem)
    (directory / "seal.key").chmod(0o600)


def unrecorded(inside: CentreInside) -> Holder:
    """A centre-seal by the right CA that the authority's books and the ledger know nothing of."""
    return make_leaf(
        f"spiffe://exchange.example/centre/seal/s{secrets.token_hex(4)}",
        issuer=inside.issuing("seal-ca"),
        not_before=now() - DAY / 24,
        not_after=now() + DAY,
    )


async def test_a_seal_that_the_ledger_does_not_know_is_not_started_with(
    inside: CentreInside, seal: Holder, tmp_path: Path
) -> None:
    write(unrecorded(inside), tmp_path)
    with pytest.raises(AssertionError, match="ended before it listened"):
        async with inside.second_server(tmp_path / "log"):
            pass
    assert b"the centre's seal can't be used: its seal is not in" in (tmp_path / "log").read_bytes()


async def test_a_seal_that_is_revoked_signs_nothing_more(
    inside: CentreInside, seal: Holder, tmp_path: Path
) -> None:
    await inside.publish()
    async with inside.second_server(tmp_path / "log"):
        _, error = await submitted(inside)
        assert error is None
        await inside.revoke(seal)
        # Until the server has followed, the ledger refuses what it signs.
        while error is None or "its seal has been revoked" not in str(error):
            assert error is None or "seal has just been revoked" in str(error)
            envelope_id, error = await submitted(inside)
    assert type(error) is Unavailable
    assert "the centre can't sign: its seal has been revoked" in error.message
    assert b"centre_seal_unusable" in (tmp_path / "log").read_bytes()
    async with inside.ledger() as ledger:
        count = "select count(*) from exchange.envelopes where envelope_id = $1"
        assert await ledger.fetchval(count, envelope_id) == 0


FOLLOWING = "\n[limits]\nreload_interval_s = 0.1\n"


async def test_replaced_files_are_signed_with_from_then_on_and_nothing_fails_meanwhile(
    inside: CentreInside, seal: Holder, tmp_path: Path
) -> None:
    await inside.publish()
    log = tmp_path / "log"
    async with inside.second_server(log, FOLLOWING):
        assert await receipt_signer(inside) == seal.certificate
        write(unrecorded(inside), tmp_path)
        await until_logged(inside, log, b"is not in the ledger's registry", seal)
        fresh = inside.issue("centre-seal", None, f"s{secrets.token_hex(4)}")
        (tmp_path / "seal.pem").write_bytes(fresh.pem)
        await until_logged(inside, log, b"does not belong to the certificate", seal)
        await inside.publish()
        (tmp_path / "seal.key").write_bytes(fresh.key_pem)
        async with asyncio.timeout(20):
            while (signer := await receipt_signer(inside)) != fresh.certificate:
                assert signer == seal.certificate
        await inside.revoke(seal)
        (tmp_path / "seal.pem").write_bytes(b"nothing")
        await until_logged(inside, log, b"no usable certificate", fresh)
        assert await receipt_signer(inside) == fresh.certificate


async def until_logged(inside: CentreInside, log: Path, fault: bytes, seal: Holder) -> None:
    """Wait for a fault in the log, while the server goes on signing with ``seal``."""
    async with asyncio.timeout(20):
        while fault not in log.read_bytes():
            assert await receipt_signer(inside) == seal.certificate
    kept = [line for line in log.read_bytes().splitlines() if b"centre_seal_kept" in line]
    assert len([line for line in kept if fault in line]) == 1


async def receipt_signer(inside: CentreInside) -> x509.Certificate:
    """The seal on the ACCEPTED receipt of a small document."""
    upload = small_upload(inside)[1]
    async with inside.stub(inside.unit(SENDER)) as stub:
        accepted = (await stub.Submit(upload.messages(), timeout=20)).accepted
    return signature.verify(accepted.receipt.content, accepted.receipt.signature)


async def submitted(inside: CentreInside) -> tuple[str, ExchangeError | None]:
    """Hand in a small document; its envelope_id, and what was said against it."""
    envelope_id, upload = small_upload(inside)
    async with inside.stub(inside.unit(SENDER)) as stub:
        try:
            await stub.Submit(upload.messages(), timeout=20)
        except grpc.aio.AioRpcError as error:
            return envelope_id, typed(error)
    return envelope_id, None


def small_upload(inside: CentreInside) -> tuple[str, Upload]:
    """A small document with its envelope_id."""
    made = envelope([part(b"content")])
    content = manifest.encode(made)
    seals = sealed(content, inside.unit(SENDER, "seal"))
    return made.envelope_id, Upload(content, seals, (("part-1", b"content"),))
