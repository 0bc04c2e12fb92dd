"""A document that was withdrawn goes out no more to the unit that it was withdrawn from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from exchange_client import PartSource
from exchange_client.testing import LocalCentre

from document_exchange.errors import StateConflict
from document_exchange.receipt import State
from tests.real_centre import RECIPIENT, SENDER

OTHER = "qd-tongji"


@pytest.mark.parametrize("size_bytes", [20_000, 600_000], ids=["enclosed", "downloaded"])
async def test_nothing_of_it_goes_out_any_more(
    local_centre: LocalCentre, tmp_path: Path, size_bytes: int
) -> None:
    body = PartSource(os.urandom(size_bytes), filename="notice.pdf")
    async with (
        local_centre.async_client(SENDER) as sender,
        local_centre.async_client(RECIPIENT) as recipient,
        local_centre.async_client(OTHER) as other,
    ):
        sent = await sender.send(title="撤回", recipients=[RECIPIENT, OTHER], files=[body])
        mine = await sender.sent(sent.envelope_id)
        await mine.withdraw(RECIPIENT)

        delivery = await recipient.delivery(sent.envelope_id)
        assert delivery.state is State.WITHDRAWN
        with pytest.raises(StateConflict, match="withdrawn"):
            await delivery.read()
        with pytest.raises(StateConflict, match="withdrawn"):
            await recipient.evidence(sent.envelope_id, to=tmp_path / "refused.zip")
        assert list(tmp_path.iterdir()) == []
        # What proves the withdrawal is there all the same, and the others go on.
        tracking = await delivery.track()
        assert [each.type for each in tracking.deliveries[0].statements] == ["WITHDRAWN"]
        await recipient.evidence(sent.envelope_id, content=False, to=tmp_path / "evidence.zip")
        assert len((await (await other.delivery(sent.envelope_id)).read()).parts) == 1
        await sender.evidence(sent.envelope_id, to=tmp_path / "whole.zip")
