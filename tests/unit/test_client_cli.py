"""The command line without a centre: speed, options, languages, output, errors, exit codes."""

from __future__ import annotations

import contextlib
import enum
import io
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from exchange_client.cli import exchange, main
from exchange_client.cli.advice_words import ADVICE
from exchange_client.cli.command import codes_of, report
from exchange_client.cli.evidence_words import EVIDENCE_ADVICE
from exchange_client.cli.joint_words import JOINT_ADVICE
from exchange_client.cli.life_words import LIFE_ADVICE
from exchange_client.cli.output import Output, as_json, printable
from exchange_client.cli.tables import draw
from exchange_client.cli.values import (
    CATEGORIES,
    DIRECTIONS,
    GENRES,
    REASONS,
    STATES,
    URGENCIES,
)
from exchange_client.cli.words import DICTIONARIES, Words, default_language
from rich.cells import cell_len
from rich.console import Console

from document_exchange.errors import (
    BY_CODE,
    EnvelopeConflict,
    ExchangeError,
    NotPermitted,
    SealExpired,
    StateConflict,
    Unavailable,
)
from document_exchange.manifest import Category, Direction, Genre, Urgency
from document_exchange.receipt import ReasonCode, State

Captured = pytest.CaptureFixture[str]

SIMPLE_BUNDLE = Path(__file__).parents[1] / "assets" / "vectors" / "simple.zip"
"""A bundle of evidence that holds."""


