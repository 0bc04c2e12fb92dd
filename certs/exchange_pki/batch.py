"""Many orders in one file: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from document_exchange.errors import InvalidRequest
from exchange_pki.handout import Errand
from exchange_pki.prepare import Order

LIMIT_BYTES = 16 * 1024 * 1024

_T = TypeVar("_T")


def lines(text: bytes, type_: type[_T]) -> Iterator[tuple[int, _T]]:
    """(number, content) of each line of a batch file that is not empty.

    Raises:
        InvalidRequest: a line is malformed; ``line`` says which.
    """
    decoder = msgspec.json.Decoder(type_)
    for number, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            yield number, decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise InvalidRequest(f"line {number}: {error}", line=str(number)) from error


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    profile: str
    name: str
    directory: str
    unit: str | None = None
    role: str | None = None
    dns: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()


def errands(text: bytes, out: Path) -> list[Errand]:
    """The errands of a batch file; each directory lies below ``out``. Empty lines are skipped.

    A line is ``{"profile", "name", "directory", "unit"?, "role"?, "dns"?: [], "ip"?: []}``.

    Raises:
        InvalidRequest: a line is malformed or its directory leaves ``out``; ``line`` says which.
    """
    found: list[Errand] = []
    for number, line in lines(text, _Line):
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
