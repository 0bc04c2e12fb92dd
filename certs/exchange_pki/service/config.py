"""The settings of the authority's service: a TOML file, overridden by the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from cryptography.x509 import ObjectIdentifier
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from exchange_runtime import settings
from exchange_runtime.settings import Section, ServiceSettings


class Tls(Section):
    """The service's own certificate (profile ``server``), for both of its ports."""

    certificate: Path
    """PEM: the leaf, then the TLS CA."""
    key: Path


class LedgerSettings(Section):
    """The ledger, under a login in the role exchange_authority."""

    dsn: SecretStr
    connections: int = Field(default=8, ge=2, le=100)
    timeout_s: float = Field(default=30.0, gt=0)


class TimeStamps(Section):
    """The time-stamping service (RFC 3161), on the HTTP port under ``/tsa``."""

    name: str = ""
    """Of its certificate: ``…/centre/tsa/NAME``; empty: there is no such service."""
    policy: str = "2.25.314043831943295556770861917017317933526"
    """The object identifier of the policy under which tokens are made."""

    @field_validator("policy")
    @classmethod
    def _is_object_identifier(cls, value: str) -> str:
        ObjectIdentifier(value)
        return value


class Lifetimes(Section):
    """How long certificates live where that is shorter than their profile says."""

    system_s: int | None = Field(default=None, ge=2)
    seal_s: int | None = Field(default=None, ge=2)
    tsa_s: int | None = Field(default=None, ge=2)
    staff_s: int | None = Field(default=None, ge=2)

    def by_profile(self) -> dict[str, timedelta]:
        """Those that are set."""
        found = {
            "system": self.system_s,
            "seal": self.seal_s,
            "tsa": self.tsa_s,
            "staff": self.staff_s,
        }
        return {
            profile: timedelta(seconds=seconds)
            for profile, seconds in found.items()
            if seconds is not None
        }


class Limits(Section):
    call_s: float = Field(default=30.0, gt=0)
    """How long a call may take."""
    handshake_s: float = Field(default=10.0, gt=0)
    """How long a new connection may take for TLS and the first HTTP/2 settings."""
    concurrent_streams: int = Field(default=100, ge=1)
    """Calls at once on one connection."""
    caller_calls: int = Field(default=32, ge=1)
    """Calls of one method that one unit, or one member of staff, may have open."""
    enrolment_connections: int = Field(default=1024, ge=1)
    """Connections that may be open on the enrolment port, where nobody shows a certificate."""
    enrolment_streams: int = Field(default=8, ge=1)
    """Calls at once on one of them."""
    enrolment_age_s: float = Field(default=60.0, gt=0)
    """How old one of them may get, and with it a message that never ends."""
    enrolment_calls: int = Field(default=256, ge=1)
    """Calls that may be open on the enrolment port, by all callers together."""
    address_calls: int = Field(default=64, ge=1)
    """The same by one network address; of IPv6, by one network of 64 bits."""
    enrolment_refusals: int = Field(default=256, ge=1)
    """Kinds of refusals on the enrolment port that are events of their own within a minute; more of
    them are counted together, whoever causes them."""
    http_connections: int = Field(default=256, ge=1)
    """Connections that may be open on the HTTP port."""
    http_address_connections: int = Field(default=32, ge=1)
    """The same by one network address; of IPv6, by one network of 64 bits."""
    http_s: float = Field(default=10.0, gt=0)
    """How long one of them may last."""
    timestamp_address_rate: int = Field(default=1200, ge=1)
    """Questions for a time-stamp that one network address may ask in a minute, a tenth of them at
    once; a server of the centre asks one in each of its ``timestamps.interval_s``."""
    connection_age_s: float = Field(default=3600.0, gt=0)
    drain_s: float = Field(default=10.0, ge=0)
    """How long running calls get to finish when the service stops."""
    status_interval_s: float = Field(default=0.5, gt=0)
    status_max_age_s: float = Field(default=10.0, gt=0)
    """Without news of revocations for longer than this, nobody is admitted."""
    clock_tolerance_s: float = Field(default=60.0, gt=0)
    """While the clocks of this process and of the ledger differ by more, nobody is admitted."""


class Settings(ServiceSettings):
    """All settings. In the environment: ``EXCHANGE_PKI_SERVICE_LEDGER__DSN`` and the like."""

    model_config = SettingsConfigDict(
        env_prefix="EXCHANGE_PKI_SERVICE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    state: Path
    """The authority's directory."""
    passphrase_file: Path | None = None
    """Its first line opens the authority's keys. Default: EXCHANGE_PKI_PASSPHRASE."""
    listen: str = "127.0.0.1:7451"
    """AuthorityService, mutual TLS."""
    enrolment_listen: str = "127.0.0.1:7452"
    """EnrolmentService, for callers without a certificate."""
    http_listen: str = "127.0.0.1:7480"
    """Certificates and lists of the authorities, and time-stamps, plain HTTP."""
    metrics_listen: str = ""
    """HOST:PORT for Prometheus, on loopback or an operations network; empty: none."""
    centre_address: str
    """HOST:PORT of the exchange centre, as units reach it."""
    authority_address: str = ""
    """HOST:PORT of AuthorityService, as units reach it; empty: as it listens."""
    enrolment_address: str = ""
    """HOST:PORT of EnrolmentService, as units reach it; empty: as it listens."""
    timestamps: TimeStamps = TimeStamps()
    tls: Tls
    ledger: LedgerSettings
    seal_approval: Literal["security", "automatic"] = "security"
    """Whether the first seal of a unit waits for security staff."""
    crl_interval_s: float = Field(default=3600.0, gt=0)
    follow_interval_s: float = Field(default=0.5, gt=0)
    """How often the journal is looked at for what was done by hand or by another process."""
    warn_before_days: float = Field(default=7.0, gt=0)
    """From when on the log warns of certificates that end and have no successor."""
    lifetimes: Lifetimes = Lifetimes()
    limits: Limits = Limits()
    log_level: str = "INFO"


def load(path: Path) -> Settings:
    """Read and check the settings. Relative paths in the file are relative to it.

    Raises:
        ConfigurationError: the file can't be read, or settings are missing, unknown or wrong; it
            names all of them.
    """
    return settings.load(Settings, path, path_sections=("tls",), paths=("state", "passphrase_file"))
