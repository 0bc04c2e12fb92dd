"""Leaves TLS 1.3 alone: gRPC for Python has no setting for the version."""

from __future__ import annotations

import os

_VARIABLE = "GRPC_SSL_CIPHER_SUITES"
_UNUSABLE_BELOW_1_3 = "ECDHE-RSA-AES128-GCM-SHA256"


def refuse_tls_1_2() -> None:
    """Call it before grpc is imported, which reads this then.

    A suite that no certificate of ours can serve leaves nothing of TLS 1.2, and TLS 1.3 has suites
    of its own.
    """
    os.environ[_VARIABLE] = _UNUSABLE_BELOW_1_3
