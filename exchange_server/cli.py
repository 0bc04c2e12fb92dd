"""The command ``exchange-server``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from document_exchange.errors import ConfigurationError, ExchangeError, Unavailable
from exchange_runtime import tls

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_HELP)
@click.version_option(package_name="document-exchange")
def cli() -> None:
    """The exchange centre: run it, bring its ledger up to date, tend it."""


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="Settings (TOML).")
def run(config: Path) -> None:
    """Run one server process until SIGTERM, then finish what was accepted.

    When it listens, it prints one line: {"listening": "HOST:PORT"}.
    """
    tls.refuse_tls_1_2()
    import uvloop

    from exchange_runtime import logs, memory
    from exchange_server import app
    from exchange_server.config import load

    memory.bound_allocator()
    settings = load(config)
    logs.configure(settings.log_level)

    def ready(port: int, metrics_port: int) -> None:
        host = settings.listen.rpartition(":")[0]
        said = {"listening": f"{host}:{port}"}
        if metrics_port:
            said["metrics"] = f"{settings.metrics.listen.rpartition(':')[0]}:{metrics_port}"
        click.echo(json.dumps(said))

    uvloop.run(app.serve(settings, ready))


@cli.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Everything is kept here; a later start goes on with it.",
)
@click.option(
    "--registry",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The units (TOML). Default: a sample of a few.",
)
def dev(state: Path, registry: Path | None) -> None:
    """Run a whole centre for development: database, store, authority, server, client profiles.

    Stays until Ctrl-C. When all is ready it prints one line and writes STATE/dev.json.
    """
    from exchange_server.dev import DevStack

    try:
        code = DevStack(state, registry).run()
    except OSError as error:
        # All of it is on this machine: nothing that would be there later.
        raise ConfigurationError(f"the centre can't run in {state}: {error}") from error
    sys.exit(code)


@cli.command()
@click.option("--dsn", envvar="EXCHANGE_SERVER_OWNER_DSN", help="The ledger, as its owner.")
@click.option("--sql", is_flag=True, help="Print the SQL instead.")
def migrate(dsn: str | None, sql: bool) -> None:
    """Bring the ledger's schema up to date."""
    from exchange_server.storage import migrate as migrations

    if sql:
        click.echo(migrations.migration_sql())
    elif dsn is None:
        raise click.UsageError("--dsn or EXCHANGE_SERVER_OWNER_DSN is needed")
    else:
        migrations.migrate(dsn)


@cli.command("import-units")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dsn", envvar="EXCHANGE_SERVER_OWNER_DSN", help="The ledger, as its owner.")
@click.option("--check", is_flag=True, help="Only check the file.")
@click.option("--dry-run", is_flag=True, help="Only say what would change in the ledger.")
def import_units(file: Path, dsn: str | None, check: bool, dry_run: bool) -> None:
    """Bring the registry of FILE (TOML) into the ledger, all or nothing.

    Prints a line for each entry that changes: of units, systems, staff, groups, regions, lines of
    business, routes and quotas. Entries that FILE does not have stay as they are.
    """
    from exchange_server import registry_file, unit_import

    found = registry_file.read_file(file)
    done = "checked"
    if not check:
        if dsn is None:
            raise click.UsageError("--dsn or EXCHANGE_SERVER_OWNER_DSN is needed")
        work = unit_import.compare if dry_run else unit_import.import_file
        changes = asyncio.run(work(dsn, found))
        for change in changes:
            click.echo(change)
        done = f"{len(changes)} {'would change' if dry_run else 'changed; imported'}"
    click.echo(f"{unit_import.summary(found)}: {done}")


@cli.command("second-person")
@click.argument("rule", type=click.Choice(["required", "waived"]))
@click.option(
    "--dsn", envvar="EXCHANGE_SERVER_OWNER_DSN", required=True, help="The ledger's owner."
)
def second_person(rule: str, dsn: str) -> None:
    """Say whether changes of rights take two members of security staff, or one alone.

    Rights are staff, routes, and in whose name a unit may send. Without this it takes two.
    """
    from exchange_server import unit_import

    changed = asyncio.run(unit_import.require_second_person(dsn, rule == "required"))
    click.echo(f"a second person is {rule} {'from now on' if changed else 'already'}")


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="Settings (TOML).")
@click.option("--remove", is_flag=True, help="Really remove; without it, only count.")
def sweep(config: Path, remove: bool) -> None:
    """Remove objects that belong to no accepted envelope. A running server does so by itself."""
    from exchange_server import app
    from exchange_server.config import load

    swept = asyncio.run(app.sweep(load(config), remove=remove))
    what = "removed" if remove else "to be removed with --remove"
    click.echo(f"{swept.listed} objects, {swept.removed} {what}")


def _run() -> None:
    try:
        cli(standalone_mode=False)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("exchange_", "document_exchange")):
            raise
        # Not a fault of ours: the plain installation is the SDK alone.
        raise ConfigurationError(
            f"{error.name} is not installed: pip install 'document-exchange[server,pki,embedded]' "
            "(a server in production needs only [server])"
        ) from error


def main() -> None:
    """Entry point: our errors become one line on standard error and an exit code."""
    try:
        _run()
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ExchangeError as error:
        click.echo(f"{error.message} [{error.code}]", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"{error} [{Unavailable.code}]", err=True)
        sys.exit(Unavailable.exit_code)


if __name__ == "__main__":
    main()
