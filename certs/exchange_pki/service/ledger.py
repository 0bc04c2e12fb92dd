"""The ledger as the authority sees it: what it publishes there, and what it asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import asyncpg
from cryptography import x509

from document_exchange.errors import ConfigurationError, NotPermitted, Unavailable
from exchange_pki.register import Certified, Revocation
from exchange_runtime.database import Database, named_queries


def authority_database(dsn: str, *, connections: int, timeout_s: float) -> Database:
    """A pool that knows the queries of ``sql/``; ``open`` it before use."""
    return Database(
        dsn,
        queries=named_queries(__package__ or ""),
        name="exchange-pki",
        connections=connections,
        timeout_s=timeout_s,
    )


class AuthorityLedger:
    """What is written is written once, however often it is published. Errors: see ``Database``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def roots(self) -> set[bytes]:
        """Fingerprints of the roots that the ledger belongs to; empty before the first."""
        return {row["fingerprint"] for row in await self.database.rows("roots")}

    async def known_certificates(self) -> Mapping[bytes, bool]:
        """Whether it is revoked, by the fingerprint of each certificate."""
        rows = await self.database.rows("known_certificates")
        return {row["fingerprint"]: row["revoked"] for row in rows}

    async def known_crls(self) -> set[tuple[str, int]]:
        """Issuer and number of each list."""
        rows = await self.database.rows("known_crls")
        return {(row["issuer"], row["number"]) for row in rows}

    async def publish_authority(self, certified: Certified) -> int:
        """How many were new: 0 or 1."""
        fingerprint = bytes.fromhex(certified.fingerprint)
        return int(
            await self.database.value(
                "publish_authority", certified.profile, fingerprint, certified.der
            )
        )

    async def publish_certificates(self, certified: Sequence[Certified]) -> int:
        """All of them and their events, in one transaction; how many were new.

        Each must have an event, as every leaf does.
        """
        certificates = [each.certificate for each in certified]
        events = [each.event for each in certified if each.event is not None]
        return int(
            await self.database.value(
                "publish_certificates",
                [bytes.fromhex(each.fingerprint) for each in certified],
                [each.serial for each in certified],
                [each.identity for each in certified],
                [each.profile for each in certified],
                [each.role for each in certified],
                [each.not_valid_before_utc for each in certificates],
                [each.not_valid_after_utc for each in certificates],
                [each.der for each in certified],
                [each.issued_at for each in certified],
                [each.event_id for each in events],
                [each.salt for each in events],
                [each.event for each in events],
            )
        )

    async def publish_revocation(self, revocation: Revocation, certified: Certified) -> int:
        """The revocation with its event; 0 if the ledger has it, or never hears of it."""
        event = revocation.event
        if event is None:
            return 0
        return int(
            await self.database.value(
                "publish_revocation",
                bytes.fromhex(certified.fingerprint),
                revocation.revoked_at,
                revocation.reason,
                event.event_id,
                event.salt,
                event.event,
            )
        )

    async def publish_crl(self, issuer: str, number: int, der: bytes) -> int:
        """How many were new: 0 or 1."""
        crl = x509.load_der_x509_crl(der)
        return int(
            await self.database.value(
                "publish_crl", issuer, number, crl.last_update_utc, crl.next_update_utc, der
            )
        )


@contextmanager
def saying_what_is_wrong() -> Iterator[None]:
    """Errors of the set-up, as whoever set it up understands them.

    Raises:
        ConfigurationError: the DSN is wrong, the ledger not migrated or not this authority's.
        NotPermitted: the role of the DSN is not the authority's.
        Unavailable: the database does not answer.
    """
    try:
        yield
    except ValueError as error:  # asyncpg.ClientConfigurationError is one too
        raise ConfigurationError(f"the DSN can't be read: {error}") from error
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
