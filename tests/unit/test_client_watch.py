"""Watches: what was shown is remembered in bounded memory, pauses grow and stay bounded."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from exchange_client.watch import FIRST_PAUSE_S, Change, Shown, pause_s, unbroken

from document_exchange.errors import CertificateRevoked, Unavailable

Item = tuple[str, int]


def key(name: str) -> tuple[str, str]:
    return name, "qd-jiaoyu"


class TestShown:
    def test_only_a_higher_seq_is_new(self) -> None:
        shown = Shown()
        assert shown.is_new(key("a"), 0)
        assert not shown.is_new(key("a"), 0)
        assert shown.is_new(key("a"), 2)
        assert not shown.is_new(key("a"), 1)

    def test_what_no_longer_awaits_attention_is_forgotten_after_catching_up(self) -> None:
        shown = Shown()
        shown.begin()
        for name in ("a", "b", "c"):
            shown.is_new(key(name), 0)
        shown.caught_up()
        assert len(shown) == 3
        shown.begin()
        shown.is_new(key("b"), 0)
        shown.caught_up()
        assert len(shown) == 1
        assert not shown.is_new(key("b"), 0)

    def test_memory_is_bounded(self) -> None:
        shown = Shown(limit=3)
        for name in "abcd":
            shown.is_new(key(name), 0)
        assert len(shown) == 3
        assert shown.is_new(key("a"), 0)
        assert not shown.is_new(key("d"), 0)


def streams(*scripts: list[Item | Exception | None]) -> list[list[Item | Exception | None]]:
    return list(scripts)


async def watched(
    scripts: list[list[Item | Exception | None]], *, follow: bool = True
) -> list[Item]:
    async def open_stream() -> AsyncGenerator[Item | None, None]:
        for each in scripts.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each

    def read(message: Item | None) -> Change[Item] | None:
        return None if message is None else Change(key(message[0]), message[1], message)

    found: list[Item] = []
    watch = unbroken(open_stream, read, follow=follow, pause_max_s=0.001)
    try:
        async for item in watch:
            found.append(item)
    except CertificateRevoked:
        found.append(("revoked", 0))
    return found


class TestUnbroken:
    async def test_a_stream_that_ends_or_breaks_is_opened_again(self) -> None:
        scripts = streams(
            [("a", 0), None, ("b", 0)],
            [Unavailable()],
            [("a", 0), ("b", 1), None, Unavailable()],
            [CertificateRevoked()],
        )
        assert await watched(scripts) == [("a", 0), ("b", 0), ("b", 1), ("revoked", 0)]
        assert scripts == []

    async def test_without_following_it_ends_where_it_caught_up(self) -> None:
        scripts = streams([("a", 0), Unavailable()], [("a", 0), ("b", 0), None, ("c", 0)])
        assert await watched(scripts, follow=False) == [("a", 0), ("b", 0)]

    async def test_what_is_no_error_of_the_exchange_is_not_swallowed(self) -> None:
        with pytest.raises(ZeroDivisionError):
            await watched(streams([ZeroDivisionError()]))


def test_pauses_double_up_to_the_longest() -> None:
    for failures in range(1, 2000):
        longest = min(15.0, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 40))
        assert longest / 2 <= pause_s(failures, 15.0) <= longest
