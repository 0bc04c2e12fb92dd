"""How the commands for joint issue show a draft and its issuers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exchange_client.cli.command import Settings

if TYPE_CHECKING:
    from document_exchange.manifest import Manifest
    from exchange_client.drafts import JointDraft
    from exchange_client.seal_requests import IssuerStanding
    from exchange_client.store import ReceivedPart

_PART_COLUMNS = ("part_role", "filename", "size_bytes", "path")
_ISSUER_COLUMNS = ("issuer", "sealed", "state", "reason_code", "reason", "countersign_request")


def fields_of(
    manifest: Manifest, sealed_by: Sequence[str], send_by: datetime, parts: Sequence[ReceivedPart]
) -> dict[str, Any]:
    """What a draft is, by field name: what a person must know before sealing it."""
    document = manifest.document
    return {
        "title": document.title,
        "doc_id": document.doc_id,
        "number": document.number or "-",
        "envelope_id": manifest.envelope_id,
        "sender": manifest.sender,
        "issuers": list(document.issuers),
        "recipients": [each.unit for each in manifest.recipients],
        "sealed_by": list(sealed_by),
        "send_by": send_by,
        "parts": [
            {
                "role": each.part.role.value,
                "filename": each.part.filename,
                "size_bytes": each.part.size,
                "sha256": each.part.sha256,
                "path": str(each.path),
            }
            for each in parts
        ],
    }


def fields_of_draft(draft: JointDraft) -> dict[str, Any]:
    """A draft in a folder, by field name."""
    fields = fields_of(draft.manifest, draft.sealed_by, draft.send_by, draft.parts)
    return {**fields, "missing": list(draft.missing), "directory": str(draft.directory)}


def show(settings: Settings, fields: dict[str, Any]) -> None:
    """Show people a draft; programs get ``fields`` with the result."""
    if not settings.json:
        rows = [
            {**each, "part_role": settings.output.words(str(each["role"]))}
            for each in fields["parts"]
        ]
        settings.output.row({**fields, "parts": ""}, "joint_draft")
        settings.output.table(rows, _PART_COLUMNS)


def show_standing(
    settings: Settings, fields: dict[str, Any], standing: Sequence[IssuerStanding]
) -> None:
    """How far each issuer is: a table, or one object with the draft's ``fields``."""
    rows = [
        {
            "issuer": each.unit,
            "sealed": each.sealed,
            "state": each.state.value if each.state is not None else "",
            "reason_code": each.reason_code,
            "reason": each.reason,
            "request_id": each.request_id,
        }
        for each in standing
    ]
    if settings.json:
        settings.output.row({**fields, "standing": rows}, "")
    else:
        words = settings.output.words
        shown = [
            {
                **row,
                "sealed": words("has_sealed" if row["sealed"] else "has_not_sealed"),
                "countersign_request": row["request_id"],
            }
            for row in rows
        ]
        settings.output.table(shown, _ISSUER_COLUMNS)


def advise(settings: Settings, directory: Path, missing: Sequence[str]) -> None:
    """Say what comes next."""
    if settings.json:
        return
    if missing:
        settings.output.notice("seals_missing", missing=list(missing), directory=str(directory))
    else:
        settings.output.notice("seals_complete", directory=str(directory))
