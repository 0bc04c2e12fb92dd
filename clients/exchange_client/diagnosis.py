"""What a check found: its verdict, in words that are chosen by a stable name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from document_exchange.errors import ExchangeError


class Verdict(enum.Enum):
    """How much a finding matters."""

    OK = "OK"
    WARNING = "WARNING"
    """It works, and will not for ever."""
    FAULT = "FAULT"
    SKIPPED = "SKIPPED"
    """It could not be checked, because of another fault."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What: files, certificate, chain, seal, address, tls, identity, clock, ..."""
    verdict: Verdict
    finding: str
    """A stable name for what was found; the command line has a sentence and a remedy for each."""
    values: Mapping[str, object] = field(default_factory=dict)
    """What the sentence says: dates, addresses, differences."""
    error: ExchangeError | None = None
    """What went wrong, where the finding is an error of the exchange."""


def ok(name: str, finding: str, /, **values: object) -> Check:
    """Nothing to do."""
    return Check(name, Verdict.OK, finding, values)


def warning(name: str, finding: str, /, **values: object) -> Check:
    """Something to do soon."""
    return Check(name, Verdict.WARNING, finding, values)


def fault(name: str, finding: str, /, **values: object) -> Check:
    """Something to do before it works."""
    return Check(name, Verdict.FAULT, finding, values)


def failed(name: str, error: ExchangeError) -> Check:
    """An error of the exchange: its message is the sentence, its code has the remedy."""
    return Check(name, Verdict.FAULT, "error", {"error": error.message}, error)


def skipped(name: str, because_of: str) -> Check:
    """Not looked at, because the check ``because_of`` found a fault."""
    return Check(name, Verdict.SKIPPED, "skipped", {"check": because_of})
