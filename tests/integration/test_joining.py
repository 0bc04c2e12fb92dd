"""The SDK's enrolment with the running authority: trust, keys, seals, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from exchange_client import keys, profile_store, renewal
from exchange_client.authority import AuthorityClient
from exchange_client.authority_model import IssuedToken
from exchange_client.enrol import Application, Enrolled, enrol
from exchange_client.profile import Profile, Settings
from exchange_client.profile_store import CertificateKind, write_profile
from exchange_client.timing import Timing

from document_exchange.certificates import fingerprint, load_pem
from document_exchange.errors import (
    ConfigurationError,
    NotPermitted,
    TokenExpired,
    TokenOfAnotherUnit,
    TokenUnknown,
    TokenUsed,
    VerificationFailed,
)
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import copy_of_authority
from tests.integration.authority_service import (
    CENTRE_ADDRESS,
    OTHER_UNIT,
    STAFF,
    UNIT,
    AuthorityOffice,
    Service,
    founded,
)

TIMING = Timing(retry_budget_s=5)


@dataclass(frozen=True)
class Staff:
    """The authority's staff, with profiles as the SDK has them."""

    office: AuthorityOffice
    service: Service
    profiles: Path

    def client(self, role: str) -> AuthorityClient:
        return AuthorityClient(Profile.load(role, self.profiles), TIMING)

    async def token(self, **more: Any) -> IssuedToken:
        async with self.client("operator") as authority:
            values = {"unit": UNIT, "system": "oa", "seal": "main"}
            return await authority.issue_token(**(values | more))

    async def revoke(self, serial: str) -> None:
        async with self.client("security") as authority:
            await authority.revoke(serial=serial, reason="superseded")

    def application(self, issued: IssuedToken, **more: Any) -> Application:
        values = {
            "authority": issued.enrolment_address,
            "root_fingerprint": issued.root_fingerprint,
            "token": issued.token,
        }
        return Application(**(values | more))

    async def enrolled(self, issued: IssuedToken, directory: Path, **more: Any) -> Enrolled:
        return await enrol(self.application(issued, **more), directory, TIMING)

    async def sealed(self, system: str, directory: Path) -> Profile:
        """The profile of a system with a seal of its own."""
        issued = await self.token(system=system, seal=system)
        first = await self.enrolled(issued, directory)
        async with self.client("security") as authority:
            [asked] = [
                each
                async for each in authority.list_seal_requests(UNIT, "PENDING")
                if each.key_sha256 == first.seal_key_sha256
            ]
            await authority.approve_seal(asked.request_id, first.seal_key_sha256)
        return (await self.enrolled(issued, directory)).profile


@pytest.fixture(scope="module")
async def staff(
    postgres: EmbeddedPostgres, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Staff]:
    copied = copy_of_authority(tmp_path_factory, tmp_path_factory.mktemp("copy") / "pki", live=True)
    office = await founded(tmp_path_factory.mktemp("office"), postgres, database, copied)
    holders = {role: office.staff(role) for role in STAFF.values()}
    profiles = tmp_path_factory.mktemp("profiles")
    async with office.service() as service:
        for role, holder in holders.items():
            (profiles / role).mkdir(mode=0o700)
            names = ("root.pem", "tls-ca.pem", "seal-ca.pem")
            files = {name: (office.state / name).read_bytes() for name in names}
            settings = Settings(
                address=CENTRE_ADDRESS,
                authority=service.authority,
                root="root.pem",
                root_fingerprint=fingerprint(load_pem(files["root.pem"])),
                tls_ca="tls-ca.pem",
                seal_ca="seal-ca.pem",
                system_certificate="staff.pem",
                system_key="staff.key",
            )
            files |= {"staff.pem": holder.pem + files["tls-ca.pem"], "staff.key": holder.key_pem}
            write_profile(profiles / role, settings, files)
        yield Staff(office, service, profiles)


async def test_a_unit_joins_when_its_seal_is_approved(staff: Staff, tmp_path: Path) -> None:
    issued = await staff.token()
    first = await staff.enrolled(issued, tmp_path)
    assert (first.seal, first.profile.seal) == ("PENDING", None)
    assert (first.profile.address, first.profile.authority) == (
        CENTRE_ADDRESS,
        staff.service.authority,
    )
    async with staff.client("security") as authority:
        [asked] = [each async for each in authority.list_seal_requests(UNIT, "PENDING")]
        assert asked.key_sha256 == first.seal_key_sha256
        decided = await authority.approve_seal(asked.request_id, first.seal_key_sha256)
    assert decided.standing == "ISSUED"
    second = await staff.enrolled(issued, tmp_path)
    assert second.profile.system_certificate == first.profile.system_certificate
    seal = second.profile.require_seal().certificate
    assert keys.key_sha256(keys.load(next((tmp_path / UNIT).glob("seal*.key")))) == (
        first.seal_key_sha256
    )
    async with staff.client("auditor") as authority:
        inventory = [each async for each in authority.list_certificates(unit=UNIT)]
        [used] = [each async for each in authority.list_tokens(UNIT, "USED")]
    assert {fingerprint(seal), fingerprint(second.profile.system_certificate)} <= {
        each.fingerprint for each in inventory
    }
    assert (used.token_id, used.standing) == (issued.token_id, "USED")


async def test_a_rejected_seal_says_why(staff: Staff, tmp_path: Path) -> None:
    issued = await staff.token(unit=OTHER_UNIT)
    await staff.enrolled(issued, tmp_path)
    async with staff.client("security") as authority:
        [asked] = [each async for each in authority.list_seal_requests(OTHER_UNIT, "PENDING")]
        await authority.approve_seal(
            asked.request_id, asked.key_sha256, reject=True, reason="nobody called"
        )
    found = await staff.enrolled(issued, tmp_path)
    assert (found.seal, found.seal_reason) == ("REJECTED", "nobody called")


