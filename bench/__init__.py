"""Benchmarks: full exchanges per second, beside the floor. ``make bench`` runs them."""

import os

# Processes are started here by exec alone, while there are channels; gRPC reads this on import.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
