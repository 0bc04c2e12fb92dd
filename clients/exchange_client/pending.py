"""The next key of a profile, kept before anybody is asked to certify it.

That order makes a renewal safe to break off anywhere: the same key asked about again gets the same
certificate again. Beside the key stands the certificate once there is one: since when, and for the
case that nobody can be asked any more. Both are private to renewals; the profile names neither.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange import certificates
from document_exchange.errors import ExchangeError
from exchange_client import keys
from exchange_client.known_certificates import KnownCertificates
from exchange_client.profile_store import CertificateKind

_LOCK_FILE = ".renewal.lock"


class Busy(Exception):
    """Another process renews this profile."""


@contextlib.contextmanager
def only_renewal(directory: Path) -> Iterator[None]:
    """Be the only one who renews this profile. Released when the process dies.

    Raises:
        Busy: another one does.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(directory / _LOCK_FILE, flags, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy from None
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Pending:
    """The next key of one kind, in the directory of a profile. Only under ``only_renewal``."""

    directory: Path
    kind: CertificateKind

    @property
    def _key_path(self) -> Path:
        return self.directory / f"next-{self.kind}.key"

    @property
    def _certificate_path(self) -> Path:
        return self.directory / f"next-{self.kind}.pem"

    def exists(self) -> bool:
        """Whether an earlier try has left a key."""
        return self._key_path.exists()

    def key(self, in_use: x509.Certificate, passphrase: str | None) -> ec.EllipticCurvePrivateKey:
        """The next key: the one that is kept, or a new one. MUST be durable on return."""
        kept = self._kept_key(passphrase)
        # In use already: it was stored in the profile, and the process died before ``clear``.
        if kept is not None and kept.public_key() != in_use.public_key():
            return kept
        self.clear()
        made = keys.new_key()
        keys.write_private(self._key_path, keys.private_pem(made, passphrase))
        return made

    def _kept_key(self, passphrase: str | None) -> ec.EllipticCurvePrivateKey | None:
        if not self._key_path.exists():
            return None
        try:
            found = keys.load(self._key_path, passphrase)
        except ExchangeError:
            return None  # of no use to anybody; the authority can certify another one
        return found if isinstance(found, ec.EllipticCurvePrivateKey) else None

    def certificate(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate | None:
        """What the authority has answered for this key, if it did."""
        try:
            found = certificates.load_pem(keys.read_small(self._certificate_path))
        except ExchangeError:
            return None
        return found if found.public_key() == key.public_key() else None

    def keep(self, certificate: x509.Certificate) -> None:
        """Keep the authority's answer, and remember for good that this profile asked for it."""
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        keys.write_private(self._certificate_path, pem)
        KnownCertificates(self.directory).add(certificates.fingerprint(certificate))

    def kept_since(self) -> float | None:
        """When the answer was kept, in seconds since 1970 by this machine's clock."""
        try:
            return self._certificate_path.stat().st_mtime
        except FileNotFoundError:
            return None

    def clear(self) -> None:
        """Forget both: they are in the profile now, or of no use."""
        self._certificate_path.unlink(missing_ok=True)
        self._key_path.unlink(missing_ok=True)
