"""A holder renews what it holds: a system itself, staff themselves, a seal by the seal.

Nothing here turns one kind of certificate into another: a TLS key never yields a seal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509

from document_exchange import signature
from document_exchange.certificates import SealTrust, fingerprint
from document_exchange.errors import KeyReused, SealNotTrusted, SealOfAnotherUnit
from document_exchange.identity import Kind
from exchange_pki.prepare import Order
from exchange_pki.register import Certified
from exchange_pki.service import proved_request
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime.clock import Clock
from exchange_runtime.values import Principal


@dataclass(frozen=True)
class Renewal:
    """Safe to repeat: one key gets one certificate."""

    worker: AuthorityWorker
    trust: SealTrust
    role_of: Callable[[Principal], str]
    clock: Clock

    async def renew(self, principal: Principal, request: bytes) -> Certified:
        """A certificate for a new key and the identity by which the caller came.

        1. The request is signed with the key that it holds, and names nobody else.
        2. Order: kind, unit and name of the caller's certificate, the role that it was issued for.
        3. The caller's certificate is still unrevoked when the new one is signed (the register).
        4. The key is not the one that the caller has already.

        Raises:
            RequestRefused: it is no request for a new key; IdentityMismatch: of somebody else;
                KeyReused: not new.
            CertificateRevoked: the caller's own, in this very moment.
            QuotaExceeded: the caller was given enough certificates lately.
        """
        # 1. and 2.
        proved = proved_request.read(request, "request")
        proved.check_names(str(principal.identity))
        name = principal.identity.name
        if principal.identity.kind is Kind.STAFF:
            order = Order("staff", name, role=self.role_of(principal))
        else:
            order = Order("system", name, unit=principal.unit)
        # 3. and 4.
        own = principal.fingerprint.hex()
        certified = await self.worker.issue(
            order,
            proved.public_key,
            actor=str(principal.identity),
            address=principal.address,
            detail={"renewed_from": own},
            on_strength_of=(own,),
        )
        _check_new(certified, own)
        return certified

    async def renew_seal(self, principal: Principal, request: bytes, signed: bytes) -> Certified:
        """A certificate for a new key of the seal that signed the request.

        1. The signature is one over exactly the bytes of the request.
        2. Whoever made it is a seal: it chains through the seal CA, for sealing, valid now.
        3. It is a seal of the caller's unit.
        4. The request is signed with the key that it holds, and names nobody else.
        5. The seal and the caller's certificate are known and unrevoked when it is signed.
        6. The key is not the one that the seal has already.

        Raises:
            SignatureInvalid: step 1; SealNotTrusted, SealExpired: step 2; SealOfAnotherUnit:
                step 3; RequestRefused, IdentityMismatch: step 4; SealRevoked, CertificateRevoked,
                RequestRefused (this authority did not issue the seal): step 5; KeyReused: step 6.
            QuotaExceeded: the seal was given enough of them lately.
        """
        # 1. to 3.
        signer = signature.verify(request, signed)
        unit, name = self._seal_of(signer, principal)
        # 4.
        proved = proved_request.read(request, "request")
        order = Order("seal", name, unit=unit)
        proved.check_names(
            f"spiffe://{self.worker.trust_domain}/unit/{unit}/{Kind.SEAL.value}/{name}"
        )
        # 5. and 6.
        seal = fingerprint(signer)
        certified = await self.worker.issue(
            order,
            proved.public_key,
            actor=str(principal.identity),
            address=principal.address,
            detail={"signed_by": seal},
            on_strength_of=(principal.fingerprint.hex(), seal),
        )
        _check_new(certified, seal)
        return certified

    def _seal_of(self, signer: x509.Certificate, principal: Principal) -> tuple[str, str]:
        """Unit and name of the seal that this certificate is."""
        whose = self.trust.check(signer, at=self.clock(), crls=None)
        if whose.kind is not Kind.SEAL or whose.trust_domain != self.worker.trust_domain:
            raise SealNotTrusted(f"{whose} is not the seal of a unit", identity=str(whose))
        if whose.unit is None or whose.unit != principal.unit:
            raise SealOfAnotherUnit(
                f"the request is signed by {whose}, which is no seal of {principal.unit}",
                identity=str(whose),
                unit=principal.unit,
            )
        return whose.unit, whose.name


def _check_new(certified: Certified, current: str) -> None:
    if certified.fingerprint == current:
        raise KeyReused("this is the key of the current certificate; make a new key")
