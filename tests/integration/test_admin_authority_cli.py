"""``exchange admin token|seal|certificate`` and the real authority."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from document_exchange.certificates import fingerprint, load_chain_pem
from document_exchange.v1 import authority_pb2, authority_pb2_grpc
from tests.enrolment_for_tests import Pair
from tests.integration.authority_calls import admitted, office_fixture, service_fixture
from tests.integration.authority_service import (
    STAFF,
    UNIT,
    AuthorityOffice,
    Service,
)
from tests.pki_for_tests import Holder

office = office_fixture()
service = service_fixture()

OPERATOR, SECURITY, AUDITOR = STAFF


@dataclass
class Desk:
    """Where staff of each role type."""

    config: Path

    def run(self, who: str, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "exchange_client.cli", "admin", *arguments],
            env={
                **os.environ,
                "EXCHANGE_CONFIG": str(self.config),
                "EXCHANGE_PROFILE": who,
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def rows(self, who: str, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(who, *arguments, "--json").splitlines()]


def root_fingerprint(office: AuthorityOffice) -> str:
    (root,) = load_chain_pem((office.state / "root.pem").read_bytes())
    return fingerprint(root)


def write_profile(office: AuthorityOffice, service: Service, holder: Holder, to: Path) -> None:
    to.mkdir(parents=True)
    for name in ("root.pem", "tls-ca.pem", "seal-ca.pem"):
        (to / name).write_bytes((office.state / name).read_bytes())
    (to / "system.pem").write_bytes(holder.pem + (office.state / "tls-ca.pem").read_bytes())
    (to / "system.key").write_bytes(holder.key_pem)
    (to / "system.key").chmod(0o600)
    (to / "profile.toml").write_text(
        f'''address = "127.0.0.1:1"
authority = "{service.authority}"
root = "root.pem"
root_fingerprint = "{root_fingerprint(office)}"
tls_ca = "tls-ca.pem"
seal_ca = "seal-ca.pem"
system_certificate = "system.pem"
system_key = "system.key"
'''
    )


@pytest.fixture(scope="module")
async def desk(
    office: AuthorityOffice, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Desk:
    config = tmp_path_factory.mktemp("profiles")
    for who, role in STAFF.items():
        holder = await admitted(office, service, office.staff(role))
        write_profile(office, service, holder, config / who)
    return Desk(config)


async def enrol(
    office: AuthorityOffice, address: str, token: str, pair: Pair
) -> authority_pb2.EnrolResponse:
    async with office.channel(address, None) as channel:
        stub = authority_pb2_grpc.EnrolmentServiceStub(channel)
        application = pair.application(token)
        return await stub.Enrol(
            authority_pb2.EnrolRequest(
                token=token,
                system_request=application.system_request,
                seal_request=application.seal_request,
            )
        )


async def test_a_unit_joins_gets_its_seal_and_is_revoked(
    office: AuthorityOffice, service: Service, desk: Desk
) -> None:
    (issued,) = desk.rows(
        OPERATOR, "token", "issue", "--unit", UNIT, "--system", "desk", "--seal", "round"
    )
    command = shlex.split(issued["command"])
    assert command[command.index("--authority") + 1] == service.enrolment
    assert command[command.index("--fingerprint") + 1] == root_fingerprint(office)
    pair = Pair()
    answer = await enrol(office, service.enrolment, command[-1], pair)
    assert answer.seal_standing == authority_pb2.SEAL_STANDING_PENDING

    (listed,) = [
        row
        for row in desk.rows(AUDITOR, "token", "list", "--standing", "used")
        if row["token_id"] == issued["token_id"]
    ]
    assert (listed["system"], listed["seal"]) == ("desk", "round")
    assert issued["token"] not in desk.run(AUDITOR, "token", "list")

    (request,) = [row for row in desk.rows(SECURITY, "seal", "list") if row["seal"] == "round"]
    assert request["key_sha256"] == answer.seal_key_sha256 == pair.seal_sha256
    name = request["request_id"]
    assert "NOT_PERMITTED" in desk.run(OPERATOR, "seal", "approve", name, "--key", "0" * 64, code=4)
    said = desk.run(SECURITY, "seal", "approve", name, "--key", "0" * 64, code=2)
    assert "compare again" in said
    (approved,) = desk.rows(SECURITY, "seal", "approve", name, "--key", pair.seal_sha256)
    assert approved["standing"] == "ISSUED"
    assert (await enrol(office, service.enrolment, command[-1], pair)).seal_certificate

    held = desk.rows(AUDITOR, "certificate", "list", "--unit", UNIT, "--valid")
    (mine,) = [row for row in held if row["identity"].endswith("/system/desk")]
    revoke = ("certificate", "revoke", mine["serial"], "--reason", "keyCompromise")
    assert "--yes" in desk.run(SECURITY, *revoke)
    (still,) = [
        row
        for row in desk.rows(AUDITOR, "certificate", "list", "--unit", UNIT)
        if row["serial"] == mine["serial"]
    ]
    assert still["revoked_at"] is None
    (revoked,) = desk.rows(SECURITY, *revoke, "--yes")
    assert (revoked["serial"], revoked["revocation_reason"]) == (mine["serial"], "keyCompromise")
    by_fingerprint = ("certificate", "revoke", mine["fingerprint"], "--reason", "keyCompromise")
    assert mine["identity"] in desk.run(SECURITY, *by_fingerprint)


async def test_a_token_that_is_withdrawn_is_of_no_use(
    office: AuthorityOffice, service: Service, desk: Desk
) -> None:
    (issued,) = desk.rows(OPERATOR, "token", "issue", "--unit", UNIT, "--system", "spare")
    assert "--yes" in desk.run(OPERATOR, "token", "withdraw", issued["token_id"])
    assert "NOT_PERMITTED" in desk.run(
        AUDITOR, "token", "withdraw", issued["token_id"], "--yes", code=4
    )
    desk.run(OPERATOR, "token", "withdraw", issued["token_id"], "--yes")
    (listed,) = desk.rows(AUDITOR, "token", "list", "--standing", "withdrawn")
    assert listed["token_id"] == issued["token_id"]


async def test_a_seal_that_is_rejected_says_why(
    office: AuthorityOffice, service: Service, desk: Desk
) -> None:
    (issued,) = desk.rows(
        OPERATOR, "token", "issue", "--unit", UNIT, "--system", "attic", "--seal", "square"
    )
    pair = Pair()
    await enrol(office, service.enrolment, issued["token"], pair)
    (request,) = [row for row in desk.rows(SECURITY, "seal", "list") if row["seal"] == "square"]
    desk.run(SECURITY, "seal", "reject", request["request_id"], "--reason", "nobody knows of it")
    answer = await enrol(office, service.enrolment, issued["token"], pair)
    assert answer.seal_standing == authority_pb2.SEAL_STANDING_REJECTED
    assert answer.seal_reason == "nobody knows of it"


async def test_staff_enrol_with_a_token_of_the_authority_itself(
    office: AuthorityOffice, service: Service, desk: Desk
) -> None:
    assert "--staff" in desk.run(OPERATOR, "token", "issue", "--staff", AUDITOR, code=2)
    issued = await office.staff_token(AUDITOR)
    answer = await enrol(office, service.enrolment, issued, Pair(seal=None))
    assert answer.identity.endswith(f"/staff/{AUDITOR}")
