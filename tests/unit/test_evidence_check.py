"""Verification of evidence, by bundles made in memory: what holds, and which step names a fault."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange import evidence, evidence_check, offline, times, timestamp, timestamp_answer
from document_exchange.errors import InvalidRequest
from document_exchange.evidence import Content
from document_exchange.evidence import Step as Check
from document_exchange.evidence_report import Report, Verdict
from document_exchange.manifest import Manifest, PartRole, Recipient, RecipientKind, sha256_hex
from document_exchange.receipt import ReasonCode, ReceiptType, State
from tests.evidence_for_tests import (
    MINUTE,
    THEN,
    City,
    Files,
    FixedSigner,
    Forgery,
    Step,
    Story,
    make_bundle,
    reindex,
)
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    DAY,
    SEAL_CA_PURPOSES,
    TIME_STAMPING,
    make_authority,
    make_crl,
    make_leaf,
    unit_seal_id,
)
from tests.real_centre import document, envelope, part

R = ReceiptType
FIRST, SECOND = "qd-jiaoyu", "qd-tongji"
BODY = b"%PDF-1.7 a letter"
CITY, STRANGE_CITY = City(), City("strange")


def a_manifest() -> Manifest:
    to = [Recipient(unit=unit, kind=RecipientKind.TO) for unit in (FIRST, SECOND)]
    return envelope([part(BODY, "body", PartRole.BODY)], document=document(), recipients=tuple(to))


STORY = Story(
    manifest=a_manifest(),
    parts=[BODY],
    histories={
        FIRST: [
            Step(R.DELIVERED, THEN + MINUTE),
            Step(R.SIGNED_FOR, THEN + 2 * MINUTE),
            Step(R.WITHDRAWAL_REQUESTED, THEN + 3 * MINUTE, reason="有误"),
            Step(R.WITHDRAWAL_GRANTED, THEN + 4 * MINUTE),
        ],
        SECOND: [Step(R.REFUSED, THEN + MINUTE, ReasonCode.BAD_SIGNATURE)],
    },
    made_at=THEN + DAY,
    stamped_at=THEN + 10 * MINUTE,
)


class InMemory:
    """A bundle as a dictionary."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def names(self) -> Sequence[str]:
        return list(self.files)

    def size(self, path: str) -> int:
        return len(self.files[path])

    def read(self, path: str) -> bytes:
        return self.files[path]

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.files[path]).hexdigest()


def verify(files: Files, root: str = CITY.fingerprint) -> Report:
    return evidence_check.verify(InMemory(files), root)


def failed(report: Report) -> list[tuple[str, str]]:
    return [(f.step.value, f.subject) for f in report.findings if f.verdict is Verdict.FAILED]


def test_true_evidence_holds_step_by_step() -> None:
    report = verify(make_bundle(CITY, STORY))
    assert report.ok, failed(report)
    done = {each.step for each in report.findings}
    assert done == set(Check) - {Check.LOG}
    steps = [list(Check).index(each.step) for each in report.findings if "/" not in each.subject]
    assert steps[0] == 0
    (stamp,) = (each for each in report.findings if each.step is Check.TIMESTAMP)
    assert "6 signatures existed at" in stamp.detail
    assert report.notes == 0
    assert report.states == {FIRST: State.WITHDRAWN, SECOND: State.REFUSED}


def test_evidence_without_parts_or_stamps_holds() -> None:
    story = replace(STORY, content=Content.DIGESTS, stamped_at=None)
    report = verify(make_bundle(CITY, story))
    assert report.ok, failed(report)
    (note,) = (each for each in report.findings if each.step is Check.TIMESTAMP)
    assert note.verdict is Verdict.NOTE


def test_another_root_is_trusted_in_nothing() -> None:
    report = verify(make_bundle(CITY, STORY), STRANGE_CITY.fingerprint)
    assert failed(report) == [("root", evidence.ROOT_CERTIFICATE)]
    assert not report.ok
    believed = {f.step for f in report.findings if f.verdict is Verdict.PASSED}
    assert believed <= {Check.BUNDLE, Check.FILES, Check.MANIFEST, Check.PARTS}


