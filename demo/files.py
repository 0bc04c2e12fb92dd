"""The files that are sent: made ones, or those of a folder, with what our own books say of them."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path

from demo.plan import PlannedDocument


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file on disk, ready to be sent, and what the demonstration's own books say about it."""

    role: str
    filename: str
    media_type: str
    path: Path
    size: int
    sha256: str


class RealFiles:
    """Bodies and attachments out of a folder: each document takes the next files in turn.

    Those of its subfolders, too. Hidden files and directories are passed over; ``skipped`` are
    the other things that are not sent, each with the reason.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ValueError when there is no file in the folder that can be sent."""
        self._paths: list[Path] = []
        self.skipped: list[tuple[Path, str]] = []
        inside = folder.resolve()
        for path in sorted(folder.rglob("*")):
            if any(name.startswith(".") for name in path.relative_to(folder).parts):
                continue
            reason = _reason_to_skip(path, inside)
            if reason is not None:
                self.skipped.append((path, reason))
            elif path.is_file():
                self._paths.append(path)
        if not self._paths:
            raise ValueError(f"there is no file to send in {folder}")
        self._digests: dict[Path, str] = {}

    def files_of(self, document: PlannedDocument) -> list[MadeFile]:
        """The folder's files, as many as were planned; sent from where they are."""
        made = []
        for place, part in enumerate(document.parts):
            path = self._paths[(document.key + place - 1) % len(self._paths)]
            size, digest = path.stat().st_size, self._digest(path)
            shown = display_name(path.name)
            made.append(MadeFile(part.role, shown, media_type(path), path, size, digest))
        return made

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            with path.open("rb") as file:
                self._digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[path]


def _reason_to_skip(path: Path, folder: Path) -> str | None:
    """What keeps ``path`` from being sent; None for files, and for directories, which are looked
    into. A link must not take what lies outside of the folder along."""
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            return "a broken link"
        if not target.is_relative_to(folder):
            return f"a link that leads outside of {folder}"
        if target.is_dir():
            return "a link to a directory"
    elif path.is_dir():
        return None
    if not path.is_file():
        return "not a regular file"
    return None if os.access(path, os.R_OK) else "not readable"


def display_name(name: str) -> str:
    """A file's name as text that can be shown: what is not printable becomes an underscore."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(character if character.isprintable() else "_" for character in text)


def media_type(path: Path) -> str:
    """The media type by the file's ending; ``application/octet-stream`` when unknown."""
    if path.suffix == ".xlsx":
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
