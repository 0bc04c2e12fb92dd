"""Many orders in one file: one JSON object a line."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from document_exchange.errors import InvalidRequest
from exchange_pki.handout import Errand
from exchange_pki.prepare import Order


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    profile: str
    name: str
    directory: str
    unit: str | None = None
    role: str | None = None
    dns: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()


_DECODER = msgspec.json.Decoder(_Line)


def errands(text: bytes, out: Path) -> list[Errand]:
    """The errands of a batch file; each directory lies below ``out``. Empty lines are skipped.

    A line is ``{"profile", "name", "directory", "unit"?, "role"?, "dns"?: [], "ip"?: []}``.

    Raises:
        InvalidRequest: a line is malformed or its directory leaves ``out``; ``line`` says which.
    """
    found: list[Errand] = []
    for number, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            line = _DECODER.decode(raw)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise InvalidRequest(f"line {number}: {error}", line=str(number)) from error
        order = Order(
            profile=line.profile,
            name=line.name,
            unit=line.unit,
            role=line.role,
            dns_names=line.dns,
            ip_addresses=line.ip,
        )
        found.append(Errand(order, out / _inside(line.directory, number)))
    return found


def _inside(directory: str, number: int) -> PurePosixPath:
    path = PurePosixPath(directory)
    if path.is_absolute() or ".." in path.parts or not directory.isprintable():
        raise InvalidRequest(
            f"line {number}: the directory {directory!r} is not one below --out",
            field="directory",
            value=directory,
            line=str(number),
        )
    return path
