"""EnrolmentService over the wire: decode, step, encode. Its callers have no certificate yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from exchange_pki.service.enrolment import Application, Enrolment
from exchange_pki.service.rpc.tokens import seal_standing
from exchange_pki.service.worker import Trust
from exchange_runtime.rpc import caller


class EnrolmentServicer(authority_pb2_grpc.EnrolmentServiceServicer):
    """Its methods; the interceptor of its port is ``exchange_runtime.rpc.open_door``."""

    def __init__(
        self,
        enrolment: Enrolment,
        trust: Trust,
        *,
        check_followed: Callable[[], object],
        centre_address: str,
        authority_address: str,
    ) -> None:
        """The addresses are HOST:PORT as units reach them.

        ``check_followed`` raises while the ledger can't be followed or the clocks differ: then
        nobody enrols, as nobody is admitted to the other port.
        """
        self._enrolment = enrolment
        self._check_followed = check_followed
        self._trust = authority_pb2.TrustBundle(
            root=trust.root.public_bytes(Encoding.DER),
            tls_ca=trust.tls_ca.public_bytes(Encoding.DER),
            seal_ca=trust.seal_ca.public_bytes(Encoding.DER),
        )
        self._centre_address = centre_address
        self._authority_address = authority_address

    async def Enrol(
        self, request: authority_pb2.EnrolRequest, context: Any
    ) -> authority_pb2.EnrolResponse:
        self._check_followed()
        application = Application(
            request.token, request.system_request, request.seal_request, request.unit
        )
        enrolled = await self._enrolment.enrol(application, caller.address_of(context.peer()))
        made = authority_pb2.EnrolResponse(
            identity=enrolled.identity,
            system_certificate=enrolled.certificate,
            seal_standing=authority_pb2.SEAL_STANDING_NONE,
            trust=self._trust,
            centre_address=self._centre_address,
            authority_address=self._authority_address,
        )
        if (seal := enrolled.seal) is not None:
            made.seal_standing = seal_standing(seal.standing)
            made.seal_certificate = seal.certificate
            made.seal_reason = seal.reason if made.seal_standing == _REJECTED else ""
            made.seal_key_sha256 = seal.key_sha256
        return made

    async def GetTrustBundle(
        self, request: authority_pb2.GetTrustBundleRequest, context: Any
    ) -> authority_pb2.GetTrustBundleResponse:
        return authority_pb2.GetTrustBundleResponse(trust=self._trust)


_REJECTED = authority_pb2.SEAL_STANDING_REJECTED
