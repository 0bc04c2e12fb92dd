"""Each transition of a delivery, made through the command line alone.

One centre with short deadlines and some documents: what may happen to a delivery happens to one
of them. At the end ``exchange track --json`` shows the whole table of transitions, and no other.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exchange_client.testing import LocalCentre

from document_exchange.receipt import (
    SIGNED_BY_CENTRE,
    SIGNED_BY_RECIPIENT,
    SIGNED_BY_SENDER,
    ReasonCode,
    ReceiptType,
    State,
)
from document_exchange.transitions import TRANSITIONS, Standing, step
from tests.real_centre import CentreInside
from tests.shell_for_tests import Shell

SENDER, RECIPIENT, CLOSED = "qd-caizheng", "qd-jiaoyu", "qd-tongji"
# Long enough to receive and sign for a document before it is reminded of, on a slow machine, too.
SHORT_DEADLINES = """
[deadlines]
sign_extra_urgent = "40 s"
remind_sign_extra_urgent = "5 s"
reply_extra_urgent = "45 s"
remind_reply = "5 s"
interval_s = 0.5
"""
WAIT_LOOKS = 300
"""How often a wait looks; each look is a process of its own and takes about half a second."""

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def centre() -> Iterator[LocalCentre]:
    with LocalCentre() as running:
        yield running


@pytest.fixture
async def shell(centre: LocalCentre, tmp_path: Path) -> AsyncIterator[Shell]:
    """A shell whose profiles speak to a server with short deadlines."""
    inside = CentreInside(centre)
    async with inside.second_server(tmp_path / "second.log", SHORT_DEADLINES):
        config = tmp_path / "profiles"
        shutil.copytree(centre.config_dir, config)
        for profile in config.glob("*/profile.toml"):
            profile.write_text(profile.read_text().replace(centre.address, inside.address))
        yield Shell(config, tmp_path)


class City:
    """The sender, the recipient and the operator, each at a command line."""

    def __init__(self, shell: Shell, operator: str) -> None:
        self._shell = shell
        self._operator = operator
        self.sent: list[str] = []

    def send(self, title: str, *more: str, to: str = RECIPIENT) -> str:
        (self._shell.directory / "notice.pdf").write_bytes(b"%PDF-1.7 " + title.encode())
        arguments = ("send", "notice.pdf", "--to", to, "--title", title, *more)
        (row,) = self._shell.rows("--profile", SENDER, *arguments)
        self.sent.append(row["envelope_id"])
        return self.sent[-1]

    def sender(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        return self._shell.rows("--profile", SENDER, *arguments, code=code)

    def recipient(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        return self._shell.rows("--profile", RECIPIENT, *arguments, code=code)

    def refused(self, unit: str, *arguments: str) -> dict[str, Any]:
        """What a command that comes too late says."""
        done = self._shell.run("--json", "--profile", unit, *arguments, code=6)
        assert done.stdout == ""
        return dict(json.loads(done.stderr))

    def close(self, unit: str) -> None:
        self._shell.run("--profile", self._operator, "admin", "unit", "close", unit, "--yes")

    def steps(self, envelope_id: str) -> list[dict[str, Any]]:
        return self.sender("track", envelope_id)

    def wait_for(self, envelope_id: str, *types: ReceiptType) -> None:
        """Until these were recorded; each look is a call."""
        for _ in range(WAIT_LOOKS):
            if {row["type"] for row in self.steps(envelope_id)} >= set(types):
                return
        raise AssertionError(f"no {types}: {self.steps(envelope_id)}")

    def listed(self, box: Callable[..., list[dict[str, Any]]], envelope_id: str) -> dict[str, Any]:
        """How inbox or outbox show an envelope; in the outbox, its delivery."""
        name = "outbox" if box == self.sender else "inbox"
        everything = () if name == "outbox" else ("--all",)
        (row,) = (row for row in box(name, *everything) if row["envelope_id"] == envelope_id)
        return dict(row["deliveries"][0]) if name == "outbox" else row


def test_every_transition_through_the_command_line(centre: LocalCentre, shell: Shell) -> None:
    operator = next(each.profile for each in centre.staff if each.role == "operator")
    city = City(shell, operator)

    # What has deadlines begins, so that they pass meanwhile.
    waiting = city.send("待签收", "--urgency", "extra_urgent")
    held = city.send("已送达", "--urgency", "extra_urgent")
    city.recipient("receive", held)
    unanswered = city.send("待答复", "--urgency", "extra_urgent", "--reply-required")
    city.recipient("receive", "--sign", unanswered)
    assert city.listed(city.recipient, waiting)["sign_due"]
    assert city.listed(city.sender, unanswered)["reply_due"]

    refused_by_mistake_then_withdrawn(city)
    done_with(city)
    withdrawn_at_once(city)

    expired = city.send("撤销单位", to=CLOSED)
    city.close(CLOSED)
    city.wait_for(expired, ReceiptType.EXPIRED)

    for envelope_id in (waiting, held, unanswered):
        city.wait_for(envelope_id, ReceiptType.REMINDED, ReceiptType.OVERDUE)
        assert city.listed(city.sender, envelope_id)["overdue"]
        assert city.listed(city.recipient, envelope_id)["overdue"]

    made: set[tuple[State | None, ReceiptType]] = set()
    for envelope_id in city.sent:
        made |= legal_steps(city.steps(envelope_id))
    assert made == set(TRANSITIONS)
    assert {type_ for _, type_ in made} == (
        SIGNED_BY_CENTRE | SIGNED_BY_RECIPIENT | SIGNED_BY_SENDER
    )


def refused_by_mistake_then_withdrawn(city: City) -> None:
    """One document that is refused twice, offered again twice, signed for, and asked back."""
    envelope_id = city.send("关于编制部门预算的通知")
    city.recipient("refuse", envelope_id, "--code", "BAD_SIGNATURE")
    city.sender("offer-again", envelope_id, "--recipient", RECIPIENT, "--reason", "请再验")
    city.sender("urge", envelope_id)
    city.recipient("receive", envelope_id)
    city.sender("urge", envelope_id, "--recipient", RECIPIENT)
    city.recipient("refuse", envelope_id, "--code", "DUPLICATE")
    city.sender("offer-again", envelope_id, "--recipient", RECIPIENT)
    city.recipient("receive", envelope_id)
    (signed,) = city.recipient("sign", envelope_id)
    city.sender("urge", envelope_id, "--reason", "请尽快办理")
    city.recipient("progress", envelope_id, "正在会签")

    late = city.refused(SENDER, "withdraw", envelope_id)
    assert late["error"] == "STATE_CONFLICT"
    assert (late["won"]["type"], late["won"]["seq"]) == ("SIGNED_FOR", signed["seq"])
    assert late["won"]["recorded_at"] == signed["recorded_at"]
    assert f"exchange withdraw {envelope_id} --from {RECIPIENT} --request" in late["what_to_do"]

    city.sender("withdraw", envelope_id, "--from", RECIPIENT, "--request", "附件有误")
    assert city.listed(city.recipient, envelope_id)["withdrawal_requested"]
    city.recipient("decline", envelope_id, "--reason", "已转办")
    assert not city.listed(city.sender, envelope_id)["withdrawal_requested"]
    assert "no request" in city.refused(RECIPIENT, "grant", envelope_id)["what_to_do"]
    city.sender("withdraw", envelope_id, "--request", "文号重复")
    (granted,) = city.recipient("grant", envelope_id)
    assert granted["state"] == "WITHDRAWN"

    texts = [row["reason"] for row in city.steps(envelope_id) if "reason" in row]
    assert texts == ["请再验", "请尽快办理", "正在会签", "附件有误", "已转办", "文号重复"]


def done_with(city: City) -> None:
    """One that is dealt with, and one that is returned."""
    completed, returned = city.send("办结"), city.send("退文")
    city.recipient("receive", completed, returned)
    assert len(city.recipient("sign", completed, returned)) == 2
    city.recipient("complete", completed, "--reason", "已落实")
    city.recipient("return", returned, "--code", "NOT_OUR_REMIT", "--reason", "请送卫生局")
    assert city.refused(SENDER, "withdraw", completed)["won"]["type"] == "COMPLETED"


def withdrawn_at_once(city: City) -> None:
    """One that nobody has received yet, and one that was."""
    pending, delivered = city.send("误发"), city.send("误发，已送达")
    city.recipient("receive", delivered)
    assert len(city.sender("withdraw", pending, delivered, "--reason", "误发")) == 2
    late = city.refused(RECIPIENT, "sign", delivered)
    assert (late["won"]["type"], late["attributes"]["state"]) == ("WITHDRAWN", "WITHDRAWN")
    assert re.fullmatch(rf"spiffe://[^/]+/unit/{SENDER}/seal/.+", late["won"]["by"])


def legal_steps(rows: list[dict[str, Any]]) -> set[tuple[State | None, ReceiptType]]:
    """The steps of one delivery, each checked against the table."""
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    standing, made = Standing(None), set()
    for row in rows:
        type_ = ReceiptType(row["type"])
        made.add((standing.state, type_))
        code = ReasonCode(row["reason_code"]) if "reason_code" in row else None
        standing = step(standing, type_, code)
        assert standing.state == row["state"]
    now = rows[0]["deliveries"][0]
    assert (now["state"], now["seq"]) == (standing.state, len(rows) - 1)
    assert now["withdrawal_requested"] is standing.withdrawal_requested
    return made
