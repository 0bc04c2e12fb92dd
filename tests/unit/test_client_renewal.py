"""Renewing the certificates of a profile: when, safely at every point, and by one process only."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_client import AsyncClient, Profile, Timing, keys, profile_store
from exchange_client import renewal as renewals
from exchange_client.alerts import Alert, AlertKind
from exchange_client.keys import PASSPHRASE_VARIABLE
from exchange_client.known_certificates import KnownCertificates
from exchange_client.pending import Busy, only_renewal
from exchange_client.profile_store import CertificateKind
from exchange_client.renewal import certificate_of, due_at, renew
from exchange_client.upkeep import pause_s

from document_exchange.certificates import fingerprint
from document_exchange.errors import (
    CertificateNotAdmitted,
    CertificateRevoked,
    ConfigurationError,
    ExchangeError,
    KeyReused,
    KeyUnusable,
    SealRevoked,
    Unavailable,
    VerificationFailed,
)
from tests.centre_for_tests import ScriptedCentre
from tests.pki_for_tests import CLIENT, Holder, Pki, key_usage, make_leaf, unit_seal_id
from tests.renewing_authority import RenewingAuthority, now

UNIT = "qd-caizheng"
ONCE = Timing(retry_budget_s=0)
SECRET = "芝麻开门"
DAY = dt.timedelta(days=1)
CLIENT_LEAF: Mapping[str, Any] = {"purposes": CLIENT, "usage": key_usage("digital_signature")}
KINDS: tuple[CertificateKind, ...] = ("system", "seal")


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


@pytest.fixture(scope="module")
def running_centre(pki: Pki) -> Iterator[ScriptedCentre]:
    with ScriptedCentre(pki) as centre:
        yield centre


@pytest.fixture
def centre(running_centre: ScriptedCentre) -> ScriptedCentre:
    running_centre.forget()
    return running_centre


@pytest.fixture
def authority(pki: Pki) -> Iterator[RenewingAuthority]:
    with RenewingAuthority(pki) as authority:
        yield authority


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs to hear of anything first."""
    monkeypatch.setattr(renewals, "SETTLING_S", 0.0)


@pytest.fixture
def profile(centre: ScriptedCentre, authority: RenewingAuthority, tmp_path: Path) -> Profile:
    centre.write_profile(UNIT, tmp_path)
    settings = tmp_path / UNIT / "profile.toml"
    settings.write_text(settings.read_text() + f'authority = "{authority.address}"\n')
    return stored_in(tmp_path / UNIT)


def stored_in(directory: Path) -> Profile:
    return Profile.read(directory, UNIT)


def directory_of(profile: Profile) -> Path:
    assert profile.directory is not None
    return profile.directory


def in_use(profile: Profile, kind: CertificateKind) -> x509.Certificate:
    found = certificate_of(profile, kind)
    assert found is not None
    return found


# When


def test_it_is_due_at_two_thirds_of_the_lifetime(profile: Profile) -> None:
    certificate = profile.system_certificate
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert due_at(certificate) == begins + (ends - begins) * 2 / 3
    assert due_at(certificate, begins) == due_at(certificate)
    assert due_at(certificate, begins + (ends - begins) / 3) == due_at(certificate)
    # One that was past that when it came is not renewed at once, again and again.
    late = ends - dt.timedelta(seconds=9)
    assert due_at(certificate, late) == ends - dt.timedelta(seconds=6)
    assert due_at(certificate, ends + DAY) == due_at(certificate)


@pytest.mark.parametrize("failures", [1, 2, 5, 40, 10_000])
@pytest.mark.parametrize("left_s", [-5.0, 0.0, 2.0, 60.0, 864_000.0])
def test_pauses_after_failures_double_and_leave_time_for_more_tries(
    failures: int, left_s: float
) -> None:
    pause = pause_s(failures, left_s)
    assert 0.1 < pause <= min(3600.0, 2.0 ** min(failures - 1, 30))
    if left_s > 2:
        assert pause <= left_s / 8