@pytest.mark.parametrize("fingerprint", ["", "zz", "0" * 63, "０" * 64])
def test_what_is_no_fingerprint_is_an_error(fingerprint: str) -> None:
    with pytest.raises(InvalidRequest):
        verify(make_bundle(CITY, STORY), fingerprint)


def test_the_fingerprint_may_be_written_as_openssl_does() -> None:
    pairs = [CITY.fingerprint[at : at + 2].upper() for at in range(0, 64, 2)]
    assert verify(make_bundle(CITY, STORY), ":".join(pairs)).ok


def test_what_is_revoked_later_still_counts_and_what_was_before_does_not() -> None:
    seal = CITY.seal(FIRST)
    later = replace(STORY, list_days=(0, 2), revoked={2: [seal]}, made_at=THEN + 3 * DAY)
    report = verify(make_bundle(CITY, later))
    assert report.ok, failed(report)
    before = replace(STORY, revoked={0: [seal]})
    report = verify(make_bundle(CITY, before))
    assert failed(report)[0] == ("receipt", f"deliveries/{FIRST}/0002-SIGNED_FOR")


def test_without_the_lists_of_a_moment_nothing_of_it_is_believed() -> None:
    story = replace(STORY, list_days=(0, 9), made_at=THEN + 10 * DAY)
    late = Step(R.DELIVERED, THEN + 8 * DAY)
    report = verify(make_bundle(CITY, replace(story, histories={FIRST: [late]})))
    assert failed(report)[0] == ("receipt", f"deliveries/{FIRST}/0001-DELIVERED")
    assert report.first_failure is not None
    assert report.first_failure.code == "REVOCATION_LIST_NOT_IN_FORCE"


def without(path: str) -> Callable[[Files], None]:
    return lambda files: files.__delitem__(path) if path in files else None


def with_file(path: str, data: bytes) -> Callable[[Files], None]:
    return lambda files: files.__setitem__(path, data)


def renamed(stem: str, other: str) -> Callable[[Files], None]:
    def rename(files: Files) -> None:
        for path in [path for path in files if path.startswith(f"{stem}.")]:
            files[other + path.removeprefix(stem)] = files.pop(path)

    return rename


def stamped(lines: Sequence[str]) -> Callable[[Files], None]:
    """A true stamp over these lines."""

    def stamp(files: Files) -> None:
        text, response = evidence.timestamp_paths(1)
        files[text] = "".join(f"{line}\n" for line in lines).encode()
        query = timestamp.query(hashlib.sha256(files[text]).digest(), nonce=1 << 64)
        files[response] = timestamp_answer.respond(
            query,
            FixedSigner(CITY.tsa),
            at=THEN + MINUTE,
            serial=1 << 64,
            policy=x509.ObjectIdentifier("1.2.3.4.1"),
        ).der

    return stamp


def unsorted_stamp(files: Files) -> None:
    lines = files[evidence.timestamp_paths(1)[0]].decode().splitlines()
    stamped(lines[::-1])(files)


