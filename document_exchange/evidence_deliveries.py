"""The steps of verification about each delivery: its receipts, admissions, events and history."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from document_exchange import evidence, times, transitions, verification
from document_exchange import receipt as receipts
from document_exchange.errors import EvidenceRefused, StateConflict
from document_exchange.evidence import Index, StatementName, Step
from document_exchange.evidence_files import BundleFiles
from document_exchange.evidence_report import Findings, Verdict, signed_at
from document_exchange.evidence_trust import BundleTrust
from document_exchange.manifest import Manifest
from document_exchange.receipt import (
    SIGNED_BY_CENTRE,
    SIGNED_BY_RECIPIENT,
    Admission,
    Receipt,
    State,
)
from document_exchange.transitions import Standing
from document_exchange.verification import Signed

_STEPS = (Step.RECEIPT, Step.ADMISSION, Step.LEAF)


@dataclass(frozen=True, slots=True)
class _Statement:
    """What a statement says, as far as it can be read; whether it is true is another matter."""

    name: StatementName
    receipt: Receipt
    admission: Admission | None

    @property
    def recorded_at(self) -> str:
        return self.admission.recorded_at if self.admission else self.receipt.at


def check_deliveries(
    findings: Findings,
    files: BundleFiles,
    manifest: Manifest | None,
    trust: BundleTrust | None,
    accepted_at: datetime | None,
    index: Index | None,
) -> dict[str, State]:
    """Every statement of every delivery, and then each history as a whole.

    Returns:
        How each delivery that the index names stood in the end, by recipient; those that can't be
        believed are left out.
    """
    made_at = times.parse_time(index.made_at) if index else None
    if made_at is not None and accepted_at is not None and made_at < accepted_at:
        why = "it was made before the acceptance"
        findings.add(Step.HISTORY, evidence.INDEX, Verdict.FAILED, why, EvidenceRefused.code)
    states: dict[str, State] = {}
    by_unit: dict[str, set[StatementName]] = defaultdict(set)
    for path in files.matching("deliveries/"):
        found = evidence.statement_of(path)
        if found is not None:
            by_unit[found[0].unit].add(found[0])
    for unit, names in sorted(by_unit.items()):
        if manifest is None or trust is None:
            because = "there is no manifest" if manifest is None else "no CA for seals is trusted"
            for step in (*_STEPS, Step.HISTORY):
                findings.skip(step, f"deliveries/{unit}", because)
            continue
        statements = [
            _check_statement(findings, files, name, manifest, trust)
            for name in sorted(names, key=lambda name: (name.seq, name.type))
        ]
        state = _check_history(findings, unit, statements, accepted_at, made_at)
        if state is not None:
            states[unit] = state
    if index is not None and accepted_at is not None:
        states |= {unit: State.PENDING for unit in index.recipients if unit not in by_unit}
    return states


def _check_statement(
    findings: Findings,
    files: BundleFiles,
    name: StatementName,
    manifest: Manifest,
    trust: BundleTrust,
) -> _Statement | None:
    """One statement: by whom it had to be, recorded by the centre, and committed to."""
    by_centre = name.type in SIGNED_BY_CENTRE
    found: _Statement | None = None
    with findings.step(Step.RECEIPT, name.stem) as outcome:
        signed = _signed(files, name, evidence.RECEIPT_SUFFIX, evidence.RECEIPT_SIGNATURE_SUFFIX)
        said = receipts.decode_receipt(signed.content)
        recorded_at = said.at
        if not by_centre:
            admission = files.read(name.stem + evidence.ADMISSION_SUFFIX)
            recorded_at = receipts.decode_admission(admission).recorded_at
        if (said.type, said.recipient) != (name.type, name.unit):
            raise EvidenceRefused(f"it says {said.type} of {said.recipient}", field="type")
        verification.verify_receipt(
            signed,
            manifest,
            trust,
            at=times.parse_time(recorded_at),
            crls=None,
            expected_by=_party(name, manifest),
        )
        outcome.detail = signed_at(said.by, recorded_at)
    if not outcome.passed:
        for step in _STEPS[1:]:
            findings.skip(step, name.stem, "the receipt is not believed")
        return None
    if by_centre:
        found = _Statement(name, said, None)
    else:
        with findings.step(Step.ADMISSION, name.stem) as outcome:
            admitted = verification.verify_admission(
                _signed(
                    files, name, evidence.ADMISSION_SUFFIX, evidence.ADMISSION_SIGNATURE_SUFFIX
                ),
                signed,
                trust,
                crls=None,
            )
            outcome.detail = signed_at(admitted.by, admitted.recorded_at)
            found = _Statement(name, said, admitted)
    if found is None:
        findings.skip(Step.LEAF, name.stem, "the admission is not believed")
        return None
    with findings.step(Step.LEAF, name.stem) as outcome:
        event = files.read(name.stem + evidence.EVENT_SUFFIX)
        salt = files.read(name.stem + evidence.SALT_SUFFIX)
        verification.verify_leaf(found.receipt, found.admission, event, salt)
        outcome.detail = f"SHA-256(salt || event) is {(found.admission or found.receipt).leaf}"
    return found


def _signed(files: BundleFiles, name: StatementName, content: str, signature: str) -> Signed:
    return Signed(files.read(name.stem + content), files.read(name.stem + signature))


def _party(name: StatementName, manifest: Manifest) -> str | None:
    """Who must have said it; None for the centre."""
    if name.type in SIGNED_BY_CENTRE:
        return None
    return name.unit if name.type in SIGNED_BY_RECIPIENT else manifest.sender


def _check_history(
    findings: Findings,
    unit: str,
    statements: list[_Statement | None],
    accepted_at: datetime | None,
    made_at: datetime | None,
) -> State | None:
    """From acceptance to the index: no gap, every step legal, no time before the one before it.

    Returns:
        The last state; None if that can't be believed.
    """
    subject = f"deliveries/{unit}"
    believed = [each for each in statements if each is not None]
    if accepted_at is None or len(believed) < len(statements):
        because = "the acceptance is" if accepted_at is None else "one of its statements is"
        findings.skip(Step.HISTORY, subject, f"{because} not believed")
        return None
    standing = Standing(State.PENDING)
    with findings.step(Step.HISTORY, subject) as outcome:
        latest, latest_name = accepted_at, "the acceptance"
        for seq, each in enumerate(believed, 1):
            standing = _follow(standing, seq, each)
            recorded_at = times.parse_time(each.recorded_at)
            if recorded_at < latest:
                raise EvidenceRefused(f"{each.name.stem} is dated before {latest_name}")
            latest, latest_name = recorded_at, each.name.stem
        if made_at is not None and made_at < latest:
            raise EvidenceRefused(f"the index was made before {latest_name}")
        outcome.detail = f"{len(believed)} statements, {standing.state}"
    return standing.state if outcome.passed else None


def _follow(standing: Standing, seq: int, each: _Statement) -> Standing:
    centres = each.admission or each.receipt
    if (each.name.seq, centres.seq) != (seq, seq):
        raise EvidenceRefused(
            f"{each.name.stem} says that it is statement {centres.seq}, and {seq} comes next"
        )
    if centres.state_before != standing.state:
        raise StateConflict(
            f"{each.name.stem} was recorded for {centres.state_before}, and the statements before "
            f"it leave the delivery {standing.state}"
        )
    after = transitions.step(standing, each.receipt.type, each.receipt.reason_code)
    if after.state != centres.state_after:
        raise StateConflict(f"{each.name.stem} leads to {after.state}, not {centres.state_after}")
    return after
