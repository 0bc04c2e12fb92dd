"""The settings of the exchange centre: a TOML file, overridden by the environment."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from document_exchange.errors import ConfigurationError

MIB = 1024 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Section):
    """The server's own certificate, and the CA whose client certificates may connect."""

    certificate: Path
    """PEM: the leaf, then the TLS CA."""
    key: Path
    client_ca: Path
    """PEM: the TLS CA alone. Never the root: a seal must not open a connection."""


class Seal(_Section):
    """The centre-seal, with which receipts and admissions are signed."""

    certificate: Path
    key: Path


class Trust(_Section):
    """What document signatures must chain to."""

    root: Path
    seal_ca: Path


class LedgerSettings(_Section):
    dsn: SecretStr
    connections: int = Field(default=10, ge=2, le=200)
    timeout_s: float = Field(default=30.0, gt=0)


class BlobSettings(_Section):
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


class Limits(_Section):
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
    concurrent_streams: int = Field(default=200, ge=1)
    """Calls at once on one connection."""
    unit_calls: int = Field(default=64, ge=1)
    """Calls of one method that one unit, or one member of staff, may have open at a server."""
    unit_watches: int = Field(default=16, ge=1)
    """The same for watches."""
    connection_age_s: float = Field(default=3600.0, gt=0)
    drain_s: float = Field(default=30.0, ge=0)
    """How long running calls get to finish when the server stops."""
    status_interval_s: float = Field(default=0.5, gt=0)
    status_max_age_s: float = Field(default=10.0, gt=0)
    """Without news of revocations for longer than this, nobody is admitted."""
    clock_tolerance_s: float = Field(default=60.0, gt=0)
    """While the clocks of this process and of the ledger differ by more, nobody is admitted."""
    watch_poll_s: float = Field(default=5.0, gt=0)
    sweep_interval_s: float = Field(default=3600.0, gt=0)

    @property
    def longest_upload(self) -> timedelta:
        return timedelta(seconds=self.longest_upload_s)


class Settings(BaseSettings):
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
    limits: Limits = Limits()
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment goes before the file, so that secrets need not be in it.
        return env_settings, init_settings


def load(path: Path) -> Settings:
    """Read and check the settings. Relative paths in the file are relative to it.

    Raises:
        ConfigurationError: the file can't be read, or settings are missing, unknown or wrong; it
            names all of them.
    """
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the settings in {path} can't be read: {error}") from error
    for section in ("tls", "seal", "trust"):
        values = found.get(section)
        if isinstance(values, dict):
            for name, value in values.items():
                if isinstance(value, str):
                    values[name] = path.parent / value
    try:
        return Settings(**found)
    except ValidationError as error:
        wrong = [
            (".".join(str(piece) for piece in each["loc"]), each["msg"])
            for each in error.errors(include_input=False)
        ]
        said = "; ".join(f"{where}: {message}" for where, message in wrong)
        raise ConfigurationError(
            f"settings in {path} or the environment: {said}",
            field=", ".join(where for where, _ in wrong),
        ) from error
