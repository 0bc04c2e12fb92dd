"""Intent, act, outcome: the only code that signs with the authorities' keys or revokes.

Each method is called within ``exclusive``. It records what it will do, does it, and records what
it did; each record is durable before the next step. A certificate or list leaves its method only
after its outcome is durable.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from document_exchange import codes, times
from document_exchange.certificates import fingerprint
from document_exchange.errors import InternalError
from exchange_pki import crl as crls
from exchange_pki import files, outcome, prepare
from exchange_pki.journal import (
    CrlIntent,
    CrlIssued,
    Entry,
    EventRecord,
    Failed,
    Issued,
    IssueIntent,
    Journal,
    Revoked,
    RevokeIntent,
)
from exchange_pki.keys import KeyRing, key_sha256, signature_hash
from exchange_pki.layout import Layout
from exchange_pki.lint import LintedCertificate
from exchange_pki.outcome import BY_ITSELF, Cause
from exchange_pki.profile import AUTHORITIES, TLS_CA
from exchange_pki.register import Certified, Register, Revocation

Clock = Callable[[], datetime]
_DER = serialization.Encoding.DER


class Acts:
    """What the authority does, journalled."""

    def __init__(self, layout: Layout, journal: Journal, keyring: KeyRing, clock: Clock) -> None:
        self.register = Register()
        self.layout = layout
        self.keyring = keyring
        self._journal = journal
        self._clock = clock

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Alone on the journal, with a register that knows all of it."""
        with self._journal.exclusive() as entries:
            self.register.apply(entries)
            yield

    def refresh(self) -> bytes:
        """Take in what other processes did; gives the journal's torn end, b"" if there is none."""
        entries, torn = self._journal.read()
        self.register.apply(entries)
        return torn

    @property
    def has_passphrase(self) -> bool:
        """Whether the keys can be opened at all."""
        return self.keyring.has_passphrase

    def open_key(self, name: str) -> None:
        """Raise KeyUnusable unless this authority's key can be opened."""
        self.keyring.key(name, self.register.authority(name).certificate)

    def now(self) -> datetime:
        """The authority's time, in UTC."""
        return self._clock().astimezone(UTC)

    def sign_certificates(
        self, linted: Sequence[LintedCertificate], causes: Sequence[Cause] = ()
    ) -> list[Certified]:
        """Sign what was linted: all of it, or nothing leaves this method.

        Args:
            linted: what may be signed.
            causes: one for each of them; none means the authority by itself.

        Raises:
            KeyUnusable: an issuing key can't be opened; then nothing was begun.
            InternalError: a signature or the signed bytes are not what they must be.
        """
        for each in linted:
            self._open_key(each)
        intents = [self._issue_intent(each) for each in linted]
        self._record(intents)
        try:
            certificates = [self._signed(each) for each in linted]
        except Exception as error:
            self._record([self._failed(intent.operation, error) for intent in intents])
            raise
        self._record(
            [
                self._issued(intent, certificate, cause)
                for intent, certificate, cause in zip(
                    intents, certificates, causes or [BY_ITSELF] * len(intents), strict=True
                )
            ]
        )
        return [self.register.certified[intent.serial] for intent in intents]

    def revoke(self, causes: Mapping[str, Cause], reason: str) -> list[Revocation]:
        """Revoke certificates that were begun and are not revoked yet, each by serial and cause."""
        if not causes:
            return []
        now = self.now()
        at = times.format_time(now)
        intents = [
            RevokeIntent(at=at, operation=codes.new_id(now), serial=serial, reason=reason)
            for serial in causes
        ]
        self._record(intents)
        self._record(
            [
                Revoked(
                    at=at,
                    operation=intent.operation,
                    event=self._revoked(intent, now, causes[intent.serial]),
                )
                for intent in intents
            ]
        )
        return [self.register.revoked[serial] for serial in causes]

    def sign_crl(self, name: str) -> x509.CertificateRevocationList:
        """Sign an issuer's list. The file of its number is there before the outcome is.

        Raises:
            KeyUnusable: the key can't be opened; then nothing was begun.
            ConfigurationError: the files can't be written.
        """
        issuer = self.register.authority(name).certificate
        key = self.keyring.key(name, issuer)
        now = self.now()
        number = self.register.last_number(name) + 1
        revocations = list(self.register.revoked_by(name))
        intent = CrlIntent(
            at=times.format_time(now),
            operation=codes.new_id(now),
            issuer=name,
            number=number,
            revoked=len(revocations),
        )
        self._record([intent])
        try:
            crl = crls.sign(issuer, key, number, now, revocations, judges_the_past=name != TLS_CA)
            der = crl.public_bytes(_DER)
            files.write(self.layout.numbered_crl(name, number), der, mode=files.PUBLIC)
        except Exception as error:
            self._record([self._failed(intent.operation, error)])
            raise
        digest = hashlib.sha256(der).hexdigest()
        at = times.format_time(self.now())
        self._record([CrlIssued(at=at, operation=intent.operation, sha256=digest)])
        files.write(self.layout.crl(name), der, mode=files.PUBLIC, replace=True)
        return crl

    def _record(self, entries: Sequence[Entry]) -> None:
        self._journal.append(entries)
        self.register.apply(entries)

    def _open_key(self, linted: LintedCertificate) -> None:
        name = linted.draft.profile.issuer
        if linted.draft.issuer is not None:  # the root's own key was made just now
            self.keyring.key(name, linted.draft.issuer)

    def _signed(self, linted: LintedCertificate) -> x509.Certificate:
        draft = linted.draft
        key = self.keyring.key(draft.profile.issuer, draft.issuer or linted.specimen)
        certificate = draft.builder.sign(key, signature_hash(draft.signing_curve))
        if certificate.tbs_certificate_bytes != linted.tbs:
            raise InternalError("what was signed is not what was linted")
        try:
            certificate.verify_directly_issued_by(draft.issuer or certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InternalError(f"the signature on the certificate is wrong: {error}") from error
        return certificate

    def _issue_intent(self, linted: LintedCertificate) -> IssueIntent:
        draft, now = linted.draft, self.now()
        return IssueIntent(
            at=times.format_time(now),
            operation=codes.new_id(now),
            issuer=draft.profile.issuer,
            profile=draft.profile.name,
            identity=draft.identity,
            role=draft.role,
            serial=prepare.serial_text(linted.specimen.serial_number),
            key_sha256=key_sha256(draft.public_key),
            tbs_sha256=hashlib.sha256(linted.tbs).hexdigest(),
        )

    def _issued(self, intent: IssueIntent, certificate: x509.Certificate, cause: Cause) -> Issued:
        now = self.now()
        event = None
        if intent.profile not in AUTHORITIES:
            event = outcome.issued(
                intent,
                fingerprint(certificate),
                certificate.not_valid_after_utc,
                self.register.trust_domain,
                now,
                cause,
            )
        return Issued(
            at=times.format_time(now),
            operation=intent.operation,
            certificate=certificate.public_bytes(_DER),
            event=event,
        )

    def _revoked(self, intent: RevokeIntent, now: datetime, cause: Cause) -> EventRecord | None:
        certified = self.register.certified.get(intent.serial)
        if certified is None or certified.profile in AUTHORITIES:
            return None
        return outcome.revoked(certified, intent.reason, self.register.trust_domain, now, cause)

    def _failed(self, operation: str, error: Exception) -> Failed:
        return Failed(at=times.format_time(self.now()), operation=operation, error=str(error))
