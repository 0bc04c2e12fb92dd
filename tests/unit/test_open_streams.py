"""Open streams end with their caller's admission, whatever they wait for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from document_exchange import identity
from document_exchange.errors import CertificateRevoked, UnitNotActive
from exchange_runtime.rpc.open_streams import OpenStreams
from exchange_runtime.values import Principal
from tests.pki_for_tests import DAY, NOW

EVERY_S = 0.01


def caller(name: str) -> Principal:
    return Principal(
        identity=identity.parse(f"spiffe://exchange.example/unit/qd-caizheng/system/{name}"),
        fingerprint=name.encode(),
        not_before=NOW,
        not_after=NOW + DAY,
        address="10.0.0.7",
    )


@dataclass
class Standing:
    """Who is revoked, and how often it was asked about whom."""

    revoked: set[bytes] = field(default_factory=set)
    asked: list[bytes] = field(default_factory=list)

    def still_admitted(self, principal: Principal) -> None:
        self.asked.append(principal.fingerprint)
        if principal.fingerprint in self.revoked:
            raise CertificateRevoked


async def waiting(streams: OpenStreams, principal: Principal) -> None:
    with streams.admitted(principal):
        await asyncio.Event().wait()


async def until_asked(standing: Standing, times: int) -> None:
    async with asyncio.timeout(5):
        while len(standing.asked) < times:  # noqa: ASYNC110 - of the clock of the loop alone
            await asyncio.sleep(EVERY_S)


async def test_who_is_revoked_is_out_and_nobody_else() -> None:
    standing = Standing()
    streams = OpenStreams(standing.still_admitted, every_s=EVERY_S)
    tasks = [asyncio.create_task(waiting(streams, caller(name))) for name in ("a", "b", "a")]
    await until_asked(standing, 4)
    standing.revoked.add(b"a")
    async with asyncio.timeout(5):
        first, second = await asyncio.gather(tasks[0], tasks[2], return_exceptions=True)
    assert isinstance(first, CertificateRevoked)
    assert isinstance(second, CertificateRevoked)
    assert first is not second, "each carries the trace of its own call"
    asked = len(standing.asked)
    await until_asked(standing, asked + 2)
    assert not tasks[1].done()
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


async def test_a_caller_is_asked_about_once_for_all_of_its_streams() -> None:
    standing = Standing()
    streams = OpenStreams(standing.still_admitted, every_s=3600)
    tasks = [asyncio.create_task(waiting(streams, caller("ab"[n % 2]))) for n in range(50)]
    await asyncio.sleep(0)
    streams._look()
    assert sorted(standing.asked) == [b"a", b"b"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_without_streams_nothing_runs() -> None:
    standing = Standing()
    streams = OpenStreams(standing.still_admitted, every_s=EVERY_S)
    with streams.admitted(caller("a")):
        await until_asked(standing, 1)
    async with asyncio.timeout(5):
        while streams._timer is not None:  # noqa: ASYNC110 - of the clock of the loop alone
            await asyncio.sleep(EVERY_S)
    asked = len(standing.asked)
    with streams.admitted(caller("a")):
        await until_asked(standing, asked + 1)


async def test_who_hangs_up_is_told_nothing() -> None:
    """Also if that happens in the moment in which its caller is shut out."""
    standing = Standing()
    streams = OpenStreams(standing.still_admitted, every_s=3600)
    task = asyncio.create_task(waiting(streams, caller("a")))
    await asyncio.sleep(0)
    standing.revoked.add(b"a")
    task.cancel()
    streams._look()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_ended_by_itself_ended_so() -> None:
    streams = OpenStreams(Standing().still_admitted, every_s=EVERY_S)
    with pytest.raises(UnitNotActive), streams.admitted(caller("a")):
        raise UnitNotActive
