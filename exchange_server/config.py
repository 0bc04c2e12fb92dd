"""The settings of the exchange centre: a TOML file, overridden by the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from exchange_runtime import settings
from exchange_runtime.settings import Section, ServiceSettings

MIB = 1024 * 1024


class Tls(Section):
    """The server's own certificate, and the CA whose client certificates may connect."""

    certificate: Path
    """PEM: the leaf, then the TLS CA."""
    key: Path
    client_ca: Path
    """PEM: the TLS CA alone. Never the root: a seal must not open a connection."""


class Seal(Section):
    """The centre-seal, with which receipts and admissions are signed."""

    certificate: Path
    key: Path


class Trust(Section):
    """What document signatures must chain to."""

    root: Path
    seal_ca: Path


class LedgerSettings(Section):
    dsn: SecretStr
    connections: int = Field(default=10, ge=2, le=200)
    timeout_s: float = Field(default=30.0, gt=0)


class BlobSettings(Section):
    endpoint: str
    """HOST:PORT, without a scheme."""
    access_key: str
    secret_key: SecretStr
    bucket: str = "documents"
    region: str = "us-east-1"
    secure: bool = True
    threads: int = Field(default=8, ge=1, le=64)
    connect_timeout_s: float = Field(default=5.0, gt=0)
    read_timeout_s: float = Field(default=60.0, gt=0)


class Metrics(Section):
    listen: str = ""
    """HOST:PORT for Prometheus, on loopback or an operations network; empty: none."""


class Limits(Section):
    memory_bytes: int = Field(default=72 * MIB, ge=16 * MIB)
    """Bytes of documents held in memory at once, by all calls together."""
    unit_memory_bytes: int = Field(default=32 * MIB, ge=16 * MIB)
    """The same for all calls of one unit."""
    download_memory_bytes: int = Field(default=48 * MIB, ge=16 * MIB)
    """The same for downloads, apart, so that slow readers stop nobody's upload."""
    unit_download_memory_bytes: int = Field(default=16 * MIB, ge=8 * MIB)
    recent_bytes: int = Field(default=24 * MIB, ge=0)
    """Small parts kept in memory because they are likely to be fetched soon."""
    recent_part_bytes: int = Field(default=1 * MIB, ge=0)
    idle_timeout_s: float = Field(default=30.0, gt=0)
    """How long an upload may pause."""
    longest_upload_s: float = Field(default=4 * 3600.0, gt=0)
    call_s: float = Field(default=60.0, gt=0)
    """How long a call that is not a stream may take."""
    handshake_s: float = Field(default=10.0, gt=0)
    """How long a new connection may take for TLS and the first HTTP/2 settings."""
    concurrent_streams: int = Field(default=200, ge=1)
    """Calls at once on one connection."""
    unit_calls: int = Field(default=64, ge=1)
    """Calls of one method that one unit, or one member of staff, may have open at a server."""
    unit_watches: int = Field(default=16, ge=1)
    """The same for watches."""
    quota_lease_s: float = Field(default=15.0, ge=1)
    """How long streams and bytes in flight of a server that died count against a unit's quota."""
    connection_age_s: float = Field(default=3600.0, gt=0)
    drain_s: float = Field(default=30.0, ge=0)
    """How long running calls get to finish when the server stops."""
    status_interval_s: float = Field(default=0.5, gt=0)
    status_max_age_s: float = Field(default=10.0, gt=0)
    """Without news of revocations for longer than this, nobody is admitted."""
    clock_tolerance_s: float = Field(default=60.0, gt=0)
    """While the clocks of this process and of the ledger differ by more, nobody is admitted."""
    watch_poll_s: float = Field(default=5.0, gt=0)
    reload_interval_s: float = Field(default=5.0, gt=0)
    """How often the files of the centre-seal are looked at; those of TLS before each handshake."""
    sweep_interval_s: float = Field(default=3600.0, gt=0)

    @property
    def longest_upload(self) -> timedelta:
        return timedelta(seconds=self.longest_upload_s)


class Settings(ServiceSettings):
    """All settings. In the environment: ``EXCHANGE_SERVER_LEDGER__DSN`` and the like."""

    model_config = SettingsConfigDict(
        env_prefix="EXCHANGE_SERVER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    listen: str = "127.0.0.1:7443"
    tls: Tls
    seal: Seal
    trust: Trust
    ledger: LedgerSettings
    blobs: BlobSettings
    metrics: Metrics = Metrics()
    limits: Limits = Limits()
    log_level: str = "INFO"


def load(path: Path) -> Settings:
    """Read and check the settings. Relative paths in the file are relative to it.

    Raises:
        ConfigurationError: the file can't be read, or settings are missing, unknown or wrong; it
            names all of them.
    """
    return settings.load(Settings, path, path_sections=("tls", "seal", "trust"))
