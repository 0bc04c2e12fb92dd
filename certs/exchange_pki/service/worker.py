"""One authority at work: its acts one after the other on one thread, and each in the ledger.

An act is durable in the journal (intent, act, outcome) and then in the ledger before its answer
leaves. What waits while an act runs is done together: issuances that queue up cost one wait for
the disk and one transaction. Several workers, in processes of their own, may share one state
directory: each takes in what the others did before it acts, and whenever it looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import (
    ConfigurationError,
    ExchangeError,
    InternalError,
    ShuttingDown,
    Unavailable,
)
from exchange_pki.authority import Authority
from exchange_pki.outcome import Cause
from exchange_pki.own_key import OwnKey
from exchange_pki.prepare import Order
from exchange_pki.profile import ROOT, SEAL_CA, TLS_CA
from exchange_pki.publish import Publisher, Unpublished
from exchange_pki.register import Certified, Register, Revocation
from exchange_pki.repeatable import Application

log = structlog.get_logger(__name__)

_MOST_AT_ONCE = 256
_MOST_WAITING = 4096

_T = TypeVar("_T")


@dataclass(frozen=True)
class Trust:
    """The certificates above every leaf."""

    root: x509.Certificate
    tls_ca: x509.Certificate
    seal_ca: x509.Certificate


@dataclass
class _Act:
    """Something to do on the thread, and who waits for it."""

    run: Callable[[], Any] | None = None
    application: Application | None = None
    """What is to be issued instead; such acts are done together."""
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.Future())


class AuthorityWorker:
    """The service's only way to the authority's keys. ``start`` before use."""

    def __init__(
        self,
        authority: Authority,
        publisher: Publisher,
        lifetimes: Mapping[str, timedelta],
    ) -> None:
        """``lifetimes``: the longest that certificates of a profile may live, where shortened."""
        self._authority = authority
        self._publisher = publisher
        self._lifetimes = lifetimes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="authority")
        self._queue: asyncio.Queue[_Act] = asyncio.Queue(_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._ledger_fails = False
        self._lists_due: set[str] = set()
        """Of which issuers a list is to be signed at the end of the round, besides those that lack
        a revocation."""
        self._lists_failed: set[str] = set()
        """Of which issuers it could not be; tried again when lists are looked at next."""
        self.trust_domain = authority.trust_domain
        self.root_fingerprint = authority.root_fingerprint
        self.trust = Trust(*(authority.certificate(name) for name in (ROOT, TLS_CA, SEAL_CA)))

    async def start(self) -> None:
        """Bring all of the journal into the ledger, then take orders.

        Raises:
            ConfigurationError: the ledger is not this authority's.
            Unavailable: it does not answer.
        """
        await self._on_thread(self._look)
        await self._publisher.begin(self._authority.register)
        await self._publish()
        self._task = asyncio.create_task(self._work(), name="authority")

    async def stop(self) -> None:
        """Finish what was ordered, then take no more orders."""
        self._stopped = True
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._queue.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    async def issue(
        self,
        order: Order,
        public_key: ec.EllipticCurvePublicKey,
        *,
        actor: str,
        address: str | None = None,
        detail: Mapping[str, str] | None = None,
        lifetime: timedelta | None = None,
        on_strength_of: tuple[str, ...] = (),
    ) -> Certified:
        """A certificate for this key, whose holder proved to have it.

        The same key gets the same certificate again for the same profile and identity, while that
        is valid and unrevoked. When this returns, it MUST be durable in journal and ledger.

        Args:
            order: what is to be certified.
            public_key: the subject's.
            actor: who caused it, as its event says: a SPIFFE ID, or ``enrolment``.
            address: from which network address.
            detail: what else the event shall say, such as the token.
            lifetime: at most this long; profile and settings may say less.
            on_strength_of: fingerprints (hex) of the certificates by which it is asked for; they
                must be unrevoked in the moment of signing.

        Raises:
            CertificateRevoked, SealRevoked: one of those is not.
            KeyReused: the key serves something else, or a certificate of it was revoked.
            RequestRefused: the certificate would break a rule.
            InvalidRequest: a field of the order is wrong.
            QuotaExceeded: whoever renews was given enough certificates lately.
            Unavailable: it may have been signed; ask again with the same key.
        """
        order = self.limited(order, lifetime)
        cause = Cause(actor, address, dict(detail or {}))
        certified: Certified = await self._do(
            _Act(application=Application(order, public_key, cause, on_strength_of))
        )
        return certified

    def limited(self, order: Order, lifetime: timedelta | None = None) -> Order:
        """The order, for no longer than that and the settings allow."""
        limits = [each for each in (lifetime, self._lifetimes.get(order.profile)) if each]
        return replace(order, lifetime=min(limits)) if limits else order

    async def revoke(
        self, serial: str, reason: str, *, actor: str, address: str | None = None
    ) -> Revocation:
        """Revoke a certificate; the revocation that stands is returned, also if it is older.

        With a compromised key goes what it may have been renewed to; see ``Authority.revoke``.

        When this returns, it MUST be durable in journal and ledger. Its issuer's list has it, too,
        or, where that can't be signed now, as soon as it can: the journal says what is lacking.

        Raises:
            NotFound: this authority never issued such a certificate.
            InvalidRequest: the reason is none.
            Unavailable: it may have been revoked; ask again.
        """
        act = partial(self._authority.revoke, serial, reason, Cause(actor, address))
        revocation: Revocation = await self._do(_Act(act))
        return revocation

    async def sign_due_crls(self, older_than: timedelta) -> None:
        """Sign and publish a fresh list of each issuer whose newest was signed that long ago.

        Of several workers on one state directory, the first one does it.
        """
        await self._do(_Act(partial(self._sign_due_crls, older_than)))

    async def keep(self, key: OwnKey) -> None:
        """Renew a key of the service's own in time; see ``OwnKey.keep``.

        When this returns, its certificate MUST be durable in journal and ledger.

        Raises:
            Unavailable: it may have been renewed, but the ledger does not know.
        """
        await self._do(_Act(key.keep))

    async def follow(self) -> None:
        """Take in what others wrote into the journal, and bring it into the ledger.

        Whether the ledger takes it, the log says; the next time makes it good.
        """
        with suppress(Unavailable):
            await self._do(_Act(lambda: None))

    async def read(self, look: Callable[[Register], _T]) -> _T:
        """What ``look`` finds in the register, as of now. It must not keep the register."""

        def looked() -> _T:
            self._authority.refresh()
            return look(self._authority.register)

        return await self._on_thread(looked)

    async def crl(self, issuer: str) -> bytes:
        """The newest list of root, TLS CA or seal CA, in DER."""
        try:
            return await self._on_thread(partial(self._authority.crl_der, issuer))
        except ConfigurationError as error:
            raise _as_ours(error) from error

    async def _do(self, act: _Act) -> Any:
        if self._stopped or self._task is None or self._task.done():
            raise ShuttingDown
        try:
            self._queue.put_nowait(act)
        except asyncio.QueueFull:
            raise Unavailable("the authority has too much to do; try again later") from None
        # A caller that gives up stops nothing: what was begun is finished and published.
        return await asyncio.shield(act.done)

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _work(self) -> None:
        while True:
            acts = [await self._queue.get()]
            while len(acts) < _MOST_AT_ONCE and not self._queue.empty():
                acts.append(self._queue.get_nowait())
            try:
                await self._round(acts)
            finally:
                for _ in acts:
                    self._queue.task_done()

    async def _round(self, acts: Sequence[_Act]) -> None:
        """Do everything, publish everything, answer everybody."""
        try:
            answers = await self._on_thread(partial(self._perform, acts))
        except Exception as error:
            answers = [_as_ours(error)] * len(acts)
        not_published = await self._published()
        for act, answer in zip(acts, answers, strict=True):
            if act.done.cancelled():
                continue
            failure = answer if isinstance(answer, Exception) else not_published
            if failure is None:
                act.done.set_result(answer)
            else:
                act.done.set_exception(failure)
                act.done.exception()  # a caller that gave up leaves nobody to look at it

    async def _published(self) -> ExchangeError | None:
        """Publish; why that failed, which the log says once, as it does when it works again."""
        try:
            await self._publish()
        except Exception as error:
            if not self._ledger_fails:
                log.error("ledger_takes_nothing", exc_info=error)
            self._ledger_fails = True
            return error if isinstance(error, Unavailable) else Unavailable()
        if self._ledger_fails:
            log.info("ledger_takes_again")
        self._ledger_fails = False
        return None

    def _perform(self, acts: Sequence[_Act]) -> list[Any]:
        """On the thread: what each act gives, or the error that it ended with."""
        self._look()
        answers: list[Any] = [None] * len(acts)
        applications = [(i, a.application) for i, a in enumerate(acts) if a.application]
        if applications:
            issued = self._authority.issue_each([each for _, each in applications])
            for (place, _), answer in zip(applications, issued, strict=True):
                answers[place] = _as_ours(answer) if isinstance(answer, Exception) else answer
        for place, act in enumerate(acts):
            if act.run is not None:
                try:
                    answers[place] = act.run()
                except Exception as error:
                    answers[place] = _as_ours(error)
        self._sign_lists()
        return answers

    def _look(self) -> None:
        """Take in what others did; make good what died with them."""
        self._authority.refresh()
        if self._authority.register.unsettled():
            for revocation in self._authority.settle():
                log.warning("unfinished_act_settled", serial=revocation.serial)

    def _sign_due_crls(self, older_than: timedelta) -> None:
        self._lists_failed.clear()
        self._lists_due.update(self._authority.due_crls(older_than))

    def _sign_lists(self) -> None:
        """Once for however many revocations of this round, of dead processes, or done by hand."""
        due = (self._lists_due | self._authority.register.lacking) - self._lists_failed
        self._lists_due.clear()
        for issuer in sorted(due):
            try:
                self._authority.issue_crls([issuer])
            except Exception as error:
                self._lists_failed.add(issuer)
                log.error("crl_not_signed", issuer=issuer, error=str(error))

    def _unpublished(self) -> list[Unpublished]:
        return self._publisher.unpublished(self._authority.register, self._authority.layout)

    async def _publish(self) -> None:
        pieces = await self._on_thread(self._unpublished)
        if pieces:
            await self._publisher.publish(pieces)


def _as_ours(error: Exception) -> ExchangeError:
    if isinstance(error, ConfigurationError):
        # The disk, the passphrase: nothing that the caller did or could mend.
        log.error("authority_not_able", error=error.message)
        return Unavailable("the authority can't act now; its administrator has to look at its log")
    if isinstance(error, ExchangeError):
        return error
    log.error("act_failed", exc_info=error)
    return InternalError()
