"""The command line about a delivery's life, without a centre: words, advice, columns, usage."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from exchange_client import Decided, DeliveryStatus
from exchange_client.cli import exchange, main, standing
from exchange_client.cli.command import Settings, report
from exchange_client.cli.life_words import LIFE_ADVICE, LIFE_WORDS
from exchange_client.cli.output import Output
from exchange_client.cli.several import Tally
from exchange_client.cli.words import Words

from document_exchange import codes, times
from document_exchange.errors import StateConflict
from document_exchange.receipt import (
    ADMISSION_SCHEMA,
    RECEIPT_SCHEMA,
    Admission,
    DeadlineKind,
    Receipt,
    ReceiptType,
    State,
)
from document_exchange.transitions import TRANSITIONS
from document_exchange.verification import VerifiedReceipt

Captured = pytest.CaptureFixture[str]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENVELOPE = codes.new_id(NOON)
SEAL = "spiffe://exchange.example/unit/qd-jiaoyu/seal/main"
CENTRE = "spiffe://exchange.example/centre/seal/main"
VERBS = {
    "sign": ReceiptType.SIGNED_FOR,
    "refuse": ReceiptType.REFUSED,
    "progress": ReceiptType.PROGRESS,
    "complete": ReceiptType.COMPLETED,
    "return": ReceiptType.RETURNED,
    "grant": ReceiptType.WITHDRAWAL_GRANTED,
    "decline": ReceiptType.WITHDRAWAL_DECLINED,
    "withdraw": ReceiptType.WITHDRAWN,
    "urge": ReceiptType.URGED,
    "offer-again": ReceiptType.OFFERED_AGAIN,
}


def signed_for(*, admitted: bool) -> VerifiedReceipt:
    """A statement that may have won."""
    receipt = Receipt(
        schema=RECEIPT_SCHEMA,
        receipt_id=codes.new_id(NOON),
        type=ReceiptType.SIGNED_FOR if admitted else ReceiptType.DELIVERED,
        envelope_id=ENVELOPE,
        recipient="qd-jiaoyu",
        manifest_sha256="0" * 64,
        by=SEAL if admitted else CENTRE,
        at=times.format_time(NOON),
        seq=None if admitted else 1,
    )
    admission = Admission(
        schema=ADMISSION_SCHEMA,
        receipt_sha256="1" * 64,
        receipt_signature_sha256="2" * 64,
        envelope_id=ENVELOPE,
        recipient="qd-jiaoyu",
        seq=2,
        state_before=State.DELIVERED,
        state_after=State.SIGNED_FOR,
        recorded_at=times.format_time(NOON),
        by=CENTRE,
        leaf="3" * 64,
    )
    return VerifiedReceipt(receipt, admission if admitted else None, NOON)


def conflicting(*, repeated: bool) -> None:
    raise Decided("late", won=signed_for(admitted=True), repeated=repeated)


@pytest.mark.parametrize("kind", [State, ReceiptType, DeadlineKind])
def test_there_is_a_word_for_every_step_state_and_deadline(kind: Iterable[str]) -> None:
    for value in kind:
        english, chinese = LIFE_WORDS[value]
        assert english.replace(" ", "_").upper() not in ("", chinese)
        assert not chinese.isascii()


def test_the_words_are_those_of_the_domain() -> None:
    words = Words("zh")
    assert [words(each) for each in ("OFFERED_AGAIN", "URGED", "COMPLETED", "RETURNED")] == [
        *("补发", "催办", "已办结", "已退文"),
    ]


class TestConflicts:
    def test_who_won_and_when_is_said(self, capsys: Captured) -> None:
        conflict = Decided("too late", won=signed_for(admitted=True), state="SIGNED_FOR")
        assert report(Output(Words("en"), as_json=False), conflict) == 6
        said = capsys.readouterr().err
        assert f"recorded before: signed for by {SEAL}, no. 2, " in said
        assert f"{NOON.astimezone():%Y-%m-%d %H:%M:%S}" in said

    def test_programs_get_it_as_a_field(self, capsys: Captured) -> None:
        conflict = Decided("too late", won=signed_for(admitted=False), state="DELIVERED")
        assert report(Output(Words("zh"), as_json=True), conflict) == 6
        assert json.loads(capsys.readouterr().err)["won"] == {
            "type": "DELIVERED",
            "by": CENTRE,
            "seq": 1,
            "recorded_at": "2026-11-23T12:00:00.000Z",
        }

    def test_what_was_not_verified_is_not_shown(self, capsys: Captured) -> None:
        conflict = StateConflict("too late", winning=(b"r", b"s", b"a", b"s"), won="x")
        report(Output(Words("en"), as_json=True), conflict)
        assert "won" not in json.loads(capsys.readouterr().err)

    @pytest.mark.parametrize(("language", "said"), [("en", "had been recorded"), ("zh", "此前已")])
    def test_what_the_own_unit_had_said_before_is_done(
        self, language: str, said: str, capsys: Captured
    ) -> None:
        tally = Tally(Settings(language=language))
        for repeated in (True, False):
            with tally.guarded():
                conflicting(repeated=repeated)
        shown = capsys.readouterr()
        assert said in shown.out
        assert "[STATE_CONFLICT]" in shown.err
        assert (tally.done, tally.exit_code) == (1, 1)

    def test_programs_learn_that_it_is_a_repetition(self, capsys: Captured) -> None:
        tally = Tally(Settings(json=True))
        with tally.guarded():
            conflicting(repeated=True)
        assert tally.exit_code == 0
        assert json.loads(capsys.readouterr().out) == {
            "envelope_id": ENVELOPE,
            "recipient": "qd-jiaoyu",
            "type": "SIGNED_FOR",
            "state": "SIGNED_FOR",
            "seq": 2,
            "by": SEAL,
            "recorded_at": "2026-11-23T12:00:00.000Z",
            "repeated": True,
        }

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_advice_names_a_command_that_is_there_and_the_state_takes(self, language: str) -> None:
        of_all = {"envelope_id": ENVELOPE, "recipient": "qd-jiaoyu"}
        for key in LIFE_ADVICE:
            doing, _, rest = key.partition(".")
            state = rest.partition("state=")[2]
            named = rest.partition(".")[2].partition("=")[0]
            attributes = {named: "qd-caizheng"} if named == "sender" else {}
            attributes |= of_all
            assert doing in VERBS
            if state:
                assert (State(state), VERBS[doing]) not in TRANSITIONS or doing == "refuse"
            told = Words(language, doing).advice(
                (rest.partition(".")[0],), attributes={**attributes, "state": state}
            )
            assert told == LIFE_ADVICE[key][language == "zh"].format(**attributes)
            for command in told.split("exchange ")[1:]:
                assert command.split()[0] in exchange.commands

    @pytest.mark.parametrize("doing", ["withdraw", "urge", "offer-again"])
    @pytest.mark.parametrize(
        ("attribute", "english", "chinese"),
        [("recipient", "one of its recipients", "收文单位之一"), ("sender", "U.", "发文单位 U")],
    )
    def test_who_errs_about_the_parties_is_sent_to_them(
        self, doing: str, attribute: str, english: str, chinese: str
    ) -> None:
        attributes = {"envelope_id": "E", attribute: "U"}
        for language, said in (("en", english), ("zh", chinese)):
            told = Words(language, doing).advice(("NOT_FOUND",), attributes=attributes)
            assert said in told
            assert "exchange track E" in told
            unknown = Words(language, doing).advice(("NOT_FOUND",), attributes={"envelope_id": "E"})
            assert "exchange" not in unknown

    def test_advice_follows_the_value_of_an_attribute(self) -> None:
        words = Words("en", "return")
        conflicts = [
            words.advice(("STATE_CONFLICT",), attributes={"envelope_id": "E", "state": state})
            for state in ("PENDING", "DELIVERED", "COMPLETED")
        ]
        assert "exchange receive E" in conflicts[0]
        assert "exchange refuse E" in conflicts[1]
        assert "exchange track" in conflicts[2]


class TestStanding:
    STATUS = DeliveryStatus("qd-jiaoyu", State.DELIVERED, 1, NOON, sign_due=NOON, overdue=True)

    def test_columns_appear_where_there_is_something_in_them(self) -> None:
        row = standing.with_notes(standing.fields_of(self.STATUS))
        assert row["notes"] == ["OVERDUE"]
        assert standing.columns(["state"], [row]) == ["state", "due", "notes"]
        quiet = DeliveryStatus("qd-jiaoyu", State.DELIVERED, 1, NOON)
        assert standing.columns(["state"], [standing.with_notes(standing.fields_of(quiet))]) == [
            "state"
        ]

    def test_programs_get_every_field_that_there_is(self) -> None:
        assert standing.fields_of(self.STATUS) == {
            "recipient": "qd-jiaoyu",
            "state": "DELIVERED",
            "seq": 1,
            "updated_at": NOON,
            "withdrawal_requested": False,
            "sign_due": NOON,
            "overdue": True,
            "due": NOON,
        }

    @pytest.mark.parametrize(("language", "word"), [("en", "overdue"), ("zh", "逾期")])
    def test_notes_are_translated(self, language: str, word: str, capsys: Captured) -> None:
        row = standing.with_notes(standing.fields_of(self.STATUS))
        Output(Words(language), as_json=False).table([row], ["state", "due", "notes"])
        shown = capsys.readouterr().out
        assert word in shown
        assert "UTC" in shown.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sign"], "ENVELOPE"),
        (["progress", ENVELOPE], "TEXT"),
        (["return", ENVELOPE], "--code"),
        (["return", ENVELOPE, "--code", "LOST"], "NOT_OUR_REMIT"),
        (["return", ENVELOPE, "--code", "other", "--reason", " "], "--reason is needed"),
        (["withdraw", ENVELOPE, "--from", ""], "names no unit"),
        (["withdraw", ENVELOPE, "--from", ","], "names no unit"),
        (["refuse", ENVELOPE, "--reason", "DUPLICATE"], "--code"),
        (["return", ENVELOPE, "--code", "other", "--lang", "zh"], "须同时给出 --reason"),
        (["refuse", ENVELOPE, "--code", "other", "--lang", "zh"], "须同时给出 --reason"),
        (["urge", ENVELOPE, "--lang", "zh", "--recipient", ","], "未给出任何单位"),
        (["inbox", "--open", "--all", "--lang", "zh"], "不能同时使用"),
        (["receive", ENVELOPE, "--follow", "--lang", "zh"], "接收全部公文"),
        (["offer-again", ENVELOPE], "--recipient"),
        (["withdraw"], "ENVELOPE"),
        (["inbox", "--open", "--all"], "exclude each other"),
        (["news", "--state", "LOST"], "PENDING"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_called(
    arguments: list[str], said: str, capsys: Captured
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
