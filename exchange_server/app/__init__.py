"""The composition root: makes the parts of one server process, starts and stops them in order."""

from exchange_server.app.server import ExchangeServer, serve
from exchange_server.app.stores import blob_store, sweep

__all__ = ["ExchangeServer", "blob_store", "serve", "sweep"]
