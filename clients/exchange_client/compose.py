"""From what an application says about a document to its manifest, checked as the centre will."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypedDict

from document_exchange import identity, manifest, signature, times
from document_exchange.errors import ConfigurationError, ExchangeError, SignatureMissing
from document_exchange.identity import Identity
from document_exchange.manifest import (
    DOCUMENT_BUSINESS,
    Category,
    Direction,
    Disclosure,
    Document,
    Extension,
    Genre,
    Manifest,
    Part,
    Recipient,
    RecipientKind,
    Secrecy,
    Urgency,
)
from document_exchange.signature import Signer
from exchange_client.choices import chosen, date_text, one_or_more

_USUAL_GENRE = {
    Direction.UP: Genre.REPORT,
    Direction.DOWN: Genre.NOTICE,
    Direction.PARALLEL: Genre.LETTER,
}
"""The genre for lack of another: what is written to a superior, a subordinate, a peer."""


class Metadata(TypedDict, total=False):
    """Further fields of a document (docs/formats.md), all optional.

    ``genre`` defaults to REPORT, NOTICE or LETTER by direction, and to NONE outside the line of
    business DOCUMENT; ``direction`` to PARALLEL; ``urgency`` to NORMAL; ``secrecy`` to NONE, and
    nothing else passes; ``signed_date`` to today; ``issuers`` to the own unit; ``reply_required``
    to whether there is a ``reply_due``.
    """

    business: str
    genre: Genre | str
    category: Category | str
    direction: Direction | str
    number: str
    issuer_mark: str
    issuers: str | Sequence[str]
    signatory: str
    signed_date: date | str
    print_unit: str
    print_date: date | str
    secrecy: Secrecy | str
    secrecy_period: str
    urgency: Urgency | str
    release_scope: str
    disclosure: Disclosure | str
    attachment_note: str
    remark: str
    contact: str
    reply_required: bool
    reply_due: date | str
    reply_to: str
    answers: str
    operator: str
    open_circulation: bool
    supersedes: str
    refers_to: str
    voids: str
    extensions: Mapping[str, Extension]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a manifest needs besides the metadata."""

    envelope_id: str
    at: datetime
    sender: Identity
    title: str
    doc_id: str
    recipients: tuple[Recipient, ...]
    parts: tuple[Part, ...]


def compose(draft: Draft, metadata: Metadata) -> tuple[Manifest, bytes]:
    """The manifest and its canonical bytes.

    Raises:
        InvalidRequest: an unknown genre, urgency, ...
        ManifestRefused, SecrecyRefused: as the centre would; ``field`` names the place.
    """
    if draft.sender.unit is None:
        raise ConfigurationError(f"{draft.sender} is not a unit's system and can't send")
    extensions = metadata.get("extensions")
    content = manifest.encode(
        Manifest(
            schema=manifest.SCHEMA,
            envelope_id=draft.envelope_id,
            created_at=times.format_time(draft.at),
            sender=draft.sender.unit,
            sender_system=draft.sender.name,
            operator=metadata.get("operator"),
            supersedes=metadata.get("supersedes"),
            refers_to=metadata.get("refers_to"),
            voids=metadata.get("voids"),
            document=_document(draft, draft.sender.unit, metadata),
            recipients=draft.recipients,
            parts=draft.parts,
            extensions=dict(extensions) if extensions else None,
        )
    )
    return manifest.decode(content), content


def _document(draft: Draft, unit: str, metadata: Metadata) -> Document:
    business = metadata.get("business", DOCUMENT_BUSINESS)
    direction = chosen(Direction, metadata.get("direction", Direction.PARALLEL), "direction")
    usual = _USUAL_GENRE[direction] if business == DOCUMENT_BUSINESS else Genre.NONE
    signed_date = metadata.get("signed_date", draft.at.astimezone().date())
    category = metadata.get("category")
    disclosure = metadata.get("disclosure")
    print_date = metadata.get("print_date")
    reply_due = metadata.get("reply_due")
    return Document(
        doc_id=draft.doc_id,
        business=business,
        genre=chosen(Genre, metadata.get("genre", usual), "genre"),
        category=None if category is None else chosen(Category, category, "category"),
        direction=direction,
        title=draft.title,
        number=metadata.get("number"),
        issuer_mark=metadata.get("issuer_mark"),
        issuers=one_or_more(metadata.get("issuers", (unit,)), (str,), "issuers"),
        signatory=metadata.get("signatory"),
        signed_date=date_text(signed_date),
        print_unit=metadata.get("print_unit"),
        print_date=None if print_date is None else date_text(print_date),
        secrecy=chosen(Secrecy, metadata.get("secrecy", Secrecy.NONE), "secrecy"),
        secrecy_period=metadata.get("secrecy_period"),
        urgency=chosen(Urgency, metadata.get("urgency", Urgency.NORMAL), "urgency"),
        release_scope=metadata.get("release_scope"),
        disclosure=None if disclosure is None else chosen(Disclosure, disclosure, "disclosure"),
        attachment_note=metadata.get("attachment_note"),
        remark=metadata.get("remark"),
        contact=metadata.get("contact"),
        reply_required=metadata.get("reply_required", reply_due is not None),
        reply_due=None if reply_due is None else date_text(reply_due),
        reply_to=metadata.get("reply_to"),
        answers=metadata.get("answers"),
        open_circulation=metadata.get("open_circulation", False),
    )


def recipients_of(
    recipients: str | Recipient | Iterable[str | Recipient],
    cc: str | Recipient | Iterable[str | Recipient],
) -> tuple[Recipient, ...]:
    """Recipients as the manifest lists them: unit ids in ``recipients`` are TO, in ``cc`` CC.

    Raises:
        InvalidRequest: one is neither a unit id nor a ``Recipient``.
    """
    return tuple(
        given if isinstance(given, Recipient) else Recipient(unit=given, kind=kind)
        for kind, several, field in (
            (RecipientKind.TO, recipients, "recipients"),
            (RecipientKind.CC, cc, "cc"),
        )
        for given in one_or_more(several, (str, Recipient), field)
    )


def seal(
    content: bytes,
    issuers: Sequence[str],
    own: Signer | None,
    others: Iterable[Signer],
    at: datetime,
) -> tuple[bytes, ...]:
    """One signature over the manifest by each issuer's seal, in the order of ``issuers``.

    Args:
        content: the manifest's exact bytes.
        issuers: the units that issue the document.
        own: the seal of the sending unit, used if that unit is an issuer.
        others: seals of other issuers (joint issue, or sending for another unit).
        at: the signing time.

    Raises:
        SignatureMissing: there is no seal for an issuer; ``unit`` names it.
    """
    by_unit: dict[str, Signer] = {}
    for signer in (*others, *([own] if own is not None else [])):
        holder = unit_of(signer)
        by_unit.setdefault(holder, signer)
    for unit in issuers:
        if unit not in by_unit:
            raise SignatureMissing(
                f"{unit} is an issuer, so its seal is needed: give it as one of the signers, or in"
                " the profile if it is the own unit",
                unit=unit,
            )
    return tuple(signature.sign(content, by_unit[unit], at=at) for unit in issuers)


def unit_of(signer: Signer) -> str:
    """The unit whose seal this is.

    Raises:
        ConfigurationError: it is no unit's seal.
    """
    try:
        holder = identity.of_certificate(signer.certificate)
    except ExchangeError as error:
        raise ConfigurationError(f"the signer's certificate names nobody: {error}") from error
    if holder.kind is not identity.Kind.SEAL or holder.unit is None:
        raise ConfigurationError(f"{holder} is not a unit's seal and can't seal a document")
    return holder.unit
