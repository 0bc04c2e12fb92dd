"""How an authority comes to be: its keys, certificates and first lists, made where none is."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from document_exchange import identity, times
from document_exchange.errors import ConfigurationError, InvalidRequest, Unauthenticated
from exchange_pki import files, keys, prepare
from exchange_pki import profile as profiles
from exchange_pki.acts import Acts, Clock
from exchange_pki.journal import SCHEMA, Founded, Journal
from exchange_pki.keys import KeyRing, Passphrase
from exchange_pki.layout import Layout
from exchange_pki.lint import lint
from exchange_pki.prepare import LONGEST_TRUST_DOMAIN
from exchange_pki.profile import AUTHORITIES, ROOT

_PEM = serialization.Encoding.PEM


def found(layout: Layout, trust_domain: str, passphrase: Passphrase, clock: Clock) -> KeyRing:
    """Make everything that ``Authority.init`` promises, in a directory that nobody knows yet."""
    files.make_directory(layout.private)
    files.make_directory(layout.crls)
    keyring = KeyRing(layout, passphrase)
    at = times.format_time(clock().astimezone(UTC))
    founded = Founded(at=at, schema=SCHEMA, trust_domain=trust_domain)
    journal = Journal.create(layout.journal, layout.torn_journal, founded)
    acts = Acts(layout, journal, keyring, clock)
    with acts.exclusive():
        for name in AUTHORITIES:
            key = keys.generate(profiles.get(name).curve)
            files.write(layout.key(name), keys.encrypted_pem(key, passphrase), mode=files.PRIVATE)
            keyring.add(name, key)
            issuer = None if name == ROOT else acts.register.authority(ROOT).certificate
            now = acts.now()
            draft = prepare.authority(name, key.public_key(), issuer, trust_domain, now)
            linted = lint(draft, trust_domain=trust_domain, now=now, known=acts.register)
            [certified] = acts.sign_certificates([linted])
            pem = certified.certificate.public_bytes(_PEM)
            files.write(layout.certificate(name), pem, mode=files.PUBLIC)
        for name in AUTHORITIES:
            acts.sign_crl(name)
    return keyring


def check_trust_domain(trust_domain: str) -> None:
    """Raise InvalidRequest unless this can stand in every identity and name of an authority."""
    try:
        identity.parse(f"spiffe://{trust_domain}/staff/anyone")
    except Unauthenticated as error:
        raise InvalidRequest(
            f"{trust_domain!r} can't be a trust domain: take a DNS name in lower case",
            field="trust_domain",
            value=trust_domain,
        ) from error
    if len(trust_domain) > LONGEST_TRUST_DOMAIN:
        raise InvalidRequest(
            f"the trust domain has more than {LONGEST_TRUST_DOMAIN} characters",
            field="trust_domain",
            value=trust_domain,
        )


def check_vacant(state: Path) -> None:
    """Raise ConfigurationError if there is something in the directory already."""
    try:
        vacant = not state.exists() or not any(state.iterdir())
    except OSError as error:
        raise ConfigurationError(
            f"can't look into {state}: {error.strerror}", path=str(state)
        ) from error
    if not vacant:
        raise ConfigurationError(
            f"{state} is not empty: an authority is never overwritten", path=str(state)
        )
