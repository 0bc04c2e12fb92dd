"""Steps 3 and 4 of a renewal: the authority is asked, and its answer compared with what was asked.

What an earlier try was given may have been revoked since, so the authority is always asked again:
about the same key it answers the same, or that this key gets no certificate any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange import certificates, identity, signature
from document_exchange.errors import (
    CertificateExpired,
    CertificateRevoked,
    ExchangeError,
    SealExpired,
    SealRevoked,
    Unauthenticated,
    VerificationFailed,
)
from exchange_client import keys
from exchange_client.authority import AuthorityClient
from exchange_client.pending import Pending
from exchange_client.profile import Profile
from exchange_client.profile_store import CertificateKind
from exchange_client.threads import in_thread
from exchange_client.timing import Timing

_TOO_LATE_TO_ASK: dict[CertificateKind, tuple[type[ExchangeError], ...]] = {
    "system": (CertificateExpired, CertificateRevoked),
    "seal": (SealExpired, SealRevoked),
}
"""How the authority answers whoever asks with a certificate that is of no use any more."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Asks for the certificate that comes after one of a profile's."""

    profile: Profile
    kind: CertificateKind
    in_use: x509.Certificate
    timing: Timing

    async def answered(self, pending: Pending, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """The certificate for ``key``, kept in ``pending`` on return.

        Raises:
            VerificationFailed: it is not what was asked for.
            ExchangeError: the authority refused, or did not answer.
        """
        kept = await in_thread(pending.certificate, key)
        if kept is not None and self.in_use.not_valid_after_utc <= datetime.now(UTC):
            der = _der(kept)
        else:
            try:
                der = await self._ask(key)
            except _TOO_LATE_TO_ASK[self.kind]:
                if kept is None:
                    raise
                der = _der(kept)  # what is in use is lost: there is nothing better
        found = self._checked(der, key)
        if found != kept:
            await in_thread(pending.keep, found)
        return found

    async def _ask(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        request = keys.request(key)
        async with AuthorityClient(self.profile, self.timing) as authority:
            if self.kind == "system":
                return await authority.renew(request)
            seal = self.profile.require_seal()
            signed = signature.sign(request, seal, at=datetime.now(UTC))
            return await authority.renew_seal(request, signed)

    def _checked(self, der: bytes, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        """What the authority answered, if it is what was asked for.

        Raises:
            VerificationFailed: it is for another key or holder, or of another issuer.
        """
        try:
            found = x509.load_der_x509_certificate(der)
            found.verify_directly_issued_by(self._issuer)
            holder = identity.of_certificate(found)
        except (ValueError, TypeError, InvalidSignature, Unauthenticated) as error:
            raise VerificationFailed(
                f"the authority's answer is no {self.kind} certificate: {error}", step="renew"
            ) from error
        fault = ""
        if found.public_key() != key.public_key():
            fault = "another key"
        elif holder != identity.of_certificate(self.in_use):
            fault = f"another holder, {holder}"
        if fault:
            raise VerificationFailed(
                f"the {self.kind} certificate that the authority answered is for {fault}",
                step="renew",
            )
        return found

    @property
    def _issuer(self) -> x509.Certificate:
        if self.kind == "system":
            return certificates.load_pem(self.profile.tls_ca)
        return self.profile.trust.seal_ca

    def chain(self, certificate: x509.Certificate) -> bytes:
        """PEM of a certificate that was answered, then of its issuing CA."""
        pem = serialization.Encoding.PEM
        return certificate.public_bytes(pem) + self._issuer.public_bytes(pem)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
