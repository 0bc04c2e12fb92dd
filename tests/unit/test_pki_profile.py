"""Profiles: the files of the package, and files that are wrong."""

from __future__ import annotations

import importlib.resources
from datetime import timedelta

import pytest
from exchange_pki import profile as profiles

from document_exchange.errors import ConfigurationError, InvalidRequest

TEXT = (importlib.resources.files("exchange_pki") / "profiles" / "seal.toml").read_text()
ROOT_TEXT = (importlib.resources.files("exchange_pki") / "profiles" / "root.toml").read_text()


def test_the_profiles_are_those_of_the_design() -> None:
    assert set(profiles.all_profiles()) == {
        "root",
        "tls-ca",
        "seal-ca",
        "system",
        "staff",
        "server",
        "seal",
        "centre-seal",
        "tsa",
    }


def test_lifetimes() -> None:
    assert profiles.get("system").lifetime == profiles.get("staff").lifetime == timedelta(days=30)
    assert profiles.get("seal").lifetime == timedelta(days=365)


def test_no_leaf_is_for_more_than_its_issuer() -> None:
    for profile in profiles.all_profiles().values():
        issuer = profiles.get(profile.issuer)
        if issuer.purposes:
            assert set(profile.purposes) <= set(issuer.purposes)
        if not profile.is_authority:
            assert profile.purposes
            assert profile.lifetime < issuer.lifetime


def test_tls_and_seals_share_no_purpose() -> None:
    tls, seal = profiles.get("tls-ca").purposes, profiles.get("seal-ca").purposes
    assert not set(tls) & set(seal)


def test_an_unknown_profile_is_named_with_those_that_exist() -> None:
    with pytest.raises(InvalidRequest, match=r"'stamp'.*centre-seal") as caught:
        profiles.get("stamp")
    assert caught.value.attributes["field"] == "profile"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('issuer = "seal-ca"', 'issuer = "another-ca"'),
        ('issuer = "seal-ca"', ""),
        ('key_type = "P-256"', 'key_type = "P-521"'),
        ('"documentSigning"', '"anyExtendedKeyUsage"'),
        ('"digitalSignature"', '"keyAgreement"'),
        ("lifetime_days = 365", "lifetime_days = 0"),
        ("lifetime_days = 365", 'lifetime_days = "365"'),
        ("backdate_minutes = 10", "backdate_minutes = -1"),
        ("ca = false", "ca = true"),
        ("ca = false", "ca = false\ncommon_name = 1"),
        ('identity_kind = "seal"', ""),
        ('identity_kind = "seal"', 'identity_kind = "stamp"'),
        ('hosts = "refused"', 'hosts = "refused"\ncolour = "red"'),
        ('hosts = "refused"', 'hosts = "refused'),
    ],
)
def test_a_wrong_file_is_refused(before: str, after: str) -> None:
    assert before in TEXT
    with pytest.raises(ConfigurationError) as caught:
        profiles.parse("seal", TEXT.replace(before, after))
    assert caught.value.attributes["profile"] == "seal"


def test_an_authority_needs_a_name_and_has_no_identity() -> None:
    with pytest.raises(ConfigurationError):
        profiles.parse("root", ROOT_TEXT.replace("common_name", "# common_name"))
    with pytest.raises(ConfigurationError):
        profiles.parse("root", 'identity = "spiffe://x/staff/{name}"\n' + ROOT_TEXT)
