"""By which address a caller is counted."""

from __future__ import annotations

import pytest

from exchange_runtime.addresses import counted_as


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:0:7::1", "2001:db8:0:7::/64"),
        ("2001:db8:0:7:ffff:ffff:ffff:ffff", "2001:db8:0:7::/64"),
        ("2001:db8:0:8::1", "2001:db8:0:8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("", ""),
        ("unix:/run/x", "unix:/run/x"),
        ("10.0.0.7/8", "10.0.0.7/8"),
    ],
)
def test_addresses_of_one_network_are_one_caller(address: str, counted: str) -> None:
    assert counted_as(address) == counted
