"""Joint issue 联合行文 through the centre: how units ask for seals of a draft, and answer.

Both are ordinary envelopes of business COUNTERSIGN (docs/formats.md). A request carries the draft:
its manifest as DATA, the seals that it has already as SEAL_DATA, and its parts as ATTACHMENTs in
the manifest's order. An answer names the request in reply_to and carries the answering unit's
seal as its one SEAL_DATA part.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from document_exchange import manifest as manifests
from document_exchange import verification
from document_exchange.certificates import SealTrust
from document_exchange.errors import (
    ExchangeError,
    InvalidRequest,
    SealOfAnotherUnit,
    VerificationFailed,
)
from document_exchange.manifest import Manifest, Part, PartRole, sha256_hex
from document_exchange.signature import MAX_SIGNATURE_BYTES

BUSINESS: Final = "COUNTERSIGN"
MANIFEST_MEDIA_TYPE: Final = "application/vnd.document-exchange.manifest+json"
SIGNATURE_MEDIA_TYPE: Final = "application/pkcs7-signature"

Seals = dict[str, bytes]
"""Detached CMS over a draft's manifest by the unit whose seal made it, in the issuers' order."""


@dataclass(frozen=True, slots=True)
class RequestForm:
    """The parts of a request by what they are for, as the request's own manifest lists them."""

    manifest: Part
    signatures: tuple[Part, ...]
    parts: tuple[Part, ...]
    """The draft's parts, in its order."""


def read_request(envelope: Manifest) -> RequestForm:
    """Tell the parts of a request apart, before any of their bytes are read.

    Raises:
        InvalidRequest: it is another kind of document, with which nothing is wrong; ``business``
            names it.
        VerificationFailed: it has not the form of a request; ``step`` is ``countersign.request``.
    """
    step = "countersign.request"
    business = envelope.document.business
    if business != BUSINESS:
        raise InvalidRequest(
            f"envelope {envelope.envelope_id} of {envelope.sender} is no request for a seal: its"
            f" business is {business}, not {BUSINESS}",
            field="envelope_id",
            envelope_id=envelope.envelope_id,
            business=business,
        )
    drafts = _of_role(envelope, PartRole.DATA)
    if [part.media_type for part in drafts] != [MANIFEST_MEDIA_TYPE]:
        raise VerificationFailed("a request carries one draft manifest, as its DATA", step=step)
    if drafts[0].size > manifests.MAX_BYTES:
        raise VerificationFailed(f"its draft manifest has {drafts[0].size} bytes", step=step)
    signatures = _of_role(envelope, PartRole.SEAL_DATA)
    for part in signatures:
        _check_signature_size(part, step)
    return RequestForm(drafts[0], signatures, _of_role(envelope, PartRole.ATTACHMENT))


def verify_request(
    envelope: Manifest,
    content: bytes,
    signatures: Sequence[bytes],
    unit: str,
    trust: SealTrust,
    *,
    at: dt.datetime,
) -> tuple[Manifest, Seals]:
    """What a unit is asked to seal is a whole draft of the one who asks.

    1. ``content`` is the draft manifest that the request lists, and decodes by the rules for
       documents.
    2. The one who asks is its sender.
    3. ``unit`` is among its issuers.
    4. The request carries the draft's parts, all of them, in its order.
    5. Each seal that it brings is of an issuer, and over exactly these bytes.

    What the caller must still do: have verified ``envelope`` and the bytes of its parts; know that
    the seals are not revoked (the centre looks again when the document is sent).

    Args:
        envelope: the request's manifest.
        content: the bytes of its part for the draft manifest.
        signatures: those of its SEAL_DATA parts.
        unit: the one that is asked.
        at: now.

    Returns:
        The draft's manifest, and the seals that it has.

    Raises:
        InvalidRequest, VerificationFailed: it is no request, as ``read_request`` says.
        VerificationFailed: ``step`` is ``countersign.N``, N the step that failed.
    """
    form = read_request(envelope)
    # 1. The draft's manifest.
    if sha256_hex(content) != form.manifest.sha256:
        raise VerificationFailed("these are other bytes than the request lists", step=_step(1))
    try:
        draft = manifests.decode(content)
    except ExchangeError as error:
        raise _failed(1, f"the draft is not acceptable: {error.message}", error) from error
    # 2. Whose it is.
    if draft.sender != envelope.sender:
        raise VerificationFailed(
            f"{envelope.sender} asks, but only {draft.sender} can send the draft", step=_step(2)
        )
    # 3. Who is asked.
    if unit not in draft.document.issuers:
        raise VerificationFailed(f"{unit} is not an issuer of the draft", step=_step(3))
    # 4. All that would be sealed can be read.
    attached = [(part.size, part.sha256) for part in form.parts]
    if attached != [(part.size, part.sha256) for part in draft.parts]:
        raise VerificationFailed(
            "the attached files are not the parts that the draft lists, in its order", step=_step(4)
        )
    # 5. Who sealed it before.
    try:
        return draft, verify_seals(draft, content, signatures, trust, at=at)
    except ExchangeError as error:
        raise _failed(5, f"a seal that came with the draft: {error.message}", error) from error


