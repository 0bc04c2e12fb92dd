"""Several processes of the authority on one state directory: raced, killed, without a ledger."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence

import grpc
import pytest
from cryptography import x509
from exchange_pki.acts import Acts
from exchange_pki.authority import Authority
from exchange_pki.keys import Passphrase
from exchange_pki.prepare import Order
from google.rpc import status_pb2

from document_exchange import status
from document_exchange.errors import (
    CertificateNotAdmitted,
    CertificateRevoked,
    ExchangeError,
    Unavailable,
)
from document_exchange.v1.authority_pb2 import GetCrlRequest, RenewRequest, RevokeRequest
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import PASSPHRASE, new_private_key
from tests.enrolment_for_tests import signing_request
from tests.integration.authority_calls import (
    WITHIN_S,
    access,
    admitted,
    office_fixture,
    refusal,
)
from tests.integration.authority_service import UNIT, AuthorityOffice, Service
from tests.pki_for_tests import Holder
from tests.real_centre import typed

office = office_fixture()


def as_clients_see(error: grpc.aio.AioRpcError) -> ExchangeError:
    """The typed error, also where gRPC made it: a process that ends or is killed does not."""
    found = typed(error)
    if type(found) is not ExchangeError:
        return found
    return status.from_status(
        status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    )


async def renew_all(
    office: AuthorityOffice, service: Service, callers: Sequence[Holder], requests: Sequence[bytes]
) -> list[bytes | ExchangeError]:
    """The certificate, or the error, for each caller's request, asked for all at once."""

    async def one(caller: Holder, request: bytes) -> bytes | ExchangeError:
        async with office.call(service, caller) as stub:
            try:
                return bytes((await stub.Renew(RenewRequest(request=request))).certificate)
            except grpc.aio.AioRpcError as error:
                return as_clients_see(error)

    return list(await asyncio.gather(*map(one, callers, requests)))


async def check_books(office: AuthorityOffice, requests: Sequence[bytes]) -> None:
    """Each key has one living certificate; journal and ledger say the same; nothing is open."""
    authority = office.open()
    register = authority.register
    keys = {
        x509.load_der_x509_csr(request).public_key().public_numbers()  # type: ignore[union-attr]
        for request in requests
    }
    living = Counter(
        each.certificate.public_key().public_numbers()  # type: ignore[union-attr]
        for each in register.certified.values()
        if each.serial not in register.revoked
    )
    assert {key: living[key] for key in keys} == dict.fromkeys(keys, 1)
    assert register.unfinished() == []
    async with office.ledger() as owner:
        rows = await owner.fetch(
            "select serial, revoked_at is not null as revoked from exchange.certificates"
        )
        issued = await owner.fetch(
            "select event_id from exchange.events where type = 'CERTIFICATE_ISSUED'"
        )
    assert {row["serial"]: row["revoked"] for row in rows} == {
        each.serial: each.serial in register.revoked
        for each in register.certified.values()
        if each.event is not None
    }
    assert len({row["event_id"] for row in issued}) == len(issued) == len(rows)


async def test_two_processes_on_one_state_directory(office: AuthorityOffice) -> None:
    """Both are asked for the same at the same time, and both give the same certificate."""
    callers = office.systems("replicas", 30)
    caller = callers[-1]
    requests = [signing_request(new_private_key()) for _ in callers]
    async with office.service() as one, office.service() as other:
        for service in (one, other):
            await admitted(office, service, caller)
        found, again = await asyncio.gather(
            renew_all(office, one, callers, requests), renew_all(office, other, callers, requests)
        )
        assert found == again
        assert all(isinstance(each, bytes) for each in found)
        security = await admitted(office, other, office.staff("security"))
        async with office.call(other, security) as stub:
            fingerprint = x509.load_der_x509_certificate(caller.der)
            await stub.Revoke(
                RevokeRequest(serial=f"{fingerprint.serial_number:x}", reason="superseded")
            )
        async with asyncio.timeout(WITHIN_S):
            while await access(office, one, caller) is not CertificateRevoked:
                pass
    await check_books(office, requests)


async def renew_until(
    office: AuthorityOffice,
    service: Service,
    callers: Sequence[Holder],
    requests: Sequence[bytes],
    *,
    answers: int,
    then: signal.Signals,
) -> dict[bytes, bytes | ExchangeError]:
    """Send the process a signal after so many answers; what became of each caller's request."""
    outcomes: dict[bytes, bytes | ExchangeError] = {}
    places = asyncio.Semaphore(4)

    async def one(caller: Holder, request: bytes) -> None:
        async with places, office.call(service, caller) as stub:
            try:
                answer = await stub.Renew(RenewRequest(request=request))
            except grpc.aio.AioRpcError as error:
                outcomes[request] = as_clients_see(error)
                return
        outcomes[request] = bytes(answer.certificate)
        if len(outcomes) == answers:
            service.process.send_signal(then)

    await asyncio.gather(*map(one, callers, requests))
    return outcomes


