"""The contract that every part shares: formats, signatures, identities, errors. No I/O."""
