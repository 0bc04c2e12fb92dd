"""The draft of a joint issue as a folder that may have been in an enemy's hands."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from exchange_client import drafts
from exchange_client.compose import Draft, Metadata, compose, recipients_of
from exchange_client.draft_requests import KeptRequest, drop_request, keep_request, kept_requests
from exchange_client.draft_writing import write_draft
from exchange_client.drafts import JointDraft, check_age, open_draft, seal_draft
from exchange_client.parts import INLINE_BYTES, PartSource, prepare

from document_exchange import codes, countersign, signature
from document_exchange.errors import (
    ConfigurationError,
    EnvelopeIdOutOfRange,
    ExchangeError,
    InvalidRequest,
    ManifestRefused,
    NotCanonical,
    PartDigestMismatch,
    PartRefused,
    SealExpired,
    SealNotTrusted,
    SealOfAnotherUnit,
    SecrecyRefused,
    SignatureInvalid,
    SignatureRefused,
)
from document_exchange.identity import Identity, Kind
from document_exchange.manifest import Manifest
from tests.pki_for_tests import DAY, NOW, Pki, make_leaf, make_system, unit_seal_id

LEADER, SECOND, THIRD = ISSUERS = ("qd-caizheng", "qd-jiaoyu", "qd-tongji")
SENDER = Identity("exchange.example", Kind.SYSTEM, "oa", LEADER)
FILES = (
    PartSource(b"%PDF-1.7 body", filename="../../通知.PDF"),
    PartSource(bytes(INLINE_BYTES + 1), filename="/etc/cron.d/x;rm -rf"),
    PartSource(b"", filename="no ending"),
)


async def composed(
    files: tuple[PartSource, ...] = FILES, **metadata: Any
) -> tuple[Manifest, bytes, Any]:
    outgoing = await prepare(files)
    draft = Draft(
        envelope_id=codes.new_id(NOW),
        at=NOW,
        sender=SENDER,
        title="关于联合行文的通知",
        doc_id="900000014-2026-1",
        recipients=recipients_of("qd-zhengfuban", ()),
        parts=tuple(each.part for each in outgoing),
    )
    given = cast("Metadata", {"issuers": ISSUERS, **metadata})
    manifest, content = compose(draft, given)
    return manifest, content, outgoing


@pytest.fixture
async def draft(pki: Pki, tmp_path: Path) -> JointDraft:
    """A draft that the leader has sealed."""
    manifest, content, outgoing = await composed()
    seal = signature.sign(content, pki.seal(LEADER).signer, at=NOW)
    return await write_draft(tmp_path / "draft", manifest, content, outgoing, {LEADER: seal})


def opened(draft: JointDraft, pki: Pki) -> JointDraft:
    return open_draft(draft.directory, pki.trust, NOW)


def signature_file(draft: JointDraft, unit: str) -> Path:
    return draft.directory / "signatures" / f"{unit}.p7s"


def test_what_was_written_is_read(draft: JointDraft, pki: Pki) -> None:
    assert opened(draft, pki) == draft
    names = [each.path.relative_to(draft.directory).as_posix() for each in draft.parts]
    # Nothing of a display name but a harmless ending.
    assert names == ["parts/001.pdf", "parts/002", "parts/003"]
    assert [each.path.stat().st_size for each in draft.parts] == [13, INLINE_BYTES + 1, 0]
    assert (draft.sealed_by, draft.missing) == ((LEADER,), (SECOND, THIRD))
    assert abs(draft.send_by - (NOW + timedelta(days=45))) < timedelta(milliseconds=1)
    assert "exchange countersign" in (draft.directory / "README.txt").read_text()


def test_each_issuer_seals_once_in_any_order(draft: JointDraft, pki: Pki) -> None:
    for unit in (THIRD, SECOND):
        sealed = seal_draft(opened(draft, pki), pki.seal(unit).signer, unit, NOW)
        assert sealed == opened(draft, pki)
    assert (sealed.sealed_by, sealed.missing) == (ISSUERS, ())
    with pytest.raises(SignatureRefused, match="already"):
        seal_draft(sealed, pki.seal(SECOND).signer, SECOND, NOW)
    # One that had read the draft before the other sealed it.
    with pytest.raises(SignatureRefused, match="already"):
        seal_draft(draft, pki.seal(SECOND).signer, SECOND, NOW)
    assert opened(draft, pki) == sealed


def test_others_than_issuers_do_not_seal(draft: JointDraft, pki: Pki) -> None:
    with pytest.raises(SealOfAnotherUnit, match=f"{LEADER}, {SECOND}, {THIRD}"):
        seal_draft(draft, pki.seal("qd-minzheng").signer, "qd-minzheng", NOW)
    assert [each.name for each in (draft.directory / "signatures").iterdir()] == [f"{LEADER}.p7s"]


def test_a_draft_is_of_use_for_45_days(draft: JointDraft, pki: Pki) -> None:
    check_age(draft.manifest, NOW + 45 * DAY - timedelta(seconds=1))
    with pytest.raises(EnvelopeIdOutOfRange, match="2026-11-20"):
        seal_draft(draft, pki.seal(SECOND).signer, SECOND, NOW + 46 * DAY)
    assert not signature_file(draft, SECOND).exists()


async def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InvalidRequest, match="not empty"):
        await write_draft(tmp_path, *await composed(), {})
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


async def test_a_file_that_changes_while_it_is_copied(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(INLINE_BYTES + 1))
    made = await composed((PartSource(big),))
    big.write_bytes(b"x" * (INLINE_BYTES + 1))
    os.utime(big, ns=(1, 1))
    with pytest.raises(PartRefused, match="changed"):
        await write_draft(tmp_path / "draft", *made, {})
    # What is left is no draft.
    with pytest.raises(InvalidRequest, match=r"no manifest\.json"):
        open_draft(tmp_path / "draft", Pki().trust, NOW)


# As made by an enemy

Deed = Callable[[JointDraft, Pki], None]


def write(path: str, content: bytes) -> Deed:
    def deed(draft: JointDraft, _: Pki) -> None:
        (draft.directory / path).write_bytes(content)

    return deed


def swap_part(draft: JointDraft, _: Pki) -> None:
    """The same size, so that only the digest tells."""
    draft.parts[0].path.write_bytes(b"%PDF-1.7 BODY")


def swap_names(draft: JointDraft, _: Pki) -> None:
    first, second = (each.path for each in draft.parts[:2])
    first.rename(draft.directory / "kept")
    second.rename(first)
    (draft.directory / "kept").rename(second)


def lose_part(draft: JointDraft, _: Pki) -> None:
    draft.parts[2].path.unlink()


def link_part(draft: JointDraft, _: Pki) -> None:
    """To the right bytes, which could be others a moment later."""
    path = draft.parts[0].path
    path.rename(draft.directory / "elsewhere")
    path.symlink_to(draft.directory / "elsewhere")


def link(name: str) -> Deed:
    def deed(draft: JointDraft, _: Pki) -> None:
        path = draft.directory / name
        path.rename(draft.directory / "elsewhere")
        path.symlink_to(draft.directory / "elsewhere")

    return deed


def pipe(name: str) -> Deed:
    def deed(draft: JointDraft, _: Pki) -> None:
        (draft.directory / name).unlink(missing_ok=True)
        os.mkfifo(draft.directory / name)

    return deed


def changed(**fields: Any) -> Deed:
    """Another manifest, canonical and acceptable, under the leader's seal of the first."""

    def deed(draft: JointDraft, _: Pki) -> None:
        value = json.loads(draft.manifest_bytes)
        value["document"] |= fields
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        (draft.directory / "manifest.json").write_bytes(text.encode())

    return deed


