"""The manifest: the JSON that describes a document, its recipients and its parts.

Its exact bytes are what the issuers seal, what is stored and what is passed on. Fields follow
GB/T 33480; docs/formats.md describes each. Structs do not check what they are built from:
``decode(encode(manifest))`` does, and so does every reader.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from document_exchange import canonical, codes, refusal, times
from document_exchange.document import (
    MAX_ISSUERS,
    Category,
    Direction,
    Disclosure,
    Document,
    Extension,
    Genre,
    LinkKind,
    Part,
    PartRole,
    Recipient,
    RecipientKind,
    Secrecy,
    Urgency,
)
from document_exchange.errors import (
    ManifestRefused,
    ManifestTooLarge,
    SecrecyRefused,
    UnknownCriticalExtension,
)
from document_exchange.fields import EnvelopeId, ExtensionName, ShortLine, SystemName, Time, UnitId

__all__ = [
    "DOCUMENT_BUSINESS",
    "KNOWN_EXTENSIONS",
    "MAX_BYTES",
    "MAX_EXTENSIONS",
    "MAX_ISSUERS",
    "MAX_PARTS",
    "MAX_RECIPIENTS",
    "SCHEMA",
    "Category",
    "Direction",
    "Disclosure",
    "Document",
    "Extension",
    "Genre",
    "LinkKind",
    "Manifest",
    "Part",
    "PartRole",
    "Recipient",
    "RecipientKind",
    "Secrecy",
    "Urgency",
    "decode",
    "encode",
    "sha256_hex",
]

SCHEMA: Literal["document-exchange/manifest/1"] = "document-exchange/manifest/1"
MAX_BYTES = 1024 * 1024
MAX_RECIPIENTS = 500
MAX_PARTS = 64
MAX_EXTENSIONS = 32
DOCUMENT_BUSINESS = "DOCUMENT"
"""The line of business of official documents proper (公文), which must have a genre."""

KNOWN_EXTENSIONS: frozenset[str] = frozenset()
"""The names of extensions that this version understands, and so accepts as critical."""


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A document as its issuers seal it."""

    schema: Literal["document-exchange/manifest/1"]
    envelope_id: EnvelopeId
    created_at: Time
    sender: UnitId
    sender_system: SystemName
    operator: ShortLine | None = None
    supersedes: EnvelopeId | None = None
    refers_to: EnvelopeId | None = None
    voids: EnvelopeId | None = None
    document: Document
    recipients: Annotated[
        tuple[Recipient, ...],
        Meta(
            min_length=1,
            max_length=MAX_RECIPIENTS,
            description=f"1 to {MAX_RECIPIENTS} recipients, each of another unit",
        ),
    ]
    parts: Annotated[
        tuple[Part, ...],
        Meta(
            min_length=1,
            max_length=MAX_PARTS,
            description=f"1 to {MAX_PARTS} parts with different ids, exactly one of them BODY",
            extra_json_schema={
                "contains": {"properties": {"role": {"const": "BODY"}}},
                "minContains": 1,
                "maxContains": 1,
            },
        ),
    ]
    extensions: (
        Annotated[
            dict[ExtensionName, Extension],
            Meta(
                min_length=1,
                max_length=MAX_EXTENSIONS,
                description=f"1 to {MAX_EXTENSIONS} extensions; left out where there is none",
            ),
        ]
        | None
    ) = None


def encode(manifest: Manifest) -> bytes:
    """The canonical bytes of a manifest. Whether it is acceptable, ``decode`` says.

    Raises:
        NotCanonical: a value has no canonical form; ``field`` says which.
    """
    return canonical.encode(manifest)