async def test_killed_while_it_issues(office: AuthorityOffice) -> None:
    """kill -9 at several moments: what was answered stands, and a repeat completes the rest."""
    everything: list[bytes] = []
    for answers in (1, 5, 12):
        callers = office.systems(f"killed-{answers}", 30)
        requests = [signing_request(new_private_key()) for _ in callers]
        everything += requests
        async with office.service() as service:
            await admitted(office, service, callers[-1])
            outcomes = await renew_until(
                office, service, callers, requests, answers=answers, then=signal.SIGKILL
            )
        assert any(isinstance(each, ExchangeError) for each in outcomes.values())
        async with office.service() as service:
            repeated = await renew_all(office, service, callers, requests)
        for request, certificate in zip(requests, repeated, strict=True):
            assert isinstance(certificate, bytes)
            if isinstance(outcomes[request], bytes):
                assert certificate == outcomes[request], "what was answered stands"
    await check_books(office, everything)


async def test_it_finishes_what_was_begun_and_ends(office: AuthorityOffice) -> None:
    callers = office.systems("stopped", 30)
    requests = [signing_request(new_private_key()) for _ in callers]
    async with office.service() as service:
        await admitted(office, service, callers[-1])
        outcomes = await renew_until(
            office, service, callers, requests, answers=5, then=signal.SIGTERM
        )
        assert await asyncio.to_thread(service.process.wait, 20) == 0
    for each in outcomes.values():
        assert isinstance(each, bytes | Unavailable), "a certificate, or: try again"


async def test_what_was_begun_and_never_finished_is_revoked(
    office: AuthorityOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between intent and outcome leaves no second living certificate unseen."""
    caller = office.issue("system", UNIT, "cut")
    key = new_private_key()
    with monkeypatch.context() as patch:

        def power_cut(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Acts, "_signed", power_cut)
        with pytest.raises(KeyboardInterrupt):
            office.open().issue(Order("system", "cut", unit=UNIT), key.public_key())
    (unfinished,) = office.open().register.unsettled()
    async with office.service() as service:
        await admitted(office, service, caller)
        (renewed,) = await renew_all(office, service, [caller], [signing_request(key)])
        async with office.call(service, caller) as stub:
            crl = (await stub.GetCrl(GetCrlRequest(issuer="tls-ca"))).crl
        assert [each["serial"] for each in service.logged("unfinished_act_settled")] == [
            unfinished.serial
        ]
    assert isinstance(renewed, bytes)
    listed = x509.load_der_x509_crl(crl)
    assert listed.get_revoked_certificate_by_serial_number(int(unfinished.serial, 16)) is not None
    await check_books(office, [signing_request(key)])


async def test_nothing_is_answered_before_the_ledger_has_it(office: AuthorityOffice) -> None:
    caller = office.issue("system", UNIT, "stalled")
    request = signing_request(new_private_key())
    async with office.service(ledger="timeout_s = 0.5") as service, office.ledger() as owner:
        await admitted(office, service, caller)
        async with owner.transaction():
            await owner.execute("lock table exchange.certificates in share row exclusive mode")
            (refused,) = await renew_all(office, service, [caller], [request])
            assert type(refused) is Unavailable
            assert service.logged("ledger_takes_nothing")
        (renewed,) = await renew_all(office, service, [caller], [request])
        assert isinstance(renewed, bytes)
    await check_books(office, [request])


async def test_what_the_journal_knows_stops_a_renewal_before_the_ledger_does(
    office: AuthorityOffice,
) -> None:
    """Between a revocation and its publication nobody gets a certificate that outlives it."""
    caller = office.issue("system", UNIT, "raced")
    async with office.service(follow_interval_s=3600) as service:
        authority = office.open()
        authority.revoke(authority.serial_of(caller.certificate), "keyCompromise")
        assert await access(office, service, caller) is None
        async with office.call(service, caller) as stub:
            request = RenewRequest(request=signing_request(new_private_key()))
            assert type(await refusal(stub.Renew(request))) is CertificateRevoked


async def test_a_certificate_that_nobody_published_opens_nothing(office: AuthorityOffice) -> None:
    async with office.service(follow_interval_s=3600) as service:
        unknown = office.issue("system", UNIT, "unknown")
        assert await access(office, service, unknown) is CertificateNotAdmitted


async def test_lists_are_signed_by_the_clock(office: AuthorityOffice) -> None:
    async with office.ledger() as owner, office.service("crl_interval_s = 0.4"):
        newest = (
            "select min(n) from (select max(number) as n from exchange.crls group by issuer) as m"
        )
        before = await owner.fetchval(newest)
        async with asyncio.timeout(5):
            while await owner.fetchval(newest) < before + 2:
                pass


async def test_it_does_not_start_on_what_is_not_its_own(
    office: AuthorityOffice, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another authority's ledger, another's passphrase, the centre's role: each is named."""
    async with office.service():
        pass  # now the ledger belongs to this root
    directory = tmp_path_factory.mktemp("other")
    other = AuthorityOffice(directory, office.dsn, office.owner_dsn)
    Authority.init(other.state, "other.example", PASSPHRASE)
    (directory / "tls").symlink_to(office.directory / "tls")
    with pytest.raises(AssertionError, match="belongs to another root"):
        async with other.service():
            pass
    stranger = AuthorityOffice(
        office.directory, office.dsn, office.owner_dsn, Passphrase(b"not the right one")
    )
    with pytest.raises(AssertionError, match="KEY_UNUSABLE"):
        async with stranger.service():
            pass
    name = office.dsn.partition("?")[0].rpartition("/")[2]
    wrong_role = AuthorityOffice(office.directory, postgres.dsn("exchange", name), office.owner_dsn)
    with pytest.raises(AssertionError, match="NOT_PERMITTED"):
        async with wrong_role.service():
            pass
