"""The journal's outcomes enter the ledger, each once, under the database role of the authority."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg
from cryptography import x509

from document_exchange.errors import ConfigurationError, NotPermitted, Unavailable
from exchange_pki import files
from exchange_pki.authority import Authority
from exchange_pki.profile import AUTHORITIES, ROOT
from exchange_pki.register import Certified, CrlNote, Revocation

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0

_CRL_LIMIT_BYTES = 64 * 1024 * 1024

_ROOTS = "select fingerprint from exchange.authorities where name = 'root'"
_KNOWN = "select fingerprint, revoked_at is not null as revoked from exchange.certificates"
_KNOWN_CRLS = "select issuer, number from exchange.crls"
_AUTHORITY = "select exchange.publish_authority($1, $2, $3)"
_CERTIFICATE = (
    "select exchange.publish_certificate($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
)
_REVOCATION = "select exchange.publish_revocation($1, $2, $3, $4, $5, $6)"
_CRL = "select exchange.publish_crl($1, $2, $3, $4, $5)"


@dataclass(frozen=True)
class Published:
    """How many of each were new to the ledger."""

    authorities: int = 0
    certificates: int = 0
    revocations: int = 0
    crls: int = 0


async def publish(authority: Authority, dsn: str) -> Published:
    """Bring everything that has an outcome into the ledger, in the journal's order.

    One transaction: all of it or nothing. Again, it changes nothing: events and salts are the
    journal's own.

    Raises:
        ConfigurationError: the ledger belongs to another root, or is not migrated, or a numbered
            CRL is missing beside the journal.
        NotPermitted: the role of the DSN is not the authority's.
        Unavailable: the database does not answer.
    """
    async with _connected(dsn) as connection, connection.transaction():
        return await _publish(authority, connection)


async def _publish(
    authority: Authority, connection: asyncpg.Connection[asyncpg.Record]
) -> Published:
    await _check_root(authority, connection)
    done = Published()
    for name in AUTHORITIES:
        certified = authority.register.authority(name)
        new = await connection.fetchval(
            _AUTHORITY, name, bytes.fromhex(certified.fingerprint), certified.der
        )
        done = replace(done, authorities=done.authorities + bool(new))
    known = {row["fingerprint"]: row["revoked"] for row in await connection.fetch(_KNOWN)}
    known_crls = {(row["issuer"], row["number"]) for row in await connection.fetch(_KNOWN_CRLS)}
    for entry in authority.register.history:
        match entry:
            case Certified() if bytes.fromhex(entry.fingerprint) not in known:
                new = await _publish_certificate(entry, connection)
                done = replace(done, certificates=done.certificates + new)
            case Revocation():
                revoked = authority.register.certified.get(entry.serial)
                if revoked is None or known.get(bytes.fromhex(revoked.fingerprint)):
                    continue  # it was never handed out, or the ledger knows already
                new = await _publish_revocation(entry, revoked, connection)
                done = replace(done, revocations=done.revocations + new)
            case CrlNote() if (entry.issuer, entry.number) not in known_crls:
                new = await _publish_crl(authority, entry, connection)
                done = replace(done, crls=done.crls + new)
    return done


async def _check_root(authority: Authority, connection: asyncpg.Connection[asyncpg.Record]) -> None:
    roots = {row["fingerprint"] for row in await connection.fetch(_ROOTS)}
    own = bytes.fromhex(authority.register.authority(ROOT).fingerprint)
    if roots and own not in roots:
        raise ConfigurationError(
            "the ledger belongs to another root: "
            + ", ".join(sorted(fingerprint.hex() for fingerprint in roots)),
            root=own.hex(),
        )


async def _publish_certificate(
    certified: Certified, connection: asyncpg.Connection[asyncpg.Record]
) -> bool:
    event = certified.event
    if event is None:  # an authority's own, published as such
        return False
    certificate = certified.certificate
    return bool(
        await connection.fetchval(
            _CERTIFICATE,
            bytes.fromhex(certified.fingerprint),
            certified.serial,
            certified.identity,
            certified.profile,
            certified.role,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            certified.der,
            certified.issued_at,
            event.event_id,
            event.salt,
            event.event,
        )
    )


async def _publish_revocation(
    revocation: Revocation,
    certified: Certified,
    connection: asyncpg.Connection[asyncpg.Record],
) -> bool:
    event = revocation.event
    if event is None:  # of an authority: the root's CRL says so
        return False
    return bool(
        await connection.fetchval(
            _REVOCATION,
            bytes.fromhex(certified.fingerprint),
            revocation.revoked_at,
            revocation.reason,
            event.event_id,
            event.salt,
            event.event,
        )
    )


async def _publish_crl(
    authority: Authority, note: CrlNote, connection: asyncpg.Connection[asyncpg.Record]
) -> bool:
    path = authority.layout.numbered_crl(note.issuer, note.number)
    der = files.read(path, limit=_CRL_LIMIT_BYTES)
    if hashlib.sha256(der).hexdigest() != note.sha256:
        raise ConfigurationError(f"{path} is not what the journal says", path=str(path))
    crl = x509.load_der_x509_crl(der)
    return bool(
        await connection.fetchval(
            _CRL, note.issuer, note.number, crl.last_update_utc, crl.next_update_utc, der
        )
    )


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    try:
        connection = await _connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()
    except asyncpg.InsufficientPrivilegeError as error:
        raise NotPermitted(
            f"the database refuses: {error}; publish with the authority's role"
        ) from error
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
    ) as error:
        raise ConfigurationError(f"the DSN is refused: {error}") from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError) as error:
        raise ConfigurationError(f"the ledger is not migrated to this version: {error}") from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise ConfigurationError(f"the ledger contradicts the journal: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable(f"the ledger does not answer: {error}") from error


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "exchange-pki"},
        )
    except ValueError as error:  # asyncpg.ClientConfigurationError is one too
        raise ConfigurationError(f"the DSN can't be read: {error}") from error