# One renewal


@pytest.mark.parametrize("kind", KINDS)
async def test_a_renewal_has_a_new_key_and_is_what_the_profile_has_from_then_on(
    profile: Profile, authority: RenewingAuthority, kind: CertificateKind
) -> None:
    seen = {fingerprint(in_use(profile, kind))}
    current = profile
    for _ in range(3):
        current = await renew(current, kind, ONCE)
        stored = stored_in(directory_of(profile))
        assert in_use(stored, kind) == in_use(current, kind)
        assert stored.system_key == current.system_key
        seen.add(fingerprint(in_use(current, kind)))
        authority.lifetime += DAY
    assert len(seen) == 4
    assert len(set(authority.asked)) == 3
    other: CertificateKind = "seal" if kind == "system" else "system"
    assert in_use(current, other) == in_use(profile, other)
    assert not list(directory_of(profile).glob("next-*"))
    known = KnownCertificates(directory_of(profile))
    assert all(known.knows(each) for each in seen - {fingerprint(in_use(profile, kind))})


async def test_keys_that_are_encrypted_stay_so(
    profile: Profile, authority: RenewingAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "a passphrase")
    directory = directory_of(profile)
    encrypted = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", directory / "system.key",
         "-passout", f"env:{PASSPHRASE_VARIABLE}"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    (directory / "system.key").write_bytes(encrypted)
    authority.lose_answers = 1
    with pytest.raises(ExchangeError):
        await renew(profile, "system", ONCE)
    await renew(profile, "system", ONCE)
    assert len(set(authority.asked)) == 1
    renewed = directory / f"system-{authority.asked[0][:8]}.key"
    assert b"ENCRYPTED" in renewed.read_bytes()
    assert renewed.stat().st_mode & 0o777 == 0o600


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    profile: Profile, authority: RenewingAuthority
) -> None:
    authority.lose_answers = 2
    for _ in range(2):
        with pytest.raises(ExchangeError):
            await renew(profile, "system", ONCE)
        assert in_use(stored_in(directory_of(profile)), "system") == profile.system_certificate
    await renew(profile, "system", ONCE)
    assert len(authority.asked) == 3
    assert len(authority.issued) == 1


async def test_a_key_that_the_authority_refuses_for_good_is_given_up(
    profile: Profile, authority: RenewingAuthority
) -> None:
    authority.refusals = [KeyReused()]
    with pytest.raises(KeyReused):
        await renew(profile, "system", ONCE)
    await renew(profile, "system", ONCE)
    assert len(set(authority.asked)) == 2


def _of_another_key(authority: RenewingAuthority, issuer: Holder, name: str, key: Any) -> bytes:
    return authority.certified(issuer, name, authority.pki.tls_ca.key.public_key())


def _of_another_holder(authority: RenewingAuthority, issuer: Holder, name: str, key: Any) -> bytes:
    return authority.certified(issuer, name.replace(UNIT, "qd-jiaoyu"), key)


def _of_another_issuer(authority: RenewingAuthority, issuer: Holder, name: str, key: Any) -> bytes:
    return authority.certified(authority.pki.root, name, key)


def _over(authority: RenewingAuthority, issuer: Holder, name: str, key: Any) -> bytes:
    authority.lifetime = dt.timedelta(0)
    return authority.certified(issuer, name, key)


def _nothing(authority: RenewingAuthority, issuer: Holder, name: str, key: Any) -> bytes:
    return b"nothing"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "wrong", [_of_another_key, _of_another_holder, _of_another_issuer, _over, _nothing]
)
async def test_an_answer_that_is_not_what_was_asked_for_changes_nothing(
    profile: Profile,
    authority: RenewingAuthority,
    kind: CertificateKind,
    wrong: Callable[[RenewingAuthority, Holder, str, Any], bytes],
) -> None:
    authority.certify = lambda issuer, name, key: wrong(authority, issuer, name, key)
    before = (directory_of(profile) / "profile.toml").read_bytes()
    with pytest.raises(VerificationFailed):
        await renew(profile, kind, ONCE)
    assert (directory_of(profile) / "profile.toml").read_bytes() == before
    # The same key would get the same answer for ever.
    authority.lifetime, authority.certify = DAY, authority.certified
    await renew(profile, kind, ONCE)
    assert len(set(authority.asked)) == 2


