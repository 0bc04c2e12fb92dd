"""The conflict that shows, verified, what had decided where a delivery stands."""

from __future__ import annotations

from document_exchange.errors import StateConflict
from document_exchange.verification import VerifiedReceipt


class Decided(StateConflict):
    """The delivery's state does not allow this step: ``won`` had decided it.

    ``won`` was verified: receipt, admission (None for the centre's own) and when it was recorded.
    ``repeated``: it is the own unit's, of the same type and for the same reason code. What was to
    be said had been recorded before, then: by an earlier try, or by somebody else of the unit.
    A conflict whose statement did not come along, or that is about an envelope which does not
    verify, is a plain ``StateConflict``.
    """

    code = StateConflict.code

    def __init__(
        self,
        message: str | None = None,
        /,
        winning: tuple[bytes, bytes, bytes, bytes] | None = None,
        *,
        won: VerifiedReceipt,
        repeated: bool = False,
        **attributes: str,
    ) -> None:
        super().__init__(message, winning, **attributes)
        self.won = won
        self.repeated = repeated
