"""A history that comes in pages is joined, and believed only as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from exchange_client import AsyncClient, PartSource, Timing
from exchange_client.tracking import Tracking

from document_exchange.errors import VerificationFailed
from document_exchange.v1 import exchange_pb2
from tests.centre_for_tests import ScriptedCentre
from tests.pki_for_tests import Pki

Page = exchange_pb2.TrackEnvelopeResponse


class CentreWithPages(ScriptedCentre):
    """Gives one statement a page, and ``changed`` may change each page."""

    changed: Callable[[int, Page], None] = staticmethod(lambda number, page: None)

    def TrackEnvelope(self, request: Any, context: Any) -> Page:
        whole = super().TrackEnvelope(request, context)
        number = int(request.page_token or 0)
        statements = list(whole.deliveries[0].statements)
        del whole.deliveries[0].statements[:]
        whole.deliveries[0].statements.append(statements[number])
        if number:
            whole.ClearField("envelope")
        if number + 1 < len(statements):
            whole.next_page_token = str(number + 1)
        self.changed(number, whole)
        return whole


@pytest.fixture(scope="module")
def centre() -> Iterator[CentreWithPages]:
    with CentreWithPages(Pki()) as running:
        yield running


async def tracked(
    centre: CentreWithPages, changed: Callable[[int, Page], None] = lambda number, page: None
) -> Tracking:
    """What the sender makes of a delivery that was confirmed and signed for."""
    centre.changed = changed
    timing = Timing(retry_budget_s=5)
    async with (
        AsyncClient(centre.profile("qd-caizheng"), timing) as sender,
        AsyncClient(centre.profile("qd-jiaoyu"), timing) as recipient,
    ):
        sent = await sender.send(
            title="关于编制部门预算的通知",
            recipients=["qd-jiaoyu"],
            files=[PartSource(b"%PDF", filename="通知.pdf")],
            doc_id="005117558-2009-16",
        )
        delivery = await recipient.delivery(sent.envelope_id)
        await delivery.read()
        await delivery.sign_for()
        return await sender.track(sent.envelope_id)


async def test_pages_are_joined_under_the_newest_status(centre: CentreWithPages) -> None:
    def older(number: int, page: Page) -> None:
        if number == 0:  # as it stood when the first page was made
            page.deliveries[0].status.seq = 1

    (delivery,) = (await tracked(centre, older)).deliveries
    assert [each.type.value for each in delivery.statements] == ["DELIVERED", "SIGNED_FOR"]
    assert delivery.seq == 2


def left_out(number: int, page: Page) -> None:
    if number == 1:
        del page.deliveries[:]


def came_twice(number: int, page: Page) -> None:
    page.deliveries[0].statements.append(page.deliveries[0].statements[0])


def ended_early(number: int, page: Page) -> None:
    page.next_page_token = ""


def empty_for_ever(number: int, page: Page) -> None:
    del page.deliveries[:]
    page.next_page_token = "1"


def asked_for_by_nobody(number: int, page: Page) -> None:
    page.deliveries[0].status.withdrawal_requested = True


@pytest.mark.parametrize(
    "lie", [left_out, came_twice, ended_early, empty_for_ever, asked_for_by_nobody]
)
async def test_pages_that_do_not_add_up_are_not_believed(
    centre: CentreWithPages, lie: Callable[[int, Page], None]
) -> None:
    with pytest.raises(VerificationFailed) as caught:
        await tracked(centre, lie)
    assert caught.value.attributes["step"] == "history"
