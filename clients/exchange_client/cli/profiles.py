"""``exchange profile``: the profiles on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exchange_client.cli.command import DONE, PARTLY, Command, settings_of


@click.group()
def profile() -> None:
    """Import and list the profiles on this machine."""


@profile.command("import", cls=Command)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it. Default: the unit's id.")
@click.option("--replace", is_flag=True, help="Take the place of a profile of this name.")
@click.pass_context
def import_(context: click.Context, source: Path, name: str | None, replace: bool) -> None:
    """Take over the profile in SOURCE: a directory, its profile.toml, or a tar archive.

    It is checked first; its keys become readable by you alone.
    """
    from exchange_client import locations
    from exchange_client.profile_import import import_profile

    directory = locations.config_dir()
    found = import_profile(source, directory, name, replace=replace)
    row = {"profile": found.name, "unit_id": found.system.unit or "", "system": str(found.system)}
    settings_of(context).output.row({**row, "directory": str(directory / found.name)}, "imported")


@profile.command("list", cls=Command)
@click.pass_context
def list_(context: click.Context) -> int:
    """List the profiles in EXCHANGE_CONFIG, and what is wrong with any."""
    from exchange_client import locations

    directory = locations.config_dir()
    rows = [_described(directory, name) for name in locations.profile_names(directory)]
    columns = ["profile", "unit_id", "system", "seal", "address", "not_after"]
    broken = any("error" in row for row in rows)
    output = settings_of(context).output
    if rows:
        output.table(rows, [*columns, "error"] if broken else columns)
    else:
        output.notice("no_profiles", directory=str(directory))
    return PARTLY if broken else DONE


def _described(directory: Path, name: str) -> dict[str, Any]:
    from document_exchange.errors import ExchangeError
    from exchange_client.profile import Profile

    try:
        found = Profile.load(name, directory)
    except ExchangeError as error:
        return {"profile": name, "error": error.message, "code": error.code}
    return {
        "profile": name,
        "unit_id": found.system.unit or "",  # staff have none
        "system": found.system.name,
        "seal": found.seal is not None,
        "address": found.address,
        "not_after": found.system_certificate.not_valid_after_utc,
    }
