"""The blocking Client: the same SDK for programs without an event loop.

Each test is a program of its own: grpc.aio allows a process one event loop, and that of this
process belongs to the tests of the asynchronous client.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import exchange_client
import pytest
from exchange_client import AsyncClient, AsyncDelivery, Client, Delivery

from document_exchange.errors import BY_CODE
from tests.centre_for_tests import ScriptedCentre
from tests.pki_for_tests import Pki

EXCHANGE = """
    from exchange_client import Client

    with Client.from_profile("qd-caizheng") as finance:
        submission = finance.send(
            title="关于编制部门预算的通知", recipients=["qd-jiaoyu"], files=["notice.pdf"],
            doc_id="005117558-2009-16", genre="NOTICE", direction="PARALLEL",
        )
"""


@pytest.fixture(scope="module")
def centre() -> Iterator[ScriptedCentre]:
    with ScriptedCentre(Pki()) as centre:
        yield centre


@pytest.fixture
def here(centre: ScriptedCentre, tmp_path: Path) -> Path:
    """A directory with two profiles and a document."""
    centre.forget()
    for unit in ("qd-caizheng", "qd-jiaoyu"):
        centre.write_profile(unit, tmp_path / "profiles")
    (tmp_path / "notice.pdf").write_bytes(b"%PDF-1.7")
    return tmp_path


def run(here: Path, program: str, timeout_s: float = 60) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(EXCHANGE) + textwrap.dedent(program)],
        cwd=here,
        env={**os.environ, "EXCHANGE_CONFIG": str(here / "profiles")},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_a_document_is_sent_received_and_signed_for(centre: ScriptedCentre, here: Path) -> None:
    said = run(
        here,
        """
        with Client.from_profile("qd-jiaoyu") as education:
            for delivery in education.inbox():
                document = delivery.download("received")
                delivery.sign_for()
                print(delivery.state, document.body.read_bytes(), delivery.title)
            print([d.envelope_id for d in education.inbox()])
        with Client.from_profile("qd-caizheng") as finance:
            print([d.state.value for d in finance.track(submission.envelope_id).deliveries])
        """,
    )
    assert said == "SIGNED_FOR b'%PDF-1.7' 关于编制部门预算的通知\n[]\n['SIGNED_FOR']\n"
    (held,) = centre.held.values()
    assert held.state == "SIGNED_FOR"


def test_errors_are_the_same_types(here: Path) -> None:
    said = run(
        here,
        """
        from document_exchange.errors import NotFound, StateConflict
        with Client.from_profile("qd-jiaoyu") as education:
            try:
                education.delivery("0121a0c4-5f80-7abc-8def-0123456789ab")
            except NotFound as error:
                print(error.code)
            try:
                education.delivery(submission.envelope_id).sign_for()
            except StateConflict as error:
                print(error.code)
        """,
    )
    assert said == "NOT_FOUND\nSTATE_CONFLICT\n"


def test_several_clients_and_threads_share_one_loop(here: Path) -> None:
    said = run(
        here,
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        with Client.from_profile("qd-caizheng") as a, Client.from_profile("qd-jiaoyu") as b:
            with ThreadPoolExecutor(8) as pool:
                counts = list(pool.map(lambda n: len((a, b)[n % 2].units()), range(40)))
            names = [t.name for t in threading.enumerate() if t.name == "exchange-client"]
        print(counts == [2] * 40, names)
        """,
    )
    assert said == "True ['exchange-client']\n"


def test_an_iterator_left_unfinished_does_not_hold_up_the_end(here: Path) -> None:
    run(
        here,
        """
        client = Client.from_profile("qd-jiaoyu")
        client.__enter__()
        unfinished = client.inbox()
        print(next(unfinished).envelope_id)
        """,
        timeout_s=20,
    )


def test_one_alone_is_as_good_as_a_list_of_one(here: Path) -> None:
    said = run(
        here,
        """
        from exchange_client import ExchangeError
        with Client.from_profile("qd-caizheng") as finance:
            sent = finance.send(title="通知", recipients="qd-jiaoyu", files="notice.pdf").manifest
        print([each.unit for each in sent.recipients], [part.filename for part in sent.parts])
        try:
            finance.units()
        except ExchangeError as error:
            print(error.code)
        """,
    )
    assert said == "['qd-jiaoyu'] ['notice.pdf']\nCONFIGURATION\n"


def test_every_error_can_be_caught_by_its_name_in_the_sdk() -> None:
    for error in BY_CODE.values():
        assert error.__name__ in exchange_client.__all__
        assert getattr(exchange_client, error.__name__) is error


def test_a_forked_child_gets_a_loop_of_its_own(here: Path) -> None:
    said = run(
        here,
        """
        import os
        from exchange_client.blocking import LOOP
        async def nothing():
            return os.getpid()
        child = os.fork()
        if child == 0:
            os._exit(0 if LOOP.run(nothing()) == os.getpid() else 1)
        print(os.waitpid(child, 0)[1])
        """,
    )
    assert said == "0\n"


def test_control_c_interrupts_a_call_that_waits(here: Path) -> None:
    program = """
        import asyncio, signal
        from exchange_client.blocking import LOOP
        # A shell that runs tests in the background has its processes ignore the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        async def forever():
            print("waiting", flush=True)
            try:
                await asyncio.Event().wait()
            finally:
                print("cancelled", flush=True)
        try:
            LOOP.run(forever())
        except KeyboardInterrupt:
            async def settled():
                return len(asyncio.all_tasks())
            print("tasks", LOOP.run(settled()))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "cancelled\ntasks 1\n"


@pytest.mark.parametrize(
    ("blocking", "asynchronous"), [(Client, AsyncClient), (Delivery, AsyncDelivery)]
)
def test_nothing_is_missing_from_the_blocking_side(
    blocking: type[object], asynchronous: type[object]
) -> None:
    for name, method in vars(asynchronous).items():
        waits = asyncio.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        if name.startswith("_") or not waits:
            continue
        counterpart = getattr(blocking, name)
        assert not asyncio.iscoroutinefunction(counterpart)
        assert inspect.getdoc(counterpart)
        assert (
            list(inspect.signature(counterpart).parameters)[1:]
            == list(inspect.signature(method).parameters)[1:]
        ), name
