"""``exchange verify``: whether evidence holds, step by step; needs no profile and no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.command import DONE, REFUSED, Command, settings_of
from exchange_client.cli.output import Output

if TYPE_CHECKING:
    from document_exchange.evidence_report import Finding, Report

_COLUMNS = ("check", "verdict", "subject", "detail")


@click.command(cls=Command, profile_help="Is not used: evidence is verified without a profile.")
@click.argument("bundle", type=click.Path(exists=True, path_type=Path), metavar="FILE|DIR")
@click.option(
    "--root-fingerprint",
    metavar="HEX",
    help="SHA-256 of the exchange's root, not from who brings the evidence. Needed.",
)
@click.option(
    "--tsa-root-fingerprint",
    metavar="HEX",
    help="SHA-256 of an external time-stamping service's root, if there are stamps of one.",
)
@click.pass_context
def verify(
    context: click.Context,
    bundle: Path,
    root_fingerprint: str | None,
    tsa_root_fingerprint: str | None,
) -> int:
    """Verify the evidence in a zip, or in the folder that it was unpacked into.

    Offline, and as of the moments that it states: certificates that have expired since, and seals
    that were revoked later, do not matter. Exit code 0 if it holds, 6 if any step fails.
    """
    output = settings_of(context).output
    if root_fingerprint is None:
        raise click.UsageError(output.words("where_is_the_fingerprint"), context)
    from exchange_client.evidence_reader import verify_evidence

    report = verify_evidence(bundle, root_fingerprint, tsa_root_fingerprint=tsa_root_fingerprint)
    output.table([_row(output, found) for found in report.findings], _COLUMNS)
    _conclude(output, report, root_fingerprint, bundle)
    return DONE if report.ok else REFUSED


def _row(output: Output, found: Finding) -> dict[str, Any]:
    row: dict[str, Any] = {
        "check": output.words(f"evidence_{found.step.value}"),
        "step": found.step.value,
        "verdict": found.verdict.value,
        "subject": found.subject,
        "detail": f"{found.detail} [{found.code}]" if found.code else found.detail,
    }
    if output.as_json:
        row |= {"ok": found.ok, "code": found.code, "detail": found.detail}
    return row


def _conclude(output: Output, report: Report, root: str, bundle: Path) -> None:
    """The verdict on the whole, last."""
    from document_exchange import times
    from document_exchange.evidence_report import Verdict

    first = report.first_failure or next((each for each in report.findings if not each.ok), None)
    index = report.index
    step = first.step.value if first else None
    row: dict[str, Any] = {
        "ok": report.ok,
        "failed": sum(found.verdict is Verdict.FAILED for found in report.findings),
        "step": step if output.as_json or step is None else output.words(f"evidence_{step}"),
        "subject": first.subject if first else None,
        "envelope_id": index.envelope_id if index else None,
        "made_at": times.parse_time(index.made_at) if index else None,
        "root": root,
        "path": str(bundle),
        "notes": report.notes,
        **_extent(output, report),
    }
    output.row(row, "evidence_holds" if report.ok else _why_not(bundle))


def _why_not(bundle: Path) -> str:
    """The sentence for what does not hold: a file that is no zip is no evidence to judge."""
    import zipfile

    return "evidence_fails" if bundle.is_dir() or zipfile.is_zipfile(bundle) else "evidence_none"


def _extent(output: Output, report: Report) -> dict[str, Any]:
    """About whom the evidence is and how each one's delivery stands, as far as it is proved."""
    index, manifest = report.index, report.manifest
    states = report.states if report.ok else {}
    recipients = index.recipients if index else ()
    found: dict[str, Any] = {
        "recipients": len(recipients),
        "of_recipients": len(manifest.recipients) if manifest else None,
        "without_content": index.content.value == "DIGESTS" if index else None,
    }
    if output.as_json:
        return found | {"states": {unit: states[unit].value for unit in sorted(states)}}
    shown = [f"{unit} {output.words(states[unit].value)}" for unit in sorted(states)]
    extent = "evidence_digests" if found["without_content"] else "evidence_parts_too"
    return found | {"states": shown, "content": output.words(extent)}
