"""The directory of a real centre: groups, who the caller is, and what it holds."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import hashes

from document_exchange import codes, event
from document_exchange.entries import GroupEntry, UnitEntry
from document_exchange.errors import (
    CertificateRevoked,
    InvalidRequest,
    Unavailable,
)
from document_exchange.v1 import directory_pb2, directory_pb2_grpc
from exchange_server import unit_import
from exchange_server.registry_file import RegistryFile
from tests.pki_for_tests import Holder
from tests.real_centre import RECIPIENT, SENDER, CentreInside, admitted, now, typed

SOON_S = 2.0


async def answer(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise typed(error) from error


async def ask(inside: CentreInside, caller: Holder, method: str, request: Any) -> Any:
    async with inside.channel(caller) as channel:
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        return await answer(getattr(stub, method)(request, timeout=10))


def fingerprint(holder: Holder) -> str:
    return holder.certificate.fingerprint(hashes.SHA256()).hex()


# ---------------------------------------------------------------- groups


async def test_groups_are_listed_with_their_members(inside: CentreInside) -> None:
    name = f"g{secrets.token_hex(4)}"
    empty = RegistryFile(group=[GroupEntry(group_id=name, name_zh="空组", name_en="Empty")])
    await unit_import.import_file(inside.description["ledger"]["dsn_owner"], empty)
    found: dict[str, directory_pb2.Group] = {}
    async with asyncio.timeout(10):
        while name not in found:
            token = ""
            while True:
                request = directory_pb2.ListGroupsRequest(page_size=1, page_token=token)
                page = await ask(inside, inside.unit(SENDER), "ListGroups", request)
                found |= {group.group_id: group for group in page.groups}
                if not (token := page.next_page_token):
                    break
    assert found[name] == directory_pb2.Group(group_id=name, name_zh="空组", name_en="Empty")
    departments = found["all-departments"]
    assert departments.name_zh
    members = [*departments.members]
    assert {"qd-caizheng", "qd-jiaoyu", "qd-tongji"} <= set(members)
    assert members == sorted(members)
    assert "qd-zhengfu" not in members
    request = directory_pb2.ListGroupsRequest(page_token="../x")
    with pytest.raises(InvalidRequest):
        await ask(inside, inside.unit(SENDER), "ListGroups", request)


async def test_a_closed_unit_belongs_to_no_group_any_more(inside: CentreInside) -> None:
    group = f"g{secrets.token_hex(4)}"
    first8 = f"Y{secrets.randbelow(10**7):07}"
    gone = UnitEntry(
        unit_id=f"u{secrets.token_hex(4)}",
        name_zh="撤销单位",
        name_en="Gone",
        short_zh="撤",
        kind="OFFICE",
        organisation_code=first8 + codes.organisation_check_character(first8),
        groups=(group,),
        status="CLOSED",
    )
    dsn = inside.description["ledger"]["dsn_owner"]
    named = GroupEntry(group_id=group, name_zh="组", name_en="Group")
    await unit_import.import_file(dsn, RegistryFile(unit=[gone], group=[named]))
    async with asyncio.timeout(10):
        while True:
            request = directory_pb2.ListGroupsRequest(page_size=1000)
            page = await ask(inside, inside.unit(SENDER), "ListGroups", request)
            found = [each for each in page.groups if each.group_id == group]
            if found:
                break
    assert not found[0].members


# ---------------------------------------------------------------- who am I


async def test_a_system_learns_what_the_server_knows_of_it(inside: CentreInside) -> None:
    holder = inside.unit(SENDER)
    before = now()
    said = await ask(inside, holder, "WhoAmI", directory_pb2.WhoAmIRequest())
    assert said.identity == f"spiffe://exchange.example/unit/{SENDER}/system/oa"
    assert said.unit.unit_id == SENDER
    assert said.role == ""
    assert said.certificate.fingerprint == fingerprint(holder)
    assert int(said.certificate.serial, 16) == holder.certificate.serial_number
    assert said.certificate.profile == "system"
    assert said.certificate.not_after.ToDatetime(UTC) == holder.certificate.not_valid_after_utc
    assert not said.certificate.HasField("revoked_at")
    assert said.address == "127.0.0.1"
    seconds = said.server_time.ToMilliseconds() / 1000 - before.timestamp()
    assert -0.01 <= seconds <= 10
    assert 0 <= said.status_age_s < 10
    assert said.log_origin == ""


async def test_staff_learn_their_role(inside: CentreInside) -> None:
    holder = await inside.staff("auditor")
    said = await ask(inside, holder, "WhoAmI", directory_pb2.WhoAmIRequest())
    assert said.role == said.certificate.role == "auditor"
    assert not said.HasField("unit")
    assert not said.quotas


# ---------------------------------------------------------------- own certificates


async def own(
    inside: CentreInside, caller: Holder, page_size: int = 1000
) -> list[directory_pb2.OwnCertificate]:
    found: list[directory_pb2.OwnCertificate] = []
    token = ""
    while True:
        request = directory_pb2.ListOwnCertificatesRequest(page_size=page_size, page_token=token)
        page = await ask(inside, caller, "ListOwnCertificates", request)
        assert len(page.certificates) <= page_size
        found += page.certificates
        if not (token := page.next_page_token):
            return found


async def test_a_unit_sees_all_of_its_certificates_and_nobody_elses(inside: CentreInside) -> None:
    """Seals and other systems, newest first, each with the event that says that it was issued."""
    fresh = inside.issue("system", SENDER, f"s{secrets.token_hex(4)}")
    await inside.publish()
    await admitted(inside, fresh)
    found = await own(inside, inside.unit(SENDER))
    prefix = f"spiffe://exchange.example/unit/{SENDER}/"
    assert all(each.certificate.identity.startswith(prefix) for each in found)
    assert {"system", "seal"} <= {each.certificate.profile for each in found}
    assert found[0].certificate.fingerprint == fingerprint(fresh)
    issued = event.decode(found[0].issued_event)
    assert issued.type == "CERTIFICATE_ISSUED"
    assert issued.certificate_sha256 == fingerprint(fresh)
    assert all(event.decode(each.issued_event) for each in found)
    assert not found[0].revoked_event
    assert await own(inside, fresh, page_size=1) == found
    others = await own(inside, inside.unit(RECIPIENT))
    assert not {e.certificate.fingerprint for e in others} & {
        e.certificate.fingerprint for e in found
    }


async def test_staff_see_their_own_certificates_alone(inside: CentreInside) -> None:
    holder = await inside.staff("operator")
    (only,) = await own(inside, holder)
    assert only.certificate.fingerprint == fingerprint(holder)


async def test_tokens_of_others_lead_nowhere(inside: CentreInside) -> None:
    for token in ("x", "00" * 31, "00" * 33, "ZZ" * 32):
        request = directory_pb2.ListOwnCertificatesRequest(page_token=token)
        with pytest.raises(InvalidRequest):
            await ask(inside, inside.unit(SENDER), "ListOwnCertificates", request)
    theirs = fingerprint(inside.unit(RECIPIENT))
    request = directory_pb2.ListOwnCertificatesRequest(page_token=theirs)
    page = await ask(inside, inside.unit(SENDER), "ListOwnCertificates", request)
    assert not page.certificates


async def _next(watch: Any) -> directory_pb2.WatchOwnCertificatesResponse:
    said: directory_pb2.WatchOwnCertificatesResponse = await answer(watch.read())
    return said


async def _until_caught_up(watch: Any) -> set[str]:
    found: set[str] = set()
    while (said := await _next(watch)).WhichOneof("event") == "certificate":
        found.add(said.certificate.certificate.fingerprint)
    return found


async def test_a_watch_tells_of_each_issuance_and_revocation_as_it_happens(
    inside: CentreInside,
) -> None:
    holder = inside.unit(SENDER)
    async with inside.channel(holder) as channel:
        stub: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
        watch = stub.WatchOwnCertificates(directory_pb2.WatchOwnCertificatesRequest())
        known = await _until_caught_up(watch)
        assert fingerprint(holder) in known
        others = inside.issue("seal", RECIPIENT, f"s{secrets.token_hex(4)}")
        fresh = inside.issue("seal", SENDER, f"s{secrets.token_hex(4)}")
        assert not known & {fingerprint(fresh), fingerprint(others)}
        await inside.publish()
        async with asyncio.timeout(SOON_S):
            said = (await _next(watch)).certificate
        assert said.certificate.fingerprint == fingerprint(fresh)
        assert event.decode(said.issued_event).certificate_sha256 == fingerprint(fresh)
        await inside.revoke(fresh)
        async with asyncio.timeout(SOON_S):
            said = (await _next(watch)).certificate
        assert said.certificate.fingerprint == fingerprint(fresh)
        assert said.certificate.revocation_reason == "keyCompromise"
        assert said.certificate.HasField("revoked_at")
        assert event.decode(said.revoked_event).type == "CERTIFICATE_REVOKED"
        # Whoever opens the watch again is told the same.
        again = stub.WatchOwnCertificates(directory_pb2.WatchOwnCertificatesRequest())
        assert await _until_caught_up(again) == known | {fingerprint(fresh)}


async def test_a_watch_ends_with_its_callers_certificate(inside: CentreInside) -> None:
    fresh = inside.issue("system", SENDER, f"s{secrets.token_hex(4)}")
    await inside.publish()
    await admitted(inside, fresh)
    async with inside.channel(fresh) as channel:
        stub: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
        watch = stub.WatchOwnCertificates(directory_pb2.WatchOwnCertificatesRequest())
        await _until_caught_up(watch)
        await inside.revoke(fresh)
        async with asyncio.timeout(SOON_S):
            with pytest.raises(CertificateRevoked):
                await _next(watch)


async def test_a_watch_does_not_hold_up_a_server_that_stops(
    inside: CentreInside, tmp_path: Path
) -> None:
    async with (
        inside.second_server(tmp_path / "log") as server,
        inside.channel(inside.unit(SENDER)) as channel,
    ):
        stub: Any = directory_pb2_grpc.DirectoryServiceStub(channel)
        watch = stub.WatchOwnCertificates(directory_pb2.WatchOwnCertificatesRequest())
        await _until_caught_up(watch)
        server.terminate()
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await _next(watch)
            assert await asyncio.to_thread(server.wait) == 0
