"""Hypothesis strategies of valid manifests, receipts, admissions and events.

What they draw must decode: they keep the rules between fields, and leave no bound untried.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from document_exchange import codes, fields, manifest, receipt, times
from document_exchange.event import SCHEMA as EVENT_SCHEMA
from document_exchange.event import Event
from document_exchange.manifest import (
    Category,
    Direction,
    Disclosure,
    Document,
    Extension,
    Genre,
    Manifest,
    Part,
    PartRole,
    Recipient,
    RecipientKind,
    Secrecy,
    Urgency,
)
from document_exchange.receipt import (
    SIGNED_BY_CENTRE,
    WITH_DEADLINE,
    WITH_REASON_CODE,
    WITH_TEXT,
    Admission,
    Deadline,
    DeadlineKind,
    Log,
    ReasonCode,
    Receipt,
    ReceiptType,
    State,
)

_DIGITS = "0123456789"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SMALL = _CAPITALS.lower()
_CREDIT_CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_BREAKS_AND_BIDI = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

instants = st.datetimes(
    datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)
)
written_times = instants.map(times.format_time)
written_dates = st.dates().map(str)
envelope_ids = st.builds(codes.uuid7, instants, st.binary(min_size=10, max_size=10))
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
unit_ids = st.text(_SMALL + _DIGITS + "-", min_size=2, max_size=40)
names = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,62}\Z")

organisation_codes = st.text(_DIGITS + _CAPITALS, min_size=8, max_size=8).map(
    lambda first: first + codes.organisation_check_character(first)
)
credit_codes = st.text(_CREDIT_CHARACTERS, min_size=17, max_size=17).map(
    lambda first: first + codes.credit_check_character(first)
)
doc_ids = st.builds(
    lambda code, year, serial: f"{code}-{year:04}-{serial}",
    organisation_codes | credit_codes,
    st.integers(0, 9999),
    st.integers(1, 10**18 - 1),
)


def lines(longest: int) -> st.SearchStrategy[str]:
    """Texts of one line."""
    return st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=_BREAKS_AND_BIDI),
        min_size=1,
        max_size=longest,
    )


def texts(longest: int) -> st.SearchStrategy[str]:
    """Texts that may have several lines."""
    return st.lists(lines(longest // 4), min_size=1, max_size=3).map("\n".join)


free_values: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.integers(-fields.MAX_INTEGER, fields.MAX_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
"""Values of extensions: all that canonical JSON has here."""

extensions = st.dictionaries(
    st.from_regex(r"\A[a-z][a-z0-9._/-]{0,99}\Z"),
    st.builds(Extension, critical=st.just(False), value=free_values),
    min_size=1,
    max_size=3,
)


def _optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def documents(draw: st.DrawFn, envelope_id: str) -> Document:
    """A document that keeps the rules of its genre and direction."""
    business = draw(st.sampled_from(["DOCUMENT", "MEETING", "DATA", "X9_Z"]))
    genre = draw(st.sampled_from([g for g in Genre if g != "NONE" or business != "DOCUMENT"]))
    direction = Direction.UP if genre is Genre.REQUEST else draw(st.sampled_from(Direction))
    signatory = lines(100) if direction is Direction.UP else _optional(lines(100))
    answers = lines(200) if genre is Genre.REPLY else _optional(lines(200))
    return Document(
        doc_id=draw(doc_ids),
        business=business,
        genre=genre,
        category=draw(_optional(st.sampled_from(Category))),
        direction=direction,
        title=draw(lines(500)),
        number=draw(_optional(lines(100))),
        issuer_mark=draw(_optional(lines(100))),
        issuers=tuple(draw(st.lists(unit_ids, min_size=1, max_size=4, unique=True))),
        signatory=draw(signatory),
        signed_date=draw(written_dates),
        print_unit=draw(_optional(lines(200))),
        print_date=draw(_optional(written_dates)),
        secrecy=Secrecy.NONE,
        secrecy_period=draw(_optional(lines(100))),
        urgency=draw(st.sampled_from(Urgency)),
        release_scope=draw(_optional(lines(200))),
        disclosure=draw(_optional(st.sampled_from(Disclosure))),
        attachment_note=draw(_optional(texts(2000))),
        remark=draw(_optional(texts(2000))),
        contact=draw(_optional(lines(200))),
        reply_required=draw(st.booleans()),
        reply_due=draw(_optional(written_dates)),
        reply_to=draw(_optional(envelope_ids.filter(lambda other: other != envelope_id))),
        answers=draw(answers),
    )


def _parts(role: st.SearchStrategy[PartRole]) -> st.SearchStrategy[Part]:
    return st.builds(
        Part,
        part_id=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
        role=role,
        filename=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
        media_type=st.sampled_from(["application/pdf", "application/ofd", "text/csv", "a/x.y+z"]),
        size=st.integers(0, fields.MAX_PART_BYTES),
        sha256=digests,
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A manifest that ``decode`` accepts."""
    envelope_id = draw(envelope_ids)
    document = draw(documents(envelope_id))
    others = envelope_ids.filter(lambda other: other != envelope_id)
    kinds = st.sampled_from(RecipientKind)
    if document.genre is Genre.REQUEST:
        kinds = st.just(RecipientKind.CC)
    recipients = draw(
        st.lists(
            st.builds(
                Recipient,
                unit=unit_ids,
                kind=kinds,
                copies=_optional(st.integers(1, 99_999)),
                copy_numbers=_optional(lines(100)),
            ),
            min_size=1,
            max_size=5,
            unique_by=lambda recipient: recipient.unit,
        )
    )
    if document.genre is Genre.REQUEST:
        recipients[0] = Recipient(unit=recipients[0].unit, kind=RecipientKind.TO)
    body = draw(_parts(st.just(PartRole.BODY)))
    rest = st.sampled_from([role for role in PartRole if role is not PartRole.BODY])
    parts = draw(
        st.lists(
            _parts(rest).filter(lambda part: part.part_id != body.part_id),
            max_size=3,
            unique_by=lambda part: part.part_id,
        )
    )
    parts.insert(draw(st.integers(0, len(parts))), body)
    return Manifest(
        schema=manifest.SCHEMA,
        envelope_id=envelope_id,
        created_at=draw(written_times),
        sender=draw(unit_ids),
        sender_system=draw(names),
        operator=draw(_optional(lines(100))),
        supersedes=draw(_optional(others)),
        refers_to=draw(_optional(others)),
        document=document,
        recipients=tuple(recipients),
        parts=tuple(parts),
        extensions=draw(_optional(extensions)),
    )


