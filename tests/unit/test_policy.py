"""The allow-list: every method that the server offers is on it, for the right callers alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from exchange_pki.service import admission
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from document_exchange import identity
from document_exchange.errors import (
    CertificateExpired,
    CertificateNotAdmitted,
    CertificateRevoked,
    NotPermitted,
    SealRevoked,
    StaffNotActive,
    SystemNotActive,
    Unauthenticated,
    UnitNotActive,
)
from document_exchange.identity import Kind
from document_exchange.v1 import (
    admin_pb2,
    authority_pb2,
    correspondence_pb2,
    directory_pb2,
    evidence_pb2,
    exchange_pb2,
)
from exchange_runtime import allow_list
from exchange_runtime.allow_list import Allowed
from exchange_runtime.values import Principal
from exchange_server import policy
from exchange_server.registry import Certificate, Registry, Staff, System, Unit

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)
IDENTITIES = {
    Kind.SYSTEM: "unit/qd-caizheng/system/oa",
    Kind.SEAL: "unit/qd-caizheng/seal/main",
    Kind.STAFF: "staff/wang",
    Kind.CENTRE_SEAL: "centre/seal/main",
    Kind.CENTRE_SERVER: "centre/server/one",
    Kind.CENTRE_TSA: "centre/tsa/one",
    Kind.CENTRE_AUTHORITY: "centre/authority/one",
}
FINGERPRINT = b"f" * 32


def principal(kind: Kind = Kind.SYSTEM, path: str = "") -> Principal:
    return Principal(
        identity=identity.parse(f"spiffe://exchange.example/{path or IDENTITIES[kind]}"),
        fingerprint=FINGERPRINT,
        not_before=NOW - DAY,
        not_after=NOW + DAY,
        address="",
    )


def methods(module: object, *services: str) -> set[str]:
    """Every method of these services, as gRPC names it."""
    described = module.DESCRIPTOR.services_by_name  # type: ignore[attr-defined]
    assert not services or set(services) == set(described)
    return {
        f"/{service.full_name}/{method.name}"
        for service in described.values()
        for method in service.methods
    }


EXCHANGE = methods(exchange_pb2, "ExchangeService")
DIRECTORY = methods(directory_pb2, "DirectoryService")
ADMIN = methods(admin_pb2, "AdminService")
CORRESPONDENCE = methods(correspondence_pb2, "CorrespondenceService")
EVIDENCE = methods(evidence_pb2, "EvidenceService")
OPERATIONS = methods(health_pb2) | methods(reflection_pb2)
OFFERED = EXCHANGE | CORRESPONDENCE | EVIDENCE | DIRECTORY | ADMIN | OPERATIONS
UNLISTED = {"/grpc.health.v1.Health/List"}
"""Came with a later version of the library; nobody here needs it."""


ROLES = ("operator", "security", "auditor")


def callers(method: str) -> set[Kind | str]:
    """Which kinds of certificate, and of staff which roles, get this method through."""
    found: set[Kind | str] = set()
    for who in (*(kind for kind in Kind if kind is not Kind.STAFF), *ROLES):
        kind, role = (Kind.STAFF, who) if isinstance(who, str) else (who, "")
        try:
            allow_list.check(policy.ALLOWED, principal(kind), method, role)
        except NotPermitted:
            continue
        found.add(who)
    return found


def test_every_method_that_is_offered_is_listed_and_nothing_else() -> None:
    assert set(policy.ALLOWED) == OFFERED - UNLISTED
    assert all(map(callers, policy.ALLOWED)), "a listed method that nobody may call"


def test_the_authority_lists_every_method_that_it_offers_certified_callers() -> None:
    offered = {
        f"/document_exchange.v1.AuthorityService/{method.name}"
        for method in authority_pb2.DESCRIPTOR.services_by_name["AuthorityService"].methods
    }
    assert set(admission.ALLOWED) == offered | methods(health_pb2) - UNLISTED


@pytest.mark.parametrize(
    "allowed", [policy.ALLOWED, admission.ALLOWED], ids=["centre", "authority"]
)
def test_staff_without_a_role_may_call_nothing(allowed: Mapping[str, Allowed]) -> None:
    for method in allowed:
        with pytest.raises(NotPermitted, match="staff without a role"):
            allow_list.check(allowed, principal(Kind.STAFF), method, "")


def test_watches_and_what_nobody_waits_for_are_methods_that_are_offered() -> None:
    assert {method for method in policy.ALLOWED if "/Watch" in method} == policy.WATCHES
    assert policy.NOT_WAITED_FOR == OPERATIONS - UNLISTED


@pytest.mark.parametrize("method", sorted(EXCHANGE | CORRESPONDENCE | EVIDENCE))
def test_documents_are_for_the_systems_of_units_alone(method: str) -> None:
    """Staff neither send nor read documents; a seal opens no connection."""
    assert callers(method) == {Kind.SYSTEM}


HOLDERS_ONLY = {
    f"/document_exchange.v1.DirectoryService/{name}"
    for name in ("CheckRoute", "ListOwnCertificates", "WatchOwnCertificates")
}


@pytest.mark.parametrize("method", sorted((DIRECTORY | OPERATIONS) - UNLISTED - HOLDERS_ONLY))
def test_the_directory_is_open_to_everybody_with_a_tls_certificate(method: str) -> None:
    assert callers(method) == {Kind.SYSTEM, *ROLES, Kind.CENTRE_SERVER}


@pytest.mark.parametrize("method", sorted(HOLDERS_ONLY))
def test_servers_have_no_documents_and_no_certificates_of_a_unit(method: str) -> None:
    assert callers(method) == {Kind.SYSTEM, *ROLES}


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("ListEntries", {"operator", "security", "auditor"}),
        ("ListProposals", {"operator", "security", "auditor"}),
        ("GetProposal", {"operator", "security", "auditor"}),
        ("ApplyChanges", {"operator", "security"}),
        ("DecideProposal", {"security"}),
    ],
)
def test_administration_is_for_the_roles_that_keep_it(name: str, roles: set[str]) -> None:
    method = f"/document_exchange.v1.AdminService/{name}"
    assert method in ADMIN
    assert callers(method) == roles


@pytest.mark.parametrize(
    "method",
    [
        *sorted(UNLISTED),
        "/document_exchange.v1.ExchangeService/Withdraw",
        "/document_exchange.v1.ExchangeService/submit",
        "/document_exchange.v1.ExchangeService/Submit/",
        "document_exchange.v1.ExchangeService/Submit",
        "/document_exchange.v2.ExchangeService/Submit",
        "",
    ],
)
def test_what_is_not_listed_is_denied_to_everybody(method: str) -> None:
    assert callers(method) == set()


def unit(status: str = "ACTIVE") -> Unit:
    return Unit(
        unit_id="qd-caizheng",
        name_zh="财政局",
        name_en="Finance",
        short_zh="财政局",
        kind="DEPARTMENT",
        organisation_code="900000014",
        credit_code="",
        region="",
        issuer_marks=(),
        groups=(),
        acts_for=(),
        status=status,
    )


def registry(
    *,
    status: str = "ACTIVE",
    revoked: bool = False,
    whose: str = IDENTITIES[Kind.SYSTEM],
    system: str = "ACTIVE",
    role: str = "",
    staff: Staff | None = None,
) -> Registry:
    certificate = Certificate(
        f"spiffe://exchange.example/{whose}", "system", NOW - DAY, NOW + DAY, revoked, role
    )
    return Registry(
        version=1,
        units={"qd-caizheng": unit(status)},
        certificates={FINGERPRINT: certificate},
        businesses=frozenset(),
        systems={("qd-caizheng", "oa"): System("qd-caizheng", "oa", "", "", system)},
        staff={staff.name: staff} if staff else {},
    )


NOBODY = Registry(1, {}, {}, frozenset())


def test_a_published_certificate_of_an_active_unit_is_admitted() -> None:
    policy.admit(registry(), principal(), NOW)


@pytest.mark.parametrize(
    ("known", "now", "refusal"),
    [
        (NOBODY, NOW, CertificateNotAdmitted),
        (registry(whose="unit/qd-jiaoyu/system/oa"), NOW, CertificateNotAdmitted),
        (registry(revoked=True), NOW, CertificateRevoked),
        (registry(), NOW + DAY, CertificateExpired),
        (registry(), NOW - 2 * DAY, CertificateExpired),
        (registry(status="SUSPENDED"), NOW, UnitNotActive),
        (registry(status="CLOSED"), NOW, UnitNotActive),
        (registry(system="SUSPENDED"), NOW, SystemNotActive),
        (registry(system="CLOSED"), NOW, SystemNotActive),
    ],
)
def test_anything_else_admits_nobody(
    known: Registry, now: datetime, refusal: type[Unauthenticated]
) -> None:
    with pytest.raises(refusal):
        policy.admit(known, principal(), now)


def test_a_certificate_of_a_unit_that_was_never_registered_is_not_admitted() -> None:
    path = "unit/qd-nobody/system/oa"
    with pytest.raises(UnitNotActive, match="not registered"):
        policy.admit(registry(whose=path), principal(path=path), NOW)


def staffed(
    role: str = "operator", status: str = "ACTIVE", certified: str = "operator"
) -> Registry:
    """A registry with wang, whose certificate was issued for a role."""
    wang = Staff("wang", "S-1", "王", role, status)
    return registry(whose=IDENTITIES[Kind.STAFF], role=certified, staff=wang)


def test_active_staff_with_the_role_of_their_certificate_are_admitted() -> None:
    policy.admit(staffed(), principal(Kind.STAFF), NOW)


@pytest.mark.parametrize(
    "known",
    [
        registry(whose=IDENTITIES[Kind.STAFF], role="operator"),
        staffed(status="SUSPENDED"),
        staffed(status="CLOSED"),
        staffed(role="security"),
        staffed(certified=""),
        staffed(certified="auditor"),
    ],
)
def test_staff_without_an_active_entry_of_their_role_are_not(known: Registry) -> None:
    with pytest.raises(StaffNotActive, match="wang"):
        policy.admit(known, principal(Kind.STAFF), NOW)


@pytest.mark.parametrize("known", [NOBODY, registry(revoked=True)])
def test_a_seal_counts_only_while_the_registry_has_it(known: Registry) -> None:
    policy.check_seal(registry(), FINGERPRINT, "qd-caizheng")
    with pytest.raises(SealRevoked) as refused:
        policy.check_seal(known, FINGERPRINT, "qd-caizheng")
    assert refused.value.attributes["unit"] == "qd-caizheng"
