"""Many enrolments in one process: a line of JSON for each token, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from document_exchange.errors import ConfigurationError, ExchangeError
from exchange_client.contact import Authorities
from exchange_client.enrol import Application, Enrolled, enrol_at
from exchange_client.timing import Timing

AT_ONCE = 6
"""Fewer than an authority takes on one connection; what queues up there is certified together."""

Outcome = Enrolled | ExchangeError | OSError


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token: str
    authority: str = ""
    fingerprint: str = ""
    profile: str = ""
    unit: str = ""
    seal: bool = True


def applications(
    text: bytes, *, authority: str = "", fingerprint: str = "", replace: bool = False
) -> list[Application]:
    """What the lines ask for; empty ones are skipped.

    A line is ``{"token", "authority"?, "fingerprint"?, "profile"?, "unit"?, "seal"?: false}``.

    Args:
        text: the lines.
        authority: of lines that name none.
        fingerprint: the same.
        replace: let profiles take the places of others.

    Raises:
        ConfigurationError: a line is malformed; the message says which, and repeats no token.
    """
    decoder = msgspec.json.Decoder(_Line)
    found = []
    for number, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            line = decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ConfigurationError(f"line {number}: {error}", line=str(number)) from error
        application = Application(
            authority=line.authority or authority,
            root_fingerprint=line.fingerprint or fingerprint,
            token=line.token.strip(),
            unit=line.unit,
            profile=line.profile or None,
            with_seal=line.seal,
            replace=replace,
        )
        if not (application.authority and application.root_fingerprint and application.token):
            raise ConfigurationError(
                f"line {number}: authority, fingerprint and token are needed", line=str(number)
            )
        found.append(application)
    return found


async def enrol_each(
    wanted: Iterable[Application],
    config_dir: Path,
    timing: Timing,
    tell: Callable[[Application, Outcome], Awaitable[None]],
) -> None:
    """Enrol all; what becomes of each is told as soon as it is known, and stops no other."""
    queue = iter(wanted)

    async def work(authorities: Authorities) -> None:
        for application in queue:
            outcome: Outcome
            try:
                outcome = await enrol_at(application, config_dir, authorities)
            except (ExchangeError, OSError) as error:
                outcome = error
            await tell(application, outcome)

    async with Authorities(timing) as authorities, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work(authorities))
