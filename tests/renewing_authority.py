"""A small authority in memory that renews certificates, and misbehaves on request.

What the real authority refuses is tested against the real one. This one loses answers, is away at
a given moment, and certifies what it never should.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from document_exchange import identity, signature, status
from document_exchange.errors import ExchangeError, KeyReused
from document_exchange.v1 import authority_pb2
from tests.pki_for_tests import CLIENT, SERVER, TRUST_DOMAIN, Holder, Pki, key_usage, make_leaf


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class RenewingAuthority:
    """A context manager; the same key gets the same certificate again."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.lifetime = dt.timedelta(days=3)
        self.asked: list[str] = []
        """SHA-256 of the public key of each request, in order."""
        self.issued: dict[str, bytes] = {}
        self.refusals: list[ExchangeError] = []
        """The next requests are refused with these."""
        self.revoked: set[str] = set()
        """SHA-256 of public keys whose certificates were revoked: they get none any more."""
        self.lose_answers = 0
        self.certify: Callable[[Holder, str, Any], bytes] = self.certified
        """Makes the DER for (issuing CA, identity, public key)."""
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers([self._methods()])
        server = make_leaf(
            f"spiffe://{TRUST_DOMAIN}/centre/server/authority-1",
            issuer=pki.tls_ca,
            purposes=SERVER,
            usage=key_usage("digital_signature"),
            further_names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
            not_before=now() - dt.timedelta(days=1),
            not_after=now() + dt.timedelta(days=1),
        )
        credentials = grpc.ssl_server_credentials(
            [(server.key_pem, server.pem)], pki.tls_ca.pem, require_client_auth=True
        )
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"

    def _methods(self) -> grpc.GenericRpcHandler:
        """Of the service only what renews."""
        return grpc.method_handlers_generic_handler(
            "document_exchange.v1.AuthorityService",
            {
                "Renew": grpc.unary_unary_rpc_method_handler(
                    self.Renew,
                    authority_pb2.RenewRequest.FromString,
                    authority_pb2.RenewResponse.SerializeToString,
                ),
                "RenewSeal": grpc.unary_unary_rpc_method_handler(
                    self.RenewSeal,
                    authority_pb2.RenewSealRequest.FromString,
                    authority_pb2.RenewSealResponse.SerializeToString,
                ),
            },
        )

    def __enter__(self) -> RenewingAuthority:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def certified(self, issuer: Holder, name: str, public_key: Any) -> bytes:
        """What it should answer."""
        usage: dict[str, Any] = {}
        if issuer is self.pki.tls_ca:
            usage = {"purposes": CLIENT, "usage": key_usage("digital_signature")}
        return make_leaf(
            name,
            issuer=issuer,
            public_key=public_key,
            not_before=now() - dt.timedelta(seconds=1),
            not_after=now() + self.lifetime,
            **usage,
        ).der

    def Renew(
        self, request: authority_pb2.RenewRequest, context: Any
    ) -> authority_pb2.RenewResponse:
        (pem,) = context.auth_context()["x509_pem_cert"]
        caller = identity.of_certificate(x509.load_pem_x509_certificate(pem))
        der = self._answer(request.request, self.pki.tls_ca, str(caller), context)
        return authority_pb2.RenewResponse(certificate=der)

    def RenewSeal(
        self, request: authority_pb2.RenewSealRequest, context: Any
    ) -> authority_pb2.RenewSealResponse:
        seal = signature.verify(request.request, request.signature)
        name = str(self.pki.trust.check(seal, at=now(), crls=None))
        der = self._answer(request.request, self.pki.seal_ca, name, context)
        return authority_pb2.RenewSealResponse(certificate=der)

    def _answer(self, request: bytes, issuer: Holder, name: str, context: Any) -> bytes:
        asked = x509.load_der_x509_csr(request)
        assert asked.is_signature_valid
        public = asked.public_key()
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        key = hashlib.sha256(der).hexdigest()
        with self._lock:
            self.asked.append(key)
            refusals = self.refusals or [KeyReused()] * (key in self.revoked)
            if refusals:
                error = refusals.pop(0)
                details = status.to_status(error).SerializeToString()
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
                context.abort(grpc.StatusCode[error.grpc_status], error.message)
            if key not in self.issued:
                self.issued[key] = self.certify(issuer, name, public)
            if self.lose_answers:
                self.lose_answers -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            return self.issued[key]
