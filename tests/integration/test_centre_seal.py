"""The centre's own seal, in a running centre: without a good one it starts not, nor signs."""

from __future__ import annotations

import secrets
from pathlib import Path

import grpc
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import manifest
from document_exchange.errors import ExchangeError, Unavailable
from tests.pki_for_tests import Holder
from tests.real_centre import SENDER, CentreInside, Upload, envelope, part, sealed, typed


@pytest.fixture
def inside(local_centre: LocalCentre) -> CentreInside:
    return CentreInside(local_centre)


@pytest.fixture
def seal(inside: CentreInside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """Another centre-seal, which a second server is to use; not published yet."""
    made = inside.issue("centre-seal", None, f"s{secrets.token_hex(4)}")
    (tmp_path / "seal.pem").write_bytes(made.pem)
    (tmp_path / "seal.key").write_bytes(made.key_pem)
    (tmp_path / "seal.key").chmod(0o600)
    monkeypatch.setenv("EXCHANGE_SERVER_SEAL__CERTIFICATE", str(tmp_path / "seal.pem"))
    monkeypatch.setenv("EXCHANGE_SERVER_SEAL__KEY", str(tmp_path / "seal.key"))
    return made


async def test_a_seal_that_the_ledger_does_not_know_is_not_started_with(
    inside: CentreInside, seal: Holder, tmp_path: Path
) -> None:
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
        # The server follows within half a second; whatever comes before that it still signs.
        while error is None:
            envelope_id, error = await submitted(inside)
    assert type(error) is Unavailable
    assert "the centre can't sign: its seal has been revoked" in error.message
    assert b"centre_seal_unusable" in (tmp_path / "log").read_bytes()
    async with inside.ledger() as ledger:
        count = "select count(*) from exchange.envelopes where envelope_id = $1"
        assert await ledger.fetchval(count, envelope_id) == 0


async def submitted(inside: CentreInside) -> tuple[str, ExchangeError | None]:
    """Hand in a small document; its envelope_id, and what was said against it."""
    made = envelope([part(b"content")])
    content = manifest.encode(made)
    upload = Upload(
        content, sealed(content, inside.unit(SENDER, "seal")), (("part-1", b"content"),)
    )
    async with inside.stub(inside.unit(SENDER)) as stub:
        try:
            await stub.Submit(upload.messages(), timeout=20)
        except grpc.aio.AioRpcError as error:
            return made.envelope_id, typed(error)
    return made.envelope_id, None
