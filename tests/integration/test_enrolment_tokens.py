"""Tokens: issued by an operator or by command, kept as a digest, and written by functions alone."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import asyncpg
import pytest
from exchange_pki.authority import Authority
from exchange_pki.service.tokens import Holder

from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    NotFound,
    Refused,
)
from exchange_server.embedded import EmbeddedPostgres
from tests.authority_for_tests import PASSPHRASE, TRUST_DOMAIN
from tests.enrolment_for_tests import (
    OTHER_UNIT,
    UNIT,
    Pair,
    without_seal,
)
from tests.integration.enrolment_office import (
    OPERATOR,
    SYSTEM,
    Office,
)

# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("holder", "lifetime_s", "expected"),
    [
        (Holder("qd-unknown", "oa"), 0, NotFound),
        (Holder(staff="nobody"), 0, NotFound),
        (SYSTEM, -1, InvalidRequest),
        (SYSTEM, 30 * 24 * 3600 + 1, InvalidRequest),
        (SYSTEM, 2**62, InvalidRequest),
        (Holder(), 0, InvalidRequest),
        (Holder(UNIT), 0, InvalidRequest),
        (Holder(UNIT, "OA"), 0, InvalidRequest),
        (Holder(UNIT, "oa", "-"), 0, InvalidRequest),
        (Holder(UNIT, "oa", staff="li.na"), 0, InvalidRequest),
        (Holder(seal="main", staff="li.na"), 0, InvalidRequest),
    ],
)
async def test_tokens_that_are_not_issued(
    office: Office, holder: Holder, lifetime_s: int, expected: type[ExchangeError]
) -> None:
    with pytest.raises(expected):
        await office.token(holder, lifetime_s)


async def test_the_ledger_holds_no_token(office: Office) -> None:
    issued = await office.token()
    dump = await office.owner.fetchval(
        "select t::text from exchange.tokens t where token_id = $1::uuid",
        issued.token_id,
    )
    assert issued.token not in dump
    assert issued.token.encode().hex() not in dump
    [told] = await office.events("TOKEN_ISSUED", about=issued.token_id)
    assert issued.token not in str(told)
    assert issued.token not in repr(issued)


async def test_tokens_are_listed_with_what_became_of_them(office: Office) -> None:
    holder = Holder(OTHER_UNIT, "archive")
    opened, used = await office.token(holder), await office.token(holder)
    withdrawn = await office.token(holder)
    await office.enrol(without_seal().application(used.token))
    await office.tokens.withdraw(OPERATOR, withdrawn.token_id)
    with pytest.raises(Refused):
        await office.tokens.withdraw(OPERATOR, used.token_id)
    with pytest.raises(NotFound):
        await office.tokens.withdraw(OPERATOR, "0190a0f0-0000-7000-8000-000000000000")
    standing = {
        each.token_id: each.standing for each in (await office.tokens.listed(OTHER_UNIT))[0]
    }
    expected = {opened: "OPEN", used: "USED", withdrawn: "WITHDRAWN"}
    for token, was in expected.items():
        assert standing[token.token_id] == was
        found, _ = await office.tokens.listed(OTHER_UNIT, was)
        assert token.token_id in {each.token_id for each in found}
        assert {each.standing for each in found} == {was}
    first, more = await office.tokens.listed(OTHER_UNIT, page_size=2)
    rest, _ = await office.tokens.listed(OTHER_UNIT, page_token=more)
    assert [each.token_id for each in (*first, *rest)] == sorted(standing, reverse=True)


# ---------------------------------------------------------------- the first operator's command


async def run_token(office: Office, *arguments: str, **changed: str) -> tuple[int, str, str]:
    """``exchange-pki token``: exit code, stdout, stderr."""
    options = {"--state": str(office.state), "--dsn": office.dsn} | changed
    words = [word for pair in options.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exchange_pki", "token", *words, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_token_by_command(office: Office) -> None:
    code, out, err = await run_token(office, "--unit", UNIT, "--system", "oa", "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert printed["root_fingerprint"] == office.worker.root_fingerprint
    enrolled = await office.enrol(Pair().application(printed["token"], UNIT))
    assert enrolled.seal is not None
    assert enrolled.seal.seal == "main"
    [told] = await office.events("TOKEN_ISSUED", about=printed["token_id"])
    assert told.actor == f"spiffe://{TRUST_DOMAIN}/centre/authority/exchange-pki"


async def test_a_token_by_command_without_seal_and_for_staff(office: Office) -> None:
    for_system = ("--unit", UNIT, "--system", "oa", "--no-seal", "--lifetime", "60")
    for words in (for_system, ("--staff", "li.na")):
        code, out, _ = await run_token(office, *words, "--json")
        assert code == 0
        enrolled = await office.enrol(without_seal().application(json.loads(out)["token"]))
        assert enrolled.seal is None
    _, out, _ = await run_token(office, "--staff", "li.na", "--lang", "zh")
    assert "登记令牌: " in out
    assert "注册命令: exchange enrol --authority HOST:PORT --fingerprint " in out


async def test_a_token_by_command_says_what_its_holder_types(office: Office) -> None:
    address = ("--enrolment-address", "ca.example:7452", "--json")
    for words, options in (
        (("--unit", UNIT, "--system", "oa"), f" --unit {UNIT}"),
        (("--staff", "li.na"), " --no-seal"),
    ):
        _, out, _ = await run_token(office, *words, *address)
        printed = json.loads(out)
        assert printed["command"] == (
            f"exchange enrol --authority ca.example:7452 --fingerprint"
            f" {printed['root_fingerprint']}{options} --token {printed['token']}"
        )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--unit", UNIT), 2),
        (("--unit", UNIT, "--system", "oa", "--staff", "li.na"), 2),
        (("--unit", "qd-unknown", "--system", "oa"), 6),
        (("--unit", UNIT, "--system", "oa", "--lifetime", "99999999"), 2),
    ],
)
async def test_a_token_that_the_command_does_not_issue(
    office: Office, words: tuple[str, ...], code: int
) -> None:
    returned, out, err = await run_token(office, *words)
    assert (returned, out) == (code, "")
    assert "Traceback" not in err


async def test_many_tokens_by_command(office: Office, tmp_path: Path) -> None:
    batch = tmp_path / "batch.jsonl"
    wanted = [
        {"unit": UNIT, "system": "oa"},
        {"unit": "qd-unknown", "system": "oa"},
        {"unit": OTHER_UNIT, "system": "oa", "lifetime_s": 10**9},
        {"staff": "li.na"},
    ]
    batch.write_text("".join(json.dumps(line) + "\n" for line in wanted))
    code, out, err = await run_token(office, "--batch", str(batch))
    assert (code, err) == (1, "")
    of_unit, unknown, too_long, of_staff = map(json.loads, out.splitlines())
    assert unknown == {
        **{"unit": "qd-unknown", "system": "oa", "seal": "main"},
        **{"error": "NOT_FOUND", "message": "there is no unit qd-unknown"},
    }
    assert too_long["error"] == "INVALID_REQUEST"
    assert of_unit["root_fingerprint"] == office.worker.root_fingerprint
    assert (await office.enrol(Pair().application(of_unit["token"], UNIT))).seal is not None
    await office.enrol(without_seal().application(of_staff["token"]))


async def test_a_malformed_batch_issues_nothing(office: Office, tmp_path: Path) -> None:
    counted = "select count(*) from exchange.tokens"
    before = await office.owner.fetchval(counted)
    batch = tmp_path / "batch.jsonl"
    batch.write_text(json.dumps({"unit": UNIT, "system": "oa"}) + "\n{}x\n")
    code, out, err = await run_token(office, "--batch", str(batch))
    assert (code, out) == (2, "")
    assert "line 2" in err
    assert await office.owner.fetchval(counted) == before


async def test_no_token_for_the_ledger_of_another_authority(office: Office, tmp_path: Path) -> None:
    Authority.init(tmp_path / "pki", TRUST_DOMAIN, PASSPHRASE)
    words = ("--unit", UNIT, "--system", "oa")
    code, out, _ = await run_token(office, *words, **{"--state": str(tmp_path / "pki")})
    assert (code, out) == (3, "")


# ---------------------------------------------------------------- rights


@pytest.mark.parametrize(
    "statement",
    [
        "update exchange.tokens set used_at = null, system_key = null",
        "delete from exchange.tokens",
        "insert into exchange.tokens select * from exchange.tokens",
        "update exchange.seal_requests set standing = 'APPROVED'",
        "delete from exchange.seal_requests",
        "select exchange.record_prepared(null, null, null, null)",
        "update exchange.units set status = 'ACTIVE'",
    ],
)
async def test_the_authority_writes_by_functions_alone(
    office: Office, postgres: EmbeddedPostgres, database: str, statement: str
) -> None:
    connection = await asyncpg.connect(postgres.dsn("authority", database))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "select token_sha256 from exchange.tokens",
        "select public_key from exchange.seal_requests",
        "select * from exchange.seal_request_standings",
        "select exchange.withdraw_token(null, null, null, null, null, null)",
        "select exchange.note_system_certificate(null, null)",
        "select exchange.decide_seal(null, null, true, null, null, null, null, null, null)",
    ],
)
async def test_the_centre_has_no_part_in_enrolment(
    office: Office, postgres: EmbeddedPostgres, database: str, statement: str
) -> None:
    connection = await asyncpg.connect(postgres.dsn("exchange", database))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
