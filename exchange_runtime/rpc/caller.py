"""Who is calling, read from the TLS connection and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from document_exchange import identity
from document_exchange.errors import Unauthenticated
from exchange_runtime.values import Principal

_current: ContextVar[Principal] = ContextVar("principal")


def current() -> Principal:
    """The caller of the running method; the interceptor has set it."""
    return _current.get()


def set_current(principal: Principal) -> None:
    _current.set(principal)


def principal_of(context: grpc.aio.ServicerContext[Any, Any]) -> Principal:
    """The holder of the client certificate of this connection.

    Raises:
        Unauthenticated: no certificate, no identity of ours in it, or not TLS 1.3.
    """
    facts = context.auth_context()
    check_tls_version(facts)
    pems = list(facts.get("x509_pem_cert", ()))
    if len(pems) != 1:
        raise Unauthenticated("a client certificate is required")
    return _read(bytes(pems[0]), address_of(context.peer()))


def check_tls_version(facts: Mapping[str, Iterable[bytes]]) -> None:
    """Raise Unauthenticated if these facts of a connection say that it is not TLS 1.3."""
    versions = [bytes(v) for v in facts.get("ssl_tls_version", ())]
    if versions and versions != [b"TLSv1.3"]:
        raise Unauthenticated("only TLS 1.3 is accepted")


@lru_cache(maxsize=4096)
def _read(pem: bytes, address: str) -> Principal:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise Unauthenticated("the client certificate can't be read") from error
    return Principal(
        identity=identity.of_certificate(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        address=address,
    )


def address_of(peer: str) -> str:
    """``ipv4:10.0.0.7:51234`` as ``10.0.0.7``; the port of a client says nothing."""
    kind, _, rest = peer.partition(":")
    if kind in ("ipv4", "ipv6"):
        return rest.rpartition(":")[0].strip("[]").replace("%5B", "").replace("%5D", "")
    return peer
