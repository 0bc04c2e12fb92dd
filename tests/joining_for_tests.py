"""A centre and an authority in memory to join, which lie or fail on request, for tests of the SDK.

The real ones issue no certificate for another key and serve no forged trust bundle. What they do
is tested against them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.timestamp_pb2 import Timestamp

from document_exchange import identity, status
from document_exchange.certificates import fingerprint
from document_exchange.errors import ExchangeError, InvalidRequest, TokenUnknown, TokenUsed
from document_exchange.v1 import authority_pb2, authority_pb2_grpc, directory_pb2
from tests.centre_for_tests import DAY, ScriptedCentre, now
from tests.pki_for_tests import (
    CLIENT,
    SERVER,
    TRUST_DOMAIN,
    Holder,
    Pki,
    key_usage,
    make_crl,
    make_leaf,
    unit_seal_id,
)

UNIT = "qd-caizheng"
TOKEN = "a-token-with-at-least-128-bits-of-randomness"
STAFF_TOKEN = "a-token-for-a-member-of-staff"


def system_id(unit: str = UNIT, name: str = "oa") -> str:
    return f"spiffe://{TRUST_DOMAIN}/unit/{unit}/system/{name}"


def stamp(at: dt.datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


def server_leaf(pki: Pki, name: str, **more: Any) -> Holder:
    return make_leaf(
        f"spiffe://{TRUST_DOMAIN}/centre/server/{name}",
        issuer=pki.tls_ca,
        purposes=SERVER,
        usage=key_usage("digital_signature"),
        further_names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
        not_before=now() - DAY,
        not_after=now() + DAY,
        **more,
    )


class WelcomingCentre(ScriptedCentre):
    """Knows who calls, and what certificates there are."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(pki)
        self.view: Callable[[directory_pb2.WhoAmIResponse], None] = lambda view: None
        """Changes what WhoAmI answers."""
        self.refusals: list[ExchangeError] = []
        """What the next calls of WhoAmI are refused with."""
        self.certificates: list[x509.Certificate] = []
        self.revoked: set[str] = set()

    def forget(self) -> None:
        super().forget()
        self.view = lambda view: None
        self.refusals.clear()
        self.certificates.clear()
        self.revoked.clear()

    def WhoAmI(self, request: Any, context: Any) -> directory_pb2.WhoAmIResponse:
        if self.refusals:
            abort(context, self.refusals.pop(0))
        [pem] = context.auth_context()["x509_pem_cert"]
        certificate = x509.load_pem_x509_certificate(pem)
        holder = identity.of_certificate(certificate)
        made = directory_pb2.WhoAmIResponse(
            identity=str(holder),
            certificate=record(certificate),
            address="127.0.0.1",
            server_time=stamp(now()),
            status_age_s=0.2,
        )
        if holder.unit:
            made.unit.unit_id = holder.unit
            made.unit.status = directory_pb2.UNIT_STATUS_ACTIVE
        self.view(made)
        return made

    def ListOwnCertificates(
        self, request: Any, context: Any
    ) -> directory_pb2.ListOwnCertificatesResponse:
        start = int(request.page_token or 0)
        found = [self._own(each) for each in self.certificates[start : start + 2]]
        more = start + 2 < len(self.certificates)
        return directory_pb2.ListOwnCertificatesResponse(
            certificates=found, next_page_token=str(start + 2) if more else ""
        )

    def WatchOwnCertificates(self, request: Any, context: Any) -> Iterator[Any]:
        for each in self.certificates:
            yield directory_pb2.WatchOwnCertificatesResponse(certificate=self._own(each))
        yield directory_pb2.WatchOwnCertificatesResponse(
            caught_up=directory_pb2.CertificatesCaughtUp()
        )
        abort(context, TokenUnknown("the end of this script"))

    def _own(self, certificate: x509.Certificate) -> directory_pb2.OwnCertificate:
        made = directory_pb2.OwnCertificate(certificate=record(certificate), issued_event=b"{}")
        if made.certificate.fingerprint in self.revoked:
            made.certificate.revoked_at.CopyFrom(stamp(now()))
            made.certificate.revocation_reason = "keyCompromise"
            made.revoked_event = b"{}"
        return made


