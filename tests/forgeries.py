"""Submissions that must be refused, each for one fault alone, and what the refusal must say.

Over the raw Submit call: an attacker has no SDK that checks beforehand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from document_exchange import codes, manifest
from document_exchange.manifest import Extension, Manifest, Part, PartRole, Secrecy
from tests.pki_for_tests import DAY, Holder, make_leaf, unit_seal_id
from tests.real_centre import (
    RECIPIENT,
    SENDER,
    CentreInside,
    Upload,
    document,
    envelope,
    now,
    part,
    recipients,
    sealed,
)

BODY = os.urandom(70_000)
BIG = os.urandom(9 * 1024 * 1024)
"""More than one block, so that the first is stored before the fault is found."""
CHUNK = 256 * 1024
LARGEST_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Forger:
    """What a case has to work with: a system of the sender that is its own, and seals."""

    inside: CentreInside
    system: str
    caller: Holder
    revoked: Holder

    @property
    def seal(self) -> Holder:
        return self.inside.unit(SENDER, "seal")

    def envelope(self, parts: Sequence[Part] | None = None, **changes: Any) -> Manifest:
        """What the centre accepts from this system, unless ``changes`` make it another."""
        if parts is None:
            parts = [part(BODY)]
        return envelope(parts, **({"sender_system": self.system} | changes))

    def upload(self, made: Manifest | None = None, *seals: Holder) -> Upload:
        """What the centre accepts, if the manifest is acceptable."""
        content = manifest.encode(made or self.envelope())
        return Upload(content, sealed(content, *(seals or (self.seal,))), (("part-1", BODY),))


def chunks_of(data: bytes, part_id: str = "part-1") -> tuple[tuple[str, bytes], ...]:
    return tuple((part_id, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))


def wrong_signature(forger: Forger) -> Upload:
    upload = forger.upload()
    (good,) = upload.signatures
    upload.signatures = (good[:-1] + bytes([good[-1] ^ 1]),)
    return upload


def missing_signature(forger: Forger) -> Upload:
    upload = forger.upload()
    upload.signatures = ()
    return upload


def altered_manifest(forger: Forger) -> Upload:
    upload = forger.upload()
    upload.manifest = upload.manifest.replace("编制".encode(), "编造".encode())
    return upload


def seal_of_another_unit(forger: Forger) -> Upload:
    return forger.upload(None, forger.inside.unit(RECIPIENT, "seal"))


def tls_certificate_as_seal(forger: Forger) -> Upload:
    return forger.upload(None, forger.inside.unit(SENDER, "system"))


def other_sender(forger: Forger) -> Upload:
    made = forger.envelope(sender=RECIPIENT, document=document([RECIPIENT]))
    return forger.upload(made, forger.inside.unit(RECIPIENT, "seal"))


def other_system(forger: Forger) -> Upload:
    return forger.upload(forger.envelope(sender_system="other"))


def joint_issue_without_one_seal(forger: Forger) -> Upload:
    return forger.upload(forger.envelope(document=document([SENDER, "qd-tongji"])))


def expired_seal(forger: Forger) -> Upload:
    seal = make_leaf(
        unit_seal_id(SENDER),
        issuer=forger.inside.issuing("seal-ca"),
        not_before=now() - 30 * DAY,
        not_after=now() - DAY,
    )
    return forger.upload(None, seal)


def unpublished_seal(forger: Forger) -> Upload:
    """By the right authority, but not through it: what it issues is in the ledger at once."""
    seal = make_leaf(unit_seal_id(SENDER), issuer=forger.inside.issuing("seal-ca"))
    return forger.upload(None, seal)


def revoked_seal(forger: Forger) -> Upload:
    return forger.upload(None, forger.revoked)


def other_digest(forger: Forger) -> Upload:
    upload = forger.upload(forger.envelope([part(BIG)]))
    upload.chunks = chunks_of(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    return upload


def other_size(forger: Forger) -> Upload:
    other = msgspec.structs.replace(part(BIG), size=len(BIG) + 1)
    upload = forger.upload(forger.envelope([other]))
    upload.chunks = chunks_of(BIG)
    return upload


def too_few_bytes(forger: Forger) -> Upload:
    upload = forger.upload(forger.envelope([part(BIG)]))
    upload.chunks = chunks_of(BIG)[:-1]
    return upload


def too_many_bytes(forger: Forger) -> Upload:
    upload = forger.upload(forger.envelope([part(BIG)]))
    upload.chunks = (*chunks_of(BIG), ("part-1", b"x"))
    return upload


def part_twice_in_the_stream(forger: Forger) -> Upload:
    parts = [part(BODY), part(b"second", "part-2", PartRole.ATTACHMENT)]
    upload = forger.upload(forger.envelope(parts))
    upload.chunks = (("part-1", BODY), ("part-2", b"sec"), ("part-1", BODY), ("part-2", b"ond"))
    return upload


def part_not_in_the_manifest(forger: Forger) -> Upload:
    upload = forger.upload()
    upload.chunks = (("part-9", BODY),)
    return upload


def part_twice_in_the_manifest(forger: Forger) -> Upload:
    return forger.upload(forger.envelope([part(BODY), part(BODY, role=PartRole.ATTACHMENT)]))


def unknown_recipient(forger: Forger) -> Upload:
    return forger.upload(forger.envelope(recipients=recipients([RECIPIENT, "qd-nobody"])))


def secret(forger: Forger) -> Upload:
    changed = msgspec.structs.replace(document(), secrecy=Secrecy.SECRET)
    return forger.upload(forger.envelope(document=changed))


def two_bodies(forger: Forger) -> Upload:
    return forger.upload(forger.envelope([part(BODY), part(BODY, "part-2")]))


def _resealed(forger: Forger, old: bytes, new: bytes) -> Upload:
    """With other bytes in the manifest, properly sealed."""
    upload = forger.upload()
    assert upload.manifest.count(old) == 1
    upload.manifest = upload.manifest.replace(old, new)
    upload.signatures = sealed(upload.manifest, forger.seal)
    return upload


def unknown_field(forger: Forger) -> Upload:
    return _resealed(forger, b',"urgency":', b',"unheard_of":1,"urgency":')


def duplicate_key(forger: Forger) -> Upload:
    return _resealed(forger, b'"urgency":"NORMAL"', b'"urgency":"NORMAL","urgency":"NORMAL"')


def unknown_critical_extension(forger: Forger) -> Upload:
    extensions = {"example.org/handling": Extension(critical=True, value="shred")}
    return forger.upload(forger.envelope(extensions=extensions))


def parts_65(forger: Forger) -> Upload:
    more = [part(BODY, f"more-{n}", PartRole.ATTACHMENT) for n in range(64)]
    return forger.upload(forger.envelope([part(BODY), *more]))


def recipients_501(forger: Forger) -> Upload:
    return forger.upload(forger.envelope(recipients=recipients(f"unit-{n}" for n in range(501))))


def oversized_manifest(forger: Forger) -> Upload:
    extensions = {"example.org/bulk": Extension(critical=False, value="x" * manifest.MAX_BYTES)}
    return forger.upload(forger.envelope(extensions=extensions))


def envelope_of_last_year(forger: Forger) -> Upload:
    return forger.upload(forger.envelope(envelope_id=codes.new_id(now() - 365 * DAY)))


def envelope_of_tomorrow(forger: Forger) -> Upload:
    return forger.upload(forger.envelope(envelope_id=codes.new_id(now() + DAY)))


def unknown_business(forger: Forger) -> Upload:
    changed = msgspec.structs.replace(document(), business="UNHEARD_OF")
    return forger.upload(forger.envelope(document=changed))


def issuer_for_whom_the_sender_may_not_act(forger: Forger) -> Upload:
    made = forger.envelope(document=document([RECIPIENT]))
    return forger.upload(made, forger.inside.unit(RECIPIENT, "seal"))


def nothing_at_all(forger: Forger) -> Upload:
    upload = forger.upload()
    upload.chunks, upload.header_before = (), ()
    return upload


def chunk_before_header(forger: Forger) -> Upload:
    upload = forger.upload()
    upload.header_before = (1,)
    return upload


def header_twice(forger: Forger) -> Upload:
    upload = forger.upload()
    upload.header_before = (0, 1)
    return upload


def oversized_chunk(forger: Forger) -> Upload:
    upload = forger.upload(forger.envelope([part(BIG)]))
    upload.chunks = (("part-1", BIG[: LARGEST_CHUNK + 1]),)
    return upload


Case = Callable[[Forger], Upload]

CASES: Mapping[Case, tuple[str, Mapping[str, str]]] = {
    wrong_signature: ("SIGNATURE_INVALID", {"signature": "0"}),
    missing_signature: ("SIGNATURE_MISSING", {"unit": SENDER}),
    altered_manifest: ("SIGNATURE_INVALID", {"signature": "0"}),
    seal_of_another_unit: ("SEAL_OF_ANOTHER_UNIT", {"unit": RECIPIENT, "signature": "0"}),
    tls_certificate_as_seal: ("SEAL_NOT_TRUSTED", {"signature": "0"}),
    other_sender: ("SENDER_MISMATCH", {"field": "sender"}),
    other_system: ("SENDER_MISMATCH", {"field": "sender"}),
    joint_issue_without_one_seal: ("SIGNATURE_MISSING", {"unit": "qd-tongji"}),
    expired_seal: ("SEAL_EXPIRED", {"identity": unit_seal_id(SENDER), "signature": "0"}),
    unpublished_seal: ("SEAL_REVOKED", {"unit": SENDER}),
    revoked_seal: ("SEAL_REVOKED", {"unit": SENDER}),
    other_digest: ("PART_DIGEST_MISMATCH", {"part_id": "part-1"}),
    other_size: ("PART_SIZE_MISMATCH", {"part_id": "part-1"}),
    too_few_bytes: ("PART_SIZE_MISMATCH", {"part_id": "part-1"}),
    too_many_bytes: ("PART_SIZE_MISMATCH", {"part_id": "part-1"}),
    part_twice_in_the_stream: ("PART_OUT_OF_ORDER", {"part_id": "part-1"}),
    part_not_in_the_manifest: ("PART_OUT_OF_ORDER", {"part_id": "part-9"}),
    part_twice_in_the_manifest: ("MANIFEST_REFUSED", {"field": "parts[1].part_id"}),
    unknown_recipient: ("RECIPIENTS_REFUSED", {"qd-nobody": "there is no such unit"}),
    unknown_business: ("MANIFEST_REFUSED", {"field": "document.business", "value": "UNHEARD_OF"}),
    issuer_for_whom_the_sender_may_not_act: ("NOT_PERMITTED", {"field": "document.issuers"}),
    secret: ("SECRECY_REFUSED", {"field": "document.secrecy"}),
    two_bodies: ("MANIFEST_REFUSED", {"field": "parts[1].role"}),
    unknown_field: ("MANIFEST_REFUSED", {"field": "document.unheard_of"}),
    duplicate_key: ("NOT_CANONICAL", {"field": "document.urgency"}),
    unknown_critical_extension: (
        "UNKNOWN_CRITICAL_EXTENSION",
        {"field": "extensions.example.org/handling"},
    ),
    parts_65: ("MANIFEST_REFUSED", {"field": "parts"}),
    recipients_501: ("MANIFEST_REFUSED", {"field": "recipients"}),
    oversized_manifest: ("MANIFEST_TOO_LARGE", {"field": "$", "limit": str(manifest.MAX_BYTES)}),
    envelope_of_last_year: ("ENVELOPE_ID_OUT_OF_RANGE", {"field": "envelope_id"}),
    envelope_of_tomorrow: ("ENVELOPE_ID_OUT_OF_RANGE", {"field": "envelope_id"}),
    nothing_at_all: ("INVALID_REQUEST", {"field": "header"}),
    chunk_before_header: ("INVALID_REQUEST", {"field": "header"}),
    header_twice: ("INVALID_REQUEST", {"field": "message"}),
    oversized_chunk: ("INVALID_REQUEST", {"field": "chunk.data"}),
}
"""Each case with the error that must come: its code, and attributes that it must have."""

BLOCKS_STAY_BEHIND = frozenset({other_digest, other_size, too_few_bytes, too_many_bytes})
"""Cases whose first block is stored before the fault shows."""