def decode(data: bytes) -> Manifest:
    """Read a manifest and check all that can be checked without a registry.

    The order is fixed: size; JSON, schema and canonical form; secrecy; critical extensions; the
    rules between fields. Not checked: whether units and business exist and may write to each
    other, seals, and whether ``envelope_id`` is of a time near now.

    Raises:
        ManifestTooLarge: more than 1 MiB.
        NotCanonical: the bytes are not the canonical form of their value.
        ManifestRefused: a field or a rule; ``field`` names the place, as in
            ``recipients[3].unit``.
        SecrecyRefused: secrecy other than NONE.
        UnknownCriticalExtension: ``field`` names it.
    """
    # 1. Size, before anything is parsed.
    if len(data) > MAX_BYTES:
        raise ManifestTooLarge(
            f"the manifest has {len(data)} bytes; at most {MAX_BYTES} are accepted",
            field="$",
            size=str(len(data)),
            limit=str(MAX_BYTES),
        )
    # 2. JSON, schema, canonical form; inside extensions too.
    manifest = canonical.decode(Manifest, data, ManifestRefused)
    extensions = manifest.extensions or {}
    for name, extension in extensions.items():
        canonical.check_value(extension.value, f"extensions.{name}.value")
    # 3. Secrecy.
    if manifest.document.secrecy is not Secrecy.NONE:
        why = "this is not a classified network, only NONE may pass"
        secrecy = manifest.document.secrecy.value
        raise refusal.of_value(SecrecyRefused, "document.secrecy", secrecy, why)
    # 4. Critical extensions.
    for name, extension in extensions.items():
        if extension.critical and name not in KNOWN_EXTENSIONS:
            why = "is critical and not known here: mark it as not critical or leave it out"
            raise refusal.of_value(
                UnknownCriticalExtension, f"extensions.{name}", refusal.ABSENT, why
            )
    # 5. Rules between fields, and values that only a calendar or a check digit can judge.
    _check_identifiers(manifest)
    _check_dates(manifest)
    _check_genre(manifest.document, manifest.recipients)
    _check_unique("document.issuers[{}]", manifest.document.issuers)
    _check_unique("recipients[{}].unit", [recipient.unit for recipient in manifest.recipients])
    _check_unique("parts[{}].part_id", [part.part_id for part in manifest.parts])
    _check_body(manifest.parts)
    return manifest


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of ``data`` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def _check_identifiers(manifest: Manifest) -> None:
    document = manifest.document
    if not codes.is_uuid7(manifest.envelope_id):
        _refuse("envelope_id", manifest.envelope_id, "its time lies after the year 9999")
    for field, reference in (
        ("supersedes", manifest.supersedes),
        ("refers_to", manifest.refers_to),
        ("voids", manifest.voids),
        ("document.reply_to", document.reply_to),
    ):
        if reference is None:
            continue
        if not codes.is_uuid7(reference):
            _refuse(field, reference, "its time lies after the year 9999")
        if reference == manifest.envelope_id:
            _refuse(field, reference, "an envelope can't refer to itself, name an earlier one")
    if manifest.supersedes is not None and manifest.voids is not None:
        why = "an envelope supersedes an earlier one or declares one void, not both"
        _refuse("voids", manifest.voids, why)
    if not codes.is_doc_id(document.doc_id):
        _refuse("document.doc_id", document.doc_id, "the check character of its code is wrong")


def _check_dates(manifest: Manifest) -> None:
    document = manifest.document
    if not times.is_time(manifest.created_at):
        _refuse("created_at", manifest.created_at, "there is no such instant in the calendar")
    for field, day in (
        ("document.signed_date", document.signed_date),
        ("document.print_date", document.print_date),
        ("document.reply_due", document.reply_due),
    ):
        if day is not None and not times.is_date(day):
            _refuse(field, day, "there is no such day in the calendar")


def _check_genre(document: Document, recipients: tuple[Recipient, ...]) -> None:
    genre = document.genre
    if genre is Genre.NONE and document.business == DOCUMENT_BUSINESS:
        why = f"a document of business {DOCUMENT_BUSINESS} has a genre, as NOTICE or LETTER"
        _refuse("document.genre", genre.value, why)
    if genre is Genre.REQUEST:
        if document.direction is not Direction.UP:
            _refuse("document.direction", document.direction.value, "a REQUEST goes UP")
        addressed = sum(recipient.kind is RecipientKind.TO for recipient in recipients)
        if addressed != 1:
            why = f"have {addressed} of kind TO: a REQUEST goes to exactly one, others are CC"
            _refuse("recipients", refusal.ABSENT, why)
    if document.direction is Direction.UP and document.signatory is None:
        why = "is missing: a document that goes UP names its signatory"
        _refuse("document.signatory", refusal.ABSENT, why)
    if genre is Genre.REPLY and document.reply_to is None and document.answers is None:
        why = "is missing: a REPLY names the envelope in reply_to, or says in answers what it is"
        _refuse("document.reply_to", refusal.ABSENT, why)


def _check_unique(field: str, values: tuple[str, ...] | list[str]) -> None:
    if len(set(values)) == len(values):
        return
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            _refuse(field.format(index), value, "it stands there twice, keep one")
        seen.add(value)


def _check_body(parts: tuple[Part, ...]) -> None:
    bodies = [index for index, part in enumerate(parts) if part.role is PartRole.BODY]
    if not bodies:
        _refuse("parts", refusal.ABSENT, "have no BODY: give exactly one part this role")
    if len(bodies) > 1:
        why = f"parts[{bodies[0]}] is the BODY already, a document has exactly one"
        _refuse(f"parts[{bodies[1]}].role", PartRole.BODY.value, why)


def _refuse(field: str, value: object, why: str) -> None:
    raise refusal.of_value(ManifestRefused, field, value, why)