@pytest.fixture(autouse=True)
def no_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_CONFIG", str(tmp_path / "none"))
    for variable in ("EXCHANGE_PROFILE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)


def test_help_imports_nothing_heavy() -> None:
    heavy = {"grpc", "cryptography", "msgspec", "rich", "asyncio", "google"}
    program = (
        "import sys; from exchange_client.cli import main; main(['--help']);"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == "[]\n"
    assert "track" in done.stdout


def test_every_command_explains_itself(capsys: Captured) -> None:
    for name in exchange.commands:
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith(f"Usage: exchange {name}")
        assert shown.err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["inbox", "--bogus"],
        ["inbox", "--state", "PENDING", "--all"],
        ["send", "--to", "qd-jiaoyu", "--title", "t"],
        ["send", "/does/not/exist", "--to", "qd-jiaoyu", "--title", "t"],
        ["refuse", "0121a0c4-5f80-7abc-8def-0123456789ab"],
        ["receive", "--follow", "0121a0c4-5f80-7abc-8def-0123456789ab"],
        ["--lang", "fr", "units"],
    ],
)
def test_wrong_usage_is_2_and_on_stderr(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "exchange" in shown.err


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_is_one_json_object_wherever_json_was_asked_for(
    place: int, capsys: Captured
) -> None:
    arguments = ["units"]
    arguments.insert(place, "--json")
    assert main(arguments) == 3
    shown = capsys.readouterr()
    error = json.loads(shown.err)
    assert (error["error"], error["exit_code"]) == ("CONFIGURATION", 3)
    assert error["message"]
    assert error["what_to_do"]
    assert shown.out == ""


def test_a_missing_profile_is_3_and_says_what_to_do(capsys: Captured) -> None:
    assert main(["inbox"]) == 3
    message = capsys.readouterr().err
    assert "exchange profile import" in message
    assert "[CONFIGURATION]" in message


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_empty_list_of_profiles_is_no_error_and_says_where_to_look(
    language: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["profile", "list", "--lang", language]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert str(tmp_path / "none") in shown.err
    assert "EXCHANGE_CONFIG" in shown.err
    assert "exchange profile import" in shown.err


def test_a_profile_that_is_not_there_is_no_dead_end(tmp_path: Path, capsys: Captured) -> None:
    assert main(["--profile", "qd-caizheng", "outbox"]) == 3
    said = capsys.readouterr().err
    assert f"no profile qd-caizheng in {tmp_path / 'none'}" in said
    assert "EXCHANGE_CONFIG" in said
    assert "STATE/clients" in said
    assert "exchange profile import" in said


def test_refusing_with_other_needs_words_before_anything_is_called(capsys: Captured) -> None:
    arguments = ["refuse", "0121a0c4-5f80-7abc-8def-0123456789ab", "--code", "other"]
    for more in ([], ["--reason", " "]):
        assert main([*arguments, *more]) == 2
        said = capsys.readouterr().err
        assert "--reason is needed with --code OTHER" in said
        assert "exchange refuse --help" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["inbox", "--limit", "-1"], ["--limit"]),
        (["outbox", "--limit", "-1"], ["--limit"]),
        (["inbox", "--state", "LOST"], ["--state", *State]),
        (["outbox", "--state", "LOST"], ["--state", *State]),
        (["refuse", "x", "--code", "LOST"], ["--code", *ReasonCode]),
        (["send", __file__, "--to", "a", "--title", "t", "--genre", "LOST"], [*Genre]),
        (["send", __file__, "--to", "a", "--title", "t", "--urgency", "LOST"], [*Urgency]),
        (["send", __file__, "--to", "a", "--title", "t", "--category", "LOST"], [*Category]),
        (["send", __file__, "--to", "a", "--title", "t", "--direction", "LOST"], [*Direction]),
        (["send", "/does/not/exist", "--to", "a", "--title", "t"], ["/does/not/exist"]),
    ],
)
def test_a_wrong_value_is_answered_with_the_right_ones(
    arguments: list[str], named: list[str], capsys: Captured
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert all(value in said for value in named)
    assert "what to do" not in said
    assert "�" not in said


def test_a_missing_choice_lists_the_values_in_one_line(capsys: Captured) -> None:
    assert main(["refuse", "x"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "Choose from: NOT_OUR_REMIT, RULE_VIOLATION," in line


def test_a_wrong_choice_is_named_as_it_was_typed(capsys: Captured) -> None:
    assert main(["refuse", "x", "--code", "nonsense"]) == 2
    assert "'nonsense'" in capsys.readouterr().err


def test_the_profile_of_an_enrolment_is_a_new_one(capsys: Captured) -> None:
    assert main(["enrol", "--help"]) == 0
    assert "What to call the new profile" in capsys.readouterr().out
    assert main(["inbox", "--help"]) == 0
    assert "Profile to speak for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (STATES, State),
        (REASONS, ReasonCode),
        (GENRES, Genre),
        (DIRECTIONS, Direction),
        (URGENCIES, Urgency),
        (CATEGORIES, Category),
    ],
)
def test_options_take_the_values_of_the_formats(
    values: Sequence[str], kind: type[enum.StrEnum]
) -> None:
    assert list(values) == [member.value for member in kind]


def test_a_broken_profile_is_listed_with_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "profile.toml").write_text("address =")
    monkeypatch.setenv("EXCHANGE_CONFIG", str(tmp_path))
    assert main(["profile", "list", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "CONFIGURATION"


class TestWords:
    @pytest.mark.parametrize(
        ("environment", "language"),
        [
            ({}, "en"),
            ({"LANG": "zh_CN.UTF-8"}, "zh"),
            ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
            ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ],
    )
    def test_the_language_follows_the_locale(
        self, environment: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        assert default_language() == language

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_there_is_advice_for_every_error(self, language: str) -> None:
        words = Words(language)
        for cls in BY_CODE.values():
            codes = tuple(c.code for c in cls.__mro__ if issubclass(c, ExchangeError))
            assert words.advice(codes) or cls is ExchangeError

    @pytest.mark.parametrize("language", ["en", "zh"])
    @pytest.mark.parametrize("doing", ["", "enrol", "admin", "renew"])
    def test_no_error_of_joining_or_of_staff_speaks_of_documents(
        self, language: str, doing: str
    ) -> None:
        words = Words(language, doing)
        of_documents = words.advice(("VERIFICATION_FAILED",)) + words.advice(("REFUSED",))
        assert ("BAD_SIGNATURE" in of_documents) == (doing == "")
        for code in ("TOKEN_USED", "REQUEST_REFUSED", "ENTRIES_CHANGED", "SECOND_PERSON_NEEDED"):
            codes = codes_of(BY_CODE[code]())
            told = words.advice(codes)
            assert told
            if doing == "enrol" or code != "REQUEST_REFUSED":
                assert told != Words(language).advice(("REFUSED",))

    def test_advice_names_the_role_where_the_error_does(self) -> None:
        words = Words("en", "admin")
        assert "role security" in words.advice(("NOT_PERMITTED",), attributes={"role": "security"})
        assert "another role" in words.advice(("NOT_PERMITTED",), attributes={"method": "/x"})
        assert "unit" in Words("en").advice(("NOT_PERMITTED",), attributes={"role": "security"})

    def test_all_advice_is_for_a_code(self) -> None:
        for key in ADVICE:
            doing, _, code = key.partition(".") if "." in key else ("", "", key)
            assert doing in ("", *exchange.commands)
            assert code.partition(".")[0] in {*BY_CODE, "FILES", "USAGE"}

    def test_no_word_is_in_two_dictionaries(self) -> None:
        """The later would hide the earlier, in a command that has nothing to do with it."""
        keys = Counter(key for dictionary in DICTIONARIES for key in dictionary)
        assert [key for key, count in keys.items() if count > 1] == []

    def test_no_advice_is_given_twice(self) -> None:
        parts = (EVIDENCE_ADVICE, JOINT_ADVICE, LIFE_ADVICE)
        keys = Counter(key for part in parts for key in part)
        assert [key for key, count in keys.items() if count > 1] == []
        assert all(ADVICE[key] == part[key] for part in parts for key in part)

    @pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL"])
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_who_may_say_it_twice_is_sent_to_look_first(self, code: str, language: str) -> None:
        """A command forgets its receipt: repeated, it is another statement or document."""
        codes = codes_of(BY_CODE[code]())
        for doing in ("urge", "progress", "decline", "withdraw", "offer-again"):
            assert "exchange track" in Words(language, doing).advice(codes)
        assert "exchange outbox" in Words(language, "send").advice(codes)
        for doing in ("sign", "complete", "return", "grant", "refuse", "receive"):
            assert "exchange" not in Words(language, doing).advice(codes)


class TestOutput:
    def test_what_a_terminal_would_obey_is_not_printed(self) -> None:
        assert printable("a\x1b[2Jb\u202ec\n\td") == "a�[2Jb�c d"
        line = as_json({"title": "a\x9b2J\x1b\u202e通知"})
        assert line == '{"title": "a\\u009b2J\\u001b\\u202e通知"}'
        assert json.loads(line) == {"title": "a\x9b2J\x1b\u202e通知"}

    def test_json_has_times_in_utc(self, capsys: Captured) -> None:
        at = datetime(2026, 11, 20, 1, 2, 3, 456789, tzinfo=UTC)
        Output(Words("en"), as_json=True).table([{"at": at}, {"at": at}], ["at"])
        assert capsys.readouterr().out == '{"at": "2026-11-20T01:02:03.456Z"}\n' * 2

    def test_a_table_has_words_of_the_language_and_times_with_their_zone(
        self, capsys: Captured
    ) -> None:
        at = datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)
        rows = [{"state": "PENDING", "title": "PENDING[bold]", "accepted_at": at}]
        output = Output(Words("zh"), as_json=False)
        assert output.table(rows, ["state", "title", "accepted_at"]) == 1
        shown = capsys.readouterr().out
        assert "待送达" in shown
        assert "PENDING[bold]" in shown
        assert "受理时间" in shown
        zone = datetime.now().astimezone()
        assert f"{at.astimezone(zone.tzinfo):%Y-%m-%d %H:%M:%S}\n" in shown
        assert shown.count("UTC") == 1

    def test_no_line_ends_in_blanks(self, capsys: Captured) -> None:
        rows = [{"title": "t" * 500, "number": "A"}, {"title": "short", "number": ""}]
        Output(Words("en"), as_json=False).table(rows, ["number", "title"])
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if "short" in line]
        assert lines == [line.rstrip() for line in lines]

    def test_wide_characters_are_aligned(self, capsys: Captured) -> None:
        rows = [{"title": "通知", "number": "A"}, {"title": "abcd", "number": "B"}]
        Output(Words("en"), as_json=False).table(rows, ["title", "number"])
        lines = capsys.readouterr().out.splitlines()
        first = next(line for line in lines if "通知" in line)
        second = next(line for line in lines if "abcd" in line)
        assert first.index("A") + 2 == second.index("B")


ENVELOPE = "0121a0c4-5f80-7abc-8def-0123456789ab"
DOC_ID = "QD0010045-2026-17954412439"
TITLE = "关于编制部门预算的通知" * 3


class TestTables:
    def drawn(self, width: int, *rows: Sequence[str]) -> list[str]:
        file = io.StringIO()
        console = Console(file=file, width=width)
        draw(console, ["envelope", "title", "document"], rows, folded={1}, numeric=())
        return file.getvalue().splitlines()

    @pytest.mark.parametrize("width", [20, 60, 80, 93, 94, 100, 200])
    def test_identifiers_stay_whole_at_any_width(self, width: int) -> None:
        shown = "\n".join(self.drawn(width, [ENVELOPE, TITLE, DOC_ID]))
        assert ENVELOPE in shown
        assert DOC_ID in shown
        assert re.sub(r"[^关于编制部门预算的通知]", "", shown) == TITLE

    @pytest.mark.parametrize("width", [94, 95, 100, 200])
    def test_where_there_is_room_titles_are_folded(self, width: int) -> None:
        lines = self.drawn(width, [ENVELOPE, TITLE, DOC_ID])
        assert all(cell_len(line) <= width for line in lines)
        (line,) = [line for line in lines if ENVELOPE in line]
        assert DOC_ID in line

    def test_where_there_is_not_each_row_is_a_record(self) -> None:
        lines = self.drawn(70, [ENVELOPE, "通知", DOC_ID], [ENVELOPE, "", DOC_ID])
        assert lines == [
            f"envelope  {ENVELOPE}",
            "title     通知",
            f"document  {DOC_ID}",
            "",
            f"envelope  {ENVELOPE}",
            f"document  {DOC_ID}",
        ]


class TestVerify:
    ROOT = ("--root-fingerprint", "0" * 64)

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> str:
        """A zip, and none of a bundle."""
        with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
            archive.writestr("letter.txt", "text")
        return str(tmp_path / "e.zip")

    @pytest.fixture
    def no_zip(self, tmp_path: Path) -> str:
        (tmp_path / "letter.pdf").write_bytes(b"no zip")
        return str(tmp_path / "letter.pdf")

    @pytest.mark.parametrize(
        ("language", "said"),
        [
            ("en", "steps failed: 1, the first about .: bundle: readable, safe and known names"),
            ("zh", "证据不成立：1 个步骤不通过，首先涉及 .：证据包：可读，文件名合规"),
        ],
    )
    def test_people_are_told_the_first_failure_in_their_language(
        self, bundle: str, language: str, said: str, capsys: Captured
    ) -> None:
        assert main(["verify", bundle, *self.ROOT, "--lang", language]) == 6
        assert said in capsys.readouterr().out

    def test_programs_are_told_its_code(self, bundle: str, capsys: Captured) -> None:
        assert main(["verify", bundle, *self.ROOT, "--json", "--lang", "zh"]) == 6
        *_, verdict = map(json.loads, capsys.readouterr().out.splitlines())
        assert (verdict["ok"], verdict["step"], verdict["subject"]) == (False, "bundle", ".")

    @pytest.mark.parametrize(
        ("language", "said", "not_said"),
        [
            ("en", "NO BUNDLE OF EVIDENCE: {} is no zip", "DOES NOT HOLD"),
            ("zh", "不是证据包：{} 不是 zip 文件", "证据不成立"),
        ],
    )
    def test_a_file_that_is_no_zip_is_said_to_be_no_evidence(
        self, no_zip: str, language: str, said: str, not_said: str, capsys: Captured
    ) -> None:
        assert main(["verify", no_zip, *self.ROOT, "--lang", language]) == 6
        shown = capsys.readouterr().out
        assert said.format(no_zip) in shown
        assert not_said not in shown

    def test_what_was_skipped_is_not_counted_as_failed(self, capsys: Captured) -> None:
        assert main(["verify", str(SIMPLE_BUNDLE), *self.ROOT, "--json"]) == 6
        *steps, verdict = map(json.loads, capsys.readouterr().out.splitlines())
        verdicts = Counter(step["verdict"] for step in steps)
        assert verdicts["SKIPPED"] > 1
        assert (verdict["failed"], verdicts["FAILED"]) == (1, 1)


class TestErrors:
    def test_a_file_is_named_without_numbers(self, capsys: Captured) -> None:
        error = PermissionError(13, "Permission denied", "/srv/received")
        assert report(Output(Words("en"), as_json=False), error) == 3
        assert "error: /srv/received: Permission denied [FILES]\n" in capsys.readouterr().err

    def test_a_full_disk_behind_stdout_is_named(
        self, capsys: Captured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = Output(Words("en"), as_json=True)
        with Path("/dev/full").open("w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            with pytest.raises(OSError, match="standard output") as raised:
                output.row({"title": "t"}, "changed")
            monkeypatch.undo()
            with contextlib.suppress(OSError):
                full.close()
        assert report(output, raised.value) == 1
        said = json.loads(capsys.readouterr().err)
        assert (said["error"], said["exit_code"]) == ("FILES", 1)

    @pytest.mark.parametrize(
        ("error", "exit_code"),
        [
            (NotPermitted("no"), 4),
            (Unavailable("later"), 5),
            (SealExpired("old"), 6),
            (EnvelopeConflict("taken"), 6),
            (StateConflict("too late", state="REFUSED"), 6),
            (PermissionError(13, "denied"), 3),
            (OSError(28, "full"), 1),
            (click.UsageError("how?"), 2),
        ],
    )
    def test_each_has_its_exit_code(
        self, error: Exception, exit_code: int, capsys: Captured
    ) -> None:
        assert report(Output(Words("en"), as_json=False), error) == exit_code
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "error:" in shown.err
        assert "what to do:" in shown.err

    def test_attributes_reach_programs(self, capsys: Captured) -> None:
        report(Output(Words("en"), as_json=True), StateConflict("too late", state="REFUSED"))
        error = json.loads(capsys.readouterr().err)
        assert error["error"] == "STATE_CONFLICT"
        assert error["attributes"] == {"state": "REFUSED"}

    def test_an_error_of_our_own_making_is_not_hidden(self) -> None:
        with pytest.raises(ZeroDivisionError):
            report(Output(Words("en"), as_json=False), ZeroDivisionError())
