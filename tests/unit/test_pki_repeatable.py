"""Applications that come again, and acts that nobody finished."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_pki import outcome
from exchange_pki.acts import Acts
from exchange_pki.authority import Authority
from exchange_pki.outcome import Cause
from exchange_pki.prepare import Order
from exchange_pki.register import Certified
from exchange_pki.repeatable import Application

from document_exchange import event
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    InvalidRequest,
    KeyReused,
    KeyUnusable,
    QuotaExceeded,
    RequestRefused,
    SealRevoked,
)
from tests.authority_for_tests import (
    PASSPHRASE,
    SEAL,
    STAFF,
    SYSTEM,
    Clock,
    copy_of_authority,
    new_key,
)

OTHER = Order("system", "oa", unit="qd-jiaoyu")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Authority:
    state = copy_of_authority(tmp_path_factory, tmp_path / "pki")
    return Authority.load(state, PASSPHRASE, clock=clock)


def certified(authority: Authority, *applications: Application) -> list[Certified]:
    answers = authority.issue_each(applications)
    found = [each for each in answers if isinstance(each, Certified)]
    assert len(found) == len(answers), answers
    return found


def error_of(authority: Authority, application: Application) -> type[ExchangeError]:
    (answer,) = authority.issue_each([application])
    assert isinstance(answer, ExchangeError), answer
    return type(answer)


def test_a_key_gets_one_certificate(authority: Authority, clock: Clock) -> None:
    application = Application(SYSTEM, new_key())
    first, twin = certified(authority, application, application)
    clock.advance(days=29)
    (again,) = certified(authority, application)
    assert first == twin == again
    clock.advance(days=2)
    (next_one,) = certified(authority, application)
    assert next_one.serial != first.serial, "what has expired is of no use"


def test_each_application_has_an_answer_of_its_own(authority: Authority) -> None:
    key = new_key()
    answers = authority.issue_each(
        [
            Application(SYSTEM, new_key()),
            Application(Order("system", "No Name", unit="qd-caizheng"), new_key()),
            Application(SYSTEM, new_key(ec.SECP384R1)),
            Application(SYSTEM, key),
            Application(SEAL, key),
        ]
    )
    assert [type(each) for each in answers] == [
        Certified,
        InvalidRequest,
        RequestRefused,
        Certified,
        KeyReused,
    ]


@pytest.mark.parametrize("other", [OTHER, SEAL, STAFF], ids=["unit", "seal", "staff"])
def test_a_key_serves_one_identity(authority: Authority, other: Order) -> None:
    key = new_key()
    certified(authority, Application(SYSTEM, key))
    assert error_of(authority, Application(other, key)) is KeyReused


def test_a_key_serves_one_role(authority: Authority) -> None:
    key = new_key()
    certified(authority, Application(STAFF, key))
    operator = Order("staff", STAFF.name, role="operator")
    assert error_of(authority, Application(operator, key)) is KeyReused


def test_asking_again_brings_nothing_revoked_back(authority: Authority) -> None:
    application = Application(SYSTEM, new_key())
    (first,) = certified(authority, application)
    authority.revoke(first.serial, "superseded")
    assert error_of(authority, application) is KeyReused


def test_what_it_is_asked_upon_must_stand_when_it_is_signed(authority: Authority) -> None:
    system, seal = authority.issue(SYSTEM, new_key()), authority.issue(SEAL, new_key())
    upon = (system.fingerprint, seal.fingerprint)
    certified(authority, Application(SEAL, new_key(), on_strength_of=upon))
    authority.revoke(seal.serial, "superseded")
    asked = Application(SEAL, new_key(), on_strength_of=upon)
    assert error_of(authority, asked) is SealRevoked
    authority.revoke(system.serial, "superseded")
    assert error_of(authority, asked) is CertificateRevoked
    unknown = Application(SYSTEM, new_key(), on_strength_of=("0" * 64,))
    assert error_of(authority, unknown) is RequestRefused


def test_the_event_says_who_caused_it(authority: Authority) -> None:
    cause = Cause("enrolment", "10.0.0.7", {"token_id": "t", "profile": "king"})
    (made,) = certified(authority, Application(SYSTEM, new_key(), cause))
    assert made.event is not None
    happened = event.decode(made.event.event)
    assert (happened.actor, happened.address) == ("enrolment", "10.0.0.7")
    assert happened.detail is not None
    assert happened.detail["token_id"] == "t"
    assert happened.detail["profile"] == "system", "what happened is not the applicant's to say"


@pytest.mark.parametrize("lifetime", [None, timedelta(minutes=1)])
def test_nobody_renews_much_faster_than_is_due(
    authority: Authority, clock: Clock, lifetime: timedelta | None
) -> None:
    order = replace(SYSTEM, lifetime=lifetime)
    third_s = (lifetime or timedelta(days=30)).total_seconds() / 3
    first = authority.issue(order, new_key())

    def renewal(order: Order = order) -> Application:
        return Application(order, new_key(), on_strength_of=(first.fingerprint,))

    clock.advance(seconds=third_s / 2)
    wanted = [renewal() for _ in range(4)]
    answers = authority.issue_each([*wanted, renewal(OTHER)])
    assert [type(each) for each in answers] == [
        *(Certified, Certified, QuotaExceeded, QuotaExceeded, Certified)
    ], "the first counts too; another identity does not"
    assert authority.issue_each(wanted[:2]) == answers[:2], "the same key again is free"
    assert certified(authority, Application(order, new_key())), "what no certificate asks for, too"
    refused = authority.issue_each([renewal()])[0]
    assert isinstance(refused, QuotaExceeded)
    assert refused.retry_after_s == third_s
    clock.advance(seconds=third_s)
    assert len(certified(authority, renewal(), renewal())) == 2


def test_what_was_revoked_does_not_count(authority: Authority) -> None:
    first = authority.issue(SYSTEM, new_key())
    for _ in range(5):
        wanted = Application(SYSTEM, new_key(), on_strength_of=(first.fingerprint,))
        (made,) = certified(authority, wanted)
        authority.revoke(made.serial, "superseded")


def test_without_the_key_everybody_is_told(
    authority: Authority, tmp_path: Path, clock: Clock
) -> None:
    locked = Authority.load(tmp_path / "pki", None, clock=clock)
    answers = locked.issue_each([Application(SYSTEM, new_key()), Application(OTHER, new_key())])
    assert [type(each) for each in answers] == [KeyUnusable, KeyUnusable]


@pytest.mark.parametrize("seconds", [2, 6, 60, 3600, 30 * 86400, 90 * 86400])
def test_a_shorter_life_begins_later(authority: Authority, clock: Clock, seconds: int) -> None:
    """Renewal goes by fractions of the lifetime, so no part of a short one may be over already."""
    order = Order("system", "oa", unit="qd-caizheng", lifetime=timedelta(seconds=seconds))
    made = authority.issue(order, new_key()).certificate
    lasts = made.not_valid_after_utc - made.not_valid_before_utc + timedelta(seconds=1)
    assert lasts == timedelta(seconds=min(seconds, 30 * 86400))
    over = clock.now.replace(microsecond=0) - made.not_valid_before_utc
    assert timedelta(0) <= over <= min(lasts / 10, timedelta(minutes=10))


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=1), timedelta(seconds=2.5)])
def test_a_lifetime_is_some_whole_seconds(authority: Authority, lifetime: timedelta) -> None:
    order = Order("system", "oa", unit="qd-caizheng", lifetime=lifetime)
    with pytest.raises(InvalidRequest, match="lifetime"):
        authority.issue(order, new_key())


def power_cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_certificate_that_a_power_cut_left_is_revoked(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    with monkeypatch.context() as patch:
        patch.setattr(Acts, "_signed", power_cut)
        with pytest.raises(KeyboardInterrupt):
            authority.issue(SYSTEM, key)
    (left,) = authority.register.unsettled()
    (settled,) = authority.settle()
    assert (settled.serial, settled.reason) == (left.serial, "superseded")
    assert authority.register.unfinished() == []
    assert authority.settle() == []
    (made,) = certified(authority, Application(SYSTEM, key))
    assert made.serial not in authority.register.revoked, "the key itself is not lost"


def test_a_revocation_that_a_power_cut_left_is_made_good(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = authority.issue(SYSTEM, new_key())
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "revoked", power_cut)
        with pytest.raises(KeyboardInterrupt):
            authority.revoke(made.serial, "cessationOfOperation")
    assert made.serial not in authority.register.revoked
    (settled,) = authority.settle()
    assert (settled.serial, settled.reason) == (made.serial, "cessationOfOperation")
    assert settled.event is not None
    assert authority.register.unfinished() == []


def test_a_power_cut_leaves_nothing_that_a_compromised_key_was_renewed_to(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen, renewed = (authority.issue(SYSTEM, new_key()) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "revoked", power_cut)
        with pytest.raises(KeyboardInterrupt):
            authority.revoke(stolen.serial, "keyCompromise")
    assert {each.serial for each in authority.settle()} == {stolen.serial, renewed.serial}
    assert authority.register.unfinished() == []
