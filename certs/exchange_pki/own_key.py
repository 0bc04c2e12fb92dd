"""A key that the authority's service signs with itself: certified, kept in a file, renewed in time.

Certificate and key are in one file, so that nobody ever sees one without the other; the key is
encrypted as those of the authorities are. Several processes on one state directory share it.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from document_exchange.certificates import load_pem
from document_exchange.errors import ConfigurationError
from document_exchange.signer import KeySigner
from exchange_pki import files, keys, prepare
from exchange_pki import profile as profiles
from exchange_pki.acts import Acts
from exchange_pki.prepare import Order
from exchange_pki.repeatable import Lint

_LARGEST_BYTES = 64 * 1024


class OwnKey:
    """One such key. Not for several threads, but for ``signer``."""

    def __init__(self, acts: Acts, order: Order, lint: Lint) -> None:
        """``order`` says for what and for whom it is certified."""
        self._acts = acts
        self._order = order
        self._lint = lint
        self._path = acts.layout.own_key(order.profile, order.name)
        self.signer: KeySigner | None = None
        """What may be signed with now, as of the last ``keep``; None while there is nothing."""

    def keep(self) -> None:
        """Take what another process renewed; renew what is not there, revoked, or two thirds over.

        Raises:
            KeyUnusable: the file can't be opened, or a new key not be encrypted.
            ConfigurationError: the file can't be written.
            InvalidRequest: the order is wrong.
            Refused: the issuing authority was revoked.
        """
        self._take_from_file()
        if self._is_due():
            with self._acts.exclusive():
                # Another process may have been quicker.
                self._take_from_file()
                if self._is_due():
                    self._renew()

    def _is_due(self) -> bool:
        if self.signer is None:
            return True
        certificate = self.signer.certificate
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return not begin <= self._acts.now() < begin + (end - begin) * 2 / 3

    def _take_from_file(self) -> None:
        """What the file has, if that counts; opening a key takes long, so only a new one is."""
        try:
            pem = files.read(self._path, limit=_LARGEST_BYTES)
        except ConfigurationError:
            if self._path.exists():
                raise
            self.signer = None
            return
        certificate = load_pem(pem)
        if not self._counts(certificate):
            self.signer = None
        elif self.signer is None or self.signer.certificate != certificate:
            self.signer = KeySigner(certificate, self._acts.keyring.opened(self._path))

    def _counts(self, certificate: x509.Certificate) -> bool:
        """Whether it is of this authority, unrevoked and not over."""
        serial = prepare.serial_text(certificate.serial_number)
        known = self._acts.register.certified.get(serial)
        return (
            known is not None
            and known.certificate == certificate
            and serial not in self._acts.register.revoked
            and self._acts.now() <= certificate.not_valid_after_utc
        )

    def _renew(self) -> None:
        key = keys.generate(profiles.get(self._order.profile).curve)
        encrypted = self._acts.keyring.encrypted(key)
        [certified] = self._acts.sign_certificates([self._lint(self._order, key.public_key())])
        pem = certified.certificate.public_bytes(serialization.Encoding.PEM)
        files.write(self._path, pem + encrypted, mode=files.PRIVATE, replace=True)
        self.signer = KeySigner(certified.certificate, key)
