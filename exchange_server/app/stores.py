"""Where a server keeps things: the ledger's database and the blob store, as its settings say."""

from __future__ import annotations

from exchange_runtime.database import Database
from exchange_server.config import BlobSettings, LedgerSettings, Settings
from exchange_server.storage.blobs import MinioBlobStore
from exchange_server.storage.ledger import Ledger, ledger_database
from exchange_server.sweep import Sweeper, Swept


def database_of(settings: LedgerSettings, *, connections: int | None = None) -> Database:
    """The ledger's database, not opened yet; ``connections`` where it is not as many as set."""
    return ledger_database(
        settings.dsn.get_secret_value(),
        connections=connections or settings.connections,
        timeout_s=settings.timeout_s,
    )


def blob_store(settings: BlobSettings) -> MinioBlobStore:
    """The blob store that the settings describe."""
    return MinioBlobStore(
        endpoint=settings.endpoint,
        access_key=settings.access_key,
        secret_key=settings.secret_key.get_secret_value(),
        bucket=settings.bucket,
        region=settings.region,
        secure=settings.secure,
        threads=settings.threads,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )


async def sweep(settings: Settings, *, remove: bool) -> Swept:
    """One sweep over the blob store, outside of any server."""
    limits = settings.limits
    database = database_of(settings.ledger, connections=2)
    await database.open()
    blobs = blob_store(settings.blobs)
    try:
        ledger = Ledger(database, longest_upload=limits.longest_upload)
        sweeper = Sweeper(ledger, blobs, limits.longest_upload)
        return await sweeper.sweep(remove=remove)
    finally:
        blobs.close()
        await database.close()
