"""A gRPC channel whose connection is replaced while calls run, as a new certificate requires.

A channel can't change its certificate. So there is one channel after the other behind this one:
each call begins on the newest and ends where it began, and a channel is closed when its last call
has ended. Choosing a channel and beginning a call is one step of the event loop, so no call falls
between two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Self

import grpc

_Kind = Literal["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class _Generation:
    """One channel with its calls under way."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._methods: dict[str, Any] = {}
        self._calls: set[Any] = set()
        self._retired = False
        self._closing: asyncio.Task[None] | None = None

    def begin(
        self, make: Callable[[grpc.aio.Channel], Any], path: str, *args: Any, **kw: Any
    ) -> Any:
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = make(self.channel)
        call = method(*args, **kw)
        self._calls.add(call)
        call.add_done_callback(self._ended)
        return call

    def retire(self) -> None:
        """Take no new calls; end with the last one."""
        self._retired = True
        self._close_if_idle()

    def _ended(self, call: Any) -> None:
        self._calls.discard(call)
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._retired and not self._calls and self._closing is None:
            self._closing = asyncio.ensure_future(self.channel.close(None))

    def is_closed(self) -> bool:
        return self._closing is not None and self._closing.done()

    async def close(self) -> None:
        self._retired = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(self.channel.close(None))
        await self._closing


class _Method:
    """One method of a service, on whichever channel is the newest when it is called."""

    def __init__(
        self,
        owner: ReplaceableChannel,
        make: Callable[[grpc.aio.Channel], Any],
        path: str,
    ) -> None:
        self._owner, self._make, self._path = owner, make, path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._owner.newest.begin(self._make, self._path, *args, **kwargs)


class ReplaceableChannel(grpc.aio.Channel):
    """Stubs are made from it as from any channel, once."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.newest = _Generation(channel)
        self.generation = 0
        """How often it was replaced: who compares it knows whether a call began on the newest."""
        self._older: list[_Generation] = []

    def replace(self, channel: grpc.aio.Channel) -> None:
        """Let every call that begins from now on take ``channel``, which this one then owns."""
        retired, self.newest = self.newest, _Generation(channel)
        self.generation += 1
        retired.retire()
        self._older = [each for each in (*self._older, retired) if not each.is_closed()]

    async def close(self, grace: float | None = None) -> None:
        """Close every channel; calls under way are cancelled."""
        await asyncio.gather(*(each.close() for each in (*self._older, self.newest)))

    def _method(self, kind: _Kind, path: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, lambda channel: getattr(channel, kind)(path, *args, **kwargs), path)

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method("unary_unary", method, *args, **kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method("unary_stream", method, *args, **kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method("stream_unary", method, *args, **kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._method("stream_stream", method, *args, **kwargs)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.newest.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.newest.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.newest.channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
