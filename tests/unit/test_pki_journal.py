"""The journal: what a power cut, a full disk or a damaged file leaves, and what is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from exchange_pki import check, files
from exchange_pki import crl as crls
from exchange_pki.authority import Authority
from exchange_pki.journal import (
    SCHEMA,
    CrlIntent,
    CrlIssued,
    Entry,
    Failed,
    Founded,
    Issued,
    IssueIntent,
    Journal,
    Revoked,
    RevokeIntent,
)
from exchange_pki.layout import Layout
from exchange_pki.register import Register

from document_exchange.errors import ConfigurationError
from tests.authority_for_tests import (
    PASSPHRASE,
    SEAL,
    SYSTEM,
    Clock,
    copy_of_authority,
    new_key,
)

AT = "2026-11-20T09:30:15.250Z"
FOUNDED = Founded(at=AT, schema=SCHEMA, trust_domain="exchange.example")


def failed(operation: str) -> Failed:
    return Failed(at=AT, operation=operation, error="…")


@pytest.fixture
def state(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_authority(tmp_path_factory, tmp_path / "pki")


def load(state: Path) -> Authority:
    return Authority.load(state, PASSPHRASE, clock=Clock())


def register_of(journal: Path) -> tuple[Register, bytes]:
    entries, torn = Journal(journal, journal.with_name("aside")).read()
    register = Register()
    register.apply(entries)
    return register, torn


def issue(authority: Authority) -> None:
    authority.issue(SEAL, new_key())


def revoke(authority: Authority) -> None:
    authority.revoke(authority.register.authority("tls-ca").serial, "superseded")


def list_revoked(authority: Authority) -> None:
    authority.issue_crls(["seal-ca"])


class TestPowerCut:
    """The file is cut at every byte of what the last act wrote."""

    @pytest.mark.parametrize(
        ("act", "kind"),
        [(issue, IssueIntent), (revoke, RevokeIntent), (list_revoked, CrlIntent)],
    )
    def test_an_outcome_cut_anywhere_leaves_its_intent(
        self, state: Path, act: Callable[[Authority], None], kind: type
    ) -> None:
        authority = load(state)
        act(authority)
        whole = authority.layout.journal.read_bytes()
        last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
        cut = authority.layout.journal.with_name("cut.jsonl")
        for length in range(last, len(whole)):
            cut.write_bytes(whole[:length])
            register, torn = register_of(cut)
            [intent] = register.unfinished()
            assert isinstance(intent, kind)
            assert torn == whole[last:length]
        cut.write_bytes(whole)
        register, torn = register_of(cut)
        assert register.unfinished() == []
        assert torn == b""

    @pytest.mark.parametrize("act", [issue, revoke, list_revoked])
    def test_an_intent_cut_anywhere_was_never_acted_upon(
        self, state: Path, act: Callable[[Authority], None]
    ) -> None:
        authority = load(state)
        before = len(authority.register.history)
        length_before = authority.layout.journal.stat().st_size
        act(authority)
        whole = authority.layout.journal.read_bytes()
        end_of_intent = whole.index(b"\n", length_before) + 1
        cut = authority.layout.journal.with_name("cut.jsonl")
        for length in range(length_before, end_of_intent):
            cut.write_bytes(whole[:length])
            register, torn = register_of(cut)
            assert register.unfinished() == []
            assert len(register.history) == before
            assert torn == whole[length_before:length]

    def test_an_end_whose_middle_was_never_written_is_torn(self, state: Path) -> None:
        authority = load(state)
        issue(authority)
        journal = authority.layout.journal
        whole = journal.read_bytes()
        last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
        journal.write_bytes(whole[: last + 20] + bytes(200) + whole[last + 220 :])
        [intent] = load(state).register.unfinished()
        assert isinstance(intent, IssueIntent)

    @pytest.mark.parametrize("kept", [0, 1, 100, -1])
    def test_the_next_command_works_and_loses_nothing(self, state: Path, kept: int) -> None:
        authority = load(state)
        issue(authority)
        journal = authority.layout.journal
        whole = journal.read_bytes()
        last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
        torn = whole[last:][:kept]
        journal.write_bytes(whole[:last] + torn)

        authority = load(state)
        [intent] = authority.register.unfinished()
        assert isinstance(intent, IssueIntent)
        assert {each.kind for each in check.problems(authority)} == {"ISSUE_UNFINISHED"} | (
            {"JOURNAL_TORN"} if torn else set()
        )
        # It may have been signed, so it is revoked: that makes it good.
        authority.revoke(intent.serial, "superseded")
        assert authority.register.unfinished() == []
        [revocation] = authority.register.revoked.values()
        assert revocation.event is None  # the ledger never hears of it
        [crl] = authority.issue_crls(["seal-ca"]).values()
        assert crl.get_revoked_certificate_by_serial_number(int(intent.serial, 16)) is not None
        again = load(state)
        assert again.torn == b""
        assert {each.kind for each in check.problems(again)} == (
            {"JOURNAL_WAS_TORN"} if torn else set()
        )
        if torn:
            assert again.layout.torn_journal.read_bytes() == torn + b"\n"

    def test_a_later_list_makes_an_unfinished_one_good(self, state: Path) -> None:
        authority = load(state)
        list_revoked(authority)
        journal = authority.layout.journal
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-1]))
        authority = load(state)
        [problem] = check.problems(authority)
        assert problem.kind == "CRL_UNFINISHED"
        list_revoked(authority)  # under a new number: the file of the old one is there
        assert authority.register.last_number("seal-ca") == 3
        assert check.problems(load(state)) == []

    def test_a_repeated_revocation_makes_an_unfinished_one_good(self, state: Path) -> None:
        authority = load(state)
        revoke(authority)
        journal = authority.layout.journal
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-1]))
        authority = load(state)
        assert [each.kind for each in check.problems(authority)] == ["REVOCATION_UNFINISHED"]
        revoke(authority)
        assert load(state).register.unfinished() == []


class TestFailingDisk:
    def test_nothing_is_handed_out_when_the_outcome_can_not_be_written(
        self, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = load(state)
        authority.issue(SEAL, new_key())  # the key is open now
        calls = 0
        fsync = os.fsync

        def full_at_the_second(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", full_at_the_second)
        with pytest.raises(ConfigurationError, match="No space left"):
            authority.issue(SEAL, new_key())
        monkeypatch.undo()
        [intent] = load(state).register.unfinished()
        assert isinstance(intent, IssueIntent)
        authority.issue(SEAL, new_key())
        assert len(load(state).register.certified) == 5

    def test_no_key_is_used_when_the_intent_can_not_be_written(
        self, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = load(state)
        before = authority.layout.journal.read_bytes()

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError):
            authority.issue(SEAL, new_key())
        assert authority.layout.journal.read_bytes() == before

    def test_a_failed_act_is_an_outcome_too(
        self, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = load(state)

        def broken(*_: object, **__: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(files, "write", broken)
        with pytest.raises(OSError, match="Input/output"):
            list_revoked(authority)
        again = load(state)
        assert again.register.unfinished() == []
        assert again.register.last_number("seal-ca") == 2
        assert b"Input/output error" in again.layout.journal.read_bytes()

    @pytest.mark.parametrize("failing", ["open", "write", "ftruncate"])
    def test_nothing_is_skipped_when_a_torn_end_can_not_be_set_aside(
        self, state: Path, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        """One process lives on beside another that died: what that one did must come to it."""
        surviving = load(state)
        issue(load(state))
        journal = surviving.layout.journal
        with journal.open("ab") as file:
            file.write(b'{"n":')

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as disk:
            if failing == "open":  # what stands in its way can't be opened
                surviving.layout.torn_journal.mkdir()
            else:
                disk.setattr(os, failing, full)
            with pytest.raises(ConfigurationError, match=r"journal\.torn"):
                issue(surviving)
        if failing == "open":
            surviving.layout.torn_journal.rmdir()
        issue(surviving)
        again = load(state)
        assert surviving.register.certified.keys() == again.register.certified.keys()
        assert again.register.unfinished() == []


class TestDamage:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda lines: [*lines[:3], lines[3][:-20] + b"\n", *lines[4:]],
            lambda lines: [*lines[:3], *lines[4:]],
            lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
            lambda lines: [*lines[:3], lines[3], lines[3], *lines[4:]],
            lambda lines: lines[:-2] + lines[-1:],
            lambda lines: [lines[0].replace(b'"n":1', b'"n":2'), *lines[1:]],
            lambda lines: [lines[0].replace(b'"at"', b'"colour":1,"at"'), *lines[1:]],
            lambda lines: [lines[0].replace(b"journal/1", b"journal/2"), *lines[1:]],
            lambda lines: [b"\xff" + lines[0], *lines[1:]],
        ],
    )
    def test_damage_in_the_middle_stops_everything(
        self, state: Path, damage: Callable[[list[bytes]], list[bytes]]
    ) -> None:
        journal = Layout(state).journal
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(damage(lines)))
        before = journal.read_bytes()
        with pytest.raises(ConfigurationError, match="damaged at line"):
            load(state)
        assert journal.read_bytes() == before

    def test_an_empty_journal(self, state: Path) -> None:
        Layout(state).journal.write_bytes(b"")
        with pytest.raises(ConfigurationError, match="founding"):
            load(state)

    def test_an_outcome_without_intent(self) -> None:
        register = Register()
        crl_intent = CrlIntent(at=AT, operation="a", issuer="root", number=1, revoked=0)
        register.apply([FOUNDED, crl_intent])
        wrong: tuple[Entry, ...] = (
            CrlIssued(at=AT, operation="b", sha256="00"),
            Issued(at=AT, operation="a", certificate=b""),
            Revoked(at=AT, operation="b"),
        )
        for entry in wrong:
            with pytest.raises(ConfigurationError, match="without its intent"):
                register.apply([entry])

    def test_a_revocation_of_what_was_never_issued(self) -> None:
        register = Register()
        intent = RevokeIntent(at=AT, operation="a", serial="ff", reason="superseded")
        with pytest.raises(ConfigurationError, match="never issued"):
            register.apply([FOUNDED, intent, Revoked(at=AT, operation="a")])


class TestJournal:
    def test_append_needs_the_lock(self, tmp_path: Path) -> None:
        journal = Journal.create(tmp_path / "j", tmp_path / "torn", FOUNDED)
        with pytest.raises(RuntimeError):
            journal.append([failed("a")])
        with journal.exclusive():
            journal.append([failed("a")])
        with pytest.raises(RuntimeError):
            journal.append([failed("a")])

    def test_two_readers_see_each_others_entries_once(self, tmp_path: Path) -> None:
        one = Journal.create(tmp_path / "j", tmp_path / "torn", FOUNDED)
        other = Journal(tmp_path / "j", tmp_path / "torn")
        assert other.read() == ([FOUNDED], b"")
        with one.exclusive() as entries:
            assert entries == [FOUNDED]
            one.append([failed("a"), failed("b")])
        with other.exclusive() as entries:
            assert entries == [failed("a"), failed("b")]
            other.append([failed("c")])
        assert one.read() == ([failed("c")], b"")
        assert one.read() == ([], b"")
        assert Journal(tmp_path / "j", tmp_path / "torn").read()[0] == [
            FOUNDED,
            *map(failed, "abc"),
        ]

    def test_a_journal_is_never_overwritten(self, tmp_path: Path) -> None:
        Journal.create(tmp_path / "j", tmp_path / "torn", FOUNDED)
        with pytest.raises(ConfigurationError):
            Journal.create(tmp_path / "j", tmp_path / "torn", FOUNDED)

    def test_a_link_in_its_place_is_refused(self, tmp_path: Path) -> None:
        Journal.create(tmp_path / "j", tmp_path / "torn", FOUNDED)
        (tmp_path / "link").symlink_to(tmp_path / "j")
        with pytest.raises(ConfigurationError):
            Journal(tmp_path / "link", tmp_path / "torn").read()

    def test_processes_take_turns(self, state: Path) -> None:
        program = (
            "import sys\n"
            "from pathlib import Path\n"
            "from tests.authority_for_tests import *\n"
            "authority = Authority.load(Path(sys.argv[1]), PASSPHRASE, clock=Clock())\n"
            "for _ in range(10):\n"
            "    authority.issue(SYSTEM, new_key())\n"
            "    authority.issue_crls(['tls-ca'])\n"
        )
        running = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(state)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for _ in range(3)
        ]
        assert [process.wait(60) for process in running] == [0, 0, 0]
        authority = load(state)
        issued = [c for c in authority.register.certified.values() if c.profile == SYSTEM.profile]
        assert len(issued) == 30
        assert authority.register.last_number("tls-ca") == 31
        assert authority.register.unfinished() == []
        assert check.problems(authority) == []


def test_a_list_past_its_time_is_a_problem(state: Path) -> None:
    clock = Clock()
    authority = Authority.load(state, clock=clock)
    assert check.problems(authority) == []
    clock.now += crls.LIFETIME
    assert {each.kind for each in check.problems(authority)} == {"CRL_EXPIRED"}
    authority.layout.crl("root").write_bytes(b"garbage")
    authority.layout.crl("tls-ca").unlink()
    assert [each.kind for each in check.problems(authority)] == [
        "CRL_UNREADABLE",
        "CRL_UNREADABLE",
        "CRL_EXPIRED",
    ]
