"""PostgreSQL and an S3 store as parts of this installation: found, started, guarded, stopped.

For development, tests and small installations. Everything lives under one state directory, and the
processes end with the one that started them, however it ended.
"""

from exchange_server.embedded.objects import EmbeddedObjectStore
from exchange_server.embedded.postgres import EmbeddedPostgres
from exchange_server.embedded.processes import EmbeddedPartFailed

__all__ = ["EmbeddedObjectStore", "EmbeddedPartFailed", "EmbeddedPostgres"]
