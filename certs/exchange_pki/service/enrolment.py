"""Enrolment: whoever holds a one-use token gets certificates for keys of their own making.

The steps of Enrol, labelled in the code:

1. The token is looked up by its hash; one that nobody issued, or that was withdrawn or came too
   late, ends here. So does one that was used, unless the request that is signed with the system's
   key shows that it was with this key. Who holds such a token learns nothing about it.
2. What is asked for is what the token is for: this unit, with or without a seal.
3. Each signing request proves its key: PKCS#10 of at most 16 KiB, P-256, signed by that key; and
   system and seal have keys of their own.
4. A subjectAltName in a request is absent or exactly the identity that the registry and the token
   give. Nothing else of a request is ever looked at. No refusal says which identity that is.
5. A token that is still free is not wasted upon keys that can't be certified: those that serve
   something else, or were revoked.
6. Claim: one transaction binds the token to the pair of keys, or finds it bound: to this pair, and
   it may collect; to another, and it is refused. It looks at unit, system and staff, too. The
   event TOKEN_USED, and SEAL_REQUESTED with the request for the seal, are part of it.
7. The system's (or staff's) certificate is issued, once: the same key gets the same one again. The
   ledger notes it; from then on it is handed out from there, unsigned.
8. The seal waits for security staff, or is approved here where that is configured, or is issued
   if it was approved since.

Nothing is signed before step 6, so what is refused costs no signature. A crash after it costs
nothing: the same pair repeats Enrol and gets what was begun. It may do so for as long as its
system certificate is valid and unrevoked; after that, the token is no way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from document_exchange.errors import (
    InvalidRequest,
    KeyReused,
    TokenOfAnotherUnit,
    TokenUnknown,
)
from exchange_pki import prepare, profile
from exchange_pki.prepare import Order
from exchange_pki.register import Register
from exchange_pki.service import claims, proved_request
from exchange_pki.service.proved_request import ProvedRequest
from exchange_pki.service.seals import Issuer, SealRequest, Seals
from exchange_pki.service.tokens import Holder, digest
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database
from exchange_runtime.values import Actor

ACTOR = "enrolment"
"""Who acts, in the events of callers that have no certificate yet."""
TOLD_APART_BY = "token_id"
"""The log context, and the detail of an event, that says which token a call is about."""

AUTOMATIC, SECURITY = "automatic", "security"

OPEN = "OPEN"

_T = TypeVar("_T")


class Authority(Issuer, Protocol):
    """What the steps need of ``AuthorityWorker``."""

    trust_domain: str

    async def read(self, look: Callable[[Register], _T]) -> _T:
        """What ``look`` finds in the register, as of now."""
        ...


@dataclass(frozen=True)
class Application:
    """What came with Enrol."""

    token: str = field(repr=False)
    system_request: bytes = field(repr=False)
    seal_request: bytes = field(default=b"", repr=False)
    unit: str = ""


@dataclass(frozen=True)
class Enrolled:
    """What Enrol gives. Certificates are DER."""

    identity: str
    certificate: bytes
    seal: SealRequest | None
    """None if the token is without a seal."""


@dataclass(frozen=True)
class _Found:
    """A token that exists."""

    token_id: str
    holder: Holder
    role: str
    standing: str
    """OPEN, USED, EXPIRED or WITHDRAWN."""
    system_key: bytes
    """SHA-256 of the key that it was used with; empty if it was not."""
    certificate: bytes
    request_id: str


@dataclass(frozen=True)
class _Wanted:
    """One certificate that is asked for: the order, its identity, and the key that was proved."""

    order: Order
    identity: str
    request: ProvedRequest


class Enrolment:
    """The steps above. Errors besides those named: see ``Database``."""

    def __init__(
        self,
        database: Database,
        authority: Authority,
        seals: Seals,
        clock: Clock,
        *,
        seal_approval: str = SECURITY,
    ) -> None:
        """``seal_approval``: SECURITY, or AUTOMATIC for demonstrations."""
        self._database = database
        self._authority = authority
        self._seals = seals
        self._clock = clock
        self._seal_approval = seal_approval

    async def enrol(self, application: Application, address: str) -> Enrolled:
        """Use a token, or collect what it gave. Safe to repeat.

        Every certificate MUST be durable in journal and ledger when this returns it.

        Args:
            application: token and signing requests.
            address: from where it came, for the events.

        Raises:
            TokenUnknown: it was never issued, or withdrawn.
            TokenOfAnotherUnit: the application names another unit.
            InvalidRequest: there is a seal request and the token is without a seal, or none
                and it is with one.
            RequestRefused: a signing request is wrong; ``IdentityMismatch`` if it asks for
                another identity, ``KeyReused`` if its key serves something else.
            TokenUsed: it belongs to another pair of keys.
            TokenExpired: its time, or that of what it gave, is over.
            CertificateRevoked: what it gave was revoked.
            UnitNotActive, SystemNotActive, StaffNotActive: whom it is for is shut out.
            Unavailable: the outcome is unknown; repeat it with the same keys.
        """
        actor = Actor(ACTOR, address)
        found = await self._look_up(application.token)  # step 1
        system = _proved_by_owner(found, application)
        _check_purpose(found, application)  # step 2
        wanted = self._wanted(found, system, application)  # steps 3 and 4
        if found.standing == OPEN:
            await self._check_keys(found, wanted)  # step 5
        await claims.claim(  # step 6
            self._database,
            claims.Claim(
                token_sha256=digest(application.token),
                token_id=found.token_id,
                holder=found.holder,
                system=wanted[0].request,
                seal=wanted[1].request if len(wanted) > 1 else None,
                collectable=profile.get(wanted[0].order.profile).lifetime,
            ),
            actor,
            self._clock(),
        )
        found = await self._look_up(application.token)  # with what the claim made
        certificate = found.certificate or await self._issue(found, wanted[0], actor)  # step 7
        seal = await self._seal(found, actor) if found.request_id else None  # step 8
        return Enrolled(wanted[0].identity, certificate, seal)

    async def _look_up(self, token: str) -> _Found:
        row = await self._database.row("find_token", digest(token))
        if row is None:
            raise TokenUnknown
        structlog.contextvars.bind_contextvars(**{TOLD_APART_BY: row["token_id"]})
        return _Found(
            token_id=row["token_id"],
            holder=Holder(row["unit"], row["system"], row["seal"], row["staff"]),
            role=row["role"],
            standing=row["standing"],
            system_key=row["system_key"] or b"",
            certificate=row["certificate"] or b"",
            request_id=row["request_id"] or "",
        )

    def _wanted(
        self, found: _Found, system: ProvedRequest, application: Application
    ) -> list[_Wanted]:
        """What is wanted: the system's or staff's certificate, then the seal's if there is one."""
        holder = found.holder
        if holder.staff:
            orders = [Order("staff", holder.staff, role=found.role)]
        else:
            orders = [Order("system", holder.system, unit=holder.unit)]
        requests = [system]
        if holder.seal:
            orders.append(Order("seal", holder.seal, unit=holder.unit))
            requests.append(proved_request.read(application.seal_request, "seal_request"))
        if len({request.key_sha256 for request in requests}) != len(requests):
            raise KeyReused(
                "system and seal have the same key: make one for each", field="seal_request"
            )
        wanted = []
        for order, request in zip(orders, requests, strict=True):
            identity = prepare.identity_of(order, self._authority.trust_domain)
            request.check_names(identity)
            wanted.append(_Wanted(order, identity, request))
        return wanted

    async def _check_keys(self, found: _Found, wanted: list[_Wanted]) -> None:
        objections = await self._authority.read(
            lambda register: [_objection(register, each) for each in wanted]
        )
        for each, why in zip(wanted, objections, strict=True):
            if why is not None:
                raise KeyReused(
                    f"{each.request.field}: {why}; make a new key and use the token with that",
                    field=each.request.field,
                    token_id=found.token_id,
                )

    async def _issue(self, found: _Found, wanted: _Wanted, actor: Actor) -> bytes:
        certified = await self._authority.issue(
            wanted.order,
            wanted.request.public_key,
            actor=actor.identity,
            address=actor.address or None,
            detail={"token_id": found.token_id},
        )
        await self._database.value(
            "note_system_certificate", found.token_id, bytes.fromhex(certified.fingerprint)
        )
        return certified.der

    async def _seal(self, found: _Found, actor: Actor) -> SealRequest:
        request = await self._seals.completed(found.request_id)
        if self._seal_approval == AUTOMATIC and not request.decided_by:
            return await self._seals.decide(
                actor, request.request_id, request.key_sha256, reason=AUTOMATIC
            )
        return request


