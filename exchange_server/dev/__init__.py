"""A whole centre in one state directory, for development, tests and the demo.

Starts the embedded PostgreSQL and object store, founds an authority and runs it as a service,
imports the registry, and runs ``exchange-server run`` with real settings over real mutual TLS.
Every unit and member of staff without a profile enrols with a token of its own, as anywhere.
Other packages' commands are run as processes. A later start over the same directory finds
everything as it was.
"""

from exchange_server.dev.stack import DevStack

__all__ = ["DevStack"]
