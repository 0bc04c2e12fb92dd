"""Fetching the authority's certificates without trusting anybody but the fingerprint in hand."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request

from document_exchange.errors import ConfigurationError, Unavailable, VerificationFailed
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
    """
    if http:
        served = await in_thread(_fetched, http.rstrip("/"))
    else:
        shown = await in_thread(_shown_certificate, address)
        async with EnrolmentClient(address, shown, timing) as client:
            try:
                served = await client.trust_bundle()
            except ConfigurationError as error:
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
            raise Unavailable(f"{url} can't be fetched: {error}", address=url) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"{url} can't be fetched: {error}", address=url) from error
        if len(content) > _LARGEST_PEM_BYTES:
            raise VerificationFailed(f"{url} is too large for a certificate")
        return content

    return fetch("root.pem"), fetch("tls-ca.pem"), fetch("seal-ca.pem")


def _shown_certificate(address: str) -> bytes:
    """PEM of the certificate that the server at ``address`` shows; it proves nothing."""
    host, _, port = address.rpartition(":")
    try:
        shown = ssl.get_server_certificate((host.strip("[]"), int(port)), timeout=_FETCH_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the authority at {address} can't be reached ({error}): check --authority",
            address=address,
        ) from error
    return shown.encode()
