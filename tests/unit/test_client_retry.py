"""Who is told when to come again comes then: not sooner, and not at all if nobody waits so long."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import pytest
from exchange_client.retry import FIRST_PAUSE_S, quota_pause_s, with_retries
from exchange_client.watch import Change, unbroken
from google.rpc import error_details_pb2, status_pb2

from document_exchange.errors import ExchangeError, QuotaExceeded, Unavailable
from document_exchange.status import from_status, to_status


class Calls:
    """Fails with these errors, then answers; notes when it was called."""

    def __init__(self, *errors: ExchangeError) -> None:
        self._errors = list(errors)
        self.at: list[float] = []

    async def __call__(self) -> str:
        self.at.append(time.monotonic())
        if self._errors:
            raise self._errors.pop(0)
        return "done"

    @property
    def pauses_s(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False)]


async def test_the_delay_that_the_centre_names_is_waited_for() -> None:
    calls = Calls(QuotaExceeded(retry_after_s=0.4), QuotaExceeded(retry_after_s=0.2))
    assert await with_retries(calls, budget_s=20) == "done"
    first, second = calls.pauses_s
    assert first >= 0.4
    assert second >= 0.2


async def test_other_errors_in_between_have_their_own_pauses() -> None:
    calls = Calls(Unavailable(), QuotaExceeded(retry_after_s=0.4), Unavailable())
    assert await with_retries(calls, budget_s=20) == "done"
    assert calls.pauses_s[1] >= 0.4


async def test_a_delay_beyond_the_budget_is_raised_at_once() -> None:
    error = QuotaExceeded("qd-caizheng has used it; come again in 31.0 s", retry_after_s=31)
    calls = Calls(error)
    with pytest.raises(QuotaExceeded, match=r"31\.0 s") as caught:
        await with_retries(calls, budget_s=30)
    assert caught.value is error
    assert len(calls.at) == 1


async def test_a_budget_is_one_for_all_tries() -> None:
    calls = Calls(*[QuotaExceeded(retry_after_s=0.3)] * 10)
    began = time.monotonic()
    with pytest.raises(QuotaExceeded):
        await with_retries(calls, budget_s=1.0)
    assert time.monotonic() - began < 1.0 + FIRST_PAUSE_S
    assert 2 <= len(calls.at) <= 4


def test_not_all_come_in_the_same_moment() -> None:
    error = QuotaExceeded(retry_after_s=10)
    pauses_s = [quota_pause_s(error) for _ in range(100)]
    assert len(set(pauses_s)) > 50
    assert all(10 <= pause_s <= 11.1 for pause_s in pauses_s)


async def test_a_watch_waits_too() -> None:
    opened: list[float] = []

    async def stream() -> AsyncGenerator[int, None]:
        opened.append(time.monotonic())
        if len(opened) == 1:
            raise QuotaExceeded(retry_after_s=0.4)
        yield 7

    def read(number: int) -> Change[int]:
        return Change(("envelope", "qd-jiaoyu"), number, number)

    watch = unbroken(stream, read, follow=True, pause_max_s=0.001)
    assert await anext(watch) == 7
    await watch.aclose()
    assert opened[1] - opened[0] >= 0.4


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 315_576_000_001])
def test_a_delay_out_of_all_range_is_an_error_of_the_project_all_the_same(seconds: int) -> None:
    made = to_status(QuotaExceeded(retry_after_s=3))
    info = error_details_pb2.RetryInfo()
    info.retry_delay.seconds = seconds
    answer = status_pb2.Status(code=made.code, message=made.message)
    for detail in made.details:
        answer.details.add().CopyFrom(detail)
        if detail.Is(info.DESCRIPTOR):
            answer.details[-1].Pack(info)
    found = from_status(answer)
    assert isinstance(found, QuotaExceeded)
    assert found.retry_after_s >= 0
