"""The centre-seal in its files: loaded at the start, and followed when they are replaced."""

from __future__ import annotations

import os
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import serialization

from document_exchange import certificates, identity
from document_exchange.errors import ConfigurationError, ExchangeError, KeyUnusable
from document_exchange.identity import Kind
from document_exchange.signer import KeySigner
from exchange_runtime.clock import Clock
from exchange_runtime.watched_files import WatchedFiles
from exchange_server.config import Seal
from exchange_server.statements import CentreSeal

log = structlog.get_logger(__name__)

PASSPHRASE_VARIABLE = "EXCHANGE_SERVER_SEAL_PASSPHRASE"


class SealFiles:
    """Certificate and key of the centre-seal."""

    def __init__(self, files: Seal) -> None:
        self._certificate, self._key = files.certificate, files.key
        self._watched = WatchedFiles(self._certificate, self._key)
        self._fault = ""

    def load(self) -> KeySigner:
        """The seal as the files have it now.

        Raises:
            ConfigurationError: it is not a centre-seal, or others may read the key.
            KeyUnusable: the key can't be read or does not belong to the certificate.
        """
        try:
            contents = self._watched.changed()
        except OSError as error:
            raise ConfigurationError(f"{error.filename} can't be read: {error.strerror}") from error
        if contents is None:
            raise ConfigurationError(f"{self._certificate} and its key are being written")
        return self._signer(*contents)

    async def follow(self, seal: CentreSeal, clock: Clock) -> None:
        """Look once: what is new and in order is signed with from now on, anything else is not.

        What can't be used, or not yet (this process has not heard of it from the ledger), is
        tried again with the next look; why is logged once.
        """
        try:
            contents = self._watched.changed()
            if contents is None:
                return
            seal.replace(self._signer(*contents), clock())
        except (OSError, ExchangeError) as error:
            self._watched.forget()
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("centre_seal_kept", fault=self._fault)
            return
        self._fault = ""
        log.info(
            "centre_seal_taken",
            fingerprint=certificates.fingerprint(seal.certificate),
            not_after=seal.certificate.not_valid_after_utc.isoformat(),
        )
        seal.warn_before_end(clock())

    def _signer(self, certificate_pem: bytes, key_pem: bytes) -> KeySigner:
        certificate = certificates.load_pem(certificate_pem)
        if identity.of_certificate(certificate).kind is not Kind.CENTRE_SEAL:
            raise ConfigurationError(f"{self._certificate} is not the certificate of a centre-seal")
        _check_private(self._key)
        passphrase = os.environ.get(PASSPHRASE_VARIABLE)
        try:
            key = serialization.load_pem_private_key(
                key_pem, passphrase.encode() if passphrase else None
            )
        except (ValueError, TypeError) as error:
            raise KeyUnusable(f"the key in {self._key} can't be read: {error}") from error
        return KeySigner(certificate, key)


def _check_private(key: Path) -> None:
    if key.stat().st_mode & 0o077:
        raise ConfigurationError(f"others may read {key}: chmod 600 it")
