"""The revisions of the ledger's schema, each one SQL file."""