def spaced(draft: JointDraft, _: Pki) -> None:
    (draft.directory / "manifest.json").write_bytes(draft.manifest_bytes + b"\n")


def sealed_as(unit: str, by: str) -> Deed:
    def deed(draft: JointDraft, pki: Pki) -> None:
        made = signature.sign(draft.manifest_bytes, pki.seal(by).signer, at=NOW)
        signature_file(draft, unit).write_bytes(made)

    return deed


def over_other_bytes(draft: JointDraft, pki: Pki) -> None:
    made = signature.sign(draft.manifest_bytes + b" ", pki.seal(SECOND).signer, at=NOW)
    signature_file(draft, SECOND).write_bytes(made)


def copied_seal(draft: JointDraft, _: Pki) -> None:
    """One unit's seal under the name of another, too."""
    signature_file(draft, SECOND).write_bytes(signature_file(draft, LEADER).read_bytes())


def sealed_with(holder: Callable[[Pki], Any]) -> Deed:
    def deed(draft: JointDraft, pki: Pki) -> None:
        made = signature.sign(draft.manifest_bytes, holder(pki).signer, at=NOW)
        signature_file(draft, SECOND).write_bytes(made)

    return deed


def tls_certificate(pki: Pki) -> Any:
    return make_system(f"spiffe://exchange.example/unit/{SECOND}/system/oa", pki.tls_ca)


def of_another_root(_: Pki) -> Any:
    return Pki().seal(SECOND)


def expired(pki: Pki) -> Any:
    return make_leaf(unit_seal_id(SECOND), issuer=pki.seal_ca, not_after=NOW - DAY)


