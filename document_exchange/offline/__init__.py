"""What goes into every bundle of evidence for whoever has no Python: verify.sh and VERIFY.md."""

from __future__ import annotations

from importlib import resources

from document_exchange.evidence import VERIFY_SCRIPT, VERIFY_TEXT


def texts() -> dict[str, bytes]:
    """Both files by their path in the bundle, as they are in this version of the package."""
    folder = resources.files(__package__)
    return {name: (folder / name).read_bytes() for name in (VERIFY_TEXT, VERIFY_SCRIPT)}
