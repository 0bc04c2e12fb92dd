"""Benchmarks: full exchanges per second, beside the floor. ``make bench`` runs them."""