SIGNED_FOR = f"deliveries/{FIRST}/0002-SIGNED_FOR"
GRANTED = f"deliveries/{FIRST}/0004-WITHDRAWAL_GRANTED"
FAULTS: list[tuple[str, Forgery, tuple[str, str]]] = [
    (
        "an unknown file",
        Forgery(before_index=with_file("parts/1", b"")),
        ("bundle", "."),
    ),
    (
        "an index by a unit",
        Forgery(index_signer=CITY.seal(FIRST)),
        ("index", evidence.INDEX),
    ),
    (
        "an index that says it is of another seal",
        Forgery(rewritten={evidence.INDEX: lambda index: index | {"by": CENTRE_SEAL_ID + "2"}}),
        ("index", evidence.INDEX),
    ),
    (
        "an index about another recipient",
        Forgery(rewritten={evidence.INDEX: lambda index: index | {"recipients": [SECOND]}}),
        ("files", f"deliveries/{FIRST}/0001-DELIVERED.event.json"),
    ),
    (
        "an index that names a stranger besides",
        Forgery(rewritten={evidence.INDEX: lambda i: i | {"recipients": [FIRST, SECOND, "zz"]}}),
        ("manifest", evidence.MANIFEST),
    ),
    (
        "another event of the acceptance",
        Forgery(before_index=with_file("accepted.salt", bytes(32))),
        ("leaf", "accepted"),
    ),
    (
        "a receipt under another name",
        Forgery(before_index=renamed(SIGNED_FOR, f"deliveries/{FIRST}/0002-COMPLETED")),
        ("receipt", f"deliveries/{FIRST}/0002-COMPLETED"),
    ),
    (
        "a statement of another recipient",
        Forgery(before_index=renamed(GRANTED, f"deliveries/{SECOND}/0002-WITHDRAWAL_GRANTED")),
        ("receipt", f"deliveries/{SECOND}/0002-WITHDRAWAL_GRANTED"),
    ),
    (
        "a statement under another number",
        Forgery(before_index=renamed(GRANTED, f"deliveries/{FIRST}/0005-WITHDRAWAL_GRANTED")),
        ("history", f"deliveries/{FIRST}"),
    ),
    (
        "a stamp over a text that is not sorted",
        Forgery(before_index=unsorted_stamp),
        ("timestamp", "timestamps/00000001"),
    ),
    (
        "a stamp over nothing that is here",
        Forgery(before_index=stamped([sha256_hex(b"elsewhere")])),
        ("timestamp", "timestamps/00000001"),
    ),
    (
        "another manifest than the index says",
        Forgery(rewritten={evidence.INDEX: lambda i: i | {"manifest_sha256": "0" * 64}}),
        ("manifest", evidence.MANIFEST),
    ),
    (
        "an acceptance by a unit",
        Forgery(signers={"accepted.p7s": CITY.seal(FIRST)}),
        ("accepted", "accepted"),
    ),
    (
        "a manifest sealed by a system",
        Forgery(signers={"signatures/01.p7s": CITY.system("qd-caizheng")}),
        ("seals", "signatures/01.p7s"),
    ),
    (
        "a manifest sealed under another root",
        Forgery(signers={"signatures/01.p7s": STRANGE_CITY.seal("qd-caizheng")}),
        ("seals", "signatures/01.p7s"),
    ),
    (
        "another part",
        Forgery(before_index=with_file("parts/001.pdf", b"%PDF-1.7 a Letter")),
        ("parts", "parts/001.pdf"),
    ),
    (
        "a part too many",
        Forgery(before_index=with_file("parts/002.pdf", b"")),
        ("parts", "parts/002.pdf"),
    ),
    (
        "a receipt by another unit's seal",
        Forgery(signers={f"{SIGNED_FOR}.p7s": CITY.seal(SECOND)}),
        ("receipt", SIGNED_FOR),
    ),
    (
        "a receipt that somebody rewrote",
        Forgery(rewritten={f"{SIGNED_FOR}.json": lambda r: r | {"recipient": SECOND}}),
        ("receipt", SIGNED_FOR),
    ),
    (
        "a receipt without an admission",
        Forgery(before_index=without(f"{SIGNED_FOR}.admission.json")),
        ("receipt", SIGNED_FOR),
    ),
    (
        "an admission by its own party",
        Forgery(signers={f"{SIGNED_FOR}.admission.p7s": CITY.seal(FIRST)}),
        ("admission", SIGNED_FOR),
    ),
    (
        "an admission of another receipt",
        Forgery(
            rewritten={f"{SIGNED_FOR}.admission.json": lambda a: a | {"receipt_sha256": "0" * 64}}
        ),
        ("admission", SIGNED_FOR),
    ),
    (
        "another event",
        Forgery(before_index=with_file(f"{SIGNED_FOR}.salt", bytes(32))),
        ("leaf", SIGNED_FOR),
    ),
    (
        "a list by nobody known",
        Forgery(before_index=with_file("crls/root-99.der", b"no list")),
        ("authorities", "crls/root-99.der"),
    ),
    (
        "a stamp by the centre's seal",
        Forgery(signers={"timestamps/00000001.tsr": CITY.centre}),
        ("timestamp", "timestamps/00000001"),
    ),
    (
        "half of a stamp",
        Forgery(before_index=without("timestamps/00000001.txt")),
        ("timestamp", "timestamps/00000001"),
    ),
]


