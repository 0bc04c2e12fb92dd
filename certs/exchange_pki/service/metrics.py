"""What the service shows of the authority's standing, counted in the ledger now and then."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge

from exchange_pki.profile import AUTHORITIES, all_profiles
from exchange_runtime.clock import Clock
from exchange_runtime.database import Database

COUNT_EVERY_S = 30.0


class StandingMetrics:
    """Gauges of the whole authority; every process that serves it shows the same."""

    def __init__(
        self, metrics: CollectorRegistry, database: Database, clock: Clock, soon: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._soon = soon
        self._valid = Gauge(
            "exchange_certificates_valid",
            "Holders of valid certificates, by profile.",
            ("profile",),
            registry=metrics,
        )
        self._ending = Gauge(
            "exchange_certificates_ending",
            "Holders whose last valid certificate ends within warn_before_days, by profile.",
            ("profile",),
            registry=metrics,
        )
        self._list_ends = Gauge(
            "exchange_crl_next_update_timestamp_seconds",
            "When the newest revocation list ends, as Unix time, by issuer; 0: there is none.",
            ("issuer",),
            registry=metrics,
        )
        self._seals = Gauge(
            "exchange_seal_requests_pending",
            "Seals that wait for security staff.",
            registry=metrics,
        )
        self._tokens = Gauge(
            "exchange_tokens_open", "Tokens that may still be used.", registry=metrics
        )

    async def count(self) -> None:
        """Look into the ledger.

        Raises:
            Unavailable: it does not answer; the gauges stay as they were.
        """
        now = self._clock()
        rows = await self._database.rows("certificate_counts", now, now + self._soon)
        by_profile = {row["profile"]: (row["valid"], row["ending"]) for row in rows}
        for name in all_profiles():
            if name not in AUTHORITIES:
                valid, ending = by_profile.get(name, (0, 0))
                self._valid.labels(name).set(valid)
                self._ending.labels(name).set(ending)
        rows = await self._database.rows("crl_ends", now)
        ends = {row["issuer"]: row["next_update"].timestamp() for row in rows}
        for issuer in AUTHORITIES:
            self._list_ends.labels(issuer).set(ends.get(issuer, 0.0))
        (row,) = await self._database.rows("waiting_counts", now)
        self._seals.set(row["seal_requests"])
        self._tokens.set(row["tokens"])
