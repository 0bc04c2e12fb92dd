"""Old connections: uploads may finish on them, and certificates that expire there open nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import grpc
import pytest

from document_exchange import identity
from document_exchange.errors import CertificateExpired
from exchange_runtime.values import Principal
from exchange_server import policy
from exchange_server.app.server import grpc_options
from exchange_server.attention import AttentionHub, Key
from exchange_server.config import Limits
from exchange_server.registry import Certificate, Registry, Staff
from exchange_server.values import DeliverySummary, SubmissionSummary
from exchange_server.watch import Waiting, Watcher
from tests.pki_for_tests import DAY, NOW, TRUST_DOMAIN

SYSTEM = f"spiffe://{TRUST_DOMAIN}/staff/li.na"


@pytest.mark.parametrize(
    ("longest_upload_s", "grace_ms"), [(4 * 3600.0, 14_400_000), (1e9, 2_147_483_647)]
)
async def test_a_connection_of_any_age_lets_the_longest_upload_finish(
    longest_upload_s: float, grace_ms: int
) -> None:
    options = grpc_options(Limits(longest_upload_s=longest_upload_s))
    assert dict(options)["grpc.max_connection_age_grace_ms"] == grace_ms
    await grpc.aio.server(options=options).stop(None)


class Nothing:
    """The attention of a unit that nothing awaits."""

    async def waiting_deliveries(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[DeliverySummary]]:
        return []

    async def waiting_submissions(
        self, unit: str, keys: Sequence[Key] | None, after: Key | None, limit: int
    ) -> list[Waiting[SubmissionSummary]]:
        return []

    async def waiting_seqs(
        self, unit: str, side: str, after: Key | None, limit: int
    ) -> list[tuple[Key, int]]:
        return []

    async def notify(self, payload: str) -> None:
        pass


async def test_a_watch_ends_when_its_certificate_does() -> None:
    """Nothing happens and nobody wakes it: the poll alone has to ask."""
    principal = Principal(
        identity=identity.parse(SYSTEM),
        fingerprint=bytes(32),
        not_before=NOW - DAY,
        not_after=NOW + DAY,
        address="",
    )
    known = Certificate(SYSTEM, "staff", NOW - DAY, NOW + DAY, revoked=False, role="auditor")
    person = Staff("li.na", "S-1", "李娜", "auditor", "ACTIVE")
    registry = Registry(
        1, {}, {principal.fingerprint: known}, frozenset(), staff={person.name: person}
    )
    now = NOW
    asked = asyncio.Event()

    def still_admitted() -> None:
        asked.set()
        policy.admit(registry, principal, now)

    watcher = Watcher(AttentionHub(Nothing()), Nothing(), poll_s=0.001)
    watch = watcher.deliveries("qd-caizheng", still_admitted)
    assert await anext(watch) is None
    asked.clear()
    following = asyncio.ensure_future(anext(watch))
    await asyncio.wait_for(asked.wait(), 10)
    now = principal.not_after + timedelta(milliseconds=1)
    with pytest.raises(CertificateExpired):
        await asyncio.wait_for(following, 10)