def record(certificate: x509.Certificate) -> authority_pb2.CertificateRecord:
    return authority_pb2.CertificateRecord(
        fingerprint=fingerprint(certificate),
        serial=f"{certificate.serial_number:x}",
        identity=str(identity.of_certificate(certificate)),
        profile="system",
        not_before=stamp(certificate.not_valid_before_utc),
        not_after=stamp(certificate.not_valid_after_utc),
        issued_at=stamp(certificate.not_valid_before_utc),
    )


@dataclass
class AuthorityFaults:
    """Where it lies; each one is given what it may change."""

    answer: Callable[[authority_pb2.EnrolResponse], None] = lambda answer: None
    bundle: Callable[[authority_pb2.TrustBundle], None] = lambda bundle: None
    lose_answers: int = 0
    """So many of the next enrolments do their work and then break off."""
    revoked: list[x509.Certificate] = field(default_factory=list)
    lists_end: dt.timedelta = DAY
    """How long from now the revocation lists are in force."""


class ScriptedAuthority(
    authority_pb2_grpc.EnrolmentServiceServicer, authority_pb2_grpc.AuthorityServiceServicer
):
    """The authority on its two ports. A context manager."""

    def __init__(self, pki: Pki, centre_address: str) -> None:
        self.pki = pki
        self.faults = AuthorityFaults()
        self.seal_standing = authority_pb2.SEAL_STANDING_ISSUED
        self.enrolments = 0
        self._owners: dict[str, tuple[bytes, bytes]] = {}
        self._issued: dict[tuple[str, bytes], Holder] = {}
        self._centre_address = centre_address
        leaf = server_leaf(pki, "authority-1")
        pair = [(leaf.key_pem, leaf.pem + pki.tls_ca.pem)]
        self._enrolment = grpc.server(ThreadPoolExecutor(4))
        authority_pb2_grpc.add_EnrolmentServiceServicer_to_server(self, self._enrolment)
        self.enrolment_address = _listening(self._enrolment, grpc.ssl_server_credentials(pair))
        self._mutual = grpc.server(ThreadPoolExecutor(4))
        authority_pb2_grpc.add_AuthorityServiceServicer_to_server(self, self._mutual)
        mutual = grpc.ssl_server_credentials(pair, pki.tls_ca.pem, require_client_auth=True)
        self.address = _listening(self._mutual, mutual)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.pki.root.certificate)

    def forget(self) -> None:
        """Begin anew, with no faults."""
        self.faults = AuthorityFaults()
        self.seal_standing = authority_pb2.SEAL_STANDING_ISSUED
        self.enrolments = 0
        self._owners.clear()
        self._issued.clear()

    def __enter__(self) -> ScriptedAuthority:
        self._enrolment.start()
        self._mutual.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enrolment.stop(None).wait()
        self._mutual.stop(None).wait()

    # EnrolmentService

    def GetTrustBundle(self, request: Any, context: Any) -> authority_pb2.GetTrustBundleResponse:
        bundle = authority_pb2.TrustBundle(
            root=self.pki.root.der, tls_ca=self.pki.tls_ca.der, seal_ca=self.pki.seal_ca.der
        )
        self.faults.bundle(bundle)
        return authority_pb2.GetTrustBundleResponse(trust=bundle)

    def Enrol(self, request: Any, context: Any) -> authority_pb2.EnrolResponse:
        self.enrolments += 1
        token = request.token.strip().lower()
        if token not in (TOKEN, STAFF_TOKEN):
            abort(context, TokenUnknown())
        for_staff = token == STAFF_TOKEN
        if for_staff and request.seal_request:
            abort(context, InvalidRequest("the token is without a seal", field="seal_request"))
        pair = (_key_of(request.system_request), _key_of(request.seal_request))
        if self._owners.setdefault(token, pair) != pair:
            abort(context, TokenUsed())
        name = f"spiffe://{TRUST_DOMAIN}/staff/li.na" if for_staff else system_id()
        answer = authority_pb2.EnrolResponse(
            identity=name,
            system_certificate=self.certified(name, request.system_request).der,
            seal_standing=authority_pb2.SEAL_STANDING_NONE if for_staff else self.seal_standing,
            centre_address=self._centre_address,
            authority_address=self.address,
        )
        if answer.seal_standing == authority_pb2.SEAL_STANDING_ISSUED:
            seal = self.certified(unit_seal_id(UNIT), request.seal_request)
            answer.seal_certificate = seal.der
        if answer.seal_standing == authority_pb2.SEAL_STANDING_REJECTED:
            answer.seal_reason = "the key was not read out right"
        self.faults.answer(answer)
        if self.faults.lose_answers:
            self.faults.lose_answers -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        return answer

    def certified(self, name: str, request: bytes) -> Holder:
        """A leaf for the key in ``request``; the same one each time."""
        key = x509.load_der_x509_csr(request).public_key()
        place = (name, request)
        if place not in self._issued:
            is_seal = "/seal/" in name
            client: dict[str, Any] = {"purposes": CLIENT, "usage": key_usage("digital_signature")}
            self._issued[place] = make_leaf(
                name,
                issuer=self.pki.seal_ca if is_seal else self.pki.tls_ca,
                public_key=key,
                not_before=now() - dt.timedelta(hours=1),
                not_after=now() + DAY + len(self._issued) * dt.timedelta(minutes=1),
                **({} if is_seal else client),
            )
        return self._issued[place]

    # AuthorityService

    def Renew(self, request: Any, context: Any) -> authority_pb2.RenewResponse:
        [pem] = context.auth_context()["x509_pem_cert"]
        holder = identity.of_certificate(x509.load_pem_x509_certificate(pem))
        return authority_pb2.RenewResponse(
            certificate=self.certified(str(holder), request.request).der
        )

    def RenewSeal(self, request: Any, context: Any) -> authority_pb2.RenewSealResponse:
        return authority_pb2.RenewSealResponse(
            certificate=self.certified(unit_seal_id(UNIT), request.request).der
        )

    def IssueToken(self, request: Any, context: Any) -> authority_pb2.IssueTokenResponse:
        raise not_scripted(context)

    def ListTokens(self, request: Any, context: Any) -> authority_pb2.ListTokensResponse:
        raise not_scripted(context)

    def WithdrawToken(self, request: Any, context: Any) -> authority_pb2.WithdrawTokenResponse:
        raise not_scripted(context)

    def ListSealRequests(
        self, request: Any, context: Any
    ) -> authority_pb2.ListSealRequestsResponse:
        raise not_scripted(context)

    def ApproveSeal(self, request: Any, context: Any) -> authority_pb2.ApproveSealResponse:
        raise not_scripted(context)

    def Revoke(self, request: Any, context: Any) -> authority_pb2.RevokeResponse:
        raise not_scripted(context)

    def ListCertificates(
        self, request: Any, context: Any
    ) -> authority_pb2.ListCertificatesResponse:
        raise not_scripted(context)

    def GetCrl(self, request: Any, context: Any) -> authority_pb2.GetCrlResponse:
        issuers = {"root": "root", "tls-ca": "tls_ca", "seal-ca": "seal_ca"}
        issuer: Holder = getattr(self.pki, issuers[request.issuer])
        made = make_crl(
            issuer,
            revoked=[
                (each, now() - DAY)
                for each in self.faults.revoked
                if each.issuer == issuer.certificate.subject
            ],
            this_update=now() - DAY,
            next_update=now() + self.faults.lists_end,
        )
        return authority_pb2.GetCrlResponse(crl=made.public_bytes(Encoding.DER))


@contextmanager
def served_files(files: dict[str, bytes]) -> Iterator[str]:
    """A plain HTTP server with these files by their paths; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            with suppress(ConnectionError):  # who asked may have had enough
                self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def abort(context: Any, error: ExchangeError) -> None:
    made = status.to_status(error)
    context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
    context.abort(grpc.StatusCode[error.grpc_status], made.message)


def not_scripted(context: Any) -> AssertionError:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")
    return AssertionError()  # abort has raised


def _key_of(request: bytes) -> bytes:
    if not request:
        return b""
    return (
        x509.load_der_x509_csr(request)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def _listening(server: grpc.Server, credentials: grpc.ServerCredentials) -> str:
    return f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
