"""Trying again what is safe to try again, and turning gRPC errors into the project's own.

Every call of the exchange is safe to repeat: a submission by its envelope_id, a receipt by its
receipt_id and bytes, the rest because it changes nothing or sets the same thing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import grpc
import stamina
from google.rpc import status_pb2
from grpc_status import rpc_status

from document_exchange.errors import (
    ConfigurationError,
    ExchangeError,
    QuotaExceeded,
    Unavailable,
)
from document_exchange.status import from_status

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

_WRONG_SERVER = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
_NOT_REACHED = "failed to connect to all addresses"
_NOBODY_LISTENS = "Connection refused"
_NO_SUCH_NAME = ("errors resolving", "DNS resolution failed")


def from_rpc_error(
    error: grpc.aio.AioRpcError, address: str, peer: str = "exchange centre"
) -> ExchangeError:
    """The typed error inside a gRPC error; by status code where the peer gave no details.

    ``peer`` is what should be at ``address``.
    What gRPC says of a connection that was never made is put into words that help: a wrong
    server can't be mended by trying again, and a server that does not accept our certificate
    just closes the connection (TLS 1.3).
    """
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAVAILABLE and any(s in details for s in _NO_SUCH_NAME):
        return Unavailable(
            f"the host in {address} can't be found: check the profile's address, and whether this"
            " machine's name service answers",
            address=address,
        )
    if error.code() is grpc.StatusCode.UNAVAILABLE and _NOT_REACHED in details:
        if _NOBODY_LISTENS in details:
            return Unavailable(
                f"nothing listens at {address}: is the {peer} up, and the profile's address right?",
                address=address,
            )
        if any(sign in details for sign in _WRONG_SERVER):
            return ConfigurationError(
                f"the server at {address} is not the {peer}: its certificate does not"
                " chain to the profile's tls_ca, or does not carry the name in the address;"
                f" check address, tls_ca and server_name ({details})",
                address=address,
            )
        return Unavailable(
            f"the {peer} at {address} can't be reached; if it is up, it may not accept"
            f" the profile's system certificate ({details})",
            address=address,
        )
    try:
        status = rpc_status.from_call(cast(grpc.Call, error))
    except ValueError:  # details that contradict the code: made by something in between
        status = None
    if status is None:
        code = error.code()
        status = status_pb2.Status(
            code=code.value[0],
            message=f"the {peer} at {address} gave no answer of its own ({code.name}: {details})",
        )
    return from_status(status)


def is_retryable(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, ExchangeError) and error.retryable


def quota_pause_s(error: QuotaExceeded) -> float:
    """How long to wait for a quota: at least what the centre says, and a little by chance.

    All that wait for the same minute must not come in the same moment.
    """
    return error.retry_after_s * (1 + random.random() / 10) + random.random() * FIRST_PAUSE_S


async def with_retries(call: Callable[[], Awaitable[T]], budget_s: float) -> T:
    """Await ``call()``, again and again while it fails with what may pass, for ``budget_s``.

    The budget is counted from the first failure, so that it does not depend on how long the
    first try took. Where the centre says when to come again, it is not asked sooner; if that is
    later than the budget allows, its error, which says when, is raised at once. The machinery of
    stamina is only set up after a failure: it costs as much as a small call.

    Raises:
        ExchangeError: what the last try raised.
    """
    try:
        return await call()
    except ExchangeError as error:
        if not is_retryable(error) or budget_s <= 0:
            raise
        first = error
    ends_at = time.monotonic() + budget_s

    def again(error: Exception) -> bool | float:
        """Whether to try again, or after how many seconds."""
        if not isinstance(error, QuotaExceeded):
            return is_retryable(error)
        pause_s = quota_pause_s(error)
        return pause_s if time.monotonic() + pause_s < ends_at else False

    async for attempt in stamina.retry_context(
        on=again,
        attempts=None,
        timeout=budget_s,
        wait_initial=FIRST_PAUSE_S,
        wait_max=LONGEST_PAUSE_S,
        wait_jitter=FIRST_PAUSE_S,
    ):
        with attempt:
            if attempt.num == 1:
                raise first
            return await call()
    raise Unavailable  # stamina re-raises the last error before it gets here
