"""How bundles of evidence are spoilt: before the centre seals the index, or afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from document_exchange import evidence
from document_exchange.evidence import Step
from document_exchange.manifest import sha256_hex
from tests import evidence_stories as stories
from tests.evidence_for_tests import (
    City,
    Files,
    Forgery,
    Story,
    Value,
    make_bundle,
)
from tests.evidence_stories import RECIPIENT
from tests.pki_for_tests import (
    Holder,
)

CITY = City()
FOREIGN = City("another city")
"""Another exchange, with units and a centre of the same names."""

DELIVERED = f"deliveries/{RECIPIENT}/0001-DELIVERED"
SIGNED = f"deliveries/{RECIPIENT}/0002-SIGNED_FOR"


class Case(NamedTuple):
    """One bundle that must be refused at one step, and why."""

    step: Step
    reason: str
    make: Callable[[], Files]


def after(
    change: Callable[[Files], object], story: Callable[[], Story] = stories.simple
) -> Callable[[], Files]:
    """Changed after the centre sealed the index."""

    def make() -> Files:
        files = make_bundle(CITY, story())
        change(files)
        return files

    return make


def by(story: Callable[[], Story] = stories.simple, **forgery: object) -> Callable[[], Files]:
    """Made so from the beginning, and indexed by the centre: it erred, or its seal was stolen."""
    return lambda: make_bundle(CITY, story(), Forgery(**forgery))  # type: ignore[arg-type]


def sealed(
    change: Callable[[Files], object], story: Callable[[], Story] = stories.simple
) -> Callable[[], Files]:
    """Changed, and then indexed by the centre."""
    return by(story, before_index=change)


def signed(
    path: str, holder: Callable[[], Holder], story: Callable[[], Story] = stories.simple
) -> Callable[[], Files]:
    return lambda: make_bundle(CITY, story(), Forgery(signers={path: holder()}))


def told(**changes: object) -> Callable[[], Story]:
    return lambda: dataclasses.replace(stories.simple(), **changes)  # type: ignore[arg-type]


def rewritten(path: str, **members: object) -> Callable[[], Files]:
    def change(value: Value) -> Value:
        return value | members

    return by(rewritten={path: change})


def flip(path: str, at: int = -1) -> Callable[[Files], None]:
    """Change the lowest bit of one byte."""

    def change(files: Files) -> None:
        data = bytearray(files[path])
        data[at] ^= 1
        files[path] = bytes(data)

    return change


def overlooked(path: str) -> Callable[[Files], None]:
    """Change the version of a CMS signature, which openssl does not look at."""

    def change(files: Files) -> None:
        data = files[path]
        version = data.index(b"\x02\x01\x01")
        files[path] = data[: version + 2] + b"\x00" + data[version + 3 :]

    return change


def sums(files: Files) -> None:
    index, made = files[evidence.INDEX], files[evidence.INDEX_SIGNATURE]
    files[evidence.INDEX_SUMS] = evidence.index_sums(sha256_hex(index), sha256_hex(made))


def rename(old: str, new: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[new] = files.pop(old)

    return change


def put(path: str, data: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[path] = data

    return change


def drop(*suffixes: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        for path in [path for path in files if path.endswith(suffixes)]:
            del files[path]

    return change


def more_behind(path: str) -> Callable[[Files], None]:
    """One more value in DER, NULL, behind the first: who reads from the beginning overlooks it."""

    def change(files: Files) -> None:
        files[path] += b"\x05\x00"

    return change
