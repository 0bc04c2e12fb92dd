"""Full exchanges through a real centre with the SDK, from sending to the verified signature."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from exchange_client import AsyncClient, PartSource
from exchange_client.delivery import AsyncDelivery
from exchange_client.testing import LocalCentre

from document_exchange.receipt import ReceiptType, State

_RECIPIENTS = 2


class Exchange:
    """One unit that sends, and others that receive, verify and sign for what comes."""

    def __init__(
        self,
        sender: AsyncClient,
        recipients: tuple[AsyncClient, ...],
        group: asyncio.TaskGroup,
        size_bytes: int,
    ) -> None:
        self._sender = sender
        self._turn = itertools.cycle([recipient.unit_id for recipient in recipients])
        self._group = group
        self._size_bytes = size_bytes
        self._signed: dict[str, asyncio.Future[None]] = {}

    async def once(self) -> None:
        """Send one document; returns when its recipient has verified the admission."""
        part = PartSource(secrets.token_bytes(self._size_bytes), filename="notice.pdf")
        sent = await self._sender.send(
            title="关于报送统计报表的通知", recipients=[next(self._turn)], files=[part]
        )
        await self._when_signed(sent.envelope_id)
        del self._signed[sent.envelope_id]

    async def receive(self, recipient: AsyncClient) -> None:
        """Take and sign for everything that comes to one unit, until cancelled."""
        async for delivery in recipient.watch():
            # Later changes of the same delivery are those that we make ourselves.
            if delivery.state is State.PENDING:
                self._group.create_task(self._take(delivery))

    async def _take(self, delivery: AsyncDelivery) -> None:
        contents = await delivery.read()
        if len(contents.body) != self._size_bytes or contents.delivered is None:
            raise RuntimeError(f"{delivery} came without its body or its receipt")
        statement = await delivery.sign_for()
        if statement.type is not ReceiptType.SIGNED_FOR:
            raise RuntimeError(f"{delivery} was signed for, and {statement.type} recorded")
        self._when_signed(delivery.envelope_id).set_result(None)

    def _when_signed(self, envelope_id: str) -> asyncio.Future[None]:
        """The signature may come before the sender's call has returned, or after it."""
        if envelope_id not in self._signed:
            self._signed[envelope_id] = asyncio.get_running_loop().create_future()
        return self._signed[envelope_id]


@asynccontextmanager
async def open_exchange(centre: LocalCentre, size_bytes: int) -> AsyncGenerator[Exchange, None]:
    """Clients of the centre's first units, the recipients watching.

    Whatever fails in a recipient ends the block with that error (in an ``ExceptionGroup``).
    """
    async with AsyncExitStack() as stack:
        sender, *recipients = [
            await stack.enter_async_context(centre.async_client(unit.unit_id))
            for unit in centre.units[: 1 + _RECIPIENTS]
        ]
        async with asyncio.TaskGroup() as group:
            exchange = Exchange(sender, tuple(recipients), group, size_bytes)
            watches = [group.create_task(exchange.receive(each)) for each in recipients]
            yield exchange
            for watch in watches:
                watch.cancel()
