"""``exchange doctor``: is everything in order, and what is to be done if not?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import (
    DONE,
    PARTLY,
    Command,
    Settings,
    codes_of,
    run_alone,
    settings_of,
)
from exchange_client.cli.output import Output

if TYPE_CHECKING:
    from exchange_client.diagnosis import Check

_COLUMNS = ("check", "verdict", "details", "what_to_do")


@click.command(cls=Command)
@click.pass_context
def doctor(context: click.Context) -> int:
    """Check certificate, seal, clock, address, and what the centre knows of you.

    Also the authority and its revocation lists. Exit code 0 if there is no fault (warnings do not
    count), otherwise 1.
    """
    settings = settings_of(context)
    return run_alone(settings, lambda: _doctor(settings))


async def _doctor(settings: Settings) -> int:
    from exchange_client.doctor import examine, healthy

    checks = await examine(settings.profile)
    show(settings.output, checks)
    return DONE if healthy(checks) else PARTLY


def show(output: Output, checks: list[Check]) -> None:
    """Print what was found."""
    rows = [_row(output, check) for check in checks]
    columns = _COLUMNS if any(row["what_to_do"] for row in rows) else _COLUMNS[:-1]
    output.table(rows, columns)


def _row(output: Output, check: Check) -> dict[str, Any]:
    values = {key: output.shown(key, value) for key, value in check.values.items()}
    row: dict[str, Any] = {
        "check": check.name,
        "verdict": check.verdict.value,
        "details": output.words(f"found_{check.finding}", **values),
        "what_to_do": _remedy(output, check, values),
    }
    if output.as_json:
        row |= {"finding": check.finding, "values": dict(check.values)}
        if check.error is not None:
            row["error"] = check.error.code
    return row


def _remedy(output: Output, check: Check, values: dict[str, str]) -> str:
    if check.error is not None:
        return output.words.advice(codes_of(check.error))
    return output.words.optional(f"remedy_{check.finding}", **values)
