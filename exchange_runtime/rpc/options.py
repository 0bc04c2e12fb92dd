"""The channel options of every gRPC port here: all that one connection may take is bounded."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_LOOKAHEAD_BYTES = 512 * 1024
_FOREVER_MS = 2**31 - 1


Options = list[tuple[str, int]]


def server_options(
    *,
    concurrent_streams: int,
    connection_age_s: float,
    longest_call_s: float,
    handshake_s: float,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    connections: int = 0,
    share_port: bool = False,
) -> Options:
    """Options for ``grpc.aio.server``.

    Args:
        concurrent_streams: calls at once on one connection.
        connection_age_s: from then on it takes no new calls.
        longest_call_s: what a call on it may take beyond that.
        handshake_s: what TLS and the first HTTP/2 settings may take.
        max_message_bytes: the longest request; also what each call may send ahead unread.
        connections: how many the port has at once; 0: as many as come.
        share_port: whether several processes may listen on it.
    """
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", 4 * MAX_MESSAGE_BYTES),
        ("grpc.server_handshake_timeout_ms", int(handshake_s * 1000)),
        ("grpc.max_concurrent_streams", concurrent_streams),
        ("grpc.max_metadata_size", 16 * 1024),
        # Windows that grow with the bandwidth would hold megabytes for each connection.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", min(_LOOKAHEAD_BYTES, max_message_bytes)),
        ("grpc.max_connection_age_ms", int(connection_age_s * 1000)),
        # A connection too old takes no new calls, and each call on it gets the time that it may
        # take anyway; the interceptor looks at certificates as often as on a young one.
        ("grpc.max_connection_age_grace_ms", min(int(longest_call_s * 1000), _FOREVER_MS)),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 9_000),
        ("grpc.http2.max_ping_strikes", 3),
        ("grpc.so_reuseport", int(share_port)),
        *([("grpc.max_allowed_incoming_connections", connections)] if connections else []),
    ]
