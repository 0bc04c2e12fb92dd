"""AuthorityService over the wire: decode, step, encode."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange.errors import InvalidRequest
from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from exchange_pki.profile import AUTHORITIES
from exchange_pki.service import inventory
from exchange_pki.service.inventory import Inventory, Wanted
from exchange_pki.service.renewal import Renewal
from exchange_pki.service.revocation import Revoker
from exchange_pki.service.rpc.tokens import TokenMethods
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime.rpc import caller
from exchange_runtime.values import CertificateRecord


@dataclass(frozen=True)
class Steps:
    """What the methods of AuthorityService do, besides those about tokens and seals."""

    worker: AuthorityWorker
    renewal: Renewal
    revoker: Revoker
    inventory: Inventory


class AuthorityServicer(TokenMethods, authority_pb2_grpc.AuthorityServiceServicer):
    """The methods of proto/document_exchange/v1/authority.proto for holders of certificates."""

    def __init__(self, steps: Steps, **tokens: Any) -> None:
        """``tokens`` are the arguments of ``TokenMethods``."""
        super().__init__(**tokens)
        self._steps = steps

    async def Renew(
        self, request: authority_pb2.RenewRequest, context: Any
    ) -> authority_pb2.RenewResponse:
        certified = await self._steps.renewal.renew(caller.current(), request.request)
        return authority_pb2.RenewResponse(certificate=certified.der)

    async def RenewSeal(
        self, request: authority_pb2.RenewSealRequest, context: Any
    ) -> authority_pb2.RenewSealResponse:
        certified = await self._steps.renewal.renew_seal(
            caller.current(), request.request, request.signature
        )
        return authority_pb2.RenewSealResponse(certificate=certified.der)

    async def GetCrl(
        self, request: authority_pb2.GetCrlRequest, context: Any
    ) -> authority_pb2.GetCrlResponse:
        if request.issuer not in AUTHORITIES:
            raise InvalidRequest(f"issuer must be one of {', '.join(AUTHORITIES)}", field="issuer")
        return authority_pb2.GetCrlResponse(crl=await self._steps.worker.crl(request.issuer))

    async def Revoke(
        self, request: authority_pb2.RevokeRequest, context: Any
    ) -> authority_pb2.RevokeResponse:
        revoked = await self._steps.revoker.revoke(
            caller.current(),
            fingerprint=request.fingerprint,
            serial=request.serial,
            reason=request.reason,
        )
        return authority_pb2.RevokeResponse(certificate=_record(revoked))

    async def ListCertificates(
        self, request: authority_pb2.ListCertificatesRequest, context: Any
    ) -> authority_pb2.ListCertificatesResponse:
        wanted = Wanted(
            request.unit,
            request.profile,
            request.valid_only,
            inventory.ending_within(request.ending_within_s),
        )
        found, token = await self._steps.inventory.listed(
            wanted, request.page_size, request.page_token
        )
        return authority_pb2.ListCertificatesResponse(
            certificates=[_record(each) for each in found], next_page_token=token
        )


def _record(record: CertificateRecord) -> authority_pb2.CertificateRecord:
    made = authority_pb2.CertificateRecord(
        fingerprint=record.fingerprint.hex(),
        serial=record.serial,
        identity=record.identity,
        profile=record.profile,
        role=record.role,
        not_before=_timestamp(record.not_before),
        not_after=_timestamp(record.not_after),
        issued_at=_timestamp(record.issued_at),
        revocation_reason=record.revocation_reason,
    )
    if record.revoked_at is not None:
        made.revoked_at.CopyFrom(_timestamp(record.revoked_at))
    return made


def _timestamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made