@pytest.mark.parametrize(
    ("deed", "refusal"),
    [
        (swap_part, PartDigestMismatch),
        (swap_names, PartDigestMismatch),
        (lose_part, PartDigestMismatch),
        (link_part, PartDigestMismatch),
        (write("parts/001.pdf", b""), PartDigestMismatch),
        (pipe("parts/001.pdf"), PartDigestMismatch),
        (link("parts"), ConfigurationError),
        (link("signatures"), ConfigurationError),
        (link("manifest.json"), ConfigurationError),
        (link(f"signatures/{LEADER}.p7s"), ConfigurationError),
        (pipe("manifest.json"), ConfigurationError),
        (write("manifest.json", b"x" * 2_000_000), ConfigurationError),
        (
            write(f"signatures/{SECOND}.p7s", b"x" * (signature.MAX_SIGNATURE_BYTES + 1)),
            ConfigurationError,
        ),
        (spaced, NotCanonical),
        (changed(title="关于另一件事的通知"), SignatureInvalid),
        (changed(issuers=[SECOND, THIRD]), SignatureRefused),
        (changed(secrecy="SECRET"), SecrecyRefused),
        (changed(issuers=["../../x"]), ManifestRefused),
        (sealed_as("qd-minzheng", "qd-minzheng"), SignatureRefused),
        (sealed_as(SECOND, "qd-minzheng"), SealOfAnotherUnit),
        (sealed_as(SECOND, THIRD), SealOfAnotherUnit),
        (sealed_as("qd-jiaoyu..", SECOND), SignatureRefused),
        (copied_seal, SealOfAnotherUnit),
        (over_other_bytes, SignatureInvalid),
        (write(f"signatures/{SECOND}.p7s", b"noise"), SignatureInvalid),
        (write("signatures/notes.txt", b"x"), SignatureRefused),
        (sealed_with(tls_certificate), SealNotTrusted),
        (sealed_with(of_another_root), SealNotTrusted),
        (sealed_with(lambda pki: pki.centre_seal), SealOfAnotherUnit),
        (sealed_with(expired), SealExpired),
    ],
)
def test_nothing_forged_is_opened(
    draft: JointDraft, pki: Pki, deed: Deed, refusal: type[ExchangeError]
) -> None:
    opened(draft, pki)
    deed(draft, pki)
    with pytest.raises(refusal):
        opened(draft, pki)


def test_what_no_name_leads_to_is_not_read(draft: JointDraft, pki: Pki) -> None:
    (draft.directory / "parts" / "004.exe").write_bytes(b"x")
    (draft.directory / "signatures" / ".DS_Store").write_bytes(b"x")
    os.mkfifo(draft.directory / "notes")
    assert opened(draft, pki) == draft


def test_a_refused_seal_is_named_by_its_file(draft: JointDraft, pki: Pki) -> None:
    over_other_bytes(draft, pki)
    with pytest.raises(SignatureInvalid) as caught:
        opened(draft, pki)
    assert caught.value.attributes["file"] == str(signature_file(draft, SECOND))


async def test_requests_are_kept_for_their_own_draft_alone(
    draft: JointDraft, pki: Pki, tmp_path: Path
) -> None:
    async def request(content: bytes, **metadata: Any) -> KeptRequest:
        files = (
            PartSource(b"letter"),
            PartSource(content, "DATA", "m.json", countersign.MANIFEST_MEDIA_TYPE),
        )
        business = {"business": countersign.BUSINESS, "issuers": (LEADER,)} | metadata
        manifest, sealed, _ = await composed(files, **business)
        return KeptRequest(manifest, sealed, b"p7s")

    first, second = await request(draft.manifest_bytes), await request(draft.manifest_bytes)
    keep_request(draft, second)
    keep_request(draft, first)
    keep_request(draft, await request(b"{}"))  # of another draft
    keep_request(draft, await request(draft.manifest_bytes, business="DATA"))
    requests = draft.directory / "requests"
    (requests / f"{codes.new_id(NOW)}.json").write_bytes(b"noise")
    (requests / f"{codes.new_id(NOW)}.json").write_bytes(first.manifest_bytes)
    (requests / f"{codes.new_id(NOW)}.json").symlink_to(tmp_path)
    (requests / "..json").write_bytes(first.manifest_bytes)
    expected = sorted((first, second), key=lambda each: each.envelope_id)
    assert kept_requests(draft, LEADER) == expected
    assert kept_requests(draft, SECOND) == []
    assert drafts.open_draft(draft.directory, pki.trust, NOW) == draft
    for _ in range(2):  # another process may have dropped it already
        drop_request(draft, first)
    assert kept_requests(draft, LEADER) == [second]
    assert not list(requests.glob(f"{first.envelope_id}*"))