async def test_the_root_may_come_over_http(staff: Staff, tmp_path: Path) -> None:
    issued = await staff.token(system="over-http", seal="")
    found = await staff.enrolled(
        issued, tmp_path, http=f"http://{staff.service.http}", with_seal=False
    )
    assert found.seal == "NONE"


async def test_a_token_without_a_seal_is_not_used_up_by_asking_for_one(
    staff: Staff, tmp_path: Path
) -> None:
    issued = await staff.token(system="further", seal="")
    found = await staff.enrolled(issued, tmp_path)
    assert (found.seal, found.profile.seal, found.seal_key_sha256) == ("NONE", None, "")
    assert (await staff.enrolled(issued, tmp_path)).repeated


async def test_staff_join_with_a_token_of_their_own(staff: Staff, tmp_path: Path) -> None:
    like = await staff.token(seal="")
    issued = replace(like, token=await staff.office.staff_token("zhao"))
    found = await staff.enrolled(issued, tmp_path, with_seal=False)
    assert found.profile.name == "zhao"
    async with AuthorityClient(found.profile, TIMING) as authority:
        assert [each async for each in authority.list_tokens(standing="USED")]
        with pytest.raises(NotPermitted):
            await authority.issue_token(unit=UNIT, system="oa")


async def test_who_was_revoked_joins_again_with_a_new_token(staff: Staff, tmp_path: Path) -> None:
    issued = await staff.token(system="again", seal="")
    first = await staff.enrolled(issued, tmp_path, with_seal=False)
    await staff.revoke(f"{first.profile.system_certificate.serial_number:x}")
    another = await staff.token(system="again", seal="")
    second = await staff.enrolled(another, tmp_path, with_seal=False, replace=True)
    assert second.profile.system == first.profile.system
    assert second.profile.system_certificate != first.profile.system_certificate
    async with AuthorityClient(Profile.load(UNIT, tmp_path), TIMING) as authority:
        assert await authority.get_crl("tls-ca")


@pytest.mark.parametrize("kind", ["system", "seal"])
async def test_what_was_revoked_before_a_renewal_ended_is_not_taken_into_use(
    staff: Staff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: CertificateKind
) -> None:
    profile = await staff.sealed(f"renewed-{kind}", tmp_path)
    assert profile.directory is not None

    async def admits(candidate: Profile) -> None:
        """What the centre does is tested elsewhere."""

    def power_cut(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(profile_store, "replace_certificate", power_cut)
        with pytest.raises(InterruptedError):
            await renewal.renew(profile, kind, TIMING, admits)
    kept = load_pem((profile.directory / f"next-{kind}.pem").read_bytes())
    await staff.revoke(f"{kept.serial_number:x}")
    renewed = await renewal.renew(profile, kind, TIMING, admits)
    found = renewal.certificate_of(renewed, kind)
    assert found not in (None, kept, renewal.certificate_of(profile, kind))


async def test_of_many_machines_with_one_token_one_joins(staff: Staff, tmp_path: Path) -> None:
    issued = await staff.token(system="contested", seal="")
    outcomes = await asyncio.gather(
        *(staff.enrolled(issued, tmp_path / str(n), with_seal=False) for n in range(8)),
        return_exceptions=True,
    )
    joined = [each for each in outcomes if isinstance(each, Enrolled)]
    assert len(joined) == 1
    assert sum(isinstance(each, TokenUsed) for each in outcomes) == 7


async def test_tokens_that_are_of_no_use_are_refused_as_what_they_are(
    staff: Staff, tmp_path: Path
) -> None:
    issued = await staff.token(system="refused")
    with pytest.raises(TokenOfAnotherUnit):
        await staff.enrolled(issued, tmp_path / "a", unit=OTHER_UNIT)
    async with staff.client("operator") as authority:
        await authority.withdraw_token(issued.token_id)
    with pytest.raises(TokenUnknown):
        await staff.enrolled(issued, tmp_path / "b")
    brief = await staff.token(system="refused", lifetime_s=1)
    async with staff.client("auditor") as authority:
        async with asyncio.timeout(10):
            while not [t async for t in authority.list_tokens(UNIT, "EXPIRED")]:
                pass
    with pytest.raises(TokenExpired):
        await staff.enrolled(brief, tmp_path / "c")


async def test_a_wrong_fingerprint_shows_the_token_to_nobody(staff: Staff, tmp_path: Path) -> None:
    issued = await staff.token(system="pinned")
    with pytest.raises(VerificationFailed):
        await staff.enrolled(issued, tmp_path, root_fingerprint="0" * 64)
    async with staff.client("auditor") as authority:
        tokens = [each async for each in authority.list_tokens(UNIT, "OPEN")]
    assert issued.token_id in {each.token_id for each in tokens}
    assert (await staff.enrolled(issued, tmp_path)).profile.unit == UNIT


async def test_the_port_of_those_who_have_certificates_is_told_from_that_of_enrolment(
    staff: Staff, tmp_path: Path
) -> None:
    issued = await staff.token(system="wrong-port", seal="")
    with pytest.raises(ConfigurationError, match="not the enrolment address"):
        await staff.enrolled(issued, tmp_path, authority=staff.service.authority)


async def test_every_list_has_a_signature_of_its_issuer(staff: Staff) -> None:
    from document_exchange.revocations import read_crl

    async with staff.client("auditor") as authority:
        for issuer in ("root", "tls-ca", "seal-ca"):
            ca = load_pem((staff.office.state / f"{issuer}.pem").read_bytes())
            revocations = read_crl(await authority.get_crl(issuer), ca)
            assert revocations.this_update < revocations.next_update
