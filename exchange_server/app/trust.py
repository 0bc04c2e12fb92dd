"""Who is believed: the certificates at which a server's trust begins, as its settings name them."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from document_exchange import certificates
from document_exchange.certificates import SealTrust
from document_exchange.errors import ConfigurationError
from exchange_server.config import Settings

_LONGEST_TSA_CHAIN = 9


def seal_trust(settings: Settings) -> SealTrust:
    """The root and the CA of the seals.

    Raises:
        ConfigurationError: one of the files can't be read.
    """
    trust = settings.trust
    return SealTrust(
        certificates.load_pem(_read(trust.root)), certificates.load_pem(_read(trust.seal_ca))
    )


def external_tsa(settings: Settings) -> tuple[x509.Certificate, ...]:
    """Root first, of a time-stamping service that is not the exchange's own; else none.

    Raises:
        ConfigurationError: the file can't be read, or holds something else.
    """
    path = settings.timestamps.ca
    if path is None:
        return ()
    chain = certificates.load_chain_pem(_read(path))
    roots = [each for each in chain if each.issuer == each.subject]
    if len(roots) != 1:
        raise ConfigurationError(f"{path} must hold exactly one root, it holds {len(roots)}")
    if len(chain) > _LONGEST_TSA_CHAIN:
        raise ConfigurationError(f"{path} holds more than {_LONGEST_TSA_CHAIN} certificates")
    return (*roots, *(each for each in chain if each not in roots))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
