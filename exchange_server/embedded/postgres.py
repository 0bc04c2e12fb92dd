"""A PostgreSQL server of our own: any binaries of the machine, our directory, roles and socket."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from exchange_server.embedded.binaries import choose_user, find_binaries
from exchange_server.embedded.processes import (
    DirectoryLock,
    EmbeddedPartFailed,
    GuardedProcess,
    User,
    plain_environment,
    read_or_make_settings,
    wait_until,
)

Role = Literal["owner", "exchange", "authority", "integrator"]

ROLE_NAMES: dict[Role, str] = {
    "owner": "exchange_owner",
    "exchange": "exchange_server",
    "authority": "exchange_authority",
    "integrator": "exchange_integrator",
}
"""The login roles by what they are for; ``owner`` owns every database here and its schema."""

DATABASE = "exchange"
_PORT = 5432
_LONGEST_SOCKET_DIRECTORY = 90  # sun_path has 108 bytes, PostgreSQL adds /.s.PGSQL.5432
_SOCKET_PREFIX = "exchange-postgres-"
_READY_TIMEOUT_S = 120  # crash recovery may take its time
_IN_USE_TIMEOUT_S = 40
_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_checkpoints": "off",
    # The log must never hold what documents hold: no statements, no parameters, no DETAIL.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """One server over ``state``/postgres, as a context manager or with start() and stop().

    Blocking; may be used from any thread. The server ends with this process, and a later one over
    the same directory finds everything that was committed.
    """

    def __init__(self, state: Path) -> None:
        self.directory = state.absolute() / "postgres"
        self._cluster = self.directory / "cluster"
        self._lock = DirectoryLock(self.directory)
        self._process: GuardedProcess | None = None
        self._passwords: dict[str, str] = {}
        self._binaries = Path()
        self._user: User | None = None
        self._socket_directory = Path()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it, making the cluster, the roles and the database the first time.

        Raises:
            EmbeddedPartFailed: no binaries, the directory is in use, or the server fails.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._binaries = find_binaries(_version_of(self._cluster))
        self._user = choose_user(self._cluster, self._binaries)
        self._own(self.directory)
        self._lock.acquire(_IN_USE_TIMEOUT_S)
        try:
            self._passwords = read_or_make_settings(
                self.directory / "passwords.json",
                lambda: {r: secrets.token_urlsafe(24) for r in ("postgres", *ROLE_NAMES.values())},
            )
            self._await_end_of_predecessor()
            self._make_cluster()
            self._choose_socket_directory()
            self._run()
            self._make_roles_and_database()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and wait for that. Sessions still open are ended, what they committed stays."""
        self._lock.announce_release()
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._lock.release()
        if self._socket_directory.name.startswith(_SOCKET_PREFIX):
            with contextlib.suppress(OSError):
                self._socket_directory.rmdir()

    def dsn(self, role: Role, database: str = DATABASE) -> str:
        """A libpq URI that also asyncpg takes; it holds the role's password."""
        name = ROLE_NAMES[role]
        host = quote(str(self._socket_directory), safe="/")
        return f"postgresql://{name}:{self._passwords[name]}@/{database}?host={host}&port={_PORT}"

    def create_database(self, name: str) -> None:
        """Make a database like the first one, empty, owned by ``owner``."""
        _check_name(name)
        roles = ", ".join(ROLE_NAMES.values())
        # CREATE DATABASE must stand alone, hence \gexec in place of a condition around it.
        self._sql(
            f"""
            SELECT 'CREATE DATABASE {name} OWNER {ROLE_NAMES["owner"]}'
            WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
            REVOKE ALL ON DATABASE {name} FROM PUBLIC;
            GRANT CONNECT ON DATABASE {name} TO {roles};
            """
        )

    def drop_database(self, name: str) -> None:
        """Remove a database and end the sessions on it."""
        _check_name(name)
        self._sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    # How it comes up, in this order.

    def _await_end_of_predecessor(self) -> None:
        """Deal with the postmaster.pid of one that was killed, or whose guardian was.

        PostgreSQL itself takes a stale file for a live server when its pid is another process's
        by now, as in a restarted container.
        """
        pid_file = self._cluster / "postmaster.pid"

        def gone() -> bool:
            try:
                pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
            except (FileNotFoundError, ValueError):
                return True
            return not _is_server_of(pid, self._cluster)

        if not wait_until(gone, _IN_USE_TIMEOUT_S):
            raise EmbeddedPartFailed(f"another PostgreSQL server runs on {self._cluster}; stop it")
        if Path("/proc/self/cmdline").exists():
            pid_file.unlink(missing_ok=True)

    def _make_cluster(self) -> None:
        if self._cluster.exists():
            return
        unfinished = self.directory / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._own(unfinished)
        with tempfile.NamedTemporaryFile("w", dir=self.directory) as password:
            password.write(self._passwords["postgres"])
            password.flush()
            self._own(Path(password.name))
            initdb = GuardedProcess.start(
                [
                    *(str(self._binaries / "initdb"), "--pgdata", str(unfinished)),
                    *("--username", "postgres", "--pwfile", password.name),
                    *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
                    "--data-checksums",
                ],
                log=self.directory / "initdb.log",
                stop_signals=[signal.SIGTERM, signal.SIGKILL],
                grace_s=5,
                lock=self._lock,
                environment=plain_environment(),
                user=self._user,
                directory=Path("/"),
            )
            initdb.wait_until_done("initdb", _READY_TIMEOUT_S)
        unfinished.rename(self._cluster)

    def _choose_socket_directory(self) -> None:
        """Beside the cluster; if that path is too long for a socket, a remembered one in /tmp."""
        beside = self.directory / "run"
        if len(os.fsencode(beside)) <= _LONGEST_SOCKET_DIRECTORY:
            beside.mkdir(mode=0o700, exist_ok=True)
            self._socket_directory = beside
        else:
            remembered = self.directory / "socket-directory"
            elsewhere = Path(remembered.read_text()) if remembered.exists() else None
            if elsewhere is None or not self._is_private(elsewhere):
                elsewhere = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX))
                remembered.write_text(str(elsewhere))
            self._socket_directory = elsewhere
        self._own(self._socket_directory)

    def _is_private(self, directory: Path) -> bool:
        """Whether nobody else can have put anything there: /tmp is everyone's."""
        try:
            status = directory.lstat()
        except FileNotFoundError:
            return False
        owner = os.geteuid() if self._user is None else self._user.uid
        return (
            stat.S_ISDIR(status.st_mode) and status.st_uid == owner and not status.st_mode & 0o077
        )

    def _run(self) -> None:
        settings = {**_SETTINGS, "unix_socket_directories": str(self._socket_directory)}
        self._process = GuardedProcess.start(
            [
                *(str(self._binaries / "postgres"), "-D", str(self._cluster)),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            log=self.directory / "postgres.log",
            # Fast shutdown, then immediate shutdown (recovery at the next start).
            stop_signals=[signal.SIGINT, signal.SIGQUIT, signal.SIGKILL],
            grace_s=30,
            lock=self._lock,
            environment=plain_environment(),
            user=self._user,
            directory=Path("/"),
        )
        self._process.wait_until_ready(self._accepts, "PostgreSQL", _READY_TIMEOUT_S)

    def _accepts(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-h", str(self._socket_directory)]
        return subprocess.run(command, env=plain_environment(), check=False).returncode == 0

    def _make_roles_and_database(self) -> None:
        done = self.directory / "roles-made"
        if done.exists():
            return
        for name in ROLE_NAMES.values():
            self._sql(
                f"""
                SELECT 'CREATE ROLE {name}'
                WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec
                ALTER ROLE {name} LOGIN PASSWORD '{self._passwords[name]}';
                """
            )
        self.create_database(DATABASE)
        done.touch()

    def _sql(self, script: str) -> None:
        """Run statements as the superuser, whom nothing outside this class ever uses."""
        command = [str(self._binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", str(self._socket_directory), "-U", "postgres", "-d", "postgres"]
        result = subprocess.run(
            command,
            input=script,
            text=True,
            capture_output=True,
            env=plain_environment(PGPASSWORD=self._passwords["postgres"]),
            check=False,
        )
        if result.returncode != 0:
            raise EmbeddedPartFailed(f"psql: {result.stderr.strip()}")

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.uid, self._user.gid)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError(f"not a name for a database here: {name!r}")


def _version_of(cluster: Path) -> int | None:
    """The major version that made the cluster, which alone can run it."""
    with contextlib.suppress(FileNotFoundError):
        return int((cluster / "PG_VERSION").read_text(encoding="ascii"))
    return None


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Whether process ``pid`` is a server over ``cluster``, and not another that got its number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(cluster) in words
