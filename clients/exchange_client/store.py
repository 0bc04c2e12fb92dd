"""A received document as files: ``<directory>/<envelope_id>/`` with all that proves it.

Layout::

    manifest.json  manifest.json.p7s  (manifest.json.2.p7s ... when several units sealed)
    parts/<safe name>
    receipts/<seq>-<TYPE>.json  receipts/<seq>-<TYPE>.json.p7s
    admissions/<seq>-<TYPE>.json  admissions/<seq>-<TYPE>.json.p7s
    certs/root.pem chain.pem crls.pem   as of the acceptance; docs/formats.md has the commands

Everything here blocks; it is called from threads. Nothing is overwritten: what is there already
with the same bytes is left as it is, anything else gets a number beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from document_exchange.manifest import Manifest, Part, PartRole
from document_exchange.verification import Signed
from exchange_client.evidence import Envelope, Statement
from exchange_client.files import Folder, Incoming, safe_name


@dataclass(frozen=True, slots=True)
class ReceivedPart:
    """A part on disk, verified."""

    part: Part
    path: Path


@dataclass(frozen=True, slots=True)
class ReceivedDocument:
    """A document on disk, verified."""

    directory: Path
    """The document's own, ``<directory>/<envelope_id>``."""
    envelope: Envelope
    parts: tuple[ReceivedPart, ...]
    delivered: Statement | None
    """The centre's DELIVERED receipt, verified; None if the delivery no longer takes one."""

    @property
    def manifest(self) -> Manifest:
        """What the document says of itself."""
        return self.envelope.manifest

    @property
    def body(self) -> Path:
        """The one part of role BODY."""
        return next(each.path for each in self.parts if each.part.role is PartRole.BODY)


class DocumentFolder:
    """The directory of one received document."""

    def __init__(self, folder: Folder, parts: Folder) -> None:
        self._folder = folder
        self._parts = parts
        self.path = folder.path

    @classmethod
    @contextmanager
    def open(cls, directory: Path, envelope_id: str) -> Iterator[DocumentFolder]:
        """Open it below ``directory``, made where it is missing.

        Raises:
            ConfigurationError: a link or a file is in the way.
        """
        with ExitStack() as stack:
            base = stack.enter_context(Folder.open(directory))
            folder = stack.enter_context(base.folder(envelope_id))
            parts = stack.enter_context(folder.folder("parts"))
            yield cls(folder, parts)

    def part_path(self, name: str) -> Path:
        """Where the part of this name lies."""
        return self._parts.path / name

    def find_part(self, part: Part) -> str | None:
        """The name of the file that holds exactly this part already, or None."""
        return self._parts.find(safe_name(part.filename), part.size, part.sha256)

    def begin_part(self) -> Incoming:
        """A temporary file for a part."""
        return self._parts.create()

    def name_part(self, part: Part, incoming: Incoming) -> str:
        """Bring a complete, verified part to disk under its safe name."""
        return self._parts.name(incoming, safe_name(part.filename))

    def store_part(self, part: Part, content: bytes) -> str:
        """Write a small verified part; returns its name."""
        with self.begin_part() as incoming:
            incoming.write(content)
            return self.name_part(part, incoming)

    def store_envelope(self, envelope: Envelope) -> None:
        """Write the manifest, its signatures and the ACCEPTED receipt, and sync all names."""
        self._parts.sync()
        self._folder.store("manifest.json", envelope.manifest_bytes)
        for place, signature in enumerate(envelope.signatures, start=1):
            number = "" if place == 1 else f".{place}"
            self._folder.store(f"manifest.json{number}.p7s", signature)
        self._store_certificates(envelope)
        self._folder.sync()
        self.store_statement(envelope.accepted)

    def _store_certificates(self, envelope: Envelope) -> None:
        lists = map(x509.load_der_x509_crl, envelope.revocation_lists)
        with self._folder.folder("certs") as folder:
            for name, holders in (
                ("root.pem", [envelope.trust.root]),
                ("chain.pem", envelope.issuing),
                ("crls.pem", lists),
            ):
                folder.store(name, b"".join(each.public_bytes(Encoding.PEM) for each in holders))
            folder.sync()

    def store_statement(self, statement: Statement) -> None:
        """Write a receipt and, if it has one, its admission."""
        name = f"{statement.seq:03}-{statement.type.value}.json"
        self._store_signed("receipts", name, statement.signed_receipt)
        if statement.signed_admission is not None:
            self._store_signed("admissions", name, statement.signed_admission)

    def _store_signed(self, kind: str, name: str, signed: Signed) -> None:
        with self._folder.folder(kind) as folder:
            folder.store(name, signed.content)
            folder.store(f"{name}.p7s", signed.signature)
            folder.sync()


def store_statement(directory: Path, envelope_id: str, statement: Statement) -> None:
    """Add a statement to a document that was received before."""
    with DocumentFolder.open(directory, envelope_id) as folder:
        folder.store_statement(statement)