def _objection(register: Register, wanted: _Wanted) -> str | None:
    """Why this key can't be certified for this; None if nothing is known against it."""
    key = wanted.request.key_sha256
    if register.withdrawn(key):
        return "a certificate of this key was revoked"
    if register.key_conflict(key, wanted.order.profile, wanted.identity):
        return "the key serves, or served, something else"
    return None


def _proved_by_owner(found: _Found, application: Application) -> ProvedRequest:
    """The request for the system's key, if that key may still have to do with this token."""
    if found.standing in ("WITHDRAWN", "EXPIRED"):
        raise claims.refusal(found.standing, found.token_id)
    request = proved_request.read(application.system_request, "system_request")
    if found.system_key and found.system_key.hex() != request.key_sha256:
        raise claims.refusal("OTHER_KEY", found.token_id)
    return request


def _check_purpose(found: _Found, application: Application) -> None:
    holder = found.holder
    if application.unit and application.unit != holder.unit:
        # Whose it is instead is not said: the caller may have found the token.
        raise TokenOfAnotherUnit(
            "this enrolment token was not issued for the unit that you named; ask the operator "
            "for one of your own",
            token_id=found.token_id,
        )
    if bool(application.seal_request) != bool(holder.seal):
        what = "with a seal: send its request, too" if holder.seal else "without a seal: send none"
        raise InvalidRequest(f"the token is {what}", field="seal_request", token_id=found.token_id)
