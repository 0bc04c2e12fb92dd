"""Requests to seal a draft and their answers: the form, and whose seals count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from document_exchange import countersign, manifest, signature
from document_exchange.errors import (
    InvalidRequest,
    SealNotTrusted,
    SealOfAnotherUnit,
    SignatureRefused,
    VerificationFailed,
)
from document_exchange.manifest import Manifest, Part, PartRole
from tests.pki_for_tests import NOW, Pki, make_system
from tests.real_centre import document, envelope, part

LEADER, SECOND, THIRD = ISSUERS = ("qd-caizheng", "qd-jiaoyu", "qd-tongji")


def draft_of(*issuers: str, sender: str = LEADER) -> tuple[Manifest, bytes]:
    made = envelope([part(b"body")], sender=sender, document=document(issuers))
    return made, manifest.encode(made)


def carrying(*parts: Part, business: str = countersign.BUSINESS, sender: str = LEADER) -> Manifest:
    about = msgspec.structs.replace(document((sender,)), business=business)
    return envelope([part(b"letter"), *parts], document=about, sender=sender)


def of(role: PartRole, content: bytes, name: str, media_type: str = "text/plain") -> Part:
    return msgspec.structs.replace(part(content, name, role), media_type=media_type)


def request_for(content: bytes, *more: Part) -> Manifest:
    listed = of(PartRole.DATA, content, "draft", countersign.MANIFEST_MEDIA_TYPE)
    return carrying(listed, of(PartRole.ATTACHMENT, b"body", "a"), *more)


def sealed(content: bytes, pki: Pki, unit: str) -> bytes:
    return signature.sign(content, pki.seal(unit).signer, at=NOW)


def test_a_whole_request_gives_the_draft_and_its_seals(pki: Pki) -> None:
    draft, content = draft_of(*ISSUERS)
    seals = [sealed(content, pki, unit) for unit in (THIRD, LEADER)]
    asked = request_for(content, *(of(PartRole.SEAL_DATA, s, f"s{n}") for n, s in enumerate(seals)))
    found = countersign.verify_request(asked, content, seals, SECOND, pki.trust, at=NOW)
    assert found == (draft, {LEADER: seals[1], THIRD: seals[0]})
    assert list(found[1]) == [LEADER, THIRD]  # in the issuers' order


def resized(asked: Manifest, role: PartRole, size: int) -> Manifest:
    parts = tuple(
        msgspec.structs.replace(each, size=size) if each.role is role else each
        for each in asked.parts
    )
    return msgspec.structs.replace(asked, parts=parts)


@pytest.mark.parametrize(
    ("role", "limit"),
    [
        (PartRole.DATA, manifest.MAX_BYTES),
        (PartRole.SEAL_DATA, signature.MAX_SIGNATURE_BYTES),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_fetched(role: PartRole, limit: int) -> None:
    asked = request_for(b"{}", of(PartRole.SEAL_DATA, b"s", "s"))
    countersign.read_request(resized(asked, role, limit))
    with pytest.raises(VerificationFailed, match=str(limit + 1)):
        countersign.read_request(resized(asked, role, limit + 1))
    if role is PartRole.SEAL_DATA:
        answer = carrying(of(role, b"s", "s"))
        countersign.read_answer(resized(answer, role, limit))
        with pytest.raises(VerificationFailed, match=str(limit + 1)):
            countersign.read_answer(resized(answer, role, limit + 1))


def test_another_kind_of_document_is_no_request_and_nothing_is_wrong_with_it() -> None:
    letter = carrying(business="DOCUMENT")
    with pytest.raises(InvalidRequest, match="no request for a seal") as caught:
        countersign.read_request(letter)
    assert caught.value.attributes["business"] == "DOCUMENT"
    assert caught.value.attributes["envelope_id"] == letter.envelope_id
    with pytest.raises(VerificationFailed, match="not COUNTERSIGN"):  # as an answer it is wrong
        countersign.read_answer(letter)


def test_other_bytes_than_the_request_lists_are_not_the_draft(pki: Pki) -> None:
    _, content = draft_of(*ISSUERS)
    _, other = draft_of(LEADER, SECOND)
    with pytest.raises(VerificationFailed) as caught:
        countersign.verify_request(request_for(content), other, [], SECOND, pki.trust, at=NOW)
    assert caught.value.attributes["step"] == "countersign.1"


def test_an_answer_counts_for_its_sender_alone(pki: Pki) -> None:
    draft, content = draft_of(*ISSUERS)
    seal = sealed(content, pki, SECOND)
    countersign.verify_answer(SECOND, draft, content, seal, pki.trust, at=NOW)
    for sender in (THIRD, LEADER, "qd-minzheng"):
        with pytest.raises(VerificationFailed) as caught:
            countersign.verify_answer(sender, draft, content, seal, pki.trust, at=NOW)
        assert caught.value.attributes["code"] == SealOfAnotherUnit.code


Seals = Callable[[bytes, Pki], list[bytes]]


def by_tls_certificate(content: bytes, pki: Pki) -> list[bytes]:
    holder = make_system(f"spiffe://exchange.example/unit/{SECOND}/system/oa", pki.tls_ca)
    return [signature.sign(content, holder.signer, at=NOW)]


@pytest.mark.parametrize(
    ("seals", "refusal"),
    [
        (lambda content, pki: [sealed(content, pki, "qd-minzheng")], SealOfAnotherUnit),
        # The sender may seal what it sends for others, but not a draft that it does not issue.
        (lambda content, pki: [sealed(content, pki, LEADER)], SealOfAnotherUnit),
        (lambda content, pki: [sealed(content, pki, SECOND)] * 2, SignatureRefused),
        (by_tls_certificate, SealNotTrusted),
    ],
)
def test_only_issuers_seal_and_once(pki: Pki, seals: Seals, refusal: type[Any]) -> None:
    draft, content = draft_of(SECOND, THIRD)
    with pytest.raises(refusal):
        countersign.verify_seals(draft, content, seals(content, pki), pki.trust, at=NOW)
