"""Bundles of evidence made in memory, true ones and forged ones, of fixed keys, dates and salts.

Everything is derived from names, and signatures are deterministic (RFC 6979), so the same story
gives the same bytes each time. A ``Story`` says what happened; a ``Forgery`` what somebody who
holds some of the keys made of it.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ObjectIdentifier

from document_exchange import (
    codes,
    event,
    evidence,
    receipt,
    signature,
    times,
    timestamp,
    transitions,
)
from document_exchange import manifest as manifests
from document_exchange import timestamp_answer as answers
from document_exchange.certificates import fingerprint
from document_exchange.evidence import Content
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import (
    RECEIPT_SCHEMA,
    SIGNED_BY_CENTRE,
    SIGNED_BY_SENDER,
    Admission,
    Deadline,
    ReasonCode,
    Receipt,
    ReceiptType,
    State,
)
from document_exchange.signature import KeySigner
from document_exchange.transitions import Standing
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    CLIENT,
    DAY,
    SEAL_CA_PURPOSES,
    SERVER,
    TIME_STAMPING,
    TRUST_DOMAIN,
    Holder,
    key_usage,
    make_authority,
    make_crl,
    make_leaf,
    unit_seal_id,
)

THEN = dt.datetime(2019, 6, 3, 1, 30, tzinfo=dt.UTC)
"""When the stories begin. All certificates have ended long since: evidence does not mind."""
MINUTE = dt.timedelta(minutes=1)

Value = dict[str, Any]
Files = dict[str, bytes]


class FixedSigner(KeySigner):
    """Signs the same bytes alike each time."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(holder.certificate, holder.key)
        self._key = holder.key

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


class City:
    """An exchange whose keys and certificates follow from its name alone."""

    def __init__(self, name: str = "city") -> None:
        self.name = name
        self.root = self.authority("Root", issuer=None, path_length=1)
        self.seal_ca = self.authority("Seal CA", issuer=self.root, purposes=SEAL_CA_PURPOSES)
        self.tls_ca = self.authority("TLS CA", issuer=self.root, purposes=(*SERVER, *CLIENT))
        self._leaves: dict[str, Holder] = {}

    def authority(self, name: str, *, key_name: str = "", **values: Any) -> Holder:
        """A CA; ``key_name`` tells apart those of one name."""
        period = {"not_before": THEN - 365 * DAY, "not_after": THEN + 3650 * DAY}
        own = self._own(key_name or name, ec.SECP384R1())
        return make_authority(name, **({"path_length": 0} | period | own | values))

    def _own(self, name: str, curve: ec.EllipticCurve) -> dict[str, Any]:
        seed = hashlib.sha512(f"document-exchange test key {self.name} {name}".encode()).digest()
        key = ec.derive_private_key(int.from_bytes(seed[:32]), curve)
        return {"key": key, "serial": int.from_bytes(seed[32:48]) | 1}

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.root.certificate)

    def leaf(self, identity: str, name: str = "", **changes: Any) -> Holder:
        """One certificate of the seal CA; ``name`` tells apart those of one identity."""
        known = f"{identity} {name}"
        if known not in self._leaves:
            values: dict[str, Any] = {"issuer": self.seal_ca}
            values |= {"not_before": THEN - 30 * DAY, "not_after": THEN + 335 * DAY}
            values |= self._own(known, ec.SECP256R1()) | changes
            self._leaves[known] = make_leaf(identity, **values)
        return self._leaves[known]

    def seal(self, unit: str) -> Holder:
        return self.leaf(unit_seal_id(unit))

    @property
    def centre(self) -> Holder:
        return self.leaf(CENTRE_SEAL_ID)

    @property
    def tsa(self) -> Holder:
        return self.leaf(
            f"spiffe://{TRUST_DOMAIN}/centre/tsa/main",
            purposes=TIME_STAMPING,
            purposes_critical=True,
        )

    def system(self, unit: str) -> Holder:
        """A certificate of the TLS CA, which is no seal."""
        return self.leaf(
            f"spiffe://{TRUST_DOMAIN}/unit/{unit}/system/oa", issuer=self.tls_ca, purposes=CLIENT,
            usage=key_usage("digital_signature"),
        )  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One statement of a delivery."""

    type: ReceiptType
    at: dt.datetime
    reason_code: ReasonCode | None = None
    reason: str | None = None
    deadline: Deadline | None = None


@dataclass(frozen=True)
class Story:
    """What happened to one envelope, and what of it the bundle tells."""

    manifest: Manifest
    parts: Sequence[bytes]
    histories: Mapping[str, Sequence[Step]]
    """By recipient; the bundle is about these."""
    made_at: dt.datetime
    accepted_at: dt.datetime = THEN
    content: Content = Content.PARTS
    stamped_at: dt.datetime | None = None
    list_days: Sequence[int] = (0,)
    """Days after ``THEN`` on which the revocation lists in the bundle were issued."""
    revoked: Mapping[int, Sequence[Holder]] = field(default_factory=dict)
    """By such a day, which seals the list of the seal CA holds."""


@dataclass(frozen=True)
class Forgery:
    """What differs from the truth. Stems are paths without their suffix, as ``accepted``."""

    signers: Mapping[str, Holder] = field(default_factory=dict)
    """Who signed: by a signature's path."""
    made: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    """How the content was signed instead, by another program for example: by a signature's path."""
    rewritten: Mapping[str, Callable[[Value], Value]] = field(default_factory=dict)
    """What was written instead into the JSON of this path before it was signed."""
    respelt: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    """How the bytes of this path were written instead, after that."""
    before_index: Callable[[Files], None] = lambda files: None
    """Changes the files before they are indexed, in place."""
    index_signer: Holder | None = None


