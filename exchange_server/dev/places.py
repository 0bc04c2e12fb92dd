"""Where the files of a development stack are, and its ports."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from exchange_server.embedded.processes import free_ports

_HOST = "127.0.0.1"
_PORTS = ("server", "metrics", "authority", "enrolment", "http", "authority_metrics")


class Places:
    """The names under one state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state.absolute()
        self.registry = self.state / "units.toml"
        self.pki = self.state / "pki"
        self.passphrase = self.state / "passphrase"
        self.authority = self.state / "authority"
        self.authority_settings = self.state / "authority.toml"
        self.authority_log = self.state / "authority.log"
        self.centre = self.state / "centre"
        self.server_settings = self.state / "server.toml"
        self.server_log = self.state / "server.log"
        self.clients = self.state / "clients"
        self.joining = self.state / "joining.jsonl"
        self.description = self.state / "dev.json"
        self._ports = self.state / "ports.json"

    def address(self, of: str) -> str:
        """HOST:PORT of ``server``, ``metrics``, ``authority``, ``enrolment`` or ``http``.

        Chosen when first asked for, and the same ever after: profiles hold some of them.
        """
        ports: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):
            ports = json.loads(self._ports.read_bytes())
        missing = [name for name in _PORTS if name not in ports]
        if missing:
            ports |= dict(zip(missing, free_ports(len(missing)), strict=True))
            write_private(self._ports, json.dumps(ports, indent=2))
        return f"{_HOST}:{ports[of]}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; readers see the old or the new text, whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
