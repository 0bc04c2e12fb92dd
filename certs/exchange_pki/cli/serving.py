"""The command that stays: ``serve``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange_pki.cli.options import PATH

if TYPE_CHECKING:  # grpc is not to be imported before its environment is set
    from exchange_pki.service.ports import Listening


@click.command()
@click.option("--config", type=PATH, required=True, help="Settings (TOML).")
def serve(config: Path) -> None:
    """Run the authority as a service until SIGTERM, then finish what was begun.

    When it listens, it prints one line: {"listening": {"authority": "HOST:PORT", …}}.
    """
    try:
        import uvloop

        from exchange_runtime import logs, tls

        tls.refuse_tls_1_2()
        from exchange_pki.service import app
        from exchange_pki.service.config import load
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("exchange_", "document_exchange")):
            raise
        raise click.UsageError(
            f"{error.name} is missing: pip install 'document-exchange[pki]'"
        ) from error
    settings = load(config)
    logs.configure(settings.log_level)

    def ready(listening: Listening) -> None:
        click.echo(json.dumps({"listening": listening.as_json()}))

    uvloop.run(app.serve(settings, ready))
