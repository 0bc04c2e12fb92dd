"""A real authority for tests: founded once, copied for each test, under a clock that stands."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from exchange_pki.authority import Authority, utc_now
from exchange_pki.keys import Passphrase
from exchange_pki.prepare import Order

TRUST_DOMAIN = "exchange.example"
PASSPHRASE = Passphrase(b"a passphrase for tests")
FOUNDED_AT = datetime(2026, 11, 20, 9, 30, 15, 250_000, tzinfo=UTC)

SYSTEM = Order("system", "oa", unit="qd-caizheng")
SEAL = Order("seal", "2026", unit="qd-caizheng")
STAFF = Order("staff", "li.na", role="security")
SERVER = Order(
    "server", "s1", dns_names=("centre.example", "localhost"), ip_addresses=("127.0.0.1", "::1")
)
CENTRE_SEAL = Order("centre-seal", "2026")
TSA = Order("tsa", "tsa-1")
ORDERS = (SYSTEM, SEAL, STAFF, SERVER, CENTRE_SEAL, TSA)
"""One valid order for each leaf profile."""


@dataclass
class Clock:
    """A clock that moves when a test says so."""

    now: datetime = FOUNDED_AT

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


_founded: dict[tuple[Path, bool], Path] = {}
"""The state of those that were founded, by the directory of the test run and kind of clock."""


def copy_of_authority(factory: pytest.TempPathFactory, target: Path, *, live: bool = False) -> Path:
    """A state directory of its own with a freshly founded authority.

    ``live``: founded now, for what looks at the system's clock; else at FOUNDED_AT.
    """
    key = (factory.getbasetemp(), live)
    if key not in _founded:
        state = factory.mktemp("authority") / "pki"
        Authority.init(state, TRUST_DOMAIN, PASSPHRASE, clock=utc_now if live else Clock())
        _founded[key] = state
    return Path(shutil.copytree(_founded[key], target))


def new_private_key(
    curve: type[ec.EllipticCurve] = ec.SECP256R1,
) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def new_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePublicKey:
    """The public half of a new key."""
    return new_private_key(curve).public_key()


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
