"""TLS credentials of a server that follow their files: new ones need no restart.

Certificate, key and client CA are looked at before each handshake. What is taken must be whole:
a key that does not belong to the certificate (the one was written, the other not yet), a file that
can't be read, a certificate that is out of date leave the last good ones in use, with a warning in
the log. Connections that are open stay as they are.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import grpc
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from document_exchange import certificates
from document_exchange.errors import ConfigurationError
from exchange_runtime.clock import Clock, system_clock
from exchange_runtime.watched_files import WatchedFiles

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one handshake needs, all of one moment."""

    configuration: grpc.ServerCertificateConfiguration
    fingerprint: str
    not_after: datetime


class ReloadingCredentials:
    """The credentials of one port. gRPC asks for them on threads of its own."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None = None,
        *,
        clock: Clock = system_clock,
    ) -> None:
        """Load them for the first time.

        Args:
            certificate: PEM, the leaf first, then each issuer of the one before.
            key: PEM of its key, not encrypted: gRPC wants it so.
            client_ca: PEM of the CA that client certificates must chain to; None: the port is for
                callers without a certificate.
            clock: says whether a certificate is in its period.

        Raises:
            ConfigurationError: a file can't be read, or they don't fit together.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._mutual = client_ca is not None
        self._files = WatchedFiles(certificate, key, *([client_ca] if client_ca else []))
        self._fault = ""
        try:
            contents = self._files.changed()
        except OSError as error:
            raise ConfigurationError(
                f"{error.filename} can't be read: {error.strerror}", path=str(error.filename)
            ) from error
        if contents is None:
            raise ConfigurationError(f"{certificate} and its key are being written: start again")
        self._loaded = self._load(contents)

    @property
    def not_after(self) -> datetime:
        """When the certificate in use ends."""
        return self._loaded.not_after

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in use, as hex digits."""
        return self._loaded.fingerprint

    def server_credentials(self) -> grpc.ServerCredentials:
        """For ``add_secure_port``."""
        # None keeps what gRPC has, as its documentation says; its type stubs do not know it.
        fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._fetch)
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration, fetch, require_client_authentication=self._mutual
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """For one handshake: the new configuration, or None for the one that gRPC has."""
        with self._lock:
            return self._loaded.configuration if self._reload() else None

    def _reload(self) -> bool:
        """Whether other files were taken."""
        try:
            contents = self._files.changed()
            if contents is None:
                return False
            self._loaded = self._load(contents)
        except (OSError, ConfigurationError) as error:
            self._keep(str(error))
            return False
        except Exception:
            # Whatever is wrong with new files, a handshake must not fail for it.
            log.exception("tls_certificate_kept", files=self._names())
            self._files.forget()
            return False
        self._fault = ""
        log.info(
            "tls_certificate_taken",
            files=self._names(),
            fingerprint=self._loaded.fingerprint,
            not_after=self._loaded.not_after.isoformat(),
        )
        return True

    def _keep(self, fault: str) -> None:
        """Look again at the next handshake; say what is wrong, once."""
        self._files.forget()
        if fault != self._fault:
            self._fault = fault
            log.warning(
                "tls_certificate_kept",
                fault=fault,
                files=self._names(),
                not_after=self._loaded.not_after.isoformat(),
            )

    def _names(self) -> list[str]:
        return [str(path) for path in self._files.paths]

    def _load(self, contents: tuple[bytes, ...]) -> _Loaded:
        """Check that files fit together.

        Raises:
            ConfigurationError: they don't.
        """
        chain_pem, key_pem, *client_ca = contents
        chain = certificates.load_chain_pem(chain_pem)
        leaf = chain[0]
        for issued, issuer in itertools.pairwise(chain):
            try:
                issued.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature) as error:
                raise ConfigurationError(
                    f"the certificates in {self._files.paths[0]} are no chain, leaf first: {error}"
                ) from error
        try:
            key = serialization.load_pem_private_key(key_pem, None)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self._files.paths[1]} holds no usable private key: {error}"
            ) from error
        if key.public_key() != leaf.public_key():
            raise ConfigurationError(
                f"{self._files.paths[1]} is not the key of the certificate in"
                f" {self._files.paths[0]}"
            )
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if not begins <= self._clock() <= ends:
            raise ConfigurationError(
                f"the certificate in {self._files.paths[0]} is valid from {begins.isoformat()} to"
                f" {ends.isoformat()}, which is not now"
            )
        for content in client_ca:
            certificates.load_chain_pem(content)
        return _Loaded(
            grpc.ssl_server_certificate_configuration(
                [(key_pem, chain_pem)], client_ca[0] if client_ca else None
            ),
            certificates.fingerprint(leaf),
            ends,
        )
