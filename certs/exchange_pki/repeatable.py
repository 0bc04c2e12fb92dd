"""Applications that may come again: one key gets one certificate for one identity, however often.

So whoever lost an answer asks again, and a power cut between signing and answering burns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange import times
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    KeyReused,
    QuotaExceeded,
    RequestRefused,
    SealRevoked,
)
from exchange_pki import prepare
from exchange_pki import profile as profiles
from exchange_pki.acts import Acts
from exchange_pki.keys import key_sha256
from exchange_pki.lint import LintedCertificate, LintRefused
from exchange_pki.outcome import BY_ITSELF, Cause
from exchange_pki.prepare import Order
from exchange_pki.register import Certified

Lint = Callable[[Order, ec.EllipticCurvePublicKey], LintedCertificate]


MOST_RENEWALS = 3
"""So many valid certificates may a holder have been given within a third of their lifetime."""


@dataclass(frozen=True)
class Application:
    """An order for a key that its holder proved to have, and who asks for it."""

    order: Order
    public_key: ec.EllipticCurvePublicKey
    cause: Cause = BY_ITSELF
    on_strength_of: tuple[str, ...] = ()
    """Fingerprints (hex) of the certificates by which the applicant may ask for it: a renewal."""


@dataclass(frozen=True)
class _Subject:
    """What two applications have in common that get the same certificate."""

    key_sha256: str
    profile: str
    identity: str
    role: str | None


def answer(
    acts: Acts, applications: Sequence[Application], lint: Lint
) -> list[Certified | ExchangeError]:
    """A certificate or the reason why not, for each application; within ``Acts.exclusive``.

    What is new is signed in one act, so many applications cost one wait for the disk. When this
    returns, every certificate in it MUST be durable in the journal.
    """
    subjects: list[_Subject | ExchangeError] = []
    answers: dict[_Subject, Certified | ExchangeError] = {}
    to_sign: dict[_Subject, tuple[LintedCertificate, Cause]] = {}
    for each in applications:
        try:
            _check_strength(acts, each)
            subject = _subject(acts, each)
            if subject not in answers and subject not in to_sign:
                found = _earlier(acts, subject, to_sign)
                if found is not None:
                    answers[subject] = found
                else:
                    _check_pace(acts, each, subject, to_sign)
                    to_sign[subject] = (_linted(each, lint), each.cause)
            subjects.append(subject)
        except ExchangeError as error:
            subjects.append(error)
    answers.update(_signed(acts, to_sign))
    return [each if isinstance(each, ExchangeError) else answers[each] for each in subjects]


def _check_strength(acts: Acts, application: Application) -> None:
    """Whoever admitted the applicant may not have known yet what the journal says now.

    Raises:
        CertificateRevoked, SealRevoked: one of the certificates has been revoked.
        RequestRefused: this authority did not issue it.
    """
    register = acts.register
    for fingerprint in application.on_strength_of:
        serial = register.serials.get(fingerprint)
        if serial is None:
            raise RequestRefused(f"this authority did not issue the certificate {fingerprint}")
        if serial in register.revoked:
            certified = register.certified[serial]
            error = SealRevoked if certified.profile == "seal" else CertificateRevoked
            raise error(identity=certified.identity)


def _subject(acts: Acts, application: Application) -> _Subject:
    order = application.order
    identity = prepare.identity_of(order, acts.register.trust_domain)
    return _Subject(key_sha256(application.public_key), order.profile, identity, order.role)


def _earlier(
    acts: Acts, subject: _Subject, to_sign: dict[_Subject, tuple[LintedCertificate, Cause]]
) -> Certified | None:
    """The certificate that this key has already.

    Raises:
        KeyReused: it serves, or served, something else, or a certificate of it was revoked.
    """
    register, key = acts.register, subject.key_sha256
    conflict = register.key_conflict(key, subject.profile, subject.identity)
    if conflict is None and any(other.key_sha256 == key for other in to_sign):
        conflict = "somebody else asks for the same key at the same moment"
    if conflict is None and register.withdrawn(key):
        # Otherwise the holder of a revoked certificate had it back by asking again.
        conflict = "a certificate of this key was revoked"
    if conflict is not None:
        raise KeyReused(f"{conflict}; make a new key", identity=subject.identity)
    found = register.living(key, subject.profile, subject.identity, acts.now())
    if found is not None and found.role != subject.role:
        raise KeyReused("the key was certified for another role; make a new key")
    return found


def _check_pace(
    acts: Acts,
    application: Application,
    subject: _Subject,
    to_sign: Iterable[_Subject],
) -> None:
    """Nobody renews faster than a few times for each renewal that is due.

    Otherwise one certificate fills journal, ledger and registry. What a token gives is bounded by
    who issues tokens.

    Raises:
        QuotaExceeded: the identity has MOST_RENEWALS that are new.
    """
    if not application.on_strength_of:
        return
    profile, identity = subject.profile, subject.identity
    longest = profiles.get(profile).lifetime
    span, now = min(application.order.lifetime or longest, longest) / 3, acts.now()
    recent = [
        each.issued_at
        for each in acts.register.valid(profile, identity, now)
        if each.issued_at > now - span
    ]
    recent += [now for each in to_sign if (each.profile, each.identity) == (profile, identity)]
    if len(recent) >= MOST_RENEWALS:
        again = sorted(recent)[-MOST_RENEWALS] + span
        raise QuotaExceeded(
            f"{identity} was given {len(recent)} certificates lately that are still valid: use "
            f"one of them, or renew from {times.format_time(again)} on",
            retry_after_s=(again - now).total_seconds(),
        )


def _linted(application: Application, lint: Lint) -> LintedCertificate:
    try:
        return lint(application.order, application.public_key)
    except LintRefused as error:
        raise RequestRefused(error.message, **error.attributes) from error


def _signed(
    acts: Acts, to_sign: dict[_Subject, tuple[LintedCertificate, Cause]]
) -> dict[_Subject, Certified | ExchangeError]:
    if not to_sign:
        return {}
    linted, causes = zip(*to_sign.values(), strict=True)
    try:
        certified = acts.sign_certificates(linted, causes)
    except ExchangeError as error:
        return dict.fromkeys(to_sign, error)
    return dict(zip(to_sign, certified, strict=True))
