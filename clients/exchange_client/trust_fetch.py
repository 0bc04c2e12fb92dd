"""Fetching the authority's certificates without trusting anybody but the fingerprint in hand."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request

from document_exchange.errors import (
    ConfigurationError,
    ExchangeError,
    Unavailable,
    VerificationFailed,
)
from exchange_client.authority import EnrolmentClient
from exchange_client.threads import in_thread
from exchange_client.timing import Timing
from exchange_client.trust_bundle import TrustBundle

_LARGEST_PEM_BYTES = 64 * 1024
_FETCH_TIMEOUT_S = 10


async def trusted_bundle(
    address: str, http: str, root_fingerprint: str, timing: Timing
) -> TrustBundle:
    """Root and CAs of the authority, which nobody vouches for but the fingerprint.

    From ``http`` if it is given; otherwise from EnrolmentService at ``address``, over a connection
    whose server certificate is only kept the same, not believed: all that passes over it are
    public certificates, and they count only if the fingerprint fits.

    Raises:
        VerificationFailed: the fingerprint does not fit.
        Unavailable: nobody answers.
        ConfigurationError: what answers is no authority's EnrolmentService.
    """
    if http:
        served = await in_thread(_fetched, http.rstrip("/"))
        await in_thread(_shown_certificate, address)  # a wrong port is told before it is called
    else:
        shown = await in_thread(_shown_certificate, address)
        async with EnrolmentClient(address, shown, timing) as client:
            try:
                served = await client.trust_bundle()
            except ExchangeError as error:
                if "UNIMPLEMENTED" in error.message:  # some other server that speaks HTTP/2
                    raise _elsewhere(address, error.message) from error
                if not isinstance(error, ConfigurationError):
                    raise
                raise ConfigurationError(
                    f"the server at {address} shows a certificate for another name, or is none of"
                    " the authority's: give --authority exactly as the operator gave it",
                    address=address,
                ) from error
    return TrustBundle.pinned(*served, root_fingerprint)


def _fetched(base: str) -> tuple[bytes, bytes, bytes]:
    if not re.match(r"https?://", base):
        raise ConfigurationError(f"{base!r} is no http:// address", field="http", value=base)
    # Without the proxies of the environment: the authority is inside the government's network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetch(name: str) -> bytes:
        url = f"{base}/{name}"
        try:
            with opener.open(url, timeout=_FETCH_TIMEOUT_S) as response:
                content: bytes = response.read(_LARGEST_PEM_BYTES + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise Unavailable(f"{url} can't be fetched: {error}", authority=url) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"{url} can't be fetched: {error}", authority=url) from error
        if len(content) > _LARGEST_PEM_BYTES:
            raise VerificationFailed(f"{url} is too large for a certificate")
        return content

    return fetch("root.pem"), fetch("tls-ca.pem"), fetch("seal-ca.pem")


def _shown_certificate(address: str) -> bytes:
    """PEM of the certificate that the server at ``address`` shows; it proves nothing.

    1. TCP: whether anybody listens.
    2. TLS, with HTTP/2 as gRPC has it; without a certificate of our own, as enrolment is.
    3. HTTP/2: its server speaks first. One that wants a certificate closes instead (in TLS 1.3
       only now), and gRPC would try again and again what can't succeed.

    Raises:
        Unavailable: nobody listens.
        ConfigurationError: somebody else does.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    unchecked.set_alpn_protocols(["h2"])
    try:
        # 1. TCP.
        connected = socket.create_connection((host, int(port)), timeout=_FETCH_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the authority at {address} can't be reached ({error}): check --authority",
            authority=address,
        ) from error
    connected.settimeout(_FETCH_TIMEOUT_S)
    with connected:
        try:
            # 2. TLS.
            shown = unchecked.wrap_socket(connected, server_hostname=host)
        except (TimeoutError, ConnectionError, ssl.SSLEOFError) as error:
            raise Unavailable(
                f"what listens at {address} hangs up or does not answer ({error}): it is busy, or"
                " not the enrolment address of an authority: check --authority",
                authority=address,
            ) from error
        except OSError as error:
            raise _elsewhere(address, str(error)) from error
        with shown:
            der = shown.getpeercert(binary_form=True)
            # 3. HTTP/2.
            if der is None or not _greets(shown):
                raise _elsewhere(address, "it wants a certificate, or is no gRPC server")
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _greets(connection: ssl.SSLSocket) -> bool:
    """Whether the other side speaks HTTP/2 with a caller without a certificate."""
    if connection.selected_alpn_protocol() != "h2":
        return False
    try:
        return connection.recv(1) != b""
    except TimeoutError:  # slow is not wrong: the call will show
        return True
    except OSError:
        return False


def _elsewhere(address: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"this is not the enrolment address of an authority: {address} ({why}). Give --authority"
        " exactly as the operator gave it; the usual port is 7452",
        address=address,
    )
