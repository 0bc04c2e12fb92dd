"""The journal's outcomes enter the ledger, each once, under the database role of the authority."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from document_exchange.errors import ConfigurationError
from exchange_pki import files
from exchange_pki.authority import Authority
from exchange_pki.crl import LARGEST_BYTES
from exchange_pki.layout import Layout
from exchange_pki.profile import AUTHORITIES, ROOT
from exchange_pki.register import Certified, CrlNote, Publishable, Register, Revocation
from exchange_pki.service.ledger import (
    AuthorityLedger,
    authority_database,
    saying_what_is_wrong,
)

TIMEOUT_S = 60.0

_MOST_AT_ONCE = 500


@dataclass(frozen=True)
class Published:
    """How many of each were new to the ledger."""

    authorities: int = 0
    certificates: int = 0
    revocations: int = 0
    crls: int = 0


@dataclass(frozen=True)
class Unpublished:
    """What the journal has and the ledger may not have: one kind, in the journal's order.

    ``position`` is where in the history the next begins.
    """

    position: int
    certificates: Sequence[Certified] = ()
    revocations: Sequence[tuple[Revocation, Certified]] = ()
    crls: Sequence[tuple[CrlNote, bytes]] = ()


@dataclass
class Publisher:
    """Remembers how far it has published the register's history, and goes on from there.

    ``begin`` once, then ``unpublished`` and ``publish`` as often as there may be something new.
    Each round is one transaction; interrupted, the next round repeats it, which changes nothing.
    """

    ledger: AuthorityLedger
    position: int = 0
    _known: dict[bytes, bool] = field(default_factory=dict)
    _known_crls: set[tuple[str, int]] = field(default_factory=set)

    async def begin(self, register: Register) -> int:
        """Look at what the ledger has; bring the authorities into it. How many were new.

        Raises:
            ConfigurationError: the ledger belongs to another root.
        """
        roots = await self.ledger.roots()
        own = bytes.fromhex(register.authority(ROOT).fingerprint)
        if roots and own not in roots:
            raise ConfigurationError(
                "the ledger belongs to another root: "
                + ", ".join(sorted(fingerprint.hex() for fingerprint in roots)),
                root=own.hex(),
            )
        new = 0
        for name in AUTHORITIES:
            new += await self.ledger.publish_authority(register.authority(name))
        self._known = dict(await self.ledger.known_certificates())
        self._known_crls = set(await self.ledger.known_crls())
        self.position = 0
        return new

    def unpublished(self, register: Register, layout: Layout) -> list[Unpublished]:
        """What is to be published, read and checked, without the ledger.

        Raises:
            ConfigurationError: a numbered CRL is missing beside the journal, or is another.
        """
        found: list[Unpublished] = []
        position = self.position
        history = register.history[position:]
        for kind, run in groupby(history, type):
            while piece := list(islice(run, _MOST_AT_ONCE)):
                position += len(piece)
                found.append(self._of_kind(kind, piece, position, register, layout))
        return found

    async def publish(self, pieces: Sequence[Unpublished]) -> Published:
        """Bring into the ledger what ``unpublished`` found, in its order.

        When this returns, all of it MUST be durable in the ledger.
        """
        done = Published()
        for piece in pieces:
            certificates = crls = revocations = 0
            if piece.certificates:
                certificates = await self.ledger.publish_certificates(piece.certificates)
            for revocation, certified in piece.revocations:
                revocations += await self.ledger.publish_revocation(revocation, certified)
            for note, der in piece.crls:
                crls += await self.ledger.publish_crl(note.issuer, note.number, der)
            self.position = max(self.position, piece.position)
            done = replace(
                done,
                certificates=done.certificates + certificates,
                revocations=done.revocations + revocations,
                crls=done.crls + crls,
            )
        return done

    def _of_kind(
        self,
        kind: type[Publishable],
        piece: Sequence[Publishable],
        position: int,
        register: Register,
        layout: Layout,
    ) -> Unpublished:
        if kind is Certified:
            return Unpublished(position, certificates=list(self._new_certificates(piece)))
        if kind is Revocation:
            return Unpublished(position, revocations=list(self._new_revocations(piece, register)))
        return Unpublished(position, crls=list(self._new_crls(piece, layout)))

    def _new_certificates(self, piece: Sequence[Publishable]) -> Iterator[Certified]:
        for each in piece:
            if not isinstance(each, Certified) or each.event is None:
                continue  # an authority's own is published as such
            if bytes.fromhex(each.fingerprint) not in self._known:
                yield each

    def _new_revocations(
        self, piece: Sequence[Publishable], register: Register
    ) -> Iterator[tuple[Revocation, Certified]]:
        for each in piece:
            if isinstance(each, Revocation):
                revoked = register.certified.get(each.serial)
                # Without one it was never handed out.
                if revoked and not self._known.get(bytes.fromhex(revoked.fingerprint)):
                    yield each, revoked

    def _new_crls(
        self, piece: Sequence[Publishable], layout: Layout
    ) -> Iterator[tuple[CrlNote, bytes]]:
        for each in piece:
            if isinstance(each, CrlNote) and (each.issuer, each.number) not in self._known_crls:
                yield each, read_crl(layout, each)


def read_crl(layout: Layout, note: CrlNote) -> bytes:
    """The list that the journal notes, in DER.

    Raises:
        ConfigurationError: its file is missing, or holds something else.
    """
    path = layout.numbered_crl(note.issuer, note.number)
    der = files.read(path, limit=LARGEST_BYTES)
    if hashlib.sha256(der).hexdigest() != note.sha256:
        raise ConfigurationError(f"{path} is not what the journal says", path=str(path))
    return der


async def publish(authority: Authority, dsn: str) -> Published:
    """Bring everything that has an outcome into the ledger, in the journal's order.

    Interrupted, it goes on where it stopped. Again, it changes nothing: events and salts are the
    journal's own.

    Raises:
        ConfigurationError: the ledger belongs to another root, or is not migrated, or a numbered
            CRL is missing beside the journal.
        NotPermitted: the role of the DSN is not the authority's.
        Unavailable: the database does not answer.
    """
    database = authority_database(dsn, connections=1, timeout_s=TIMEOUT_S)
    with saying_what_is_wrong():
        await database.open()
        try:
            publisher = Publisher(AuthorityLedger(database))
            authorities = await publisher.begin(authority.register)
            pieces = publisher.unpublished(authority.register, authority.layout)
            return replace(await publisher.publish(pieces), authorities=authorities)
        finally:
            await database.close()
