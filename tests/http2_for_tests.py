"""As much of HTTP/2 (RFC 9113) as a hostile client needs: frames that say what it likes."""

from __future__ import annotations

import asyncio
import ssl

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The connection preface and an empty SETTINGS frame (section 3.4)."""
PING = b"\0\0\x08\6\0\0\0\0\0" + b"x" * 8
DATA, HEADERS, RST_STREAM, GOAWAY = 0, 1, 3, 7
ENHANCE_YOUR_CALM = 11
_END_HEADERS = 4


async def connect(
    address: str, certificate: tuple[str, str] | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TLS connection to HOST:PORT over which any bytes can be sent.

    Args:
        address: of a server that is not itself at issue: its certificate is not looked at.
        certificate: paths of the client's chain and key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port), ssl=context)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, stream and payload of the next frame."""
    header = await reader.readexactly(9)
    payload = await reader.readexactly(int.from_bytes(header[:3]))
    return header[3], int.from_bytes(header[5:9]), payload


def half_sent_call(stream: int, method: str, declared_bytes: int, sent: bytes) -> bytes:
    """Frames that open a gRPC call and begin a message of that length, without ending it."""
    headers = b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", method.encode()),
            (b":authority", b"localhost"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    message = b"\0" + declared_bytes.to_bytes(4) + sent
    return _frame(HEADERS, _END_HEADERS, stream, headers) + _frame(DATA, 0, stream, message)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
