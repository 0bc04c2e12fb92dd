"""What all steps check and answer alike about envelopes: identifiers, "not found", withdrawn."""

from __future__ import annotations

from document_exchange import codes
from document_exchange.errors import InvalidRequest, NotFound, StateConflict
from exchange_server.values import NOT_GIVEN_OUT, DeliverySummary


def check_identifier(envelope_id: str) -> None:
    """Raise InvalidRequest unless this has the shape of an envelope_id."""
    if not codes.is_uuid7(envelope_id):
        raise InvalidRequest(
            f"{envelope_id[:64]!r} is not an envelope_id (a UUIDv7 in lower case)",
            field="envelope_id",
        )


def envelope_not_found(envelope_id: str) -> NotFound:
    """The same answer for what does not exist and for what is not the caller's to see."""
    return NotFound(f"there is no envelope {envelope_id} that you may see", envelope_id=envelope_id)


def is_withdrawn(unit: str, own: DeliverySummary) -> bool:
    """Whether nothing of the document goes out to ``unit`` any more, whose delivery this is.

    What a unit sent, to itself too, stays its own.
    """
    return own.sender != unit and own.state in NOT_GIVEN_OUT


def withdrawn(envelope_id: str, instead: str = "") -> StateConflict:
    """The answer then; ``instead`` says what may still be asked for."""
    why = "the document was withdrawn, so that no more of it is given out"
    return StateConflict(f"{why}: {instead}" if instead else why, envelope_id=envelope_id)