logs = st.builds(
    Log,
    origin=st.text("abc./-_*,~", min_size=1, max_size=30),
    max_merge_delay_s=st.integers(1, 86_400),
)
centre_seals = names.map(lambda name: f"spiffe://exchange.example/centre/seal/{name}")
unit_seals = st.builds(
    lambda unit, name: f"spiffe://exchange.example/unit/{unit}/seal/{name}", unit_ids, names
)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """A receipt of any type that ``decode_receipt`` accepts."""
    kind = draw(st.sampled_from(ReceiptType))
    code = draw(st.sampled_from(ReasonCode)) if kind in WITH_REASON_CODE else None
    needs_text = code is ReasonCode.OTHER or kind in WITH_TEXT
    reasons = texts(2000) if needs_text else _optional(texts(2000))
    if kind in SIGNED_BY_CENTRE:
        accepted = kind is ReceiptType.ACCEPTED
        own: dict[str, Any] = {
            "by": draw(centre_seals),
            "seq": 0 if accepted else draw(st.integers(1, fields.MAX_INTEGER)),
            "state_after": draw(st.sampled_from(State)),
            "leaf": draw(digests),
            "log": draw(_optional(logs)),
        }
        if accepted:
            signatures = st.lists(digests, min_size=1, max_size=4, unique=True)
            own["signatures_sha256"] = tuple(draw(signatures))
        else:
            own["state_before"] = draw(st.sampled_from(State))
        if kind in WITH_DEADLINE:
            own["deadline"] = Deadline(
                kind=draw(st.sampled_from(DeadlineKind)), due_at=draw(written_times)
            )
    else:
        own = {"by": draw(unit_seals)}
    return Receipt(
        schema=receipt.RECEIPT_SCHEMA,
        receipt_id=draw(envelope_ids),
        type=kind,
        envelope_id=draw(envelope_ids),
        recipient=None if kind is ReceiptType.ACCEPTED else draw(unit_ids),
        manifest_sha256=draw(digests),
        at=draw(written_times),
        reason_code=code,
        reason=draw(reasons),
        **own,
    )


admissions = st.builds(
    Admission,
    schema=st.just(receipt.ADMISSION_SCHEMA),
    receipt_sha256=digests,
    receipt_signature_sha256=digests,
    envelope_id=envelope_ids,
    recipient=unit_ids,
    seq=st.integers(1, fields.MAX_INTEGER),
    state_before=st.sampled_from(State),
    state_after=st.sampled_from(State),
    recorded_at=written_times,
    by=centre_seals,
    leaf=digests,
    log=_optional(logs),
)

events = st.builds(
    Event,
    schema=st.just(EVENT_SCHEMA),
    event_id=envelope_ids,
    type=st.from_regex(r"\A[A-Z][A-Z_]{0,63}\Z"),
    at=written_times,
    actor=st.just("centre") | unit_seals | centre_seals,
    address=_optional(lines(100)),
    envelope_id=_optional(envelope_ids),
    recipient=_optional(unit_ids),
    seq=_optional(st.integers(0, fields.MAX_INTEGER)),
    state_before=_optional(st.sampled_from(State)),
    state_after=_optional(st.sampled_from(State)),
    manifest_sha256=_optional(digests),
    receipt_sha256=_optional(digests),
    certificate_sha256=_optional(digests),
    detail=_optional(
        st.dictionaries(
            st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
            min_size=1,
            max_size=4,
        )
    ),
)
