"""Orders that are wrong in themselves, each refused with the field named."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from exchange_pki import prepare
from exchange_pki import profile as profiles
from exchange_pki.authority import Authority
from exchange_pki.prepare import Draft, Order

from document_exchange.errors import InvalidRequest
from tests.authority_for_tests import (
    FOUNDED_AT,
    SEAL,
    SERVER,
    STAFF,
    SYSTEM,
    TRUST_DOMAIN,
    copy_of_authority,
    new_key,
    new_private_key,
)

Validity = tuple[datetime, datetime]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("prepare")
    return Authority.load(copy_of_authority(tmp_path_factory, directory / "pki"))


def prepared(authority: Authority, order: Order, now: datetime = FOUNDED_AT) -> Draft:
    issuer = authority.certificate(profiles.get(order.profile).issuer)
    return prepare.leaf(order, new_key(), issuer, TRUST_DOMAIN, now)


@pytest.mark.parametrize(
    ("order", "changes", "field"),
    [
        (SYSTEM, {"profile": "stamp"}, "profile"),
        (SYSTEM, {"profile": "root"}, "profile"),
        (SYSTEM, {"profile": "seal-ca"}, "profile"),
        (SYSTEM, {"unit": None}, "unit"),
        (SYSTEM, {"unit": ""}, "unit"),
        (SYSTEM, {"unit": "q"}, "unit"),
        (SYSTEM, {"unit": "QD-caizheng"}, "unit"),
        (SYSTEM, {"unit": "qd-caizheng\n"}, "unit"),
        (SYSTEM, {"unit": "qd/seal/x"}, "unit"),
        (SYSTEM, {"unit": "q" * 41}, "unit"),
        (SYSTEM, {"unit": "财政局"}, "unit"),
        (STAFF, {"unit": "qd-caizheng"}, "unit"),
        (SERVER, {"unit": "qd-caizheng"}, "unit"),
        (SYSTEM, {"name": ""}, "name"),
        (SYSTEM, {"name": "oa/x"}, "name"),
        (SYSTEM, {"name": "-oa"}, "name"),
        (SYSTEM, {"name": "oa\n"}, "name"),
        (SYSTEM, {"name": "n" * 64}, "name"),
        (SYSTEM, {"name": "{trust_domain}"}, "name"),
        (STAFF, {"role": None}, "role"),
        (STAFF, {"role": "chief"}, "role"),
        (SYSTEM, {"role": "auditor"}, "role"),
        (SYSTEM, {"dns_names": ("a.example",)}, "dns"),
        (SEAL, {"ip_addresses": ("10.0.0.1",)}, "dns"),
        (SERVER, {"dns_names": (), "ip_addresses": ()}, "dns"),
        (SERVER, {"dns_names": tuple(f"h{n}.example" for n in range(21))}, "dns"),
        *[
            (SERVER, {"dns_names": (text,)}, "dns")
            for text in (
                "",
                "*.example",
                "UPPER.example",
                "a..example",
                "a.example.",
                "-a.example",
                "a_b.example",
                "127.0.0.1",
                "财政.example",
                "a.example\n",
                "l" * 64,
                ".".join(["label"] * 50),
            )
        ],
        *[
            (SERVER, {"ip_addresses": (text,)}, "ip")
            for text in ("", "1.2.3", "::1%eth0", "0.0.0.0", "::", "224.0.0.1", "10.0.0.0/8")
        ],
        (SYSTEM, {"not_after": FOUNDED_AT.replace(microsecond=0, tzinfo=None)}, "not_after"),
        (SYSTEM, {"not_after": FOUNDED_AT + timedelta(days=1)}, "not_after"),
        (SYSTEM, {"not_before": FOUNDED_AT}, "not_before"),
        (SYSTEM, {"not_after": datetime(2026, 11, 20, 9, tzinfo=UTC)}, "not_after"),
    ],
)
def test_a_wrong_order_names_its_field(
    authority: Authority, order: Order, changes: dict[str, Any], field: str
) -> None:
    prepared(authority, order)  # whole before
    with pytest.raises(InvalidRequest) as caught:
        prepared(authority, dataclasses.replace(order, **changes))
    assert caught.value.attributes["field"] == field


def validity(authority: Authority, order: Order, now: datetime = FOUNDED_AT) -> Validity:
    certificate = prepared(authority, order, now).builder.sign(new_private_key(), hashes.SHA256())
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def test_a_certificate_begins_a_little_earlier_and_lasts_as_long_as_its_profile(
    authority: Authority,
) -> None:
    begins = FOUNDED_AT.replace(microsecond=0) - timedelta(minutes=10)
    # Both ends belong to it: 30 days are from 09:20:15 to 09:20:14.
    ends = begins + timedelta(days=30) - timedelta(seconds=1)
    assert validity(authority, SYSTEM) == (begins, ends)


def test_no_certificate_begins_before_its_issuer(authority: Authority) -> None:
    first = authority.certificate("tls-ca").not_valid_before_utc
    assert validity(authority, SYSTEM, first + timedelta(minutes=1))[0] == first


def test_a_moment_of_another_time_zone_is_the_same_moment(authority: Authority) -> None:
    ends = datetime(2026, 11, 21, 8, 0, tzinfo=timezone(timedelta(hours=8)))
    order = dataclasses.replace(SYSTEM, not_after=ends)
    assert validity(authority, order)[1] == datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
