"""``exchange countersign``: seal a joint issue's draft, ask others to, and collect their seals."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from document_exchange import codes
from exchange_client.cli import joint_tables
from exchange_client.cli.command import DONE, PARTLY, Command, Settings, run, settings_of

if TYPE_CHECKING:
    from exchange_client.client import AsyncClient
    from exchange_client.countersigning import CountersignRequest
    from exchange_client.submit import Submission


class _DraftFolder(click.Path):
    """The folder of a draft; an envelope's id in its place is told where it belongs."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """A path, as ``click.Path`` gives it."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            given = str(value).lower()
            if ctx is None or not codes.is_uuid7(given):
                raise
            words = settings_of(ctx).output.words
            self.fail(words("envelope_is_no_directory", envelope_id=given), param, ctx)


@click.command(cls=Command)
@click.argument(
    "directory",
    required=False,
    metavar="[DIR]",
    type=_DraftFolder(exists=True, file_okay=False, path_type=Path),
)
@click.option("--request", is_flag=True, help="Ask the other issuers through the centre.")
@click.option("--reply-due", metavar="YYYY-MM-DD", help="With --request: by when.")
@click.option("--collect", is_flag=True, help="Take the seals that have come through the centre.")
@click.option("--envelope", metavar="ENVELOPE", help="Seal what this request carries, and answer.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("received"),
    show_default=True,
    help="With --envelope: where it goes, into a directory of its own.",
)
@click.option("--yes", is_flag=True, help="Seal without being asked. Without it --json only shows.")
@click.pass_context
def countersign(
    context: click.Context,
    directory: Path | None,
    request: bool,
    reply_due: str | None,
    collect: bool,
    envelope: str | None,
    out: Path,
    yes: bool,
) -> int:
    """Seal the draft in DIR, or bring together the seals that it needs 会签.

    Everything in a draft is checked before it is shown, and it is shown before it is sealed. With
    --json and without --yes it is shown alone: look at it, then give --yes. A request that was
    answered already is not answered twice.
    """
    settings = settings_of(context)
    given = sum((request, collect, envelope is not None))
    if given > 1 or (directory is None) is (envelope is None):
        raise click.UsageError(settings.output.words("one_way_to_countersign"))
    if reply_due is not None and not request:
        raise click.UsageError(settings.output.words("reply_due_is_for_requests"))
    if directory is None:
        return _answer(settings, str(envelope), out, yes)
    if request:
        return _request(settings, directory, reply_due)
    return _collect(settings, directory) if collect else _seal(settings, directory, yes)


def _seal(settings: Settings, directory: Path, yes: bool) -> int:
    """By file: without the centre."""
    from exchange_client import drafts
    from exchange_client.profile import Profile

    profile, looked_at = Profile.load(settings.profile), datetime.now(UTC)
    draft = drafts.open_draft(directory, profile.trust, looked_at)
    drafts.check_sealable(draft.manifest, draft.signatures, profile.unit, looked_at)
    signer = profile.require_seal()
    row = {**joint_tables.fields_of_draft(draft), "unit": profile.unit, "sealed": False}
    if _only_shown(settings, row, yes):
        return DONE
    if not _confirmed(settings, row, profile.unit, yes):
        return PARTLY
    # The answer may have taken a while: the seal says when it was made.
    sealed = drafts.seal_draft(draft, signer, profile.unit, datetime.now(UTC))
    row = {**joint_tables.fields_of_draft(sealed), "unit": profile.unit, "sealed": True}
    settings.output.row(row, "sealed_by_file")
    return DONE


def _answer(settings: Settings, envelope: str, out: Path, yes: bool) -> int:
    """Through the centre, as the unit that is asked."""
    unit = ""

    async def look(client: AsyncClient) -> tuple[CountersignRequest, Submission | None]:
        nonlocal unit
        unit = client.unit_id
        request = await client.joint.received(envelope, out)
        return request, await client.joint.answered(request)

    asked, answer = run(settings, look)
    fields = joint_tables.fields_of(asked.manifest, asked.sealed_by, asked.send_by, asked.parts)
    row = {**fields, "unit": unit, "request_id": envelope, "sealed": False}
    if answer is not None:
        return _answered(settings, row, answer)
    if _only_shown(settings, row, yes):
        return DONE
    if not _confirmed(settings, row, unit, yes):
        return PARTLY
    return _answered(settings, row, run(settings, lambda client: client.joint.countersign(asked)))


def _answered(settings: Settings, row: dict[str, Any], answer: Submission) -> int:
    """Say with what a request was answered, now or earlier."""
    more = {
        "sealed": True,
        "answer_id": answer.envelope_id,
        "answered_at": answer.accepted_at,
        "repeated": answer.repeated,
    }
    sentence = "answered_before" if answer.repeated else "sealed_by_answer"
    settings.output.row({**row, **more}, sentence)
    return DONE


def _request(settings: Settings, directory: Path, reply_due: str | None) -> int:
    """Through the centre, as the unit that drafted it."""

    async def ask(client: AsyncClient) -> tuple[Any, Any]:
        standing = await client.joint.request(directory, reply_due)
        return await client.joint.open(directory), standing

    draft, standing = run(settings, ask)
    joint_tables.show_standing(settings, joint_tables.fields_of_draft(draft), standing)
    if not draft.missing:
        joint_tables.advise(settings, directory, ())
    elif not settings.json:
        settings.output.notice("seals_asked", directory=str(directory))
    return DONE


def _collect(settings: Settings, directory: Path) -> int:
    collected = run(settings, lambda client: client.joint.collect(directory))
    fields = joint_tables.fields_of_draft(collected.draft)
    fields["taken"] = list(collected.taken)
    fields["lapsed"] = [
        {"unit": each.unit, "request_id": each.envelope_id, "state": each.state.value}
        for each in collected.lapsed
    ]
    joint_tables.show_standing(settings, fields, collected.standing)
    for each in collected.not_taken:
        settings.output.notice(
            "answer_not_taken", envelope_id=each.envelope_id, sender=each.sender, why=each.why
        )
    for lapsed in collected.lapsed:
        settings.output.notice(
            "request_lapsed", unit=lapsed.unit, request_id=lapsed.envelope_id, state=lapsed.state
        )
    joint_tables.advise(settings, directory, collected.draft.missing)
    return PARTLY if collected.not_taken else DONE


def _only_shown(settings: Settings, row: dict[str, Any], yes: bool) -> bool:
    """Show a program, which can't be asked, what it would seal; whether that is all."""
    if yes or not settings.json:
        return False
    settings.output.row(row, "")
    return True


def _confirmed(settings: Settings, fields: dict[str, Any], unit: str, yes: bool) -> bool:
    """Show what would be sealed, and whether the user wants it."""
    joint_tables.show(settings, fields)
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(settings.output.words("nobody_to_ask"))
    wanted = click.confirm(settings.output.words("seal_it", unit=unit), err=True)
    if not wanted:
        settings.output.notice("not_sealed")
    return wanted
