"""Clients of the authority: for holders of certificates, and for those who have none yet."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Self, TypeVar

import grpc

from document_exchange.errors import ConfigurationError, ExchangeError
from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from exchange_client import channel
from exchange_client.authority_model import (
    CertificateRecord,
    Enrolment,
    IssuedToken,
    SealRequest,
    Token,
)
from exchange_client.profile import Profile
from exchange_client.retry import from_rpc_error
from exchange_client.timing import Timing

Request = TypeVar("Request")
Response = TypeVar("Response")

_PAGE_SIZE = 500
_PEER = "authority"


class _Port:
    """One channel to one of the authority's two ports. An asynchronous context manager."""

    def __init__(self, address: str, opened: grpc.aio.Channel, timing: Timing) -> None:
        self.address = address
        self._channel = opened
        self._timing = timing

    def _typed(self, error: grpc.aio.AioRpcError) -> ExchangeError:
        return from_rpc_error(error, self.address, _PEER)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timing: Timing | None = None,
    ) -> Response:
        return await channel.call(method, request, timing or self._timing, self._typed)

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AuthorityClient(_Port):
    """The authority, as the holder of a certificate sees it.

    Must be made inside the event loop that uses it. Every method raises ``ExchangeError``: the
    error that the authority gave, as its own type, after trying again what may pass.
    """

    def __init__(self, profile: Profile, timing: Timing | None = None) -> None:
        """Open a channel for ``profile``.

        Raises:
            ConfigurationError: the profile does not say where the authority is.
        """
        if not profile.authority:
            raise ConfigurationError(
                f"profile {profile.name} does not say where the authority is: add"
                '  authority = "HOST:PORT"  to its profile.toml',
                profile=profile.name,
            )
        opened = channel.open_channel(
            profile.authority, profile.tls_ca, key=profile.system_key, chain=profile.system_chain
        )
        super().__init__(profile.authority, opened, timing or Timing())
        self._stub: authority_pb2_grpc.AuthorityServiceAsyncStub = (
            authority_pb2_grpc.AuthorityServiceStub(self._channel)
        )

    # For every holder

    async def renew(self, request: bytes) -> bytes:
        """The DER of a new certificate for the caller's own identity and the key in ``request``.

        ``request`` is PKCS#10 in DER (``keys.request``). The same request gets the same answer.
        """
        message = authority_pb2.RenewRequest(request=request)
        return (await self._call(self._stub.Renew, message)).certificate

    async def renew_seal(self, request: bytes, signature: bytes) -> bytes:
        """The DER of a new certificate for a seal of the own unit.

        ``signature`` is CMS, detached, by the current seal over the bytes of ``request``.
        """
        message = authority_pb2.RenewSealRequest(request=request, signature=signature)
        return (await self._call(self._stub.RenewSeal, message)).certificate

    async def get_crl(self, issuer: str) -> bytes:
        """The DER of the newest revocation list of ``root``, ``tls-ca`` or ``seal-ca``."""
        message = authority_pb2.GetCrlRequest(issuer=issuer)
        return (await self._call(self._stub.GetCrl, message)).crl

    # For staff

    async def issue_token(
        self,
        *,
        unit: str,
        system: str,
        seal: str = "",
        lifetime_s: int = 0,
    ) -> IssuedToken:
        """A one-use token for ``unit`` and ``system``, with ``seal`` if named.

        Not tried again by itself: where the answer was lost, a token may exist that nobody knows.
        """
        message = authority_pb2.IssueTokenRequest(
            unit=unit, system=system, seal=seal, lifetime_s=lifetime_s
        )
        once = replace(self._timing, retry_budget_s=0)
        return IssuedToken.of(await self._call(self._stub.IssueToken, message, once))

    async def list_tokens(self, unit: str = "", standing: str = "") -> AsyncGenerator[Token, None]:
        """Tokens, newest first; ``standing``: OPEN, USED, EXPIRED or WITHDRAWN; empty: all."""
        request = authority_pb2.ListTokensRequest(
            unit=unit,
            standing=authority_pb2.TokenStanding.Value(f"TOKEN_STANDING_{standing}")
            if standing
            else authority_pb2.TOKEN_STANDING_UNSPECIFIED,
            page_size=_PAGE_SIZE,
        )
        while True:
            page = await self._call(self._stub.ListTokens, request)
            for message in page.tokens:
                yield Token.of(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def withdraw_token(self, token_id: str) -> None:
        """Make a token useless that has not been used up."""
        message = authority_pb2.WithdrawTokenRequest(token_id=token_id)
        await self._call(self._stub.WithdrawToken, message)

    async def list_seal_requests(
        self, unit: str = "", standing: str = ""
    ) -> AsyncGenerator[SealRequest, None]:
        """Requests for seals, newest first; ``standing``: PENDING, ISSUED or REJECTED."""
        request = authority_pb2.ListSealRequestsRequest(
            unit=unit,
            standing=authority_pb2.SealStanding.Value(f"SEAL_STANDING_{standing}")
            if standing
            else authority_pb2.SEAL_STANDING_UNSPECIFIED,
            page_size=_PAGE_SIZE,
        )
        while True:
            page = await self._call(self._stub.ListSealRequests, request)
            for message in page.requests:
                yield SealRequest.of(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def approve_seal(
        self, request_id: str, key_sha256: str, *, reject: bool = False, reason: str = ""
    ) -> SealRequest:
        """Approve the first seal of a unit, or reject it with a reason; as it stands then."""
        message = authority_pb2.ApproveSealRequest(
            request_id=request_id, key_sha256=key_sha256, reject=reject, reason=reason
        )
        return SealRequest.of((await self._call(self._stub.ApproveSeal, message)).request)

    async def revoke(
        self, *, fingerprint: str = "", serial: str = "", reason: str
    ) -> CertificateRecord:
        """Revoke a certificate, named by fingerprint or serial; ``reason`` as RFC 5280, 5.3.1."""
        message = authority_pb2.RevokeRequest(fingerprint=fingerprint, serial=serial, reason=reason)
        return CertificateRecord.of((await self._call(self._stub.Revoke, message)).certificate)

    async def list_certificates(
        self,
        *,
        unit: str = "",
        profile: str = "",
        valid_only: bool = False,
        ending_within_s: int = 0,
    ) -> AsyncGenerator[CertificateRecord, None]:
        """The inventory, by identity, then newest first."""
        request = authority_pb2.ListCertificatesRequest(
            unit=unit,
            profile=profile,
            valid_only=valid_only,
            ending_within_s=ending_within_s,
            page_size=_PAGE_SIZE,
        )
        while True:
            page = await self._call(self._stub.ListCertificates, request)
            for message in page.certificates:
                yield CertificateRecord.of(message)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


class EnrolmentClient(_Port):
    """The authority, as somebody sees it who has a token and no certificate yet."""

    def __init__(self, address: str, trusted: bytes, timing: Timing | None = None) -> None:
        """Open a channel to ``address``; ``trusted``: PEM that its certificate must chain to."""
        super().__init__(address, channel.open_channel(address, trusted), timing or Timing())
        self._stub: authority_pb2_grpc.EnrolmentServiceAsyncStub = (
            authority_pb2_grpc.EnrolmentServiceStub(self._channel)
        )

    async def enrol(
        self, token: str, system_request: bytes, seal_request: bytes = b"", unit: str = ""
    ) -> Enrolment:
        """Use a token for these keys (PKCS#10, DER); the same keys get the same answer again.

        Raises:
            TokenRefused: unknown, expired, used with other keys, or of another unit.
            RequestRefused: a request or its key is not acceptable.
        """
        message = authority_pb2.EnrolRequest(
            token=token, system_request=system_request, seal_request=seal_request, unit=unit
        )
        return Enrolment.of(await self._call(self._stub.Enrol, message))

    async def trust_bundle(self) -> tuple[bytes, bytes, bytes]:
        """The DER of root, TLS CA and seal CA; worth nothing before ``TrustBundle.pinned``."""
        message = authority_pb2.GetTrustBundleRequest()
        trust = (await self._call(self._stub.GetTrustBundle, message)).trust
        return trust.root, trust.tls_ca, trust.seal_ca