@pytest.mark.parametrize(
    ("forgery", "first"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_a_forgery_is_refused_by_the_step_that_it_offends(
    forgery: Forgery, first: tuple[str, str]
) -> None:
    report = verify(make_bundle(CITY, STORY, forgery))
    assert not report.ok
    assert failed(report)[0] == first


def _left_out(files: Files, stem: str) -> None:
    for path in [path for path in files if path.startswith(stem)]:
        del files[path]


def test_a_step_from_where_the_delivery_did_not_stand_is_refused() -> None:
    """Each statement is legal by itself, and leads to the same end."""
    history = [Step(R.DELIVERED, THEN + MINUTE), Step(R.WITHDRAWN, THEN + 2 * MINUTE)]
    path = f"deliveries/{FIRST}/0002-WITHDRAWN.admission.json"
    event = f"deliveries/{FIRST}/0002-WITHDRAWN.event.json"
    from_pending = {each: lambda v: v | {"state_before": "PENDING"} for each in (path, event)}
    forgery = Forgery(rewritten=from_pending)
    story = replace(STORY, histories={FIRST: history}, stamped_at=None)
    assert verify(make_bundle(CITY, story)).ok
    report = verify(make_bundle(CITY, story, forgery))
    assert failed(report) == [("history", f"deliveries/{FIRST}")]


def test_a_file_that_the_index_does_not_know_is_refused() -> None:
    files = make_bundle(CITY, STORY) | {"log/1/checkpoint": b"x"}
    assert failed(verify(files)) == [("files", "log/1/checkpoint")]


def test_digests_only_means_no_part() -> None:
    story = replace(STORY, content=Content.DIGESTS)
    forgery = Forgery(before_index=with_file("parts/001.pdf", BODY))
    assert failed(verify(make_bundle(CITY, story, forgery))) == [("parts", "parts")]


def test_a_part_of_another_size_is_named_so() -> None:
    forgery = Forgery(before_index=with_file("parts/001.pdf", BODY + b"!"))
    report = verify(make_bundle(CITY, STORY, forgery))
    assert [f.code for f in report.findings if not f.ok] == ["PART_SIZE_MISMATCH"]


def test_a_history_with_a_gap_is_refused() -> None:
    files = make_bundle(CITY, STORY)
    _left_out(files, f"deliveries/{FIRST}/0003")
    reindex(files, CITY.centre)
    assert failed(verify(files)) == [("history", f"deliveries/{FIRST}")]


def test_a_statement_that_came_too_late_for_its_history_is_refused() -> None:
    """Two that raced for number 2, both of which the centre would have signed."""
    files = make_bundle(CITY, STORY)
    story = replace(
        STORY, histories={FIRST: [STORY.histories[FIRST][0], Step(R.WITHDRAWN, THEN + 5 * MINUTE)]}
    )
    rival = make_bundle(CITY, story)
    files |= {path: data for path, data in rival.items() if "0002-WITHDRAWN" in path}
    reindex(files, CITY.centre)
    assert failed(verify(files)) == [("history", f"deliveries/{FIRST}")]


def test_nothing_is_recorded_before_the_acceptance() -> None:
    early = Step(R.DELIVERED, THEN - MINUTE)
    report = verify(make_bundle(CITY, replace(STORY, histories={FIRST: [early]})))
    assert failed(report) == [("history", f"deliveries/{FIRST}")]


def test_every_flipped_file_is_named() -> None:
    files = make_bundle(CITY, STORY)
    for path in sorted(set(files) - evidence.NOT_INDEXED):
        flipped = files | {path: bytes([files[path][0] ^ 1]) + files[path][1:]}
        report = verify(flipped)
        named = {f.subject for f in report.findings if f.step is Check.FILES and not f.ok}
        assert named in ({path}, {evidence.INDEX}), path
        assert not report.ok


@pytest.mark.parametrize("path", [evidence.INDEX, evidence.INDEX_SIGNATURE, evidence.INDEX_SUMS])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\n"])
def test_the_index_is_taken_to_the_byte(path: str, change: Callable[[bytes], bytes]) -> None:
    files = make_bundle(CITY, STORY)
    files[path] = change(files[path])
    assert failed(verify(files))[0] == ("index", evidence.INDEX)


@pytest.mark.parametrize(
    "path",
    [
        "accepted.json",
        "certificates/root.der",
        "certificates/seal-ca.der",
        "index.json",
        "manifest.json",
        "signatures/01.p7s",
    ],
)
def test_what_every_bundle_needs_is_missed(path: str) -> None:
    files = make_bundle(CITY, STORY)
    del files[path]
    assert failed(verify(files))[0] == ("bundle", ".")


def test_a_file_that_is_too_large_is_not_read() -> None:
    class Huge(InMemory):
        def size(self, path: str) -> int:
            return 2**40 if path == evidence.MANIFEST else super().size(path)

        def read(self, path: str) -> bytes:
            assert path != evidence.MANIFEST
            return super().read(path)

    report = evidence_check.verify(Huge(make_bundle(CITY, STORY)), CITY.fingerprint)
    assert failed(report)[0] == ("bundle", ".")


def test_more_files_than_a_bundle_has_are_not_looked_at() -> None:
    files: dict[str, Any] = {f"log/1/{n}": b"" for n in range(evidence.MAX_FILES + 6)}
    report = verify(files)
    assert [each.step for each in report.findings] == [Check.BUNDLE]


def test_proofs_of_a_log_are_noted_and_nothing_more() -> None:
    files = make_bundle(CITY, STORY, Forgery(before_index=with_file("log/1/checkpoint", b"x")))
    report = verify(files)
    assert report.ok
    assert report.findings[-1].subject == "log/1/checkpoint"
    assert report.findings[-1].verdict is Verdict.NOTE


def test_after_a_change_of_ca_each_seal_counts_under_its_own() -> None:
    second = make_authority(
        "Seal CA of later",
        issuer=CITY.root,
        path_length=0,
        purposes=SEAL_CA_PURPOSES,
        not_before=THEN - DAY,
        not_after=THEN + 3650 * DAY,
    )
    crl = make_crl(
        second, this_update=THEN - 60 * MINUTE, next_update=THEN + 7 * DAY, number=1
    ).public_bytes(Encoding.DER)

    def both(files: Files) -> None:
        files[evidence.seal_ca_path(2)] = second.der
        files[evidence.crl_path("seal-ca-2", 1)] = crl

    seal = CITY.leaf(unit_seal_id(FIRST), "later", issuer=second)
    signers = {f"{SIGNED_FOR}.p7s": seal}
    report = verify(make_bundle(CITY, STORY, Forgery(signers=signers, before_index=both)))
    # Only its own bytes name the seal: the receipt was signed by another of the same unit.
    assert report.ok, failed(report)
    report = verify(make_bundle(CITY, STORY, Forgery(signers=signers)))
    assert failed(report)[0] == ("receipt", SIGNED_FOR)


def test_moments_are_those_of_the_statements() -> None:
    report = verify(make_bundle(CITY, STORY))
    at = times.format_time(THEN + 2 * MINUTE)
    (found,) = (f for f in report.findings if (f.step, f.subject) == (Check.RECEIPT, SIGNED_FOR))
    assert found.detail == f"by {unit_seal_id(FIRST)} as of {at}"
    assert dt.datetime.now(dt.UTC) > CITY.seal(FIRST).certificate.not_valid_after_utc
    assert sha256_hex(BODY) in " ".join(each.detail for each in report.findings)


def notes(report: Report) -> list[tuple[str, str]]:
    return [(f.subject, f.detail) for f in report.findings if f.verdict is Verdict.NOTE]


def test_a_recipient_without_a_statement_is_pending() -> None:
    report = verify(make_bundle(CITY, replace(STORY, histories={FIRST: ()})))
    assert (report.ok, report.states) == (True, {FIRST: State.PENDING})


def test_the_state_of_what_is_not_believed_is_not_told() -> None:
    forgery = Forgery(signers={f"{SIGNED_FOR}.p7s": CITY.seal(SECOND)})
    assert verify(make_bundle(CITY, STORY, forgery)).states == {SECOND: State.REFUSED}


@pytest.mark.parametrize("path", [evidence.VERIFY_SCRIPT, evidence.VERIFY_TEXT])
def test_a_text_that_is_not_of_this_release_is_noted(path: str) -> None:
    files = make_bundle(CITY, STORY) | offline.texts()
    assert notes(verify(files)) == []
    report = verify(files | {path: files[path] + b"\nrm -r ~\n"})
    why = "not the text of this release: do not run or believe it"
    assert (report.ok, notes(report)) == (True, [(path, why)])


def test_no_index_is_older_than_what_is_in_it() -> None:
    story = replace(STORY, stamped_at=None)
    exactly = replace(story, made_at=THEN + 4 * MINUTE)
    assert verify(make_bundle(CITY, exactly)).ok
    early = replace(story, made_at=THEN + 4 * MINUTE - dt.timedelta(milliseconds=1))
    assert failed(verify(make_bundle(CITY, early))) == [("history", f"deliveries/{FIRST}")]
    before = replace(story, histories={FIRST: ()}, made_at=THEN - MINUTE)
    assert failed(verify(make_bundle(CITY, before))) == [("history", evidence.INDEX)]


def test_a_history_does_not_run_backwards() -> None:
    def told(at: dt.datetime) -> Report:
        steps = [Step(R.DELIVERED, THEN + 5 * MINUTE), Step(R.SIGNED_FOR, at)]
        return verify(make_bundle(CITY, replace(STORY, histories={FIRST: steps})))

    assert told(THEN + 5 * MINUTE).ok
    assert failed(told(THEN + 4 * MINUTE)) == [("history", f"deliveries/{FIRST}")]


@pytest.mark.parametrize(
    ("stamped_at", "ok"),
    [
        (THEN + 2 * MINUTE, True),
        (THEN + 2 * MINUTE - dt.timedelta(seconds=1), False),
        (THEN + DAY + 2 * MINUTE, True),
        (THEN + DAY + 2 * MINUTE + dt.timedelta(milliseconds=999), True),
        (THEN + DAY + 2 * MINUTE + dt.timedelta(seconds=1), False),
    ],
)
def test_a_stamp_is_between_statement_and_index_but_for_the_clocks(
    stamped_at: dt.datetime, ok: bool
) -> None:
    """The last statement is four minutes after the beginning, the index a day."""
    report = verify(make_bundle(CITY, replace(STORY, stamped_at=stamped_at)))
    assert failed(report) == ([] if ok else [("timestamp", "timestamps/00000001")])


def test_a_late_stamp_is_noted() -> None:
    story = replace(STORY, stamped_at=THEN + 3 * DAY, made_at=THEN + 4 * DAY)
    report = verify(make_bundle(CITY, replace(story, histories={FIRST: ()})))
    assert (report.ok, notes(report)) == (True, [("accepted.p7s", "stamped 3 days later")])
    on_time = replace(story, histories={FIRST: ()}, stamped_at=THEN + DAY)
    assert notes(verify(make_bundle(CITY, on_time))) == []


ELSEWHERE = make_authority(
    "Elsewhere", issuer=None, path_length=1, not_before=THEN - DAY, not_after=THEN + 900 * DAY
)


def with_service_outside(files: Files) -> None:
    files[evidence.tsa_path(1)] = ELSEWHERE.der


def test_what_the_exchange_certified_is_no_service_outside() -> None:
    """Its revoked service is refused, whatever certificates of another one are there."""
    story = replace(STORY, revoked={0: [CITY.tsa]})
    files = make_bundle(CITY, story, Forgery(before_index=with_service_outside))
    assert failed(verify(files)) == [("timestamp", "timestamps/00000001")]


@pytest.mark.parametrize("spoilt", [b"", b"no token", "other"])
def test_what_is_no_stamp_of_the_text_is_refused_whoever_made_it(spoilt: bytes | str) -> None:
    outside = make_leaf(
        "spiffe://elsewhere.example/centre/tsa/main", issuer=ELSEWHERE, purposes=TIME_STAMPING,
        purposes_critical=True, not_before=THEN - DAY, not_after=THEN + 300 * DAY,
    )  # fmt: skip
    text, response = evidence.timestamp_paths(1)

    def spoil(files: Files) -> None:
        with_service_outside(files)
        if isinstance(spoilt, bytes):
            files[response] = spoilt
        else:
            files[text] += b"f" * 64 + b"\n"

    signers = {response: outside}
    good = Forgery(signers=signers, before_index=with_service_outside)
    report = verify(make_bundle(CITY, STORY, good))
    assert report.ok
    assert "not checked" in notes(report)[0][1]
    report = verify(make_bundle(CITY, STORY, Forgery(signers=signers, before_index=spoil)))
    assert failed(report) == [("timestamp", "timestamps/00000001")]


def test_nobody_of_another_trust_domain_counts() -> None:
    other = "spiffe://elsewhere.example/centre/seal/centre-1"
    path = f"{SIGNED_FOR}.admission"
    forgery = Forgery(
        signers={f"{path}.p7s": CITY.leaf(other)},
        rewritten={f"{path}.json": lambda admission: admission | {"by": other}},
    )
    assert failed(verify(make_bundle(CITY, STORY, forgery)))[0] == ("admission", SIGNED_FOR)
    service = CITY.leaf(
        "spiffe://elsewhere.example/centre/tsa/main",
        purposes=TIME_STAMPING,
        purposes_critical=True,
    )
    forgery = Forgery(signers={"timestamps/00000001.tsr": service})
    report = verify(make_bundle(CITY, STORY, forgery))
    assert failed(report) == [("timestamp", "timestamps/00000001")]


def test_a_seal_has_ended_in_its_last_second_as_for_openssl() -> None:
    def told(not_after: dt.datetime) -> Report:
        seal = CITY.leaf(unit_seal_id(FIRST), f"until {not_after}", not_after=not_after)
        forgery = Forgery(signers={f"{SIGNED_FOR}.p7s": seal})
        return verify(make_bundle(CITY, STORY, forgery))

    assert told(THEN + 2 * MINUTE + dt.timedelta(seconds=1)).ok
    report = told(THEN + 2 * MINUTE)
    assert failed(report)[0] == ("receipt", SIGNED_FOR)
    assert report.first_failure is not None
    assert report.first_failure.code == "SEAL_EXPIRED"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "RETURNED"},
        {"at": times.format_time(THEN + 3 * MINUTE)},
        {"manifest_sha256": "0" * 64},
        {"receipt_sha256": "0" * 64},
        {"state_before": "PENDING"},
        {"state_after": "COMPLETED"},
    ],
)
def test_an_event_that_says_something_else_than_its_statement_is_refused(
    change: dict[str, str],
) -> None:
    """The leaf commits to it all the same."""
    forgery = Forgery(rewritten={f"{SIGNED_FOR}.event.json": lambda event: event | change})
    assert failed(verify(make_bundle(CITY, STORY, forgery)))[0] == ("leaf", SIGNED_FOR)


def test_an_event_need_not_name_digests_and_states() -> None:
    def less(event: dict[str, Any]) -> dict[str, Any]:
        left_out = {"manifest_sha256", "receipt_sha256", "state_before", "state_after"}
        return {name: value for name, value in event.items() if name not in left_out}

    forgery = Forgery(rewritten={f"{SIGNED_FOR}.event.json": less})
    assert verify(make_bundle(CITY, STORY, forgery)).ok


def test_the_event_of_the_acceptance_is_of_its_own_type() -> None:
    change = {"accepted.event.json": lambda event: event | {"type": "ACCEPTED"}}
    report = verify(make_bundle(CITY, STORY, Forgery(rewritten=change)))
    assert failed(report)[0] == ("leaf", "accepted")