def make_bundle(city: City, story: Story, forgery: Forgery = Forgery()) -> Files:
    """All files of the bundle by path, with true digests wherever nothing else is asked for."""
    return _Maker(city, story, forgery).files


def reindex(
    files: Files, signer: Holder, change: Callable[[Value], Value] = lambda index: index
) -> None:
    """Make the index anew over the files as they are, and sign it as ``signer``, in place."""
    index = json.loads(files[evidence.INDEX])
    index["files"] = {
        path: sha256_hex(data) for path, data in files.items() if path not in evidence.NOT_INDEXED
    }
    content = _canonical(change(index))
    made = signature.sign(content, FixedSigner(signer), at=times.parse_time(index["made_at"]))
    files[evidence.INDEX], files[evidence.INDEX_SIGNATURE] = content, made
    files[evidence.INDEX_SUMS] = evidence.index_sums(sha256_hex(content), sha256_hex(made))


def _canonical(value: Value) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@functools.cache
def _crl(city: City, day: int, issuer: str, revoked: tuple[Holder, ...]) -> bytes:
    made = make_crl(
        city.root if issuer == "root" else city.seal_ca,
        revoked=[(each.certificate, THEN + day * DAY - MINUTE) for each in revoked],
        this_update=THEN + day * DAY - 60 * MINUTE,
        next_update=THEN + (day + 7) * DAY,
        number=day + 1,
    )
    return made.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class MemoryBundle:
    """A bundle as the verifier wants it."""

    files: Files

    def names(self) -> Sequence[str]:
        return list(self.files)

    def size(self, path: str) -> int:
        return len(self.files[path])

    def read(self, path: str) -> bytes:
        return self.files[path]

    def sha256(self, path: str) -> str:
        return sha256_hex(self.files[path])


