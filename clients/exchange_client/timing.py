"""How long the SDK waits: deadlines of calls, the budget for trying again, pauses of watches."""

from __future__ import annotations

from dataclasses import dataclass

from document_exchange.errors import ConfigurationError

CHUNK_BYTES = 256 * 1024
"""Bytes of a part in one message; measured as the best size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds, and the slowest line that is still waited for.

    A call that moves parts has a deadline of ``transfer_base_s`` plus its bytes at
    ``slowest_bytes_per_s``, so that a document of any size has one that a usable line can meet.
    """

    call_deadline_s: float = 10.0
    """Deadline of every call that moves no parts."""
    retry_budget_s: float = 30.0
    """How long a failed call is tried again, counted from its first failure; 0 means never."""
    transfer_base_s: float = 30.0
    slowest_bytes_per_s: int = 256 * 1024
    watch_pause_max_s: float = 15.0
    """Longest pause before a broken watch is opened again."""

    def __post_init__(self) -> None:
        if self.call_deadline_s <= 0 or self.transfer_base_s <= 0 or self.slowest_bytes_per_s <= 0:
            raise ConfigurationError("deadlines and speeds must be above 0")
        if self.retry_budget_s < 0 or self.watch_pause_max_s <= 0:
            raise ConfigurationError("retry_budget_s must not be negative, pauses must be above 0")

    def transfer_deadline_s(self, size_bytes: int) -> float:
        """The deadline of a call that moves so many bytes."""
        return self.transfer_base_s + size_bytes / self.slowest_bytes_per_s
