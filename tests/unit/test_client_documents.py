"""What the SDK makes of an application's words: parts, manifests, seals, serials."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from exchange_client.compose import Draft, Metadata, compose, recipients_of, seal
from exchange_client.parts import INLINE_BYTES, OutgoingPart, PartSource, match, prepare
from exchange_client.serials import Serials
from exchange_client.timing import CHUNK_BYTES, Timing

from document_exchange import codes, signature
from document_exchange.errors import (
    ConfigurationError,
    InvalidRequest,
    ManifestRefused,
    PartRefused,
    SecrecyRefused,
    SignatureMissing,
)
from document_exchange.identity import Identity, Kind
from document_exchange.manifest import Genre, PartRole, Recipient, RecipientKind
from tests.pki_for_tests import CENTRE_SEAL_ID, NOW, Pki, make_leaf

SENDER = Identity("exchange.example", Kind.SYSTEM, "oa", "qd-caizheng")


async def chunks_of(part: OutgoingPart) -> list[bytes]:
    return [chunk async for chunk in part.chunks()]


class TestParts:
    @pytest.mark.parametrize(
        "size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, INLINE_BYTES, INLINE_BYTES + 1, 3_000_000]
    )
    @pytest.mark.parametrize("on_disk", [True, False])
    async def test_what_is_described_is_what_is_sent(
        self, tmp_path: Path, size: int, on_disk: bool
    ) -> None:
        content = os.urandom(size)
        path = tmp_path / "数据.csv"
        path.write_bytes(content)
        source = path if on_disk else PartSource(content, filename="数据.csv")
        (part,) = await prepare([source])
        chunks = await chunks_of(part)
        assert b"".join(chunks) == content
        assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
        assert part.part.size == size
        assert part.part.sha256 == hashlib.sha256(content).hexdigest()
        assert (part.part.filename, part.part.media_type) == ("数据.csv", "text/csv")

    async def test_the_first_is_the_body_unless_another_says_so(self) -> None:
        plain = await prepare([PartSource(b"1"), PartSource(b"2")])
        assert [each.part.role for each in plain] == [PartRole.BODY, PartRole.ATTACHMENT]
        named = await prepare([PartSource(b"1"), PartSource(b"2", role="body")])
        assert [each.part.role for each in named] == [PartRole.ATTACHMENT, PartRole.BODY]
        data = await prepare([PartSource(b"1", role="DATA"), PartSource(b"2")])
        assert [each.part.role for each in data] == [PartRole.DATA, PartRole.BODY]

    @pytest.mark.parametrize(
        ("filename", "media_type"),
        [
            ("a.pdf", "application/pdf"),
            ("公文.OFD", "application/ofd"),
            ("noending", "application/octet-stream"),
            ("a.unheardof", "application/octet-stream"),
            ("data:text/html,<b>", "application/octet-stream"),
        ],
    )
    async def test_the_media_type_follows_the_ending(self, filename: str, media_type: str) -> None:
        (part,) = await prepare([PartSource(b"", filename=filename)])
        assert part.part.media_type == media_type

    async def test_a_file_name_that_is_no_text_can_be_sent(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path) + b"/\xff.pdf"
        Path(os.fsdecode(path)).write_bytes(b"x")
        (part,) = await prepare([os.fsdecode(path)])
        assert part.part.filename == "?.pdf"

    @pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "nul"])
    async def test_what_is_no_readable_file_is_named(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "it"
        if kind == "directory":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "nul":
            path = tmp_path / "i\x00t"
        with pytest.raises(InvalidRequest, match=r"it|null"):
            await prepare([path])

    async def test_an_unknown_role_lists_the_choices(self) -> None:
        with pytest.raises(InvalidRequest, match="SEAL_DATA"):
            await prepare([PartSource(b"", role="COVER")])

    async def test_a_file_that_changes_before_it_is_sent_is_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "big"
        path.write_bytes(bytes(INLINE_BYTES + 1))
        (part,) = await prepare([path])
        os.utime(path, ns=(1, 1))
        with pytest.raises(PartRefused, match="changed"):
            await chunks_of(part)

    async def test_other_files_than_those_of_the_manifest_are_refused(self) -> None:
        described = [each.part for each in await prepare([PartSource(b"1"), PartSource(b"2")])]
        given = await prepare([PartSource(b"1"), PartSource(b"2")])
        assert [each.part for each in match(described, given)] == described
        with pytest.raises(InvalidRequest):
            match(described, given[:1])
        with pytest.raises(InvalidRequest):
            match(described, given[::-1])


async def composed(**metadata: Any) -> Any:
    parts = await prepare([PartSource(b"body")])
    draft = Draft(
        envelope_id=codes.new_id(NOW),
        at=NOW,
        sender=SENDER,
        title="关于编制部门预算的通知",
        doc_id="005117558-2009-16",
        recipients=recipients_of(["qd-jiaoyu"], []),
        parts=tuple(each.part for each in parts),
    )
    return compose(draft, Metadata(**metadata))[0]  # type: ignore[typeddict-item]


class TestManifests:
    async def test_what_is_not_said_has_sensible_defaults(self) -> None:
        made = await composed()
        document = made.document
        assert (made.sender, made.sender_system) == ("qd-caizheng", "oa")
        assert document.issuers == ("qd-caizheng",)
        assert (document.business, document.genre, document.direction) == (
            "DOCUMENT",
            "LETTER",
            "PARALLEL",
        )
        assert (document.urgency, document.secrecy) == ("NORMAL", "NONE")
        assert document.signed_date == NOW.astimezone().date().isoformat()

    @pytest.mark.parametrize(
        ("metadata", "genre"),
        [
            ({"direction": "UP", "signatory": "王"}, Genre.REPORT),
            ({"direction": "down"}, Genre.NOTICE),
            ({"business": "MEETING"}, Genre.NONE),
            ({"business": "MEETING", "genre": "minutes"}, Genre.MINUTES),
        ],
    )
    async def test_the_genre_for_lack_of_another(
        self, metadata: dict[str, Any], genre: Genre
    ) -> None:
        assert (await composed(**metadata)).document.genre is genre

    async def test_every_field_arrives(self) -> None:
        values: dict[str, Any] = {
            "category": "GOVERNMENT",
            "number": "青财预〔2009〕16号",
            "issuer_mark": "青岛市财政局文件",
            "signatory": "王",
            "print_unit": "青岛市财政局办公室",
            "secrecy_period": "无",
            "release_scope": "此件公开发布",
            "disclosure": "PUBLIC",
            "attachment_note": "1. 附表",
            "remark": "请速阅",
            "contact": "0532-1",
            "reply_required": True,
            "answers": "来函",
        }
        dates = {"signed_date": dt.date(2009, 9, 1), "print_date": dt.date(2009, 9, 2)}
        document = (await composed(**values, **dates, reply_due="2009-10-01")).document
        assert {name: getattr(document, name) for name in values} == values
        assert (document.signed_date, document.print_date) == ("2009-09-01", "2009-09-02")
        assert document.reply_due == "2009-10-01"

    @pytest.mark.parametrize("field", ["genre", "urgency", "direction", "category", "disclosure"])
    async def test_a_value_that_is_none_of_the_choices_is_named(self, field: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await composed(**{field: "bogus"})
        assert caught.value.attributes["field"] == field

    async def test_the_rules_are_those_of_the_centre(self) -> None:
        with pytest.raises(ManifestRefused):
            await composed(direction="UP")
        with pytest.raises(SecrecyRefused):
            await composed(secrecy="SECRET")
        with pytest.raises(ManifestRefused):
            await composed(signed_date="2009-02-30")

    async def test_only_a_unit_can_send(self) -> None:
        parts = await prepare([PartSource(b"body")])
        staff = Identity("exchange.example", Kind.STAFF, "wang")
        draft = Draft(
            envelope_id=codes.new_id(NOW),
            at=NOW,
            sender=staff,
            title="t",
            doc_id="005117558-2009-16",
            recipients=recipients_of(["qd-jiaoyu"], []),
            parts=tuple(each.part for each in parts),
        )
        with pytest.raises(ConfigurationError):
            compose(draft, Metadata())

    def test_recipients_keep_what_was_said_of_them(self) -> None:
        special = Recipient(unit="qd-tongji", kind=RecipientKind.CC, copies=3)
        made = recipients_of(["qd-jiaoyu", special], ["qd-weisheng"])
        assert [(each.unit, each.kind.value) for each in made] == [
            ("qd-jiaoyu", "TO"),
            ("qd-tongji", "CC"),
            ("qd-weisheng", "CC"),
        ]
        assert made[1].copies == 3


class TestSeals:
    def test_each_issuer_seals_in_order_and_nobody_else(self) -> None:
        pki = Pki()
        own, other, third = (pki.seal(unit).signer for unit in ("qd-a", "qd-b", "qd-c"))
        made = seal(b"content", ["qd-b", "qd-a"], own, [other, third], NOW)
        assert [signature.verify(b"content", each) for each in made] == [
            other.certificate,
            own.certificate,
        ]

    def test_a_missing_one_is_named(self) -> None:
        with pytest.raises(SignatureMissing) as caught:
            seal(b"content", ["qd-a"], None, [], NOW)
        assert caught.value.attributes["unit"] == "qd-a"

    def test_only_a_units_seal_seals(self) -> None:
        pki = Pki()
        centre = make_leaf(CENTRE_SEAL_ID, issuer=pki.seal_ca).signer
        with pytest.raises(ConfigurationError):
            seal(b"content", ["qd-a"], centre, [], NOW)


class TestSerials:
    def test_they_grow_even_if_the_clock_stands_or_goes_back(self) -> None:
        serials = Serials()
        made = [
            serials.next("005117558", NOW + dt.timedelta(milliseconds=shift))
            for shift in (0, 0, -5000, 1)
        ]
        assert len(set(made)) == 4
        assert made == sorted(made)
        assert all(codes.is_doc_id(each) for each in made)

    def test_a_unit_without_codes_must_say_itself(self) -> None:
        with pytest.raises(InvalidRequest, match="doc_id"):
            Serials().learn("qd-x", "")


class TestTiming:
    def test_a_transfer_gets_time_for_its_bytes(self) -> None:
        timing = Timing(transfer_base_s=30, slowest_bytes_per_s=1_000_000)
        assert timing.transfer_deadline_s(500_000_000) == 530

    @pytest.mark.parametrize(
        "values",
        [
            {"call_deadline_s": 0},
            {"retry_budget_s": -1},
            {"slowest_bytes_per_s": 0},
            {"watch_pause_max_s": 0},
        ],
    )
    def test_senseless_times_are_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            Timing(**values)
