"""The embedded parts as real processes: they keep what they acknowledged and outlive nobody."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from exchange_server.embedded import (
    EmbeddedObjectStore,
    EmbeddedPartFailed,
    EmbeddedPostgres,
    objects,
)
from exchange_server.embedded import (
    postgres as postgres_module,
)
from exchange_server.embedded.binaries import find_binaries
from exchange_server.embedded.postgres import ROLE_NAMES, Role
from exchange_server.embedded.processes import DirectoryLock, run_guarded, wait_until

_SHELL_NEEDS = ("master", "filer")
_STARTER = """
import sys, time
from pathlib import Path
from exchange_server.embedded import EmbeddedObjectStore, EmbeddedPostgres
state = Path(sys.argv[1])
with EmbeddedPostgres(state) as postgres, EmbeddedObjectStore(state) as store:
    print(postgres.dsn("owner"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs both parts over ``tmp_path``; its first line is the owner's DSN."""
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def _client(store: EmbeddedObjectStore, access_key: str | None, secret_key: str | None) -> Minio:
    return Minio(
        store.endpoint,
        access_key=access_key,
        secret_key=secret_key,
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=False, timeout=5),
    )


def _read(client: Minio, bucket: str, key: str) -> bytes:
    response = client.get_object(bucket, key)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


async def _execute(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_postgres_keeps_rows_and_passwords_over_a_restart(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        dsn = server.dsn("owner")
        await _execute(dsn, "CREATE TABLE kept AS SELECT 7 AS value")
    with EmbeddedPostgres(tmp_path) as server:
        assert server.dsn("owner") == dsn
        assert await _execute(dsn, "SELECT value FROM kept") == 7


async def test_postgres_is_set_as_in_production(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.dsn("exchange"))
    try:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "listen_addresses": "",
        }.items():
            assert await connection.fetchval("SELECT current_setting($1)", name) == value
    finally:
        await connection.close()


@pytest.mark.parametrize("role", list(ROLE_NAMES))
async def test_each_role_logs_in_without_special_rights(
    postgres: EmbeddedPostgres, database: str, role: Role
) -> None:
    connection = await asyncpg.connect(postgres.dsn(role, database))
    try:
        row = await connection.fetchrow(
            "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication"
            " OR rolbypassrls AS special FROM pg_roles WHERE rolname = current_user"
        )
        assert row is not None
        assert (row["rolname"], row["special"]) == (ROLE_NAMES[role], False)
        if role != "owner":
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE public.mine (value int)")
    finally:
        await connection.close()


async def test_a_wrong_password_opens_nothing(postgres: EmbeddedPostgres) -> None:
    dsn = postgres.dsn("exchange")
    password = dsn.split("@")[0].rsplit(":", 1)[1]
    for guess in (f"{password}x", ""):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _execute(dsn.replace(password, guess), "SELECT 1")


async def test_a_dropped_database_takes_its_sessions_along(postgres: EmbeddedPostgres) -> None:
    postgres.create_database("short_lived")
    connection = await asyncpg.connect(postgres.dsn("owner", "short_lived"))
    try:
        postgres.drop_database("short_lived")
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)):
            await connection.fetchval("SELECT 1")
    finally:
        connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await _execute(postgres.dsn("owner", "short_lived"), "SELECT 1")
    with pytest.raises(ValueError, match="not a name"):
        postgres.create_database('x"; DROP DATABASE exchange; --')


async def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 30)
    with EmbeddedPostgres(state) as server:
        dsn = server.dsn("owner")
        assert str(state) not in dsn
        assert await _execute(dsn, "SELECT 1") == 1
        socket_directory = Path(dsn.split("host=")[1].split("&")[0])
        assert socket_directory.stat().st_mode & 0o077 == 0
    assert not socket_directory.exists()


