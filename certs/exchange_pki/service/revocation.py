"""Security staff revoke a certificate: journal, ledger and its issuer's list, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from document_exchange.errors import InternalError, InvalidRequest, NotFound, Refused
from exchange_pki import crl
from exchange_pki.authority import normal_serial
from exchange_pki.profile import AUTHORITIES
from exchange_pki.register import Certified, Register
from exchange_pki.service.inventory import Inventory
from exchange_pki.service.worker import AuthorityWorker
from exchange_runtime.values import CertificateRecord, Principal


@dataclass(frozen=True)
class Revoker:
    """One answer for each request, however often it comes: the revocation that stands."""

    worker: AuthorityWorker
    inventory: Inventory

    async def revoke(
        self, principal: Principal, *, fingerprint: str, serial: str, reason: str
    ) -> CertificateRecord:
        """Revoke a certificate, named by one of the two; it opens no door any more.

        Raises:
            InvalidRequest: not exactly one name, or a malformed one, or no such reason.
            NotFound: this authority issued no such certificate.
            Refused: it is an authority's own.
        """
        if bool(fingerprint) == bool(serial):
            raise InvalidRequest("give either fingerprint or serial", field="fingerprint")
        crl.check_reason(reason)
        if serial:
            wanted = normal_serial(serial)
            certified = await self.worker.read(lambda register: register.certified.get(wanted))
        else:
            digest = normal_fingerprint(fingerprint)
            certified = await self.worker.read(lambda register: _by_digest(register, digest))
        if certified is None:
            raise NotFound("this authority issued no such certificate")
        if certified.profile in AUTHORITIES:
            raise Refused(
                f"{certified.profile} is an authority: its certificate is revoked by hand, with "
                "exchange-pki revoke"
            )
        await self.worker.revoke(
            certified.serial, reason, actor=str(principal.identity), address=principal.address
        )
        found = await self.inventory.certificate(bytes.fromhex(certified.fingerprint))
        if found is None:
            raise InternalError("a certificate that was published is not in the ledger")
        return found


def normal_fingerprint(text: str) -> str:
    """A SHA-256 in hex, however a tool wrote it (capitals, colons), as 64 lower-case digits.

    Raises:
        InvalidRequest: it is none.
    """
    digits = text.replace(":", "").strip().lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise InvalidRequest(
            f"{text[:100]!r} is no SHA-256 fingerprint in hex", field="fingerprint"
        )
    return digits


def _by_digest(register: Register, digest: str) -> Certified | None:
    serial = register.serials.get(digest)
    return None if serial is None else register.certified[serial]