def read_answer(envelope: Manifest) -> Part:
    """The part of an answer that is the seal, before any bytes are read.

    Raises:
        VerificationFailed: it has not the form of an answer; ``step`` is ``countersign.answer``.
    """
    step = "countersign.answer"
    business = envelope.document.business
    if business != BUSINESS:
        raise VerificationFailed(f"its business is {business}, not {BUSINESS}", step=step)
    signatures = _of_role(envelope, PartRole.SEAL_DATA)
    if len(signatures) != 1:
        why = f"an answer carries one seal as SEAL_DATA, this one has {len(signatures)}"
        raise VerificationFailed(why, step=step)
    _check_signature_size(signatures[0], step)
    return signatures[0]


def verify_answer(
    sender: str,
    draft: Manifest,
    content: bytes,
    signature: bytes,
    trust: SealTrust,
    *,
    at: dt.datetime,
) -> None:
    """An answer brings the seal of the unit that sent it, an issuer, over the draft's bytes.

    What the caller must still do: have verified the answer's envelope, and that it replies to a
    request for this draft.

    Raises:
        VerificationFailed: ``step`` is ``countersign.answer``.
    """
    try:
        sealed_by = verify_seals(draft, content, (signature,), trust, at=at)
        if sender not in sealed_by:
            raise SealOfAnotherUnit(f"{sender} sent a seal of {', '.join(sealed_by)}", unit=sender)
    except ExchangeError as error:
        raise VerificationFailed(
            error.message, **{**error.attributes, "step": "countersign.answer", "code": error.code}
        ) from error


def verify_seals(
    draft: Manifest,
    content: bytes,
    signatures: Sequence[bytes],
    trust: SealTrust,
    *,
    at: dt.datetime,
) -> Seals:
    """Whose seals a draft has: each of an issuer and over exactly ``content``, one of each unit.

    Revocation is not looked at: there is no list at hand, and the centre does when it is sent.

    Raises:
        SignatureRefused and its kinds: see ``verification.verify_seals_so_far``; the sender's seal
            is refused, too, where it is no issuer.
    """
    found = verification.verify_seals_so_far(draft, content, signatures, trust, at=at, crls=None)
    by_unit: Seals = {}
    for (whose, _), signature in zip(found, signatures, strict=True):
        if whose.unit is None or whose.unit not in draft.document.issuers:
            raise SealOfAnotherUnit(f"{whose} is not of an issuer", identity=str(whose))
        by_unit[whose.unit] = signature
    return {unit: by_unit[unit] for unit in draft.document.issuers if unit in by_unit}


def _check_signature_size(part: Part, step: str) -> None:
    if part.size > MAX_SIGNATURE_BYTES:
        why = f"{part.part_id} has {part.size} bytes, a seal at most {MAX_SIGNATURE_BYTES}"
        raise VerificationFailed(why, step=step)


def _of_role(envelope: Manifest, role: PartRole) -> tuple[Part, ...]:
    return tuple(part for part in envelope.parts if part.role is role)


def _step(number: int) -> str:
    return f"countersign.{number}"


def _failed(number: int, why: str, error: ExchangeError) -> VerificationFailed:
    attributes = {**error.attributes, "step": _step(number), "code": error.code}
    return VerificationFailed(why, **attributes)
