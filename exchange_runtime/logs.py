"""Structured logs: one JSON object a line on standard error. Never a secret, never a content."""

from __future__ import annotations

import logging
import sys

import msgspec
import structlog


def configure(level: str) -> None:
    """Set up structlog; call it once, before any gRPC object exists."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(
                # Local variables of the frames hold manifests, parts and keys.
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _json(entry: object, **_: object) -> bytes:
    """Whatever has no JSON of its own is written as its text: a log line must never fail."""
    return msgspec.json.encode(entry, enc_hook=str)
