"""What ``draft`` and ``countersign`` say of a draft and its issuers, and when they seal."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from exchange_client import drafts, profile, seal_requests
from exchange_client.cli import countersign, joint_tables
from exchange_client.cli.command import Settings, report
from exchange_client.cli.joint_words import JOINT_WORDS
from exchange_client.cli.values import OPEN_STATES
from exchange_client.drafts import JointDraft
from exchange_client.seal_requests import ANSWERABLE, IssuerStanding
from rich.cells import cell_len

from document_exchange import codes
from document_exchange.errors import (
    EnvelopeIdOutOfRange,
    InvalidRequest,
    NotPermitted,
    SignatureInvalid,
)
from document_exchange.receipt import State
from document_exchange.transitions import OPEN
from tests.pki_for_tests import DAY, NOW, Pki
from tests.unit.test_client_drafts import LEADER, SECOND, draft
from tests.unit.test_signature import signed_attributes

__all__ = ["draft"]  # the fixture

Captured = pytest.CaptureFixture[str]


def test_the_open_states_are_the_same_everywhere() -> None:
    assert set(OPEN_STATES) == {state.value for state in OPEN}
    assert set(ANSWERABLE) == {*OPEN, State.COMPLETED}


@pytest.mark.parametrize(
    ("language", "cells"), [("en", ("sealed", "yes", "no")), ("zh", ("已盖章", "是", "否"))]
)
def test_whether_an_issuer_has_sealed_is_said_in_words(
    capsys: Captured, language: str, cells: tuple[str, str, str]
) -> None:
    settings = Settings(language=language)
    standing = [IssuerStanding(LEADER, True), IssuerStanding(SECOND, False, "the-request")]
    joint_tables.show_standing(settings, {}, standing)
    header, first, second = (
        line for line in capsys.readouterr().out.splitlines() if line.strip(" ─")
    )
    assert cells[0] in header
    assert (first.split()[1], second.split()[1]) == cells[1:]
    left = [
        cell_len(line[: line.index(word)]) for line, word in ((header, cells[0]), (first, cells[1]))
    ]
    assert left[0] == left[1]  # as words stand, not as numbers
    assert "the-request" in second
    assert JOINT_WORDS["countersign_request"][language == "zh"] in header


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("countersign",), "请给出 DIR"),
        (("countersign", ".", "--reply-due", "2099-01-31"), "须与 --request 同用"),
        (("draft", "-o", "x"), "请给出文件"),
        (("draft", "-o", "x", __file__), "请给出 --title"),
        (("draft", "-o", "x", __file__, "--title", "t"), "请给出 --to"),
        (("send", "--draft", "x", "--title", "t"), "请勿再给出其他参数"),
    ],
)
def test_a_misuse_is_told_in_the_language_of_the_user(
    capsys: Captured, arguments: tuple[str, ...], told: str
) -> None:
    from exchange_client.cli import main

    assert main(["--lang", "zh", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_an_envelope_in_place_of_a_folder_is_told_where_it_belongs(capsys: Captured) -> None:
    from exchange_client.cli import main

    envelope_id = codes.new_id(NOW)
    assert main(["countersign", envelope_id.upper()]) == 2
    assert f"--envelope {envelope_id}" in capsys.readouterr().err
    assert main(["countersign", envelope_id, "--lang", "zh"]) == 2
    assert f"请用 --envelope {envelope_id}" in capsys.readouterr().err
    assert main(["countersign", "no-such-directory"]) == 2
    assert "--envelope" not in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("language", "told"), [("en", "Nothing is wrong"), ("zh", "并无问题")])
def test_what_is_no_request_is_not_to_be_refused(
    capsys: Captured, language: str, told: str
) -> None:
    output = Settings(language=language, doing="countersign").output
    error = InvalidRequest("no request", envelope_id="E", business="DOCUMENT")
    assert report(output, error) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert "exchange receive E" in shown
    assert "exchange inbox" in shown
    assert "会签：" in shown
    assert seal_requests._REQUEST_TITLE == "会签："


@pytest.mark.parametrize(("language", "told"), [("en", "acts for"), ("zh", "代首位发文单位")])
def test_who_may_not_send_it_is_told_who_drafts(capsys: Captured, language: str, told: str) -> None:
    output = Settings(language=language, doing="draft").output
    assert report(output, NotPermitted("no issuer", field="document.issuers")) == 4
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("doing", ["send", "countersign"])
@pytest.mark.parametrize(("language", "told"), [("en", "Remove the file"), ("zh", "请删除所提示")])
def test_a_file_that_is_no_seal_is_to_be_removed(
    capsys: Captured, doing: str, language: str, told: str
) -> None:
    output = Settings(language=language, doing=doing).output
    assert report(output, SignatureInvalid("noise", file="signatures/x.p7s")) == 6
    shown = capsys.readouterr().err
    assert told.casefold() in shown.casefold()
    assert "--collect" in shown
    assert "Do not seal" not in shown


class Clock(datetime):
    """Shows what it is set to."""

    shown = NOW

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.shown


class OfSecond:
    """A profile of the second issuer."""

    unit = SECOND

    def __init__(self, pki: Pki) -> None:
        self.trust = pki.trust
        self.require_seal = lambda: pki.seal(SECOND).signer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, pki: Pki) -> type[Clock]:
    monkeypatch.setattr(Clock, "shown", NOW)
    monkeypatch.setattr(countersign, "datetime", Clock)
    monkeypatch.setattr(profile.Profile, "load", lambda _: OfSecond(pki))
    return Clock


def after(clock: type[Clock], pause: timedelta) -> Any:
    """The user answers yes after a pause."""

    def confirmed(*_: Any) -> bool:
        clock.shown = NOW + pause
        return True

    return confirmed


def seal(folder: Path) -> int:
    return countersign._seal(Settings(), folder, False)


def test_the_seal_says_when_it_was_made(
    draft: JointDraft, pki: Pki, clock: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = timedelta(hours=1)
    monkeypatch.setattr(countersign, "_confirmed", after(clock, pause))
    assert seal(draft.directory) == 0
    sealed = drafts.open_draft(draft.directory, pki.trust, NOW + pause).signatures[SECOND]
    assert signed_attributes(sealed)["signing_time"][0].native == NOW + pause


def test_a_draft_may_grow_too_old_while_it_is_asked(
    draft: JointDraft, clock: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countersign, "_confirmed", after(clock, 46 * DAY))
    with pytest.raises(EnvelopeIdOutOfRange):
        seal(draft.directory)
    assert not (draft.directory / "signatures" / f"{SECOND}.p7s").exists()
