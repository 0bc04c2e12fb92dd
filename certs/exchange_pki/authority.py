"""The authority: founded once, loaded often; it issues, revokes and lists what was revoked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.certificates import fingerprint
from document_exchange.errors import (
    ConfigurationError,
    ExchangeError,
    InvalidRequest,
    NotFound,
    Refused,
)
from exchange_pki import crl as crls
from exchange_pki import files, founding, prepare, repeatable
from exchange_pki import profile as profiles
from exchange_pki.acts import Acts, Clock
from exchange_pki.journal import Journal, RevokeIntent
from exchange_pki.keys import KeyRing, Passphrase, key_sha256
from exchange_pki.layout import Layout
from exchange_pki.lint import LintedCertificate, lint
from exchange_pki.outcome import BY_ITSELF, Cause
from exchange_pki.own_key import OwnKey
from exchange_pki.prepare import Order
from exchange_pki.profile import AUTHORITIES, ROOT, SEAL_CA, TLS_CA
from exchange_pki.register import KEY_COMPROMISE, Certified, Register, Revocation
from exchange_pki.repeatable import Application

SUPERSEDED = "superseded"

_PEM = serialization.Encoding.PEM


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


class Authority:
    """One authority with its root, its two issuing authorities and its journal.

    ``load`` opens one that exists, ``init`` founds one. Private keys are decrypted when first
    needed and then kept, so many certificates cost one decryption. Several processes may work on
    the same state; one object is not for several threads.
    """

    def __init__(self, layout: Layout, acts: Acts) -> None:
        self.layout = layout
        self.torn = b""
        """The torn end of the journal, as of the last look at it; b"" if there was none."""
        self._acts = acts

    @classmethod
    def load(
        cls, state: Path, passphrase: Passphrase | None = None, *, clock: Clock = utc_now
    ) -> Authority:
        """Open the authority in ``state``. Reading and revoking need no passphrase.

        Raises:
            ConfigurationError: there is none, or its journal is damaged.
        """
        return cls._open(state, KeyRing(Layout(state), passphrase), clock)

    @classmethod
    def init(
        cls, state: Path, trust_domain: str, passphrase: Passphrase, *, clock: Clock = utc_now
    ) -> Authority:
        """Found an authority: keys and certificates of root, TLS CA and seal CA, empty CRLs.

        It is built beside ``state`` and moved there whole, so a half one never exists.

        Raises:
            ConfigurationError: ``state`` is there and not empty, or can't be written.
            InvalidRequest: the trust domain can't be one.
        """
        founding.check_trust_domain(trust_domain)
        founding.check_vacant(state)
        files.make_directory(state.parent)
        try:
            building = Path(tempfile.mkdtemp(prefix=f".{state.name}.", dir=state.parent))  # 0700
            try:
                keyring = founding.found(Layout(building), trust_domain, passphrase, clock)
                building.rename(state)
                files.sync_directory(state.parent)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        except OSError as error:
            raise ConfigurationError(
                f"can't make {state}: {error.strerror}", path=str(state)
            ) from error
        return cls._open(state, keyring.moved_to(Layout(state)), clock)

    @classmethod
    def _open(cls, state: Path, keyring: KeyRing, clock: Clock) -> Authority:
        layout = Layout(state)
        journal = Journal(layout.journal, layout.torn_journal)
        authority = cls(layout, Acts(layout, journal, keyring, clock))
        authority.refresh()
        if not authority.trust_domain:
            raise ConfigurationError(
                f"the journal of {state} does not begin with a founding", path=str(state)
            )
        return authority

    @property
    def register(self) -> Register:
        """What was issued and revoked, as of the last look at the journal."""
        return self._acts.register

    @property
    def trust_domain(self) -> str:
        """The trust domain of every identity that this authority certifies."""
        return self.register.trust_domain

    @property
    def has_passphrase(self) -> bool:
        """Whether it was given what opens its keys."""
        return self._acts.has_passphrase

    def open_keys(self) -> None:
        """Open the keys of both issuing authorities now; the root's may be kept elsewhere.

        Raises:
            KeyUnusable: one can't be opened.
        """
        for name in (TLS_CA, SEAL_CA):
            self._acts.open_key(name)

    @property
    def root_fingerprint(self) -> str:
        """SHA-256 of the root's DER in hex: what clients pin."""
        return fingerprint(self.certificate(ROOT))

    def certificate(self, authority: str) -> x509.Certificate:
        """The certificate of root, TLS CA or seal CA."""
        return self.register.authority(authority).certificate

    def crl_der(self, authority: str) -> bytes:
        """The newest list of root, TLS CA or seal CA.

        Raises:
            ConfigurationError: it can't be read.
        """
        return files.read(self.layout.crl(authority), limit=crls.LARGEST_BYTES)

    def due_crls(self, older_than: timedelta) -> list[str]:
        """Of whom a list is to be signed.

        The newest one lacks a revocation, was signed that long ago or by a clock that was ahead, or
        is not in its place.
        """
        lacking = self.register.lacking
        return [
            name for name in AUTHORITIES if name in lacking or not self._is_fresh(name, older_than)
        ]

    def _is_fresh(self, authority: str, older_than: timedelta) -> bool:
        try:
            newest = x509.load_der_x509_crl(self.crl_der(authority))
            number = newest.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (ConfigurationError, ValueError, x509.ExtensionNotFound):
            return False
        if number < self.register.newest_list(authority):
            return False
        return -crls.SECOND < self.now() - newest.last_update_utc < older_than

    def serial_of(self, certificate: x509.Certificate) -> str:
        """The serial number of a certificate that this authority issued, in hex.

        Raises:
            NotFound: it issued no such certificate.
        """
        serial = prepare.serial_text(certificate.serial_number)
        certified = self.register.certified.get(serial)
        if certified is None or certified.fingerprint != fingerprint(certificate):
            raise NotFound(
                f"this authority did not issue the certificate {fingerprint(certificate)}",
                certificate=fingerprint(certificate),
            )
        return serial

    def chain_pem(self, certified: Certified) -> bytes:
        """A certificate followed by that of its issuing authority, in PEM."""
        issuer = self.certificate(certified.issuer)
        return certified.certificate.public_bytes(_PEM) + issuer.public_bytes(_PEM)

    def refresh(self) -> None:
        """Take in what other processes did."""
        self.torn = self._acts.refresh()

    def now(self) -> datetime:
        """The authority's time, in UTC."""
        return self._acts.now()

    def issue(self, order: Order, public_key: ec.EllipticCurvePublicKey) -> Certified:
        """Issue one certificate; see ``issue_all``."""
        return self.issue_all([(order, public_key)])[0]

    def issue_all(
        self, orders: Sequence[tuple[Order, ec.EllipticCurvePublicKey]]
    ) -> list[Certified]:
        """Prepare and lint every order, then issue: all certificates or none.

        When this returns, every outcome MUST be durable in the journal.

        Raises:
            InvalidRequest: an order is wrong; ``LintRefused`` if a certificate breaks a rule.
            KeyUnusable: the issuing key can't be opened.
            Refused: the issuing authority was revoked.
        """
        if len({key_sha256(public_key) for _, public_key in orders}) != len(orders):
            raise InvalidRequest("two orders have the same public key", field="request")
        with self._acts.exclusive():
            linted = [self._linted(order, public_key) for order, public_key in orders]
            return self._acts.sign_certificates(linted)

    def issue_each(self, applications: Sequence[Application]) -> list[Certified | ExchangeError]:
        """Answer every application by itself; see ``repeatable``."""
        with self._acts.exclusive():
            return repeatable.answer(self._acts, applications, self._linted)

    def own_key(self, order: Order) -> OwnKey:
        """A key with certificate that this authority keeps for its own service."""
        return OwnKey(self._acts, order, self._linted)

    def settle(self) -> list[Revocation]:
        """Make good what other processes began and, having died, never finished.

        Whoever acts holds the journal alone, so what is unfinished now stays so. A certificate
        that may have been signed and was handed to nobody is revoked; a revocation is repeated.
        """
        with self._acts.exclusive():
            return [
                revocation
                for intent in self.register.unsettled()
                for revocation in self._revoke(
                    intent.serial,
                    intent.reason if isinstance(intent, RevokeIntent) else SUPERSEDED,
                    BY_ITSELF,
                )
            ]

    def revoke(self, serial: str, reason: str, cause: Cause = BY_ITSELF) -> Revocation:
        """Revoke the certificate with this serial (hex); the revocation that stands is returned.

        An announced certificate without outcome can be revoked too: it may have been signed.
        The next list of its issuer holds it; until then only the ledger does, once published.

        With a compromised key goes every valid certificate that it may have been renewed to, in
        the same act (``Register.offspring``): whoever stole the key could have asked for it.

        Raises:
            NotFound: no certificate with this serial was ever begun.
            InvalidRequest: the reason is none, or the serial is the root's.
        """
        crls.check_reason(reason)
        serial = normal_serial(serial)
        with self._acts.exclusive():
            begun = self.register.begun(serial)
            if begun is None:
                raise NotFound(f"no certificate has the serial number {serial}", serial=serial)
            if begun.profile == ROOT:
                raise InvalidRequest(
                    "nothing stands above the root that could revoke it", field="serial"
                )
            self._revoke(serial, reason, cause)
            return self.register.revoked[serial]

    def _revoke(self, serial: str, reason: str, cause: Cause) -> list[Revocation]:
        """Those that are new."""
        causes = {} if serial in self.register.revoked else {serial: cause}
        if reason == KEY_COMPROMISE and serial in self.register.certified:
            stolen = self.register.certified[serial]
            valid = self.register.valid(stolen.profile, stolen.identity, self.now())
            because = replace(cause, detail={**cause.detail, "because_of": stolen.fingerprint})
            causes |= {
                each.serial: because for each in self.register.offspring(serial) if each in valid
            }
        return self._acts.revoke(causes, reason)

    def issue_crls(
        self, issuers: Iterable[str] = AUTHORITIES
    ) -> dict[str, x509.CertificateRevocationList]:
        """Sign a fresh list for each issuer and put it in its place.

        Raises:
            KeyUnusable: a key can't be opened; the lists before it were signed.
        """
        with self._acts.exclusive():
            return {name: self._acts.sign_crl(name) for name in issuers}

    def _linted(self, order: Order, public_key: ec.EllipticCurvePublicKey) -> LintedCertificate:
        issuer = self.register.authority(profiles.get(order.profile).issuer)
        if issuer.serial in self.register.revoked:
            raise Refused(
                f"{issuer.profile} was revoked and issues no more", authority=issuer.profile
            )
        now = self._acts.now()
        draft = prepare.leaf(order, public_key, issuer.certificate, self.trust_domain, now)
        return lint(draft, trust_domain=self.trust_domain, now=now, known=self.register)


def normal_serial(text: str) -> str:
    """A serial number in hex, however a tool wrote it (capitals, colons), in the journal's way.

    Raises:
        InvalidRequest: it is no hex number.
    """
    digits = text.replace(":", "").strip()
    if not digits or len(digits) > 40 or set(digits) - set("0123456789abcdefABCDEF"):
        raise InvalidRequest(
            f"{text[:60]!r} is no serial number in hex", field="serial", value=text[:60]
        )
    return prepare.serial_text(int(digits, 16))
