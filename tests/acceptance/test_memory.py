"""The server's memory: while several units send very large parts at once, and under attack.

``EXCHANGE_ACCEPTANCE_MB`` makes the parts smaller for a quick try.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import grpc
import msgspec
import psutil
import pytest
from exchange_client.testing import LocalCentre

from document_exchange import manifest
from document_exchange.errors import CertificateNotAdmitted, PartDigestMismatch
from document_exchange.v1 import exchange_pb2
from tests.pki_for_tests import Holder, make_system
from tests.real_centre import SENDER, CentreInside, envelope, part, sealed, typed

MIB = 1024 * 1024
CITY = Path(__file__).parents[2] / "demo" / "city.toml"
SENDERS = 8
MEGABYTES = int(os.environ.get("EXCHANGE_ACCEPTANCE_MB", "500"))
LIMIT_MB = 300
SEND = """
import sys
from exchange_client import Client
with Client.from_profile(sys.argv[1]) as client:
    client.send(title="大附件", recipients=["qd-jiaoyu"], files=[sys.argv[2]])
"""


class Peak:
    """Watches a process's resident memory until it is left."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


def report(config: pytest.Config, figures: str) -> None:
    """Print a figure where whoever runs the acceptance sees it."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    assert isinstance(terminal, pytest.TerminalReporter)
    terminal.write_line(f"\n{figures}")


@pytest.mark.acceptance
def test_eight_large_uploads_at_once_stay_within_300_mb(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    block = os.urandom(1_000_000)
    file = tmp_path / "scan.bin"
    with file.open("wb") as output:
        for _ in range(MEGABYTES):
            output.write(block)
    with LocalCentre(registry=CITY, state=tmp_path / "state") as centre:
        senders = [u.unit_id for u in centre.units if u.unit_id != "qd-jiaoyu"][:SENDERS]
        environment = {**os.environ, "EXCHANGE_CONFIG": str(centre.config_dir)}
        started = time.monotonic()
        with Peak(CentreInside(centre).server()) as peak:
            clients = [
                subprocess.Popen([sys.executable, "-c", SEND, unit, str(file)], env=environment)
                for unit in senders
            ]
            codes = [client.wait(timeout=1500) for client in clients]
        seconds = time.monotonic() - started
        with centre.client("qd-jiaoyu") as client:
            received = sorted(delivery.sender for delivery in client.inbox())
    rate = SENDERS * MEGABYTES / seconds
    figures = (
        f"{SENDERS} x {MEGABYTES} MB at once: peak {peak.bytes / 1e6:.0f} MB RSS, "
        f"{seconds:.0f} s, {rate:.0f} MB/s"
    )
    report(pytestconfig, figures)
    assert codes == [0] * SENDERS
    assert received == sorted(senders)
    assert peak.bytes < LIMIT_MB * 1e6


async def refused(
    inside: CentreInside, caller: Holder, requests: list[exchange_pb2.SubmitRequest], calls: int
) -> set[type[Exception]]:
    """The errors of so many calls at once, none of which ever ends its stream of requests."""

    async def endless() -> AsyncIterator[exchange_pb2.SubmitRequest]:
        for request in requests:
            yield request
        await asyncio.Event().wait()

    async def one() -> type[Exception]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Submit(endless(), timeout=120)
        return type(typed(caught.value))

    async with inside.stub(caller) as stub:
        return set(await asyncio.gather(*(one() for _ in range(calls))))


async def watched(
    pytestconfig: pytest.Config,
    inside: CentreInside,
    what: str,
    attack: Coroutine[Any, Any, set[type[Exception]]],
) -> set[type[Exception]]:
    """What the attack was answered, if memory stayed within the bound."""
    with Peak(inside.server()) as peak:
        errors = await attack
    report(pytestconfig, f"{what}: peak {peak.bytes / 1e6:.0f} MB RSS")
    assert peak.bytes < LIMIT_MB * 1e6
    return errors


@pytest.mark.acceptance
async def test_refused_calls_that_are_never_ended_stay_within_300_mb(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Whoever is not admitted is not waited for; a refused block is not kept while waiting."""
    async with LocalCentre(registry=CITY, state=tmp_path / "state") as centre:
        inside = CentreInside(centre)
        large = exchange_pb2.SubmitRequest(
            chunk=exchange_pb2.PartChunk(part_id="x", data=bytes(3 * MIB + 900 * 1024))
        )
        system = f"spiffe://exchange.example/unit/{SENDER}/system/unpublished"
        unpublished = make_system(system, inside.issuing("tls-ca"))
        errors = await watched(
            pytestconfig,
            inside,
            "60 calls of a certificate that is not admitted, 4 MiB each",
            refused(inside, unpublished, [large], 60),
        )
        assert errors == {CertificateNotAdmitted}

        block = os.urandom(8 * MIB)
        other = msgspec.structs.replace(part(block), sha256=hashlib.sha256(b"other").hexdigest())
        content = manifest.encode(envelope([other]))
        seal = inside.unit(SENDER, "seal")
        requests = [
            exchange_pb2.SubmitRequest(
                header=exchange_pb2.SubmitHeader(manifest=content, signatures=sealed(content, seal))
            ),
            *(
                exchange_pb2.SubmitRequest(
                    chunk=exchange_pb2.PartChunk(part_id="part-1", data=block[at : at + MIB])
                )
                for at in range(0, len(block), MIB)
            ),
        ]
        errors = await watched(
            pytestconfig,
            inside,
            "40 uploads of 8 MiB with a wrong digest",
            refused(inside, inside.unit(SENDER), requests, 40),
        )
        assert errors == {PartDigestMismatch}
