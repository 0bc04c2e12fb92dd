"""Where things are kept: the ledger on PostgreSQL, the blobs in an S3 store. Known to app only."""