async def test_a_certificate_may_end_sooner_than_the_one_before_it(
    profile: Profile, authority: RenewingAuthority
) -> None:
    """As when the authority's rules have become stricter."""
    authority.lifetime = DAY / 2
    renewed = await renew(profile, "system", ONCE)
    ends = renewed.system_certificate.not_valid_after_utc
    assert ends < profile.system_certificate.not_valid_after_utc
    assert (await renew(profile, "system", ONCE)).system_certificate == renewed.system_certificate
    assert len(authority.asked) == 1


async def test_an_answer_that_was_kept_until_it_was_over_is_of_no_use(
    profile: Profile, authority: RenewingAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise OSError("the disk is full")

    authority.lifetime = dt.timedelta(seconds=2)
    with monkeypatch.context() as full:
        full.setattr(profile_store, "replace_certificate", crash)
        with pytest.raises(OSError, match="full"):
            await renew(profile, "system", ONCE)
    (kept,) = directory_of(profile).glob("next-system.pem")
    ends = x509.load_pem_x509_certificate(kept.read_bytes()).not_valid_after_utc
    authority.lifetime = DAY
    await asyncio.sleep((ends - now()).total_seconds())  # it is time itself that is waited for
    renewed = await renew(profile, "system", ONCE)
    assert renewed.system_certificate.not_valid_after_utc > now() + DAY / 2


async def test_what_the_centre_does_not_admit_does_not_get_into_the_profile(
    profile: Profile, authority: RenewingAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewals, "_LONGEST_UNANSWERED_S", 0.2)

    async def refused(candidate: Profile) -> None:
        assert candidate.system_certificate != profile.system_certificate
        raise CertificateNotAdmitted

    with pytest.raises(CertificateNotAdmitted):
        await renew(profile, "system", ONCE, refused)
    assert in_use(stored_in(directory_of(profile)), "system") == profile.system_certificate

    async def away(candidate: Profile) -> None:
        raise Unavailable

    # A centre that is down for weeks must not make the profile die with its old certificate.
    renewed = await renew(profile, "system", ONCE, away)
    assert in_use(stored_in(directory_of(profile)), "system") == renewed.system_certificate
    assert len(authority.issued) == 1


class PowerCut(OSError):
    """Nothing is done any more."""


async def interrupted(
    profile: Profile, kind: CertificateKind, monkeypatch: pytest.MonkeyPatch
) -> x509.Certificate:
    """The certificate that a renewal got, which broke off before it was in the profile."""

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(profile_store, "replace_certificate", cut)
        with pytest.raises(PowerCut):
            await renew(profile, kind, ONCE)
    return x509.load_pem_x509_certificate((directory_of(profile) / f"next-{kind}.pem").read_bytes())


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_revoked_before_it_was_used_is_not_used(
    profile: Profile,
    authority: RenewingAuthority,
    monkeypatch: pytest.MonkeyPatch,
    kind: CertificateKind,
) -> None:
    revoked = await interrupted(profile, kind, monkeypatch)
    authority.revoked = set(authority.issued)
    renewed = await renew(profile, kind, ONCE)
    assert in_use(renewed, kind) not in (revoked, in_use(profile, kind))
    assert in_use(stored_in(directory_of(profile)), kind) == in_use(renewed, kind)
    assert not list(directory_of(profile).glob("next-*"))


@pytest.mark.parametrize("refusal", [CertificateRevoked, CertificateNotAdmitted])
async def test_what_the_centre_will_never_admit_is_given_up(
    profile: Profile,
    authority: RenewingAuthority,
    monkeypatch: pytest.MonkeyPatch,
    refusal: type[ExchangeError],
) -> None:
    monkeypatch.setattr(renewals, "_LONGEST_UNANSWERED_S", 0.2)
    monkeypatch.setattr(renewals, "_UNKNOWN_FOR_GOOD_S", 0.0)
    useless = await interrupted(profile, "system", monkeypatch)

    async def knows_all_others(candidate: Profile) -> None:
        if candidate.system_certificate == useless:
            raise refusal

    renewed = await renew(profile, "system", ONCE, knows_all_others)
    assert renewed.system_certificate not in (useless, profile.system_certificate)
    assert len(authority.issued) == 2


async def test_the_first_refusal_of_the_centre_burns_no_key(
    profile: Profile, authority: RenewingAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewals, "_LONGEST_UNANSWERED_S", 0.2)

    async def has_not_heard_of_it(candidate: Profile) -> None:
        raise CertificateNotAdmitted

    for _ in range(3):
        with pytest.raises(CertificateNotAdmitted):
            await renew(profile, "system", ONCE, has_not_heard_of_it)
    assert (len(authority.asked), len(authority.issued)) == (3, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_kept_is_all_there_is_once_nobody_can_ask_any_more(
    profile: Profile,
    centre: ScriptedCentre,
    authority: RenewingAuthority,
    monkeypatch: pytest.MonkeyPatch,
    kind: CertificateKind,
) -> None:
    kept = await interrupted(profile, kind, monkeypatch)
    shorten(profile, centre, kind, -1)
    over = stored_in(directory_of(profile))
    assert in_use(await renew(over, kind, ONCE), kind) == kept
    assert len(authority.asked) == 1


@pytest.mark.parametrize(
    ("kind", "refusal"), [("system", CertificateRevoked), ("seal", SealRevoked)]
)
async def test_the_next_one_outlives_the_revocation_of_the_one_before(
    profile: Profile,
    authority: RenewingAuthority,
    monkeypatch: pytest.MonkeyPatch,
    kind: CertificateKind,
    refusal: type[ExchangeError],
) -> None:
    kept = await interrupted(profile, kind, monkeypatch)
    authority.refusals = [refusal()]
    assert in_use(await renew(profile, kind, ONCE), kind) == kept


async def test_while_the_authority_is_away_no_seal_is_used_that_may_be_revoked(
    profile: Profile, authority: RenewingAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await interrupted(profile, "seal", monkeypatch)
    authority.refusals = [Unavailable()]
    with pytest.raises(Unavailable):
        await renew(profile, "seal", ONCE)
    assert in_use(stored_in(directory_of(profile)), "seal") == in_use(profile, "seal")
    assert in_use(await renew(profile, "seal", ONCE), "seal") == kept


# Keys that are encrypted


@pytest.fixture
def encrypted(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The same, with keys that only the program's own passphrase opens."""
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    directory = directory_of(profile)
    for kind in KINDS:
        key = keys.load(directory / f"{kind}.key")
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        keys.write_private(directory / f"{kind}.key", keys.private_pem(key, SECRET))
    return Profile.load(UNIT, directory.parent, SECRET)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_profile_is_renewed_with_the_passphrase_that_it_was_loaded_with(
    encrypted: Profile, kind: CertificateKind
) -> None:
    renewed = await renew(encrypted, kind, ONCE)
    directory = directory_of(encrypted)
    assert all(b"ENCRYPTED" in path.read_bytes() for path in directory.glob("*.key"))
    stored = Profile.read(directory, UNIT, passphrase=SECRET)
    assert in_use(stored, kind) == in_use(renewed, kind) != in_use(encrypted, kind)
    assert in_use(await renew(renewed, kind, ONCE), kind) != in_use(renewed, kind)
    assert SECRET not in repr(renewed)


async def test_a_client_with_a_passphrase_opens_when_renewal_is_due(
    profile: Profile, encrypted: Profile, centre: ScriptedCentre
) -> None:
    shorten(profile, centre, "system", 60, SECRET)
    due = Profile.load(UNIT, directory_of(profile).parent, SECRET)
    async with AsyncClient(due, ONCE) as client, asyncio.timeout(10):
        while client.profile.system_certificate == due.system_certificate:
            await client.units()


async def test_what_is_stored_and_can_t_be_read_keeps_no_client_from_opening(
    profile: Profile, centre: ScriptedCentre, authority: RenewingAuthority
) -> None:
    shorten(profile, centre, "system", 60)
    due = stored_in(directory_of(profile))
    (directory_of(profile) / "system.key").chmod(0o644)
    alerts = Alerts()
    async with AsyncClient(due, ONCE, alerts) as client, asyncio.timeout(10):
        await client.units()
        while (alert := await alerts.get()).kind is not AlertKind.RENEWAL_FAILED:
            pass
        assert isinstance(alert.error, KeyUnusable)
    shorten(profile, centre, "system", -1)
    over = stored_in(directory_of(profile))
    (directory_of(profile) / "system.key").chmod(0o644)
    with pytest.raises(KeyUnusable):
        await AsyncClient(over, ONCE).__aenter__()


async def test_of_two_who_renew_one_asks_and_both_have_it(
    profile: Profile, authority: RenewingAuthority
) -> None:
    one, other = await asyncio.gather(*(renew(profile, "system", ONCE) for _ in range(2)))
    assert one.system_certificate == other.system_certificate
    assert len(authority.asked) == 1


def test_who_renews_keeps_other_processes_out(profile: Profile) -> None:
    directory = directory_of(profile)
    program = (
        "import sys; from pathlib import Path; from exchange_client.pending import only_renewal\n"
        "with only_renewal(Path(sys.argv[1])):\n"
        "    print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as another:  # fmt: skip
        assert another.stdout is not None
        assert another.stdout.readline() == b"mine\n"
        with pytest.raises(Busy), only_renewal(directory):
            pass
        another.kill()
    with only_renewal(directory):
        pass


async def test_a_profile_without_an_authority_says_what_is_missing(
    centre: ScriptedCentre, tmp_path: Path
) -> None:
    centre.write_profile(UNIT, tmp_path)
    with pytest.raises(ConfigurationError, match="address of the authority"):
        await renew(stored_in(tmp_path / UNIT), "system", ONCE)


# Killed at any point

_KILLED = """
import asyncio, os, shutil, sys
from pathlib import Path
from exchange_client import Profile, Timing, renewal

source, kind = Path(sys.argv[1]), sys.argv[2]
renewal.SETTLING_S = 0.0

def killed_at(point):
    target = source.with_name(f"killed-{point}")
    shutil.copytree(source, target)
    count = 0
    def before(act):
        def acting(*args, **kwargs):
            nonlocal count
            if count == point:
                os._exit(9)
            count += 1
            return act(*args, **kwargs)
        return acting
    for name in ("open", "fsync", "replace", "unlink"):
        setattr(os, name, before(getattr(os, name)))
    asyncio.run(renewal.renew(Profile.read(target, source.name), kind, Timing(retry_budget_s=0)))

for point in range(200):
    child = os.fork()
    if not child:
        try:
            killed_at(point)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 9:
        print(point, code)
        break
"""


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_anywhere_it_leaves_a_profile_that_works_and_can_be_renewed(
    profile: Profile, authority: RenewingAuthority, kind: CertificateKind
) -> None:
    source = directory_of(profile)
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED, str(source), kind,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await done.communicate()
    points, code = (int(each) for each in out.split())
    assert (code, points > 20) == (0, True), err.decode()
    issued_before = 0
    for point in range(points):
        directory = source.with_name(f"killed-{point}")
        left = stored_in(directory)
        async with AsyncClient(left, ONCE) as client:
            await client.units()
        authority.lifetime += DAY
        issued_before = len(authority.issued)
        if in_use(left, kind) != in_use(profile, kind):
            continue  # it was stored whole, and only tidying up was left
        renewed = await renew(left, kind, ONCE)
        assert in_use(stored_in(directory), kind) == in_use(renewed, kind) != in_use(left, kind)
        async with AsyncClient(renewed, ONCE) as client:
            await client.units()
        assert not list(directory.glob("next-*"))
        shutil.rmtree(directory)
    assert issued_before


# In the background


class Alerts(asyncio.Queue[Alert]):
    """What a client said that no call would."""

    def __call__(self, alert: Alert) -> None:
        self.put_nowait(alert)


def shorten(
    profile: Profile,
    centre: ScriptedCentre,
    kind: CertificateKind,
    left_s: float,
    passphrase: str | None = None,
) -> None:
    """Give the profile on disk a certificate that is due."""
    directory = directory_of(profile)
    ends = now() + dt.timedelta(seconds=left_s)
    if kind == "system":
        ca, name, more = centre.pki.tls_ca, str(profile.system), CLIENT_LEAF
    else:
        ca, name, more = centre.pki.seal_ca, unit_seal_id(UNIT), {}
    due = make_leaf(name, issuer=ca, not_before=now() - DAY, not_after=ends, **more)
    (directory / f"{kind}.pem").write_bytes(due.pem + ca.pem)
    keys.write_private(directory / f"{kind}.key", keys.private_pem(due.key, passphrase))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_open_client_renews_what_is_due_and_uses_it(
    profile: Profile, centre: ScriptedCentre, authority: RenewingAuthority, kind: CertificateKind
) -> None:
    shorten(profile, centre, kind, 60)
    due = stored_in(directory_of(profile))
    async with AsyncClient(due, ONCE) as client, asyncio.timeout(10):
        while in_use(client.profile, kind) == in_use(due, kind):
            await client.units()
        assert in_use(client.profile, kind).not_valid_after_utc > now() + DAY
    assert in_use(client.profile, kind) == in_use(stored_in(directory_of(profile)), kind)
    async with client:
        await client.units()


async def test_while_the_authority_is_away_calls_go_on_and_it_is_tried_again(
    profile: Profile, centre: ScriptedCentre, authority: RenewingAuthority
) -> None:
    shorten(profile, centre, "system", 60)
    alerts = Alerts()
    authority.refusals = [Unavailable("away"), Unavailable("still away")]
    due = stored_in(directory_of(profile))
    async with AsyncClient(due, ONCE, alerts) as client, asyncio.timeout(20):
        for said in ("away", "still away"):
            alert = await alerts.get()
            while alert.kind is not AlertKind.RENEWAL_FAILED:
                alert = await alerts.get()
            assert said in alert.message
            assert isinstance(alert.error, Unavailable)
            await client.units()
        while client.profile.system_certificate == due.system_certificate:
            await client.units()
    assert len(set(authority.asked)) == 1


async def test_what_another_process_renewed_is_taken_over_without_asking(
    profile: Profile, centre: ScriptedCentre, authority: RenewingAuthority
) -> None:
    shorten(profile, centre, "system", 60)
    due = stored_in(directory_of(profile))
    renewed = await renew(due, "system", ONCE)
    async with AsyncClient(due, ONCE) as client:
        assert client.profile.system_certificate == renewed.system_certificate
    assert len(authority.asked) == 1


async def test_a_renewal_that_is_refused_for_good_is_told(
    profile: Profile, centre: ScriptedCentre, authority: RenewingAuthority
) -> None:
    shorten(profile, centre, "seal", 60)
    authority.refusals = [CertificateRevoked()] * 1000
    alerts = Alerts()
    async with (
        AsyncClient(stored_in(directory_of(profile)), ONCE, alerts) as client,
        asyncio.timeout(10),
    ):
        while (alert := await alerts.get()).kind is not AlertKind.RENEWAL_FAILED:
            pass
        await client.units()
    assert isinstance(alert.error, CertificateRevoked)
    assert "the seal certificate" in alert.message
