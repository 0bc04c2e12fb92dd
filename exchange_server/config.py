"""The settings of the exchange centre: a TOML file, overridden by the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from document_exchange.document import Urgency
from exchange_runtime import settings
from exchange_runtime.settings import Section, ServiceSettings
from exchange_server.deadlines import Allowance, DeadlineRules
from exchange_server.workdays import OfficeHours, Period, national_workdays, parse_period

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


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """Keeps a setting as it is written, if it can be read."""

    def checked(text: str) -> str:
        check(text)
        return text

    return AfterValidator(checked)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"this host knows no time zone {name!r}") from error


def _period(text: str) -> Period | None:
    return parse_period(text) if text else None


def _time_of_day(text: str) -> time:
    if len(text) != len("09:00"):
        raise ValueError(f"{text!r} is no time of day: write it as 09:00")
    return time.fromisoformat(text)


_PeriodText = Annotated[str, _checked(_period)]
"""As ``30 min``, ``2 h`` or ``1 workday``; empty: none."""
_TimeText = Annotated[str, _checked(_time_of_day)]


class Deadlines(Section):
    """By when documents are to be signed for and answered, and when offices are at work."""

    sign_extra_urgent: _PeriodText = "30 min"
    sign_urgent: _PeriodText = "2 h"
    sign_normal: _PeriodText = "1 workday"
    remind_sign_extra_urgent: _PeriodText = "10 min"
    """How long before the end."""
    remind_sign_urgent: _PeriodText = "30 min"
    remind_sign_normal: _PeriodText = "4 h"
    reply_extra_urgent: _PeriodText = "1 workday"
    reply_urgent: _PeriodText = "2 workdays"
    reply_normal: _PeriodText = "5 workdays"
    remind_reply: _PeriodText = "1 workday"
    around_the_clock: bool = True
    """Hours and minutes run at once; otherwise from the next opening."""
    # A host may know no zones at all, so that even the default has to be looked at.
    time_zone: Annotated[str, _checked(_zone)] = Field(
        default="Asia/Shanghai", validate_default=True
    )
    opens: _TimeText = "09:00"
    closes: _TimeText = "17:00"
    country: Annotated[str, _checked(national_workdays)] = "CN"
    """Whose public holidays and working weekends count."""
    days_off: tuple[date, ...] = ()
    workdays: tuple[date, ...] = ()
    """Days that are worked, whatever else says that they are not."""
    interval_s: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _check_hours(self) -> Deadlines:
        if _time_of_day(self.opens) >= _time_of_day(self.closes):
            raise ValueError("closes must be later than opens")
        return self

    def rules(self) -> DeadlineRules:
        """The deadlines that these settings give."""
        hours = OfficeHours(
            zone=_zone(self.time_zone),
            opens=_time_of_day(self.opens),
            closes=_time_of_day(self.closes),
            is_workday=national_workdays(
                self.country, days_off=self.days_off, workdays=self.workdays
            ),
        )

        def allowance(within: str, remind_before: str) -> Allowance:
            return Allowance(_period(within), _period(remind_before))

        return DeadlineRules(
            hours=hours,
            sign={
                Urgency.EXTRA_URGENT: allowance(
                    self.sign_extra_urgent, self.remind_sign_extra_urgent
                ),
                Urgency.URGENT: allowance(self.sign_urgent, self.remind_sign_urgent),
                Urgency.NORMAL: allowance(self.sign_normal, self.remind_sign_normal),
            },
            reply={
                Urgency.EXTRA_URGENT: allowance(self.reply_extra_urgent, self.remind_reply),
                Urgency.URGENT: allowance(self.reply_urgent, self.remind_reply),
                Urgency.NORMAL: allowance(self.reply_normal, self.remind_reply),
            },
            around_the_clock=self.around_the_clock,
        )


def _web_address(url: str) -> str:
    if url and not re.fullmatch(r"https?://[!-~]+", url, re.ASCII):
        raise ValueError(f"{url!r} is no address of a time-stamping service: http(s)://…")
    return url


class TimeStamps(Section):
    """Where the time-stamps on the centre's signatures come from."""

    url: Annotated[str, _checked(_web_address)] = ""
    """Of a time-stamping service (RFC 3161); empty: there are no time-stamps."""
    ca: Path | None = None
    """PEM: the root of another service than the exchange's own, and what stands below it."""
    interval_s: float = Field(default=5.0, gt=0)
    """How often what has gathered becomes a batch."""
    batch_size: int = Field(default=1000, ge=1, le=10_000)
    timeout_s: float = Field(default=10.0, gt=0)
    """How long the service may take to answer."""


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
    deadlines: Deadlines = Field(default_factory=Deadlines)
    timestamps: TimeStamps = TimeStamps()
    log_level: str = "INFO"


def load(path: Path) -> Settings:
    """Read and check the settings. Relative paths in the file are relative to it.

    Raises:
        ConfigurationError: the file can't be read, or settings are missing, unknown or wrong; it
            names all of them.
    """
    return settings.load(
        Settings, path, path_sections=("tls", "seal", "trust"), paths=("timestamps.ca",)
    )
