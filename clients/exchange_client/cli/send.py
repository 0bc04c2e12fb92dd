"""``exchange send``: seal files as a document and hand it to the centre."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from document_exchange.errors import SignatureMissing
from exchange_client.cli.command import Command, run, settings_of
from exchange_client.cli.document_options import arguments_of, document_options, given_of

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.submit import Submission


@click.option(
    "--draft",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Send this draft of a joint issue, sealed by every issuer, instead of FILES.",
)
@document_options
@click.command(cls=Command)
@click.pass_context
def send(context: click.Context, /, draft: Path | None, **options: Any) -> None:
    """Seal FILES as one document, the first as its body, and send it.

    Returns when the centre has it durably. Safe to interrupt: a document is accepted whole or
    not at all.
    """
    settings = settings_of(context)
    if draft is not None and given_of(options):
        raise click.UsageError(settings.output.words("draft_is_whole"))
    arguments = arguments_of(options, settings.output.words) if draft is None else {}

    async def work(client: AsyncClient) -> Submission:
        return await (client.joint.send(draft) if draft else _send(client, arguments))

    submission = run(settings, work)
    row = {
        "envelope_id": submission.envelope_id,
        "doc_id": submission.manifest.document.doc_id,
        "accepted_at": submission.accepted_at,
        "manifest_sha256": submission.manifest_sha256,
        "recipients": [each.unit for each in submission.manifest.recipients],
        "repeated": submission.repeated,
    }
    settings.output.row(row, "sent_before" if submission.repeated else "sent")


async def _send(client: AsyncClient, arguments: dict[str, Any]) -> Submission:
    try:
        return await client.send(**arguments)
    except SignatureMissing as error:
        raise _seal_wanted(error, client.unit_id) from error


def _seal_wanted(error: SignatureMissing, own: str) -> SignatureMissing:
    """The same error in words of the command line."""
    unit = error.attributes.get("unit")
    if unit is None:
        return error
    wanted = (
        "and this profile has no seal: use one that has"
        if unit == own
        else f"so its seal is needed: give  --seal PROFILE  with a profile of {unit}"
    )
    return SignatureMissing(f"{unit} is an issuer, {wanted}", **error.attributes)
