"""``python -m bench flood``: what one unit feels while another sends far more than its quota."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import click
import psutil
import uvloop
from exchange_client.testing import LocalCentre

from bench.exchange import Exchange, open_exchange
from bench.measure import Figures, paced

_QUOTA = {"calls_per_minute": 600, "submissions_per_minute": 60, "bytes_per_minute": 60_000_000}
"""Of the unit that floods; the other has none."""


@dataclass(frozen=True, slots=True)
class Flooding:
    """How hard the one unit floods."""

    calls_per_s: float
    uploads_per_s: float
    size: int
    connections: int


@click.command()
@click.option("--seconds", type=click.FloatRange(2, 60), default=10.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 10), default=3, show_default=True)
@click.option("--per-s", type=float, default=20.0, show_default=True, help="The other's exchanges.")
@click.option("--calls-per-s", type=float, default=300.0, show_default=True)
@click.option("--uploads-per-s", type=float, default=20.0, show_default=True)
@click.option("--size", type=int, default=100_000, show_default=True, help="Bytes of a document.")
@click.option("--connections", type=int, default=4, show_default=True)
def flood(
    seconds: float,
    rounds: int,
    per_s: float,
    calls_per_s: float,
    uploads_per_s: float,
    size: int,
    connections: int,
) -> None:
    """One unit floods, another works: its latencies in quiet and under flood, in turn.

    The last line on standard output is one JSON object with the figures and their ratios: of all
    rounds together, and of each, since a machine with other work has rounds of its own.
    """
    how = Flooding(calls_per_s, uploads_per_s, size, connections)
    uvloop.run(_run(seconds, rounds, per_s, how))


async def _run(seconds: float, rounds: int, per_s: float, how: Flooding) -> None:
    found: dict[str, list[Figures]] = {"quiet": [], "flood": []}
    async with LocalCentre() as centre, open_exchange(centre, how.size) as exchange:
        flooder = centre.units[-1].unit_id
        await _set_quota(centre, flooder)
        await paced("warm-up", exchange.once, per_s=per_s, seconds=2)
        print(f"{'':8}{'count':>7}{'p50 ms':>9}{'p99 ms':>9}  CPU of a core")
        for _ in range(rounds):
            found["quiet"].append(await _measured(centre, exchange, "quiet", per_s, seconds))
            async with _flooding(centre, flooder, how) as process:
                found["flood"].append(
                    await _measured(centre, exchange, "flood", per_s, seconds, process)
                )
    quiet, flooded = (Figures.joined(name, each) for name, each in found.items())
    ratios = [
        under.percentile_ms(99) / before.percentile_ms(99)
        for before, under in zip(found["quiet"], found["flood"], strict=True)
    ]
    summary = {
        "p50_ms": [round(each.percentile_ms(50), 1) for each in (quiet, flooded)],
        "p99_ms": [round(each.percentile_ms(99), 1) for each in (quiet, flooded)],
        "ratio_p99": round(flooded.percentile_ms(99) / quiet.percentile_ms(99), 2),
        "ratio_p99_of_rounds": [round(each, 2) for each in ratios],
        "ratio_p99_median": round(statistics.median(ratios), 2),
    }
    print(json.dumps(summary))


async def _measured(
    centre: LocalCentre,
    exchange: Exchange,
    name: str,
    per_s: float,
    seconds: float,
    flooder: int | None = None,
) -> Figures:
    before = _cpu_s(centre, flooder)
    figures = await paced(name, exchange.once, per_s=per_s, seconds=seconds)
    after = _cpu_s(centre, flooder)
    shares = ", ".join(
        f"{part} {(after[part] - before.get(part, 0.0)) / figures.elapsed_s:.2f}" for part in after
    )
    print(
        f"{name:8}{figures.count:>7}{figures.percentile_ms(50):>9.1f}"
        f"{figures.percentile_ms(99):>9.1f}  {shares}",
        flush=True,
    )
    return figures


def _cpu_s(centre: LocalCentre, flooder: int | None) -> Mapping[str, float]:
    """Seconds of CPU so far, of this process, of the centre's, and of the flooder's."""
    found: dict[str, float] = defaultdict(float)
    for process in psutil.Process(centre.process_id).children(recursive=True):
        try:
            name, times = process.name(), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        part = next(
            (
                part
                for sign, part in (("postgres", "PostgreSQL"), ("weed", "store"))
                if sign in name
            ),
            "server",
        )
        found[part] += times.user + times.system
    own = psutil.Process().cpu_times()
    found["client"] = own.user + own.system
    if flooder is not None:
        times = psutil.Process(flooder).cpu_times()
        found["flooder"] = times.user + times.system
    return found


async def _set_quota(centre: LocalCentre, unit_id: str) -> None:
    connection = await asyncpg.connect(centre.description["ledger"]["dsn_owner"])
    try:
        names = ", ".join(_QUOTA)
        await connection.execute(
            f"insert into exchange.quotas (unit_id, {names}) values ($1, $2, $3, $4)",
            unit_id,
            *_QUOTA.values(),
        )
    finally:
        await connection.close()


@asynccontextmanager
async def _flooding(centre: LocalCentre, unit_id: str, how: Flooding) -> AsyncIterator[int]:
    """A process that floods, from when its quota is used up; gives its process id."""
    profile = next(unit.profile for unit in centre.units if unit.unit_id == unit_id)
    options = {
        "--config": centre.config_dir,
        "--profile": profile,
        "--recipient": centre.units[0].unit_id,
        "--calls-per-s": how.calls_per_s,
        "--uploads-per-s": how.uploads_per_s,
        "--size": how.size,
        "--connections": how.connections,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.flooder",
        *[str(each) for option in options.items() for each in option],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not await process.stdout.readline():
            raise RuntimeError("the flooder ended before it flooded")
        yield process.pid
        process.stdin.close()
        counts = json.loads(await process.stdout.readline())
        print("        " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