async def test_a_stale_pid_file_with_a_number_in_use_is_no_obstacle(
    tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    """As in a restarted container, where another process of that user has the old number."""
    with EmbeddedPostgres(tmp_path):
        pid_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    another = (postgres.directory / "cluster" / "postmaster.pid").read_text().split()[0]
    pid_file.write_text("\n".join([another, *lines[1:]]))
    with EmbeddedPostgres(tmp_path) as server:
        assert await _execute(server.dsn("owner"), "SELECT 1") == 1


async def test_the_thread_that_started_it_may_end(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        assert await _execute(server.dsn("owner"), "SELECT 1") == 1
    finally:
        server.stop()


def test_a_directory_in_use_is_refused_at_once(tmp_path: Path) -> None:
    """The time for a predecessor that is stopping is not spent on one that means to stay."""
    refusal = f"in use by process {os.getpid()}"
    with EmbeddedPostgres(tmp_path):
        start = time.monotonic()
        with pytest.raises(EmbeddedPartFailed, match=refusal):
            EmbeddedPostgres(tmp_path).start()
        assert time.monotonic() - start < postgres_module._IN_USE_TIMEOUT_S / 4


def test_a_lock_is_waited_for_when_its_holder_is_about_to_let_go(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire(0)
    with pytest.raises(EmbeddedPartFailed, match=f"process {os.getpid()}"):
        second.acquire(30)
    first.announce_release()
    with pytest.raises(EmbeddedPartFailed, match="another process"):
        second.acquire(0.1)
    waiting = threading.Thread(target=second.acquire, args=(30,))
    waiting.start()
    first.release()
    waiting.join(30)
    with pytest.raises(EmbeddedPartFailed, match=f"process {os.getpid()}"):
        first.acquire(30)
    second.release()


def test_missing_binaries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(EmbeddedPartFailed, match="EXCHANGE_POSTGRES_BIN") as caught:
        find_binaries()
    assert str(tmp_path) in str(caught.value)


async def test_kill_9_of_the_starter_leaves_no_process_and_loses_nothing(
    tmp_path: Path, starter: subprocess.Popen[str]
) -> None:
    assert starter.stdout is not None
    dsn = starter.stdout.readline().strip()
    family = psutil.Process(starter.pid).children(recursive=True)
    assert {"postgres", "weed"} <= {process.name() for process in family}
    await _execute(dsn, "CREATE TABLE kept AS SELECT 7 AS value")

    starter.kill()
    starter.wait()

    # At once, while the old ones are still ending: it has to wait for them.
    with EmbeddedPostgres(tmp_path) as server, EmbeddedObjectStore(tmp_path) as store:
        assert await _execute(server.dsn("owner"), "SELECT value FROM kept") == 7
        assert _client(store, store.access_key, store.secret_key).bucket_exists(store.bucket)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []


def test_ctrl_c_is_left_to_the_starter(starter: subprocess.Popen[str]) -> None:
    assert starter.stdout is not None
    starter.stdout.readline()
    family = psutil.Process(starter.pid).children(recursive=True)
    own_group = os.getpgid(starter.pid)
    assert all(os.getpgid(process.pid) != own_group for process in family)
    assert starter.stdin is not None
    starter.stdin.close()
    assert starter.wait(30) == 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def test_a_command_under_its_guardian_says_what_it_said() -> None:
    program = "import sys; print('said'); print('hinted', file=sys.stderr); sys.exit(3)"
    done = run_guarded([sys.executable, "-c", program], os.environ)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "hinted\n")


def test_kill_9_of_the_starter_ends_a_command(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    program = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
    command = [sys.executable, "-c", program, str(begun)]
    runner = (
        "import os; from exchange_server.embedded.processes import run_guarded; "
        f"run_guarded({command!r}, os.environ)"
    )
    with subprocess.Popen([sys.executable, "-c", runner]) as running:
        try:
            assert wait_until(begun.exists, 30)
            family = psutil.Process(running.pid).children(recursive=True)
        finally:
            running.kill()
    assert len(family) == 2
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


async def test_kill_9_of_guardian_and_server_loses_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path).start()
    try:
        dsn = server.dsn("owner")
        await _execute(dsn, "CREATE TABLE kept AS SELECT 7 AS value")
        guardians = [
            process
            for process in psutil.Process().children()
            if str(tmp_path) in " ".join(process.cmdline())
        ]
        family = [p for guardian in guardians for p in guardian.children(recursive=True)]
        assert family
        for guardian in guardians:
            guardian.kill()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []
    finally:
        server.stop()
    with EmbeddedPostgres(tmp_path) as server:
        assert await _execute(server.dsn("owner"), "SELECT value FROM kept") == 7
        pid = int((tmp_path / "postgres/cluster/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not psutil.pid_exists(pid), 30)
    with EmbeddedPostgres(tmp_path) as server:
        assert await _execute(server.dsn("owner"), "SELECT value FROM kept") == 7


def test_objects_survive_a_restart_at_the_same_endpoint(tmp_path: Path) -> None:
    with EmbeddedObjectStore(tmp_path) as store:
        found = (store.endpoint, store.access_key, store.secret_key)
        client = _client(store, store.access_key, store.secret_key)
        client.put_object(store.bucket, "day/object", io.BytesIO(b"kept"), 4)
    with EmbeddedObjectStore(tmp_path) as store:
        assert (store.endpoint, store.access_key, store.secret_key) == found
        client = _client(store, store.access_key, store.secret_key)
        assert _read(client, store.bucket, "day/object") == b"kept"


def test_objects_survive_kill_9_of_the_store(tmp_path: Path) -> None:
    with EmbeddedObjectStore(tmp_path) as store:
        client = _client(store, store.access_key, store.secret_key)
        for number in range(20):
            client.put_object(store.bucket, f"day/{number}", io.BytesIO(b"kept" * 1000), 4000)
        [weed] = [
            process
            for process in psutil.Process().children(recursive=True)
            if process.name() == "weed" and str(tmp_path) in " ".join(process.cmdline())
        ]
        weed.kill()
        psutil.wait_procs([weed], timeout=30)
    with EmbeddedObjectStore(tmp_path) as store:
        client = _client(store, store.access_key, store.secret_key)
        for number in range(20):
            assert _read(client, store.bucket, f"day/{number}") == b"kept" * 1000


def test_a_taken_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedObjectStore(tmp_path) as store:
        port = int(store.endpoint.rsplit(":", 1)[1])
    monkeypatch.setattr(objects, "_PORTS_FREE_TIMEOUT_S", 0.1)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(EmbeddedPartFailed, match=f"port {port} is used"),
    ):
        EmbeddedObjectStore(tmp_path).start()


def test_only_the_right_keys_open_the_store(object_store: EmbeddedObjectStore) -> None:
    store = object_store
    right = _client(store, store.access_key, store.secret_key)
    right.put_object(store.bucket, "day/secret", io.BytesIO(b"secret"), 6)
    for access_key, secret_key in (
        (None, None),
        (store.access_key, "wrong"),
        ("wrong", store.secret_key),
    ):
        with pytest.raises(S3Error) as caught:
            _read(_client(store, access_key, secret_key), store.bucket, "day/secret")
        assert caught.value.code in {
            "AccessDenied",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
        }


def test_no_other_port_of_the_store_serves_objects(object_store: EmbeddedObjectStore) -> None:
    store = object_store
    client = _client(store, store.access_key, store.secret_key)
    client.put_object(store.bucket, "day/behind", io.BytesIO(b"secret"), 6)
    [weed] = [
        process
        for process in psutil.Process().children(recursive=True)
        if process.name() == "weed" and str(store.directory) in " ".join(process.cmdline())
    ]
    listening = [c.laddr for c in weed.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    pool = urllib3.PoolManager(retries=False, timeout=2)
    for address in listening:
        url = f"http://127.0.0.1:{address.port}/buckets/{store.bucket}/day/behind"
        try:
            answer = pool.request("GET", url)
        except urllib3.exceptions.HTTPError:
            continue  # gRPC
        assert answer.status >= 400, address.port
        assert b"secret" not in answer.data


def test_file_data_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    """Asks the store itself, after a restart, with its own administrators' shell."""
    with EmbeddedObjectStore(tmp_path):
        pass
    with EmbeddedObjectStore(tmp_path) as store:
        ports = json.loads((store.directory / "settings.json").read_bytes())["ports"]
        master, filer = (f"127.0.0.1:{p['http']}.{p['grpc']}" for p in map(ports.get, _SHELL_NEEDS))
        answer = subprocess.run(
            [objects.find_weed(), "shell", f"-master={master}", f"-filer={filer}"],
            input="fs.configure\n",
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    [rule] = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["locations"]
    assert (rule["locationPrefix"], rule["fsync"]) == ("/buckets/", True)
