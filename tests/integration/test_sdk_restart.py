"""The SDK across a restart of the centre: nothing lost, nothing twice, watches without gaps."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from exchange_client import PartSource, Timing
from exchange_client.testing import LocalCentre

from document_exchange.errors import ConfigurationError

CITY = Path(__file__).parent / "small_city.toml"
PATIENT = Timing(retry_budget_s=90, watch_pause_max_s=0.5)


def test_a_centre_ends_with_the_test_that_started_it(tmp_path: Path) -> None:
    program = f"""
from exchange_client.testing import LocalCentre
with LocalCentre(registry={str(CITY)!r}, state={str(tmp_path)!r}) as centre:
    print(centre.process_id, flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        centre = psutil.Process(int(starter.stdout.readline()))
        parts = [centre, *centre.children(recursive=True)]
        starter.kill()
    gone, alive = psutil.wait_procs(parts, timeout=60)
    assert alive == []
    assert len(gone) == len(parts) > 1


def test_a_centre_that_cant_start_says_why(tmp_path: Path) -> None:
    centre = LocalCentre(registry=tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        centre.start()
    with pytest.raises(ConfigurationError):
        centre.address  # noqa: B018 - reading it is what raises


async def test_calls_and_watches_outlive_a_restart(tmp_path: Path) -> None:
    """The same state directory, and so the same address, a second time."""
    centre = LocalCentre(registry=CITY, state=tmp_path / "state")
    async with centre:
        address = centre.address
        async with (
            centre.async_client("qd-caizheng", PATIENT) as finance,
            centre.async_client("qd-jiaoyu", PATIENT) as education,
            aclosing(education.watch()) as deliveries,
        ):

            async def send(title: str) -> str:
                submission = await finance.send(
                    title=title, recipients=["qd-jiaoyu"], files=[PartSource(b"%PDF-1.7")]
                )
                return submission.envelope_id

            before = await send("before")
            first = await anext(deliveries)
            assert first.envelope_id == before
            await centre.__aexit__(None, None, None)
            meanwhile = asyncio.create_task(send("meanwhile"))
            await centre.__aenter__()
            assert centre.address == address
            async with asyncio.timeout(90):
                second = await anext(deliveries)
                assert second.envelope_id == await meanwhile
                after = await send("after")
                third = await anext(deliveries)
            assert third.envelope_id == after
            for delivery in (first, second, third):
                await delivery.read()
                await delivery.sign_for()
            assert [each.envelope_id async for each in education.inbox()] == []
            listed = [each.envelope_id async for each in finance.submissions()]
            assert listed == [after, second.envelope_id, before]
    assert (tmp_path / "state").is_dir()
