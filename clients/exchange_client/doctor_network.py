"""Whether an address leads to the server that it should: name, connection, TLS 1.3, certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from exchange_client.diagnosis import Check, fault, ok

_TIMEOUT_S = 5.0
# X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH (openssl/x509_vfy.h)
_NAME_MISMATCHES = (62, 64)
_TOO_OLD = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE")


def check_address(address: str, server_name: str, tls_ca: bytes) -> Iterator[Check]:
    """Blocking: connect to ``address`` and shake hands as a client without a certificate would.

    In TLS 1.3 the server has proved who it is before it asks who we are, so this needs no key.

    Args:
        address: ``host:port``.
        server_name: the name that its certificate must carry; empty: the host.
        tls_ca: PEM of what that certificate must chain to.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdecimal():
        yield fault("address", "no_address", address=address)
        return
    try:
        socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        yield fault("address", "no_such_host", host=host)
        return
    try:
        connection = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
    except OSError as error:
        reason = error.strerror or str(error)
        yield fault("address", "not_reached", address=address, reason=reason)
        return
    with connection:
        yield ok("address", "reached", address=address, peer=_shown(connection.getpeername()))
        yield _check_tls(connection, server_name or host, tls_ca)


def _check_tls(connection: socket.socket, name: str, tls_ca: bytes) -> Check:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the CA is trusted, not only its root
    context.load_verify_locations(cadata=tls_ca.decode())
    try:
        with context.wrap_socket(connection, server_hostname=name) as secured:
            return ok("tls", "trusted_server", version=secured.version(), name=name)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _NAME_MISMATCHES:
            return fault("tls", "other_server_name", name=name)
        return fault("tls", "untrusted_server", reason=error.verify_message)
    except ssl.SSLError as error:
        if error.reason in _TOO_OLD:
            return fault("tls", "old_tls")
        return fault("tls", "no_tls", reason=error.reason or str(error))
    except OSError as error:
        return fault("tls", "no_tls", reason=error.strerror or str(error))


def _shown(peer: tuple[object, ...]) -> str:
    return f"{peer[0]}:{peer[1]}"
