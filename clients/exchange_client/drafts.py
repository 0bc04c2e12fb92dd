"""A draft of a joint issue as a folder: what is to be sealed, and the seals that it has so far.

Layout::

    manifest.json           the exact bytes that each issuer seals
    parts/001.pdf ...       its parts in the manifest's order, under names of our own
    signatures/UNIT.p7s     the seals so far
    requests/ENVELOPE.json  requests to seal it through the centre, with ENVELOPE.json.p7s
    README.txt              for whoever finds it

The folder travels from unit to unit, so whatever is read from it may be an enemy's: names are
never taken from the manifest, links are not followed, and every byte is checked before it counts.
Everything here blocks; it is called from threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from document_exchange import codes, countersign
from document_exchange import manifest as manifests
from document_exchange.certificates import SealTrust
from document_exchange.countersign import Seals
from document_exchange.errors import (
    EnvelopeIdOutOfRange,
    ExchangeError,
    InvalidRequest,
    PartDigestMismatch,
    PartRefused,
    SealOfAnotherUnit,
    SignatureRefused,
)
from document_exchange.manifest import Manifest, Part
from document_exchange.signature import MAX_SIGNATURE_BYTES
from document_exchange.signer import Signer
from exchange_client.compose import seal
from exchange_client.files import Folder
from exchange_client.store import ReceivedPart

MANIFEST_FILE = "manifest.json"
PARTS = "parts"
SIGNATURES = "signatures"
SUFFIX = ".p7s"
_ENDING = re.compile(r"[a-z0-9]{1,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class JointDraft:
    """A document that some of its issuers have yet to seal, on disk, verified."""

    directory: Path
    manifest: Manifest
    manifest_bytes: bytes
    """What the issuers seal, to the byte."""
    signatures: Seals
    """Verified, by unit; whether a seal was revoked since, the centre finds out."""
    parts: tuple[ReceivedPart, ...]

    @property
    def issuers(self) -> tuple[str, ...]:
        """The units whose seals it needs, the leading one first."""
        return self.manifest.document.issuers

    @property
    def sealed_by(self) -> tuple[str, ...]:
        """The issuers that have sealed it."""
        return tuple(self.signatures)

    @property
    def missing(self) -> tuple[str, ...]:
        """The issuers that have not."""
        return tuple(unit for unit in self.issuers if unit not in self.signatures)

    @property
    def send_by(self) -> datetime:
        """Until when the centre takes it."""
        return send_by(self.manifest)


def send_by(manifest: Manifest) -> datetime:
    """Until when the centre takes the document of a draft: its envelope has its id already."""
    return codes.uuid7_time(manifest.envelope_id) + codes.MAX_ENVELOPE_AGE


def open_draft(directory: Path, trust: SealTrust, at: datetime) -> JointDraft:
    """Read a draft and check all of it.

    1. manifest.json decodes by the rules for documents.
    2. Each part that it lists is there, with its size and digest.
    3. Each file in signatures/ is UNIT.p7s: a seal of that issuer over exactly these bytes.

    What the caller must still do: show a person what it is before sealing it.

    Args:
        directory: the draft's folder.
        trust: the own profile's, never from the folder.
        at: now.

    Raises:
        InvalidRequest: there is no draft.
        ConfigurationError: something in it is a link, too large or no file.
        ManifestRefused and others: step 1.
        PartDigestMismatch: step 2; ``part`` names it.
        SignatureRefused and its kinds: step 3; ``file`` names it.
    """
    with existing(directory) as folder:
        # 1. The manifest.
        content = _manifest_bytes(folder)
        manifest = manifests.decode(content)
        # 2. The parts.
        parts = _checked_parts(folder, manifest.parts)
        # 3. The seals.
        signatures = _checked_signatures(folder, manifest, content, trust, at)
    return JointDraft(directory, manifest, content, signatures, parts)


def seal_draft(draft: JointDraft, signer: Signer, unit: str, at: datetime) -> JointDraft:
    """Seal a draft for ``unit`` and keep the seal in it, durably on return.

    Raises:
        SealOfAnotherUnit: the unit is not an issuer.
        SignatureRefused: it has sealed the draft already.
        EnvelopeIdOutOfRange: the draft is too old to be sent.
    """
    check_sealable(draft.manifest, draft.signatures, unit, at)
    (signature,) = seal(draft.manifest_bytes, (unit,), signer, (), at)
    return add_signature(draft, unit, signature)


def check_sealable(
    manifest: Manifest, sealed: Mapping[str, bytes], unit: str, at: datetime
) -> None:
    """Whether it makes sense that ``unit`` seals a draft now; raises as ``seal_draft``."""
    if unit not in manifest.document.issuers:
        raise SealOfAnotherUnit(
            f"{unit} is not an issuer of this draft: those are"
            f" {', '.join(manifest.document.issuers)}",
            unit=unit,
        )
    if unit in sealed:
        raise SignatureRefused(f"{unit} has sealed this draft already", unit=unit)
    check_age(manifest, at)


def check_age(manifest: Manifest, at: datetime) -> None:
    """A draft must be sent within 45 days.

    Raises:
        EnvelopeIdOutOfRange: it is older.
    """
    if at > send_by(manifest):
        begun = codes.uuid7_time(manifest.envelope_id)
        raise EnvelopeIdOutOfRange(
            f"the draft was begun on {begun:%Y-%m-%d} and can't be sent any more (within"
            f" {codes.MAX_ENVELOPE_AGE.days} days): make a new one and have it sealed anew",
            field="envelope_id",
            value=manifest.envelope_id,
        )


def add_signature(draft: JointDraft, unit: str, signature: bytes) -> JointDraft:
    """Keep a verified seal in the draft, durably on return.

    Raises:
        SignatureRefused: another process has kept one of this unit meanwhile.
    """
    with existing(draft.directory) as folder, folder.folder(SIGNATURES) as signatures:
        try:
            store_file(signatures, unit + SUFFIX, signature)
        except FileExistsError as error:
            raise SignatureRefused(f"{unit} has sealed this draft already", unit=unit) from error
    sealed = {**draft.signatures, unit: signature}
    return replace(
        draft, signatures={each: sealed[each] for each in draft.issuers if each in sealed}
    )


@contextmanager
def existing(directory: Path) -> Iterator[Folder]:
    """The open folder of a draft.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        folder = Folder.existing(directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_draft(directory) from error
    with folder:
        yield folder


def _no_draft(directory: Path) -> InvalidRequest:
    return InvalidRequest(
        f"{directory} holds no draft: there is no {MANIFEST_FILE} in it", field="directory"
    )


def _manifest_bytes(folder: Folder) -> bytes:
    try:
        return folder.read(MANIFEST_FILE, manifests.MAX_BYTES)
    except FileNotFoundError as error:
        raise _no_draft(folder.path) from error


def _checked_parts(folder: Folder, described: Sequence[Part]) -> tuple[ReceivedPart, ...]:
    try:
        parts = folder.inner(PARTS)
    except FileNotFoundError as error:
        raise PartRefused(f"{folder.path / PARTS} is missing") from error
    placed = []
    with parts:
        for name, part in zip(part_names(described), described, strict=True):
            if not parts.holds(name, part.size, part.sha256):
                raise PartDigestMismatch(
                    f"{parts.path / name} is not {part.part_id} of the manifest"
                    f" ({part.size} bytes, SHA-256 {part.sha256})",
                    part=part.part_id,
                    file=str(parts.path / name),
                )
            placed.append(ReceivedPart(part, parts.path / name))
    return tuple(placed)


def _checked_signatures(
    folder: Folder, manifest: Manifest, content: bytes, trust: SealTrust, at: datetime
) -> Seals:
    if SIGNATURES not in folder.names():
        return {}
    found: Seals = {}
    with folder.inner(SIGNATURES) as signatures:
        names = {unit + SUFFIX: unit for unit in manifest.document.issuers}
        for name in signatures.names():
            file = str(signatures.path / name)
            if name not in names:
                raise SignatureRefused(
                    f"{file} is no seal of an issuer: those are named {', '.join(names)}", file=file
                )
            found[names[name]] = _checked(
                signatures, name, names[name], manifest, content, trust, at
            )
    return {unit: found[unit] for unit in manifest.document.issuers if unit in found}


def _checked(
    signatures: Folder,
    name: str,
    unit: str,
    manifest: Manifest,
    content: bytes,
    trust: SealTrust,
    at: datetime,
) -> bytes:
    file = str(signatures.path / name)
    signature = signatures.read(name, MAX_SIGNATURE_BYTES)
    try:
        by = countersign.verify_seals(manifest, content, (signature,), trust, at=at)
    except ExchangeError as error:
        attributes = {**error.attributes, "file": file}
        raise type(error)(f"{file}: {error.message}", **attributes) from error
    if unit not in by:
        raise SealOfAnotherUnit(f"{file} is a seal of {', '.join(by)}", unit=unit, file=file)
    return signature


def part_names(parts: Sequence[Part]) -> list[str]:
    """001.pdf, 002.csv, ...: nothing of a display name but an ending that can't do harm."""
    names = []
    for place, part in enumerate(parts, start=1):
        ending = part.filename.rpartition(".")[2].lower() if "." in part.filename else ""
        names.append(f"{place:03}.{ending}" if _ENDING.fullmatch(ending) else f"{place:03}")
    return names


def store_file(folder: Folder, name: str, content: bytes) -> None:
    """Write a file under exactly this name, durably on return; never in another's place."""
    with folder.create() as incoming:
        incoming.write(content)
        incoming.finish([name])
    folder.sync()
