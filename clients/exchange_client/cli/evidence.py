"""``exchange evidence``: everything that proves what became of an envelope, as one file."""

from __future__ import annotations

from pathlib import Path

import click

from document_exchange import times
from exchange_client.cli.command import Command, run, settings_of


@click.command(cls=Command)
@click.argument("envelope")
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="UNIT",
    help="Only about this recipient; up to 20 times. Default: all that your unit may see.",
)
@click.option(
    "--without-content",
    is_flag=True,
    help="Leave the document's parts out; their digests stay.",
)
@click.option(
    "-o",
    "--output",
    "to",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE.zip",
    help="Where to write it; a file of this name is replaced.",
)
@click.pass_context
def evidence(
    context: click.Context,
    envelope: str,
    recipients: tuple[str, ...],
    without_content: bool,
    to: Path,
) -> None:
    """Save the evidence about an ENVELOPE that your unit sent or got.

    The file stands alone: whoever has the root's fingerprint verifies it with  exchange verify,  or
    with the verify.sh inside, which needs only sh, openssl and sha256sum. It is verified before it
    gets its name.

    The centre seals the same content once. While nothing has happened since, the file has the same
    bytes whenever it is fetched, and "as of" is the moment when it was first sealed.
    """
    settings = settings_of(context)
    saved = run(
        settings,
        lambda client: client.evidence(envelope, recipients, not without_content, to=to),
    )
    index = saved.report.index
    assert index is not None  # what does not verify is not saved
    row = {
        "envelope_id": index.envelope_id,
        "made_at": times.parse_time(index.made_at),
        "recipients": index.recipients,
        "content": index.content.value,
        "files": len(index.files),
        "path": str(saved.path),
    }
    settings.output.row(row, "saved_evidence")
