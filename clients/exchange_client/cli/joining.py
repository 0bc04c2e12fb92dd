"""What both ways of enrolling, one by one and many at once, show of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from exchange_client.cli.output import Output

if TYPE_CHECKING:
    from exchange_client.enrol import Enrolled
    from exchange_client.profile import Profile


def row_of(enrolled: Enrolled) -> dict[str, Any]:
    """The profile that is there, and where its seal stands."""
    profile = enrolled.profile
    return {
        "profile": profile.name,
        "identity": str(profile.system),
        "directory": str(profile.directory),
        "seal": enrolled.seal,
        "seal_key_sha256": enrolled.seal_key_sha256,
    }


async def show_test(output: Output, profile: Profile) -> None:
    """Send a document to the own unit, sign for it, and say so."""
    from exchange_client import self_test
    from exchange_client.client import AsyncClient

    async with AsyncClient(profile) as client:
        test = await self_test.run(client)
    output.row({"unit_id": profile.unit, **dataclasses.asdict(test)}, "tested")
