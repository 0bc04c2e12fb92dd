"""What the journal amounts to: certificates, revocations, lists, and acts without an outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509

from document_exchange import times
from document_exchange.errors import ConfigurationError
from exchange_pki import profile as profiles
from exchange_pki.journal import (
    CrlIntent,
    CrlIssued,
    Entry,
    EventRecord,
    Failed,
    Founded,
    Issued,
    IssueIntent,
    Revoked,
    RevokeIntent,
)

KEY_COMPROMISE = "keyCompromise"


@dataclass(frozen=True)
class Certified:
    """One certificate that was issued. ``serial`` is lower-case hex."""

    serial: str
    issuer: str
    profile: str
    identity: str
    role: str | None
    issued_at: datetime
    der: bytes = field(repr=False)
    event: EventRecord | None = field(repr=False)

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The certificate, parsed.

        Raises:
            ConfigurationError: the journal holds something else.
        """
        try:
            return x509.load_der_x509_certificate(self.der)
        except (ValueError, x509.InvalidVersion) as error:
            raise ConfigurationError(
                f"the journal's certificate {self.serial} is damaged: {error}", serial=self.serial
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, in hex."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True)
class Revocation:
    """One revocation. ``reason`` is a CRLReason's name (RFC 5280, section 5.3.1)."""

    serial: str
    issuer: str
    reason: str
    revoked_at: datetime
    event: EventRecord | None = field(repr=False)


@dataclass(frozen=True)
class CrlNote:
    """That a list was signed: which one, and the SHA-256 of its DER."""

    issuer: str
    number: int
    sha256: str


Intent = IssueIntent | RevokeIntent | CrlIntent
_Intent = TypeVar("_Intent", IssueIntent, RevokeIntent, CrlIntent)
Publishable = Certified | Revocation | CrlNote


class Register:
    """The state of the authority, built by applying the journal's entries in order."""

    def __init__(self) -> None:
        self.trust_domain = ""
        self.certified: dict[str, Certified] = {}
        self.serials: dict[str, str] = {}
        """The serial of each certificate by its fingerprint, both in hex."""
        self.revoked: dict[str, Revocation] = {}
        self.history: list[Publishable] = []
        """Everything that has an outcome, in the order of the journal."""
        self.lacking: set[str] = set()
        """The issuers whose newest list lacks a revocation."""
        self._open: dict[str, Intent] = {}
        self._begun: dict[str, IssueIntent] = {}
        self._holders: dict[str, list[IssueIntent]] = {}
        self._held: dict[tuple[str, str], list[Certified]] = {}
        self._numbers: dict[str, int] = {}
        self._newest_lists: dict[str, int] = {}

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take in what the journal says.

        Raises:
            ConfigurationError: an entry contradicts what came before it.
        """
        for entry in entries:
            match entry:
                case Founded():
                    self.trust_domain = entry.trust_domain
                case IssueIntent():
                    self._open[entry.operation] = entry
                    self._begun[entry.serial] = entry
                    self._holders.setdefault(entry.key_sha256, []).append(entry)
                case RevokeIntent():
                    self._open[entry.operation] = entry
                case CrlIntent():
                    self._open[entry.operation] = entry
                    self._numbers[entry.issuer] = max(self.last_number(entry.issuer), entry.number)
                case Failed():
                    self._open.pop(entry.operation, None)
                case Issued():
                    self._issued(entry)
                case Revoked():
                    self._revoked(entry)
                case CrlIssued():
                    self._crl_issued(entry)

    def authority(self, name: str) -> Certified:
        """An authority's own certificate.

        Raises:
            ConfigurationError: the authority was never founded completely.
        """
        for certified in self.certified.values():
            if certified.profile == name and name in profiles.AUTHORITIES:
                return certified
        raise ConfigurationError(f"the journal holds no certificate of {name}", authority=name)

    def last_number(self, issuer: str) -> int:
        """The highest CRL number that the issuer ever began to use; 0 before the first."""
        return self._numbers.get(issuer, 0)

    def newest_list(self, issuer: str) -> int:
        """The number of the issuer's newest list that was signed; 0 before the first."""
        return self._newest_lists.get(issuer, 0)

    def begun(self, serial: str) -> IssueIntent | None:
        """The intent to issue a certificate with this serial, whether or not it ended."""
        return self._begun.get(serial)

    def revoked_by(self, issuer: str) -> Iterator[Revocation]:
        """Every revocation of the issuer's certificates, in order. None is ever dropped."""
        return (found for found in self.revoked.values() if found.issuer == issuer)

    def unfinished(self) -> list[Intent]:
        """Acts without an outcome that nothing later made good.

        A certificate that may have been signed is made good by revoking its serial, a revocation
        by revoking again, a list by a later list of the same issuer.
        """
        return [
            intent
            for intent in self._open.values()
            if (
                self.newest_list(intent.issuer) <= intent.number
                if isinstance(intent, CrlIntent)
                else intent.serial not in self.revoked
            )
        ]

    def unsettled(self) -> list[IssueIntent | RevokeIntent]:
        """Those of ``unfinished`` that are about certificates."""
        return [
            intent
            for intent in self._open.values()
            if not isinstance(intent, CrlIntent) and intent.serial not in self.revoked
        ]

    def has_serial(self, serial: int) -> bool:
        """Whether a certificate with this serial was ever begun."""
        return f"{serial:x}" in self._begun

    def living(
        self, key_sha256: str, profile: str, identity: str, now: datetime
    ) -> Certified | None:
        """The newest certificate of this key for this profile and identity that counts now."""
        for begun in reversed(self._holders.get(key_sha256, ())):
            certified = self.certified.get(begun.serial)
            if (
                certified is not None
                and begun.serial not in self.revoked
                and (begun.profile, begun.identity) == (profile, identity)
                and now <= certified.certificate.not_valid_after_utc
            ):
                return certified
        return None

    def valid(self, profile: str, identity: str, now: datetime) -> list[Certified]:
        """The certificates of this profile and identity that count now, in order."""
        return [
            each
            for each in self._held.get((profile, identity), ())
            if each.serial not in self.revoked and now <= each.certificate.not_valid_after_utc
        ]

    def offspring(self, serial: str) -> list[Certified]:
        """What whoever has the key of this certificate may have renewed it to, in order.

        Those of the same profile and identity that were issued while it, or one of them, was
        unrevoked: what was issued after that came by another way.
        """
        first = self.certified.get(serial)
        subject = (first.profile, first.identity) if first is not None else None
        unrevoked: set[str] = set()
        found: list[Certified] = []
        for each in self.history:
            if isinstance(each, Revocation):
                unrevoked.discard(each.serial)
            elif each is first:
                unrevoked.add(serial)
            elif unrevoked and isinstance(each, Certified):
                if (each.profile, each.identity) != subject:
                    continue
                unrevoked.add(each.serial)
                found.append(each)
        return found

    def withdrawn(self, key_sha256: str) -> bool:
        """Whether a certificate of this key that was issued has been revoked since."""
        serials = {begun.serial for begun in self._holders.get(key_sha256, ())}
        return any(each in self.certified and each in self.revoked for each in serials)

    def key_conflict(self, key_sha256: str, profile: str, identity: str) -> str | None:
        """Why this key can't be certified for this profile and identity; None if it can.

        A key serves one profile and one identity for good, so that no TLS key is ever a seal,
        and none that was revoked as compromised comes back.
        """
        for earlier in self._holders.get(key_sha256, ()):
            if (earlier.profile, earlier.identity) != (profile, identity):
                return f"the key was certified before, as {earlier.profile} for {earlier.identity}"
            revocation = self.revoked.get(earlier.serial)
            if revocation is not None and revocation.reason == KEY_COMPROMISE:
                return f"the key was revoked as compromised at {revocation.revoked_at.isoformat()}"
        return None

    def _issued(self, entry: Issued) -> None:
        intent = self._close(entry.operation, IssueIntent)
        certified = Certified(
            serial=intent.serial,
            issuer=intent.issuer,
            profile=intent.profile,
            identity=intent.identity,
            role=intent.role,
            issued_at=_moment(entry),
            der=entry.certificate,
            event=entry.event,
        )
        self.certified[intent.serial] = certified
        self.serials[certified.fingerprint] = intent.serial
        self._held.setdefault((certified.profile, certified.identity), []).append(certified)
        self.history.append(certified)

    def _revoked(self, entry: Revoked) -> None:
        intent = self._close(entry.operation, RevokeIntent)
        begun = self._begun.get(intent.serial)
        if begun is None:
            raise ConfigurationError(
                f"the journal revokes {intent.serial}, which it never issued", serial=intent.serial
            )
        revocation = Revocation(
            serial=intent.serial,
            issuer=begun.issuer,
            reason=intent.reason,
            revoked_at=_moment(entry),
            event=entry.event,
        )
        self.revoked[intent.serial] = revocation
        self.lacking.add(revocation.issuer)
        self.history.append(revocation)

    def _crl_issued(self, entry: CrlIssued) -> None:
        intent = self._close(entry.operation, CrlIntent)
        self._newest_lists[intent.issuer] = max(self.newest_list(intent.issuer), intent.number)
        # Lists are complete, and nothing comes between a list's intent and its outcome.
        self.lacking.discard(intent.issuer)
        self.history.append(CrlNote(intent.issuer, intent.number, entry.sha256))

    def _close(self, operation: str, kind: type[_Intent]) -> _Intent:
        intent = self._open.pop(operation, None)
        if not isinstance(intent, kind):
            raise ConfigurationError(
                f"the journal has an outcome without its intent: operation {operation}",
                operation=operation,
            )
        return intent


def _moment(entry: Issued | Revoked) -> datetime:
    try:
        return times.parse_time(entry.at)
    except ValueError as error:
        raise ConfigurationError(
            f"the journal has a wrong time: {error}", operation=entry.operation
        ) from error
