"""Background work: what goes wrong in one round is logged, and the next round comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from document_exchange.errors import ExchangeError

log = structlog.get_logger(__name__)


@contextmanager
def surviving(failure: str, **details: object) -> Iterator[None]:
    """Log an error as the event ``failure`` instead of letting it end a loop.

    A loop that ended by an error that nobody thought of would be missed only months later. Errors
    that are known to happen are warnings, others come with their traceback; cancellation passes.
    """
    try:
        yield
    except ExchangeError as error:
        log.warning(failure, error=str(error), **details)
    except Exception:
        log.exception(failure, **details)


async def every(
    interval_s: float, failure: str, step: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Take ``step`` after each interval, until cancelled."""
    while True:
        await asyncio.sleep(interval_s)
        with surviving(failure):
            await step()
