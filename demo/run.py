"""The course of the demonstration: files, centre, workday, matters, balance, evidence."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

import structlog
from exchange_client import self_test
from exchange_client.testing import LocalCentre
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo import balance, catalogue, city, matters, proof, summary, workday
from demo.books import Books
from demo.city import City
from demo.files import RealFiles
from demo.offices import Offices, open_offices
from demo.plan import Workday
from demo.preparing import Files
from document_exchange.errors import Unavailable

TIMEOUT_BASE_S, TIMEOUT_FOR_EACH_DOCUMENT_S = 120.0, 1.0


def run(real: RealFiles | None, out: Path, documents: int, seed: int) -> bool:
    """Everything from nothing to the last line; returns whether the books balance.

    Raises:
        ExchangeError, ExceptionGroup, TimeoutError: the day could not be brought to its end.
    """
    shown = Console(stderr=True, highlight=False, soft_wrap=True)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # Single calls that are tried again are no news for the spectators.
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    people = city.load()
    day = workday.plan(people, documents=documents, seed=seed)
    shown.print(
        f"A workday of {len(day.documents)} documents and {day.delivery_count} deliveries among"
        f" {len(people.units)} units; starting the exchange centre · 正在启动交换中心 …"
    )
    start = time.monotonic()
    with (
        Files(day, out / "outgoing", seed, real) as files,
        LocalCentre(
            registry=city.CITY_FILE, state=out / "state", environment=matters.DEADLINES
        ) as centre,
    ):
        shown.print(f"ready after {time.monotonic() - start:.1f} s at {centre.address}")
        enrolled = centre.description["enrolled"]
        shown.print(
            f"{enrolled['units']} units enrolled, each with a token of its own, in"
            f" {enrolled['seconds']:.1f} s · 各单位已凭令牌入网"
        )
        return asyncio.run(_play(people, day, files, centre, out, seed, shown))


async def _play(
    people: City, day: Workday, files: Files, centre: LocalCentre, out: Path, seed: int,
    shown: Console,
) -> bool:  # fmt: skip
    fingerprint = centre.description["root_fingerprint"]
    async with asyncio.TaskGroup() as group, open_offices(centre) as clients:
        guard = group.create_task(_fail_when_it_ends(centre))
        timeout_s = TIMEOUT_BASE_S + TIMEOUT_FOR_EACH_DOCUMENT_S * len(day.documents)
        test = await self_test.run(clients[catalogue.CENTRE])
        shown.print(
            f"{catalogue.CENTRE} has sent a test document to itself and signed for it: receipt"
            f" {test.receipt_id} · 入网测试已签收"
        )
        with _Display(day, shown) as display:
            offices = Offices(day, clients, files, out / "received", display.show)
            offices.books.tests[test.envelope_id] = catalogue.CENTRE
            books = await offices.work(timeout_s)
        shown.print("five matters beyond sending and signing · 正在办理退文、撤回、会签等事项 …")
        books.matters = await matters.play(people, clients, out, seed)
        shown.print("balancing the books · 正在核对账目 …")
        found = await balance.check(books, people.by_id, centre.description["ledger"]["dsn_owner"])
        await balance.check_with_senders(books, clients, found)
        [joint] = [matter for matter in books.matters if matter.name == "joint"]
        left = await proof.leave(clients[joint.units[0]], joint.main, fingerprint, out)
        guard.cancel()
    report = Console()
    summary.show(report, people, books, found)
    summary.show_proof(report, left, out)
    print(summary.result_line(people, books, found), flush=True)
    return found.is_even and not left.problems


async def _fail_when_it_ends(centre: LocalCentre) -> None:
    """Raise as soon as the centre's process is gone, instead of trying again for long."""
    if not hasattr(os, "pidfd_open"):
        return
    ended = asyncio.Event()
    handle = os.pidfd_open(centre.process_id)
    try:
        asyncio.get_running_loop().add_reader(handle, ended.set)
        await ended.wait()
        raise Unavailable(f"the exchange centre ended by itself: see {centre.log}")
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


class _Display:
    """Two bars on a terminal; nothing where there is none."""

    def __init__(self, day: Workday, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._sent = self._bars.add_task("sent · 发文", total=len(day.documents))
        self._concluded = self._bars.add_task("concluded · 办结", total=day.delivery_count)

    def show(self, books: Books) -> None:
        self._bars.update(self._sent, completed=len(books.sent))
        self._bars.update(self._concluded, completed=len(books.concluded))

    def __enter__(self) -> _Display:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
