"""``python -m bench``: full exchanges per second, side by side with the floor in one run."""

from __future__ import annotations

import json

import click
import uvloop
from exchange_client.testing import LocalCentre

from bench.exchange import open_exchange
from bench.flood import flood
from bench.floor import open_floor
from bench.measure import Figures, measure

_IN_FLIGHT = (1, 8, 32)
_JUDGED = 8


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
@click.option(
    "--seconds",
    type=click.FloatRange(0.5, 300),
    default=8.0,
    show_default=True,
    help="How long each of the six measurements takes, beside a warm-up of a second.",
)
@click.option(
    "--size",
    type=click.IntRange(1, 4_000_000),
    default=100_000,
    show_default=True,
    help="Bytes of the document's one part.",
)
def main(context: click.Context, seconds: float, size: int) -> None:
    """Measure full exchanges and the floor, at 1, 8 and 32 in flight.

    The last line on standard output is one JSON object with the figures at 8 in flight.
    """
    if context.invoked_subcommand is not None:
        return
    found = uvloop.run(_run(seconds, size))
    floor, product = (
        next(each.per_s for each in found if (each.name, each.in_flight) == (name, _JUDGED))
        for name in ("floor", "exchange")
    )
    summary = {
        "size": size,
        "in_flight": _JUDGED,
        "exchanges_per_s": round(product, 1),
        "floor_per_s": round(floor, 1),
        "ratio": round(product / floor, 3),
    }
    print(json.dumps(summary))


async def _run(seconds: float, size: int) -> list[Figures]:
    found: list[Figures] = []
    async with (
        LocalCentre() as centre,
        open_floor(centre, size) as floor,
        open_exchange(centre, size) as exchange,
    ):
        print(f"{'':10}{'in flight':>10}{'count':>8}{'per s':>8}{'p50 ms':>9}{'p99 ms':>9}")
        for in_flight in _IN_FLIGHT:
            for name, work in (("floor", floor.once), ("exchange", exchange.once)):
                figures = await measure(name, work, in_flight=in_flight, seconds=seconds)
                found.append(figures)
                print(_line(figures), flush=True)
    return found


def _line(figures: Figures) -> str:
    return (
        f"{figures.name:10}{figures.in_flight:>10}{figures.count:>8}{figures.per_s:>8.1f}"
        f"{figures.percentile_ms(50):>9.1f}{figures.percentile_ms(99):>9.1f}"
    )


main.add_command(flood)

if __name__ == "__main__":
    main()
