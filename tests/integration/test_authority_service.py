"""The authority as a process, called over mutual TLS: renewal and revocation."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_pki.keys import open_encrypted
from exchange_pki.profile import SEAL_CA

from document_exchange import identity, signature
from document_exchange.errors import (
    CertificateRevoked,
    ExchangeError,
    IdentityMismatch,
    InvalidRequest,
    KeyReused,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    RequestRefused,
    SealNotTrusted,
    SealOfAnotherUnit,
    SealRevoked,
    SignatureInvalid,
    StaffNotActive,
    SystemNotActive,
    UnitNotActive,
)
from document_exchange.v1 import authority_pb2_grpc
from document_exchange.v1.authority_pb2 import (
    GetCrlRequest,
    ListCertificatesRequest,
    RenewRequest,
    RenewSealRequest,
    RevokeRequest,
)
from tests.authority_for_tests import TRUST_DOMAIN, new_private_key
from tests.enrolment_for_tests import signing_request
from tests.integration.authority_calls import (
    WITHIN_S,
    access,
    admitted,
    calling_on,
    denials,
    office_fixture,
    refusal,
    renewed,
    service_fixture,
    show,
)
from tests.integration.authority_service import (
    OTHER_UNIT,
    UNIT,
    AuthorityOffice,
    Service,
    holder,
)
from tests.pki_for_tests import Holder, make_leaf

office = office_fixture()
service = service_fixture()

RENEW, RENEW_SEAL, REVOKE = (
    f"/document_exchange.v1.AuthorityService/{name}" for name in ("Renew", "RenewSeal", "Revoke")
)


def sealed_request(seal: Holder, key: ec.EllipticCurvePrivateKey, *names: str) -> RenewSealRequest:
    request = signing_request(key, *(x509.UniformResourceIdentifier(each) for each in names))
    return RenewSealRequest(
        request=request, signature=signature.sign(request, seal.signer, at=datetime.now(UTC))
    )


# ------------------------------------------------------------------------------ renewal


async def test_a_system_renews_itself(office: AuthorityOffice, service: Service) -> None:
    old = await admitted(office, service, office.issue("system", UNIT, "renewing"))
    key = new_private_key()
    own = str(identity.of_certificate(old.certificate))
    request = RenewRequest(request=signing_request(key, x509.UniformResourceIdentifier(own)))
    async with office.call(service, old) as stub:
        first = await stub.Renew(request)
        again = await stub.Renew(request)
    assert first == again, "a repeat gets the same certificate"
    new = holder(first.certificate, key)
    assert str(identity.of_certificate(new.certificate)) == own
    assert new.certificate.public_key() == key.public_key()
    async with office.ledger() as owner:
        assert (
            await owner.fetchval(
                "select count(*) from exchange.certificates where identity = $1", own
            )
            == 2
        )
    (happened,) = (
        each
        for each in await office.events("CERTIFICATE_ISSUED")
        if each.certificate_sha256 == hashlib.sha256(first.certificate).hexdigest()
    )
    assert (happened.actor, happened.address) == (own, "127.0.0.1")
    assert (happened.detail or {})["renewed_from"] == hashlib.sha256(old.der).hexdigest()
    await admitted(office, service, new)


async def test_staff_renew_themselves_and_keep_their_role(
    office: AuthorityOffice, service: Service
) -> None:
    old = await admitted(office, service, office.staff("auditor"))
    new = await admitted(office, service, await renewed(office, service, old))
    async with office.call(service, new) as stub:
        listed = await stub.ListCertificates(ListCertificatesRequest(profile="staff"))
    fingerprint = hashlib.sha256(new.der).hexdigest()
    (own,) = (each for each in listed.certificates if each.fingerprint == fingerprint)
    assert own.role == "auditor"


async def test_nobody_floods_the_registry_by_renewing(
    office: AuthorityOffice, service: Service
) -> None:
    caller = await admitted(office, service, office.issue("system", UNIT, "flooding"))
    requests = [RenewRequest(request=signing_request(new_private_key())) for _ in range(3)]
    async with office.call(service, caller) as stub:
        first = await stub.Renew(requests[0])
        await stub.Renew(requests[1])
        refused = await refusal(stub.Renew(requests[2]))
        assert isinstance(refused, QuotaExceeded)
        assert 9 < refused.retry_after_s / 86400 <= 10, "a third of the lifetime"
        assert first == await stub.Renew(requests[0]), "a repeat is free"
    assert (RENEW, QuotaExceeded.code) in await denials(office, caller)


async def test_renewals_that_are_refused(office: AuthorityOffice, service: Service) -> None:
    old = await admitted(office, service, office.issue("system", UNIT, "refused"))
    foreign = office.issue("system", OTHER_UNIT, "oa")
    seal = office.issue("seal", UNIT, "refused")
    other = x509.UniformResourceIdentifier(
        f"spiffe://{TRUST_DOMAIN}/unit/{OTHER_UNIT}/system/refused"
    )
    cases: dict[bytes, type[ExchangeError]] = {
        b"": RequestRefused,
        b"\x30\x03\x02\x01\x00": RequestRefused,
        signing_request(new_private_key(), other): IdentityMismatch,
        signing_request(new_private_key(), x509.DNSName("centre.example")): IdentityMismatch,
        signing_request(new_private_key(ec.SECP384R1)): RequestRefused,
        signing_request(old.key): KeyReused,
        signing_request(foreign.key): KeyReused,
        signing_request(seal.key): KeyReused,
    }
    async with office.call(service, old) as stub:
        for request, error in cases.items():
            found = await refusal(stub.Renew(RenewRequest(request=request)))
            assert type(found) is error, found
    assert {(RENEW, error.code) for error in cases.values()} <= set(await denials(office, old))


async def test_a_revoked_certificate_is_not_renewed(
    office: AuthorityOffice, service: Service
) -> None:
    old = await admitted(office, service, office.issue("system", UNIT, "revoked"))
    authority = office.open()
    authority.revoke(authority.serial_of(old.certificate), "keyCompromise")
    async with office.call(service, old) as stub, asyncio.timeout(WITHIN_S):
        request = RenewRequest(request=signing_request(new_private_key()))
        assert type(await refusal(stub.Renew(request))) is CertificateRevoked
        while (RENEW, CertificateRevoked.code) not in await denials(office, old):
            await refusal(stub.Renew(request))


async def test_who_is_suspended_renews_nothing(office: AuthorityOffice, service: Service) -> None:
    system = await admitted(office, service, office.issue("system", OTHER_UNIT, "suspended"))
    auditor = await admitted(office, service, office.staff("auditor"))
    steps = (
        (system, "update exchange.units set status = 'SUSPENDED' where unit_id = $1", OTHER_UNIT),
        (auditor, "update exchange.staff set status = 'SUSPENDED' where name = $1", "zhao"),
    )
    for (caller, statement, name), error in zip(
        steps, (UnitNotActive, StaffNotActive), strict=True
    ):
        async with office.ledger() as owner:
            await owner.execute(statement, name)
            async with asyncio.timeout(WITHIN_S):
                while await access(office, service, caller) is not error:
                    pass
            await owner.execute(statement.replace("'SUSPENDED'", "'ACTIVE'"), name)
        await admitted(office, service, caller)
    async with office.ledger() as owner:
        await owner.execute(
            "insert into exchange.systems (unit_id, name, status) values ($1, $2, 'CLOSED')",
            OTHER_UNIT,
            "suspended",
        )
    async with asyncio.timeout(WITHIN_S):
        while await access(office, service, system) is not SystemNotActive:
            pass


async def test_lifetimes_may_be_shorter_than_the_profiles(office: AuthorityOffice) -> None:
    old = office.issue("system", UNIT, "short")
    async with office.service("[lifetimes]\nsystem_s = 60") as service:
        await admitted(office, service, old)
        new = await renewed(office, service, old)
    begins = new.certificate.not_valid_before_utc
    ends = new.certificate.not_valid_after_utc
    assert ends - begins == timedelta(seconds=59), "both ends are part of it"
    assert timedelta(0) <= datetime.now(UTC) - begins < timedelta(seconds=30)


async def test_two_hundred_renewals_at_once(office: AuthorityOffice, service: Service) -> None:
    """Shows the rate; each is durable in journal and ledger when it is answered."""
    callers = office.systems("many", 100)
    await admitted(office, service, callers[-1])
    requests = [signing_request(new_private_key()) for _ in range(200)]
    async with AsyncExitStack() as stack:
        stubs = [await stack.enter_async_context(office.call(service, each)) for each in callers]
        for stub in stubs:  # so that the figure is without handshakes
            await stub.GetCrl(GetCrlRequest(issuer="root"))
        limit = asyncio.Semaphore(32)

        async def one(stub: authority_pb2_grpc.AuthorityServiceAsyncStub, request: bytes) -> bytes:
            async with limit:
                return bytes((await stub.Renew(RenewRequest(request=request))).certificate)

        started = time.monotonic()
        found = await asyncio.gather(*map(one, stubs * 2, requests))
        show(f"{len(found) / (time.monotonic() - started):.0f} renewals/s")
    assert len(set(found)) == len(requests)
    async with office.ledger() as owner:
        assert await owner.fetchval(
            "select count(*) from exchange.certificates where der = any ($1)", found
        ) == len(requests)


# ------------------------------------------------------------------------------ seals


async def test_a_seal_renews_itself(office: AuthorityOffice, service: Service) -> None:
    system = await admitted(office, service, office.issue("system", UNIT, "sealing"))
    seal = office.issue("seal", UNIT, "main")
    key = new_private_key()
    own = str(identity.of_certificate(seal.certificate))
    request = sealed_request(seal, key, own)
    async with office.call(service, system) as stub:
        first = await stub.RenewSeal(request)
        assert first == await stub.RenewSeal(request)
    new = holder(first.certificate, key)
    assert str(identity.of_certificate(new.certificate)) == own
    (happened,) = (
        each
        for each in await office.events("CERTIFICATE_ISSUED")
        if each.certificate_sha256 == hashlib.sha256(first.certificate).hexdigest()
    )
    assert happened.detail is not None
    assert happened.actor == str(identity.of_certificate(system.certificate))
    assert happened.detail["signed_by"] == hashlib.sha256(seal.der).hexdigest()


def by_a_tls_key(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    return sealed_request(system, new_private_key())


def by_the_new_key_alone(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    return RenewSealRequest(request=signing_request(new_private_key()))


def by_another_units_seal(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    return sealed_request(office.issue("seal", OTHER_UNIT, "main"), new_private_key())


def by_a_centre_seal(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    return sealed_request(office.issue("centre-seal", None, "2026"), new_private_key())


def by_a_seal_that_is_not_in_the_books(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    """By the right CA, as a copy of its key could."""
    ca = office.open().certificate(SEAL_CA)
    key = open_encrypted(office.state / "private" / f"{SEAL_CA}.key", office.passphrase)
    identity_ = f"spiffe://{TRUST_DOMAIN}/unit/{UNIT}/seal/copy"
    seal = make_leaf(identity_, issuer=Holder(ca, key))
    return sealed_request(seal, new_private_key())


def by_a_revoked_seal(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    seal = office.issue("seal", UNIT, "withdrawn")
    authority = office.open()
    authority.revoke(authority.serial_of(seal.certificate), "superseded")
    return sealed_request(seal, new_private_key())


def of_other_bytes(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    seal = office.issue("seal", UNIT, "bytes")
    made = sealed_request(seal, new_private_key())
    return RenewSealRequest(request=signing_request(new_private_key()), signature=made.signature)


def for_the_same_key(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    seal = office.issue("seal", UNIT, "same")
    return sealed_request(seal, seal.key)


def for_a_tls_key(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    return sealed_request(office.issue("seal", UNIT, "tls"), system.key)


def for_another_name(office: AuthorityOffice, system: Holder) -> RenewSealRequest:
    other = f"spiffe://{TRUST_DOMAIN}/unit/{UNIT}/seal/second"
    return sealed_request(office.issue("seal", UNIT, "first"), new_private_key(), other)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (by_a_tls_key, SealNotTrusted),
        (by_the_new_key_alone, SignatureInvalid),
        (by_another_units_seal, SealOfAnotherUnit),
        (by_a_centre_seal, SealNotTrusted),
        (by_a_seal_that_is_not_in_the_books, RequestRefused),
        (by_a_revoked_seal, SealRevoked),
        (of_other_bytes, SignatureInvalid),
        (for_the_same_key, KeyReused),
        (for_a_tls_key, KeyReused),
        (for_another_name, IdentityMismatch),
    ],
    ids=lambda value: value.__name__,
)
async def test_a_seal_is_renewed_by_itself_alone(
    office: AuthorityOffice,
    service: Service,
    make: Callable[[AuthorityOffice, Holder], RenewSealRequest],
    error: type[ExchangeError],
) -> None:
    name = make.__name__.replace("_", "-")
    system = await admitted(office, service, office.issue("system", UNIT, name))
    request = make(office, system)
    seals = "select count(*) from exchange.certificates where profile = 'seal'"
    await office.publish()
    async with office.ledger() as owner:
        before = await owner.fetchval(seals)
        async with office.call(service, system) as stub:
            found = await refusal(stub.RenewSeal(request))
        assert type(found) is error, found
        assert await owner.fetchval(seals) == before, "nothing was issued"
    assert (RENEW_SEAL, error.code) in await denials(office, system)


async def test_a_seal_opens_no_connection(office: AuthorityOffice, service: Service) -> None:
    for caller in (office.issue("seal", UNIT, "connecting"), None):
        async with office.channel(service.authority, caller) as channel:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.channel_ready(), 1)


# ------------------------------------------------------------------------------ revocation


async def test_security_staff_revokes(office: AuthorityOffice, service: Service) -> None:
    security = await admitted(office, service, office.staff("security"))
    victim = await admitted(office, service, office.issue("system", UNIT, "victim"))
    fingerprint = hashlib.sha256(victim.der).hexdigest()
    serial = f"{victim.certificate.serial_number:X}"
    async with office.call(service, victim) as opened, office.call(service, security) as stub:
        await opened.GetCrl(GetCrlRequest(issuer="root"))
        first = await stub.Revoke(RevokeRequest(fingerprint=fingerprint, reason="keyCompromise"))
        revoked_at = time.monotonic()
        turned_away = await refusal(calling_on(opened))
        took_s = time.monotonic() - revoked_at
        again = await stub.Revoke(RevokeRequest(serial=serial, reason="superseded"))
        der = (await stub.GetCrl(GetCrlRequest(issuer="tls-ca"))).crl
    assert type(turned_away) is CertificateRevoked
    assert took_s < 1, "on a connection that was open"
    assert first == again, "the revocation that stands"
    assert first.certificate.fingerprint == fingerprint
    assert first.certificate.revocation_reason == "keyCompromise"
    entry = x509.load_der_x509_crl(der).get_revoked_certificate_by_serial_number(
        victim.certificate.serial_number
    )
    assert entry is not None
    (happened,) = (
        each
        for each in await office.events("CERTIFICATE_REVOKED")
        if each.certificate_sha256 == fingerprint
    )
    assert happened.actor == str(identity.of_certificate(security.certificate))
    assert happened.address == "127.0.0.1"


async def test_a_stolen_key_does_not_outlive_its_revocation(
    office: AuthorityOffice, service: Service
) -> None:
    security = await admitted(office, service, office.staff("security"))
    stolen = await admitted(office, service, office.issue("system", UNIT, "stolen"))
    thiefs = await admitted(office, service, await renewed(office, service, stolen))
    fingerprint = hashlib.sha256(stolen.der).hexdigest()
    async with office.call(service, security) as stub:
        await stub.Revoke(RevokeRequest(fingerprint=fingerprint, reason="keyCompromise"))
        der = (await stub.GetCrl(GetCrlRequest(issuer="tls-ca"))).crl
    async with asyncio.timeout(WITHIN_S):
        while await access(office, service, thiefs) is not CertificateRevoked:
            pass
    listed = x509.load_der_x509_crl(der)
    for each in (stolen, thiefs):
        number = each.certificate.serial_number
        assert listed.get_revoked_certificate_by_serial_number(number) is not None
    (happened,) = (
        each
        for each in await office.events("CERTIFICATE_REVOKED")
        if (each.detail or {}).get("because_of") == fingerprint
    )
    assert happened.certificate_sha256 == hashlib.sha256(thiefs.der).hexdigest()
    assert happened.actor == str(identity.of_certificate(security.certificate))


async def test_revocations_that_are_refused(office: AuthorityOffice, service: Service) -> None:
    security = await admitted(office, service, office.staff("security"))
    tls_ca = f"{office.open().certificate('tls-ca').serial_number:x}"
    cases: tuple[tuple[RevokeRequest, type[ExchangeError]], ...] = (
        (RevokeRequest(reason="superseded"), InvalidRequest),
        (RevokeRequest(serial="1", fingerprint="0" * 64, reason="superseded"), InvalidRequest),
        (RevokeRequest(serial="xyz", reason="superseded"), InvalidRequest),
        (RevokeRequest(fingerprint="0" * 63, reason="superseded"), InvalidRequest),
        (RevokeRequest(serial=tls_ca, reason="removeFromCRL"), InvalidRequest),
        (RevokeRequest(serial="1", reason="superseded"), NotFound),
        (RevokeRequest(fingerprint="0" * 64, reason="superseded"), NotFound),
        (RevokeRequest(serial=tls_ca, reason="superseded"), Refused),
    )
    async with office.call(service, security) as stub:
        for request, error in cases:
            found = await refusal(stub.Revoke(request))
            assert type(found) is error, (request, found)
    assert {(REVOKE, error.code) for _, error in cases} <= set(await denials(office, security))


async def test_only_security_staff_revokes(office: AuthorityOffice, service: Service) -> None:
    system = await admitted(office, service, office.issue("system", UNIT, "revoking"))
    callers = (office.staff("operator"), office.staff("auditor"), system)
    request = RevokeRequest(fingerprint=hashlib.sha256(system.der).hexdigest(), reason="superseded")
    for caller in callers:
        await admitted(office, service, caller)
        async with office.call(service, caller) as stub:
            assert type(await refusal(stub.Revoke(request))) is NotPermitted
        assert (REVOKE, NotPermitted.code) in await denials(office, caller)
    assert await access(office, service, system) is None


# ------------------------------------------------------------------------------ done by hand


async def test_the_journal_is_followed(office: AuthorityOffice, service: Service) -> None:
    """What the command line issues, revokes and signs reaches the ledger within a second."""
    made = office.issue("system", UNIT, "by-hand")
    fingerprint = hashlib.sha256(made.der).digest()
    started = time.monotonic()
    async with office.ledger() as owner, asyncio.timeout(WITHIN_S):
        known = "select count(*) from exchange.certificates where fingerprint = $1"
        while not await owner.fetchval(known, fingerprint):
            pass
        issued_s = time.monotonic() - started
        authority, started = office.open(), time.monotonic()
        authority.revoke(authority.serial_of(made.certificate), "superseded")
        while not await owner.fetchval(f"{known} and revoked_at is not null", fingerprint):
            pass
        revoked_s = time.monotonic() - started
        authority.issue_crls(["seal-ca"])
        number = authority.register.last_number("seal-ca")
        while number != await owner.fetchval(
            "select max(number) from exchange.crls where issuer = 'seal-ca'"
        ):
            pass
    show(f"issued by hand: {issued_s:.2f} s, revoked by hand: {revoked_s:.2f} s")
    assert max(issued_s, revoked_s) < 1
    assert await access(office, service, made) is CertificateRevoked