class _Maker:
    def __init__(self, city: City, story: Story, forgery: Forgery) -> None:
        self.city, self.story, self.forgery = city, story, forgery
        self.files: Files = {}
        self.manifest_bytes = self._rewritten(evidence.MANIFEST, manifests.encode(story.manifest))
        self.files[evidence.MANIFEST] = self.manifest_bytes
        self._certificates()
        self._issue()
        self._accept()
        for unit, steps in story.histories.items():
            self._deliver(unit, steps)
        if story.stamped_at is not None:
            self._stamp(story.stamped_at)
        forgery.before_index(self.files)
        self._seal()

    def _certificates(self) -> None:
        self.files[evidence.ROOT_CERTIFICATE] = self.city.root.der
        self.files[evidence.seal_ca_path()] = self.city.seal_ca.der
        for day in self.story.list_days:
            revoked = tuple(self.story.revoked.get(day, ()))
            self.files[evidence.crl_path("root", day + 1)] = _crl(self.city, day, "root", ())
            self.files[evidence.crl_path("seal-ca", day + 1)] = _crl(self.city, day, "ca", revoked)

    def _issue(self) -> None:
        manifest = self.story.manifest
        for number, unit in enumerate(manifest.document.issuers, 1):
            path = evidence.signature_path(number)
            self._sign(
                evidence.MANIFEST, path, self.city.seal(unit), self.story.accepted_at - MINUTE
            )
        if self.story.content is Content.PARTS:
            for number, (part, data) in enumerate(
                zip(manifest.parts, self.story.parts, strict=True), 1
            ):
                self.files[evidence.part_path(number, part)] = data

    def _accept(self) -> None:
        at = self.story.accepted_at
        leaf = self._event("accepted", "ENVELOPE_ACCEPTED", at, seq=0)
        signatures = [path for path in sorted(self.files) if evidence.is_signature(path)]
        made = Receipt(
            schema=RECEIPT_SCHEMA,
            receipt_id=self._id("accepted", at),
            type=ReceiptType.ACCEPTED,
            envelope_id=self.story.manifest.envelope_id,
            manifest_sha256=sha256_hex(self.manifest_bytes),
            by=CENTRE_SEAL_ID,
            at=times.format_time(at),
            signatures_sha256=tuple(sha256_hex(self.files[path]) for path in signatures),
            seq=0,
            state_after=State.PENDING,
            leaf=leaf,
        )
        self._signed("accepted.json", "accepted.p7s", receipt.encode(made), self.city.centre, at)

    def _deliver(self, unit: str, steps: Sequence[Step]) -> None:
        standing = Standing(State.PENDING)
        for seq, step in enumerate(steps, 1):
            before = standing.state
            assert before is not None
            standing = transitions.step(standing, step.type, step.reason_code)
            assert standing.state is not None
            stem = f"deliveries/{unit}/{seq:04}-{step.type.value}"
            effect: Value = {"seq": seq, "state_before": before, "state_after": standing.state}
            if step.type in SIGNED_BY_CENTRE:
                effect |= {"leaf": self._event(stem, step.type, step.at, unit, **effect)}
                self._say(stem, unit, step, CENTRE_SEAL_ID, self.city.centre, effect)
            else:
                of = self.story.manifest.sender if step.type in SIGNED_BY_SENDER else unit
                self._say(stem, unit, step, unit_seal_id(of), self.city.seal(of), {})
                self._admit(stem, unit, step, effect)

    def _say(
        self, stem: str, unit: str, step: Step, by: str, holder: Holder, effect: Value
    ) -> None:
        made = Receipt(
            schema=RECEIPT_SCHEMA,
            receipt_id=self._id(stem, step.at),
            type=step.type,
            envelope_id=self.story.manifest.envelope_id,
            recipient=unit,
            manifest_sha256=sha256_hex(self.manifest_bytes),
            by=by,
            at=times.format_time(step.at),
            reason_code=step.reason_code,
            reason=step.reason,
            deadline=step.deadline,
            **effect,
        )
        self._signed(f"{stem}.json", f"{stem}.p7s", receipt.encode(made), holder, step.at)

    def _admit(self, stem: str, unit: str, step: Step, effect: Value) -> None:
        digest = sha256_hex(self.files[f"{stem}.json"])
        leaf = self._event(stem, step.type, step.at, unit, receipt_sha256=digest, **effect)
        made = Admission(
            schema=receipt.ADMISSION_SCHEMA,
            receipt_sha256=digest,
            receipt_signature_sha256=sha256_hex(self.files[f"{stem}.p7s"]),
            envelope_id=self.story.manifest.envelope_id,
            recipient=unit,
            recorded_at=times.format_time(step.at),
            by=CENTRE_SEAL_ID,
            leaf=leaf,
            **effect,
        )
        paths = f"{stem}.admission.json", f"{stem}.admission.p7s"
        self._signed(*paths, receipt.encode(made), self.city.centre, step.at)

    def _event(
        self, stem: str, type_: str, at: dt.datetime, unit: str | None = None, **members: Any
    ) -> str:
        made = event.Event(
            schema=event.SCHEMA,
            event_id=self._id(f"event of {stem}", at),
            type=type_,
            at=times.format_time(at),
            actor="centre",
            envelope_id=self.story.manifest.envelope_id,
            recipient=unit,
            manifest_sha256=sha256_hex(self.manifest_bytes),
            **members,
        )
        path, salt = f"{stem}.event.json", hashlib.sha256(f"salt of {stem}".encode()).digest()
        content = self._rewritten(path, event.encode(made))
        self.files[path], self.files[f"{stem}.salt"] = content, salt
        return event.leaf(salt, content)

    def _stamp(self, at: dt.datetime) -> None:
        stamped = []
        for path, data in self.files.items():
            statement = evidence.statement_of(path)
            by_centre = (
                statement is not None
                and statement[0].type in SIGNED_BY_CENTRE
                and statement[1] == evidence.RECEIPT_SIGNATURE_SUFFIX
            )
            if by_centre or path == "accepted.p7s" or path.endswith(".admission.p7s"):
                stamped.append(sha256_hex(data))
        stamped.append(sha256_hex(b"a signature of another envelope"))
        text, response = evidence.timestamp_paths(1)
        self.files[text] = "".join(f"{digest}\n" for digest in sorted(stamped)).encode()
        query = timestamp.query(hashlib.sha256(self.files[text]).digest(), nonce=1 << 64)
        signer = FixedSigner(self.forgery.signers.get(response, self.city.tsa))
        policy = ObjectIdentifier("1.2.3.4.1")
        self.files[response] = answers.respond(
            query, signer, at=at, serial=1 << 128, policy=policy
        ).der

    def _seal(self) -> None:
        manifest = self.story.manifest
        index = {
            "schema": evidence.SCHEMA,
            "envelope_id": manifest.envelope_id,
            "manifest_sha256": sha256_hex(self.files[evidence.MANIFEST]),
            "content": self.story.content.value,
            "recipients": sorted(self.story.histories),
            "made_at": times.format_time(self.story.made_at),
            "by": CENTRE_SEAL_ID,
        }
        self.files[evidence.INDEX] = _canonical(index)
        change = self.forgery.rewritten.get(evidence.INDEX, lambda value: value)
        reindex(self.files, self.forgery.index_signer or self.city.centre, change)

    def _id(self, what: str, at: dt.datetime) -> str:
        return codes.uuid7(at, hashlib.sha256(what.encode()).digest()[:10])

    def _rewritten(self, path: str, content: bytes) -> bytes:
        change = self.forgery.rewritten.get(path)
        if change is not None:
            content = _canonical(change(json.loads(content)))
        respell = self.forgery.respelt.get(path)
        return content if respell is None else respell(content)

    def _signed(
        self, path: str, made: str, content: bytes, holder: Holder, at: dt.datetime
    ) -> None:
        self.files[path] = self._rewritten(path, content)
        self._sign(path, made, holder, at)

    def _sign(self, path: str, made: str, holder: Holder, at: dt.datetime) -> None:
        signer = FixedSigner(self.forgery.signers.get(made, holder))
        sign = self.forgery.made.get(made)
        content = self.files[path]
        self.files[made] = sign(content) if sign else signature.sign(content, signer, at=at)
