"""``exchange enrol --batch``: many tokens, one process, one line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from document_exchange.errors import ExchangeError
from exchange_client.cli.command import DONE, PARTLY, Settings, run_alone
from exchange_client.cli.joining import row_of, show_test

if TYPE_CHECKING:
    from exchange_client.enrol import Application
    from exchange_client.enrolment_batch import Outcome

_LIMIT_BYTES = 16 * 1024 * 1024


def enrol_batch(
    settings: Settings,
    file: BinaryIO,
    *,
    authority: str,
    fingerprint: str,
    replacing: bool,
    testing: bool,
) -> int:
    """Enrol with every line of ``file``; 1 if one failed or a seal is missing."""
    from exchange_client import enrolment_batch

    text = file.read(_LIMIT_BYTES + 1)
    if len(text) > _LIMIT_BYTES:
        raise click.UsageError(f"the batch has more than {_LIMIT_BYTES} bytes: divide it")
    wanted = enrolment_batch.applications(
        text, authority=authority, fingerprint=fingerprint, replace=replacing
    )
    return run_alone(settings, lambda: _enrol_each(settings, wanted, testing))


async def _enrol_each(settings: Settings, wanted: list[Application], testing: bool) -> int:
    from exchange_client import locations
    from exchange_client.enrolment_batch import enrol_each
    from exchange_client.timing import Timing

    complete = True

    async def tell(application: Application, outcome: Outcome) -> None:
        nonlocal complete
        if not await _told(settings, application, outcome, testing):
            complete = False

    await enrol_each(wanted, locations.config_dir(), Timing(), tell)
    return DONE if complete else PARTLY


async def _told(
    settings: Settings, application: Application, outcome: Outcome, testing: bool
) -> bool:
    """Say what became of one; whether all is well with it."""
    if isinstance(outcome, (ExchangeError, OSError)):
        _show_failure(settings, application.profile or application.unit, outcome)
        return False
    missing = outcome.seal in ("PENDING", "REJECTED")
    before = "enrolled_before" if outcome.repeated else "enrolled"
    settings.output.row(row_of(outcome), "enrolled_without_seal" if missing else before)
    if testing and outcome.profile.seal is not None:
        try:
            await show_test(settings.output, outcome.profile)
        except (ExchangeError, OSError) as error:
            _show_failure(settings, outcome.profile.name, error)
            return False
    return not missing


def _show_failure(settings: Settings, profile: str, error: ExchangeError | OSError) -> None:
    message, code = str(error), "FILES"
    if isinstance(error, ExchangeError):
        message, code = error.message, error.code
    row = {"profile": profile, "error": code, "message": message}
    settings.output.row(row, "not_enrolled")
