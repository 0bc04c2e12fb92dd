"""Tokens and seals for staff, over the wire: decode, step, encode."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import InvalidRequest
from document_exchange.v1 import authority_pb2
from exchange_pki.service.seals import SealRequest, Seals
from exchange_pki.service.tokens import Holder, Token, Tokens
from exchange_runtime.rpc import caller


class TokenMethods:
    """The methods of AuthorityService about tokens and seals."""

    def __init__(
        self, tokens: Tokens, seals: Seals, *, root_fingerprint: str, enrolment_address: str
    ) -> None:
        """The last two go to the unit together with a token."""
        self._tokens = tokens
        self._seals = seals
        self._root_fingerprint = root_fingerprint
        self._enrolment_address = enrolment_address

    async def IssueToken(
        self, request: authority_pb2.IssueTokenRequest, context: Any
    ) -> authority_pb2.IssueTokenResponse:
        # Never for staff: an operator would make administrators of their own.
        holder = Holder(request.unit, request.system, request.seal)
        issued = await self._tokens.issue(caller.current(), holder, request.lifetime_s)
        return authority_pb2.IssueTokenResponse(
            token=issued.token,
            token_id=issued.token_id,
            expires_at=_timestamp(issued.expires_at),
            root_fingerprint=self._root_fingerprint,
            enrolment_address=self._enrolment_address,
        )

    async def ListTokens(
        self, request: authority_pb2.ListTokensRequest, context: Any
    ) -> authority_pb2.ListTokensResponse:
        standing = _filter(authority_pb2.TokenStanding, "TOKEN_STANDING_", request.standing)
        found, token = await self._tokens.listed(
            request.unit, standing, request.page_size, request.page_token
        )
        return authority_pb2.ListTokensResponse(
            tokens=[_token(each) for each in found], next_page_token=token
        )

    async def WithdrawToken(
        self, request: authority_pb2.WithdrawTokenRequest, context: Any
    ) -> authority_pb2.WithdrawTokenResponse:
        await self._tokens.withdraw(caller.current(), request.token_id)
        return authority_pb2.WithdrawTokenResponse()

    async def ListSealRequests(
        self, request: authority_pb2.ListSealRequestsRequest, context: Any
    ) -> authority_pb2.ListSealRequestsResponse:
        standing = _filter(authority_pb2.SealStanding, "SEAL_STANDING_", request.standing)
        found, token = await self._seals.listed(
            request.unit, standing, request.page_size, request.page_token
        )
        return authority_pb2.ListSealRequestsResponse(
            requests=[_seal_request(each) for each in found], next_page_token=token
        )

    async def ApproveSeal(
        self, request: authority_pb2.ApproveSealRequest, context: Any
    ) -> authority_pb2.ApproveSealResponse:
        decided = await self._seals.decide(
            caller.current(),
            request.request_id,
            request.key_sha256,
            reject=request.reject,
            reason=request.reason,
        )
        return authority_pb2.ApproveSealResponse(request=_seal_request(decided))


def seal_standing(standing: str) -> authority_pb2.SealStanding.ValueType:
    """PENDING, ISSUED or REJECTED as the wire has it."""
    return authority_pb2.SealStanding.Value(f"SEAL_STANDING_{standing}")


def _token(token: Token) -> authority_pb2.Token:
    return authority_pb2.Token(
        token_id=token.token_id,
        unit=token.holder.unit,
        system=token.holder.system,
        seal=token.holder.seal,
        staff=token.holder.staff,
        standing=authority_pb2.TokenStanding.Value(f"TOKEN_STANDING_{token.standing}"),
        issued_by=token.issued_by,
        issued_at=_timestamp(token.issued_at),
        expires_at=_timestamp(token.expires_at),
        used_at=_timestamp(token.used_at),
    )


def _seal_request(request: SealRequest) -> authority_pb2.SealRequest:
    return authority_pb2.SealRequest(
        request_id=request.request_id,
        unit=request.unit,
        seal=request.seal,
        key_sha256=request.key_sha256,
        standing=seal_standing(request.standing),
        requested_at=_timestamp(request.requested_at),
        decided_by=request.decided_by,
        decided_at=_timestamp(request.decided_at),
        reason=request.reason,
    )


def _filter(enum: Any, prefix: str, number: int) -> str:
    """A standing to look for by its name; "" for none.

    Raises:
        InvalidRequest: there is no such standing.
    """
    if number not in enum.values():
        raise InvalidRequest(f"{number} is no standing", field="standing")
    name: str = enum.Name(number)
    return name.removeprefix(prefix) if number else ""


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    made = Timestamp()
    made.FromDatetime(at)
    return made
