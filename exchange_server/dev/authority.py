"""The authority of a development stack: founded once, then a service with ports of its own."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from document_exchange import certificates
from document_exchange.errors import ExchangeError
from exchange_server.dev.commands import PKI, Service, call
from exchange_server.dev.places import Places, write_private

TRUST_DOMAIN = "exchange.example"
_RENEWED_BEFORE_END = timedelta(days=14)
"""Nothing renews the centre's own certificates while it runs, so each start does in time."""


class Authority:
    """Its files and its service."""

    def __init__(self, places: Places) -> None:
        self._places = places

    @property
    def root_fingerprint(self) -> str:
        """SHA-256 of the root, in hex."""
        root = (self._places.pki / "root.pem").read_bytes()
        return certificates.fingerprint(certificates.load_pem(root))

    def found(self) -> None:
        """Make the authority and the centre's own certificates, where they are missing.

        Raises:
            ConfigurationError: a command failed.
        """
        places = self._places
        if not places.passphrase.exists():
            write_private(places.passphrase, secrets.token_urlsafe(24) + "\n")
        opened = ["--state", str(places.pki), "--passphrase-file", str(places.passphrase)]
        if not (places.pki / "root.pem").exists():
            call([*PKI, "init", *opened, "--trust-domain", TRUST_DOMAIN])
        orders = self._missing_certificates()
        if orders:
            batch = places.state / "orders.jsonl"
            batch.write_text("".join(json.dumps(order) + "\n" for order in orders))
            out = ["--out", str(places.state), "--replace"]
            call([*PKI, "issue-batch", str(batch), *opened, *out])
            batch.unlink()

    def start(self, dsn: str, stack: ExitStack) -> Service:
        """Run ``exchange-pki serve`` and wait until it listens.

        It brings into the ledger what was issued here before.

        Args:
            dsn: of the ledger, for the authority's role.
            stack: stops it.

        Raises:
            EmbeddedPartFailed: it does not start.
        """
        places = self._places
        write_private(places.authority_settings, _settings(places, dsn))
        command = [*PKI, "serve", "--config", str(places.authority_settings)]
        service = Service(command, "exchange-pki", places.authority_log, places.authority, stack)
        service.wait_until_ready()
        return service

    def _missing_certificates(self) -> list[dict[str, Any]]:
        places = self._places
        here = {"dns": ["localhost"], "ip": ["127.0.0.1"]}
        orders: tuple[tuple[str, str, Path, dict[str, Any]], ...] = (
            ("server", "centre", places.centre, here),
            ("centre-seal", "main", places.centre, {}),
            ("server", "authority-1", places.authority, here),
        )
        return [
            {"profile": profile, "name": name, "directory": directory.name, **more}
            for profile, name, directory, more in orders
            if not is_valid(directory / f"{profile}.pem", _RENEWED_BEFORE_END)
        ]


def is_valid(path: Path, ahead: timedelta = timedelta()) -> bool:
    """Whether there is a certificate in this file that is valid now, and so long ahead."""
    try:
        certificate = certificates.load_chain_pem(path.read_bytes())[0]
    except (OSError, ValueError, IndexError, ExchangeError):
        return False
    now = datetime.now(UTC)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - ahead


def _settings(places: Places, dsn: str) -> str:
    quoted = json.dumps
    return f"""\
# Written at each start of `exchange-server dev`.
state = "pki"
passphrase_file = {quoted(places.passphrase.name)}
listen = {quoted(places.address("authority"))}
enrolment_listen = {quoted(places.address("enrolment"))}
http_listen = {quoted(places.address("http"))}
metrics_listen = {quoted(places.address("authority_metrics"))}
centre_address = {quoted(places.address("server"))}
# In a real centre security staff approve the first seal of a unit.
seal_approval = "automatic"

[timestamps]
name = "tsa-1"

[tls]
certificate = "authority/server.pem"
key = "authority/server.key"

[ledger]
dsn = {quoted(dsn)}
"""
