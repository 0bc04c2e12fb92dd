"""What a verification of evidence found: a verdict for each step and what it is about."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from document_exchange.errors import ExchangeError
from document_exchange.evidence import Index, Step
from document_exchange.manifest import Manifest
from document_exchange.receipt import State


class Verdict(enum.StrEnum):
    """How a step ended."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    """Not done, since something that it needs had failed: it proves nothing."""
    NOTE = "NOTE"
    """Nothing that could fail, but worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One step about one thing."""

    step: Step
    subject: str
    """A path in the bundle, or without a suffix that of a statement."""
    verdict: Verdict
    detail: str
    """What was found, in English."""
    code: str = ""
    """Of a failure: the stable code of the refusal."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return self.verdict in (Verdict.PASSED, Verdict.NOTE)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order in which they were made."""

    findings: tuple[Finding, ...]
    index: Index | None = None
    """None where it can't be read."""
    manifest: Manifest | None = None
    """None where it can't be read."""
    states: Mapping[str, State] = field(default_factory=dict)
    """How each recipient's delivery stood at ``made_at``, by unit; only where that is proved."""

    @property
    def ok(self) -> bool:
        """Whether the evidence proves what it says: every step was done, and none failed."""
        return bool(self.findings) and all(each.ok for each in self.findings)

    @property
    def notes(self) -> int:
        """How many things are worth knowing besides."""
        return sum(each.verdict is Verdict.NOTE for each in self.findings)

    @property
    def first_failure(self) -> Finding | None:
        """The first step that failed."""
        failed = (each for each in self.findings if each.verdict is Verdict.FAILED)
        return next(failed, None)


@dataclass(slots=True)
class Outcome:
    """One step being done: what its block raises is its failure, and goes no further."""

    findings: Findings
    step: Step
    subject: str
    detail: str = ""
    """What to say if it does not fail."""
    verdict: Verdict = Verdict.PASSED
    """PASSED, or NOTE; FAILED afterwards if it failed."""

    def __enter__(self) -> Outcome:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        code = ""
        if isinstance(error, ExchangeError):
            self.verdict, self.detail = Verdict.FAILED, error.message
            code = error.attributes.get("code", error.code)
        elif error is not None:
            return False
        self.findings.add(self.step, self.subject, self.verdict, self.detail, code)
        return True

    @property
    def passed(self) -> bool:
        """Whether it was done and did not fail."""
        return self.verdict is Verdict.PASSED


@dataclass(slots=True)
class Findings:
    """Collects findings while steps go on after a failure."""

    made: list[Finding] = field(default_factory=list)

    def add(self, step: Step, subject: str, verdict: Verdict, detail: str, code: str = "") -> None:
        """One finding more."""
        self.made.append(Finding(step, subject, verdict, detail, code))

    def skip(self, step: Step, subject: str, because: str) -> None:
        """A step that can't be done."""
        self.add(step, subject, Verdict.SKIPPED, f"not checked, because {because}")

    def step(self, step: Step, subject: str) -> Outcome:
        """One step, as a context: passed if the block ends, failed with the refusal it raises."""
        return Outcome(self, step, subject)


def signed_at(by: str, at: str) -> str:
    """The detail of a signature that holds: whose it is, and as of when."""
    return f"by {by} as of {at}"
