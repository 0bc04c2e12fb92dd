"""The evidence bundle: the names of its files, and the index that the centre seals over them.

A bundle is a zip or a folder with everything that proves what became of one envelope, for whoever
never saw this exchange. docs/formats.md has the layout; ``evidence_check`` verifies a bundle.
"""

from __future__ import annotations

import enum
import re
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from document_exchange import canonical, codes, identity, refusal, times
from document_exchange import manifest as manifests
from document_exchange import receipt as receipts
from document_exchange.errors import EvidenceRefused, Unauthenticated
from document_exchange.fields import EnvelopeId, EvidencePath, Sha256, SpiffeId, Time, UnitId
from document_exchange.manifest import MAX_RECIPIENTS, Part
from document_exchange.receipt import ReceiptType
from document_exchange.signature import MAX_SIGNATURE_BYTES

SCHEMA: Literal["document-exchange/evidence/1"] = "document-exchange/evidence/1"

MAX_FILES = 19_000
"""Files that one index lists at most: with room to spare within ``canonical.MAX_VALUES``."""
MAX_CHOSEN_RECIPIENTS = 20
"""Recipients that a request for evidence may name; naming none means all."""
MAX_INDEX_BYTES = 4 * 1024 * 1024
MAX_LIST_BYTES = 4 * 1024 * 1024
"""A revocation list, or the lines of a time-stamp."""
MAX_SMALL_BYTES = receipts.MAX_BYTES
"""Any other file but the manifest, signatures and parts."""
MAX_SEQ = 9999
"""The last statement of a delivery that a file name has room for."""

VERIFY_TEXT = "VERIFY.md"
VERIFY_SCRIPT = "verify.sh"
INDEX = "index.json"
INDEX_SIGNATURE = "index.json.p7s"
INDEX_SUMS = "index.sha256"
MANIFEST = "manifest.json"
ACCEPTED = "accepted"
"""The statement ACCEPTED: this and one of ``STATEMENT_SUFFIXES``."""
ROOT_CERTIFICATE = "certificates/root.der"

NOT_INDEXED = frozenset({VERIFY_TEXT, VERIFY_SCRIPT, INDEX, INDEX_SIGNATURE, INDEX_SUMS})
"""What the index does not list: constant texts, and the index itself."""

RECEIPT_SUFFIX = ".json"
RECEIPT_SIGNATURE_SUFFIX = ".p7s"
EVENT_SUFFIX = ".event.json"
SALT_SUFFIX = ".salt"
ADMISSION_SUFFIX = ".admission.json"
ADMISSION_SIGNATURE_SUFFIX = ".admission.p7s"
STATEMENT_SUFFIXES = (RECEIPT_SUFFIX, RECEIPT_SIGNATURE_SUFFIX, EVENT_SUFFIX, SALT_SUFFIX)
"""The files of each statement; that of a party has ``ADMISSION_SUFFIXES`` too."""
ADMISSION_SUFFIXES = (ADMISSION_SUFFIX, ADMISSION_SIGNATURE_SUFFIX)


class Content(enum.StrEnum):
    """Whether the parts are in the bundle, or only their digests in the manifest."""

    PARTS = "PARTS"
    DIGESTS = "DIGESTS"


class Step(enum.StrEnum):
    """The steps of verification, in their order; verify.sh names them alike."""

    BUNDLE = "bundle"
    ROOT = "root"
    AUTHORITIES = "authorities"
    INDEX = "index"
    FILES = "files"
    MANIFEST = "manifest"
    ACCEPTED = "accepted"
    SEALS = "seals"
    PARTS = "parts"
    RECEIPT = "receipt"
    ADMISSION = "admission"
    LEAF = "leaf"
    HISTORY = "history"
    TIMESTAMP = "timestamp"
    LOG = "log"


class Index(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is in the bundle, as the centre sealed it at ``made_at``."""

    schema: Literal["document-exchange/evidence/1"]
    envelope_id: EnvelopeId
    manifest_sha256: Sha256
    content: Content
    recipients: Annotated[
        tuple[UnitId, ...],
        Meta(
            min_length=1,
            max_length=MAX_RECIPIENTS,
            description=f"1 to {MAX_RECIPIENTS} units, sorted",
            extra_json_schema={"uniqueItems": True},
        ),
    ]
    """Those whose deliveries are in it, from the first statement to the last at ``made_at``."""
    made_at: Time
    by: SpiffeId
    """The centre's seal that sealed the index."""
    files: Annotated[
        dict[EvidencePath, Sha256],
        Meta(
            min_length=1,
            max_length=MAX_FILES,
            description=f"an object of 1 to {MAX_FILES} paths and digests",
        ),
    ]
    """The SHA-256 of each other file but verify.sh and VERIFY.md, by its path."""


class StatementName(NamedTuple):
    """The statement of a delivery that a file belongs to."""

    unit: str
    seq: int
    type: ReceiptType

    @property
    def stem(self) -> str:
        """Its path without a suffix."""
        return f"deliveries/{self.unit}/{self.seq:04d}-{self.type.value}"


_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
_CA_NUMBER = r"[2-9]"
_LOG_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_STATEMENT_FILE = r"(?:json|p7s|event\.json|salt)"
_TYPES = "|".join(sorted(each.value for each in ReceiptType if each is not ReceiptType.ACCEPTED))
_BY_CENTRE = "|".join(sorted(each.value for each in receipts.SIGNED_BY_CENTRE))
_DELIVERY = re.compile(
    rf"deliveries/(?P<unit>{identity.UNIT_ID})/(?P<seq>[0-9]{{4}})-"
    rf"(?!(?:{_BY_CENTRE})\.admission)(?P<type>{_TYPES})"  # the centre's own has none
    rf"(?P<suffix>\.(?:{_STATEMENT_FILE}|admission\.(?:json|p7s)))",
    re.ASCII,
)
_SIGNATURE = re.compile(r"signatures/(?P<number>0[1-9]|[1-9][0-9])\.p7s", re.ASCII)
_PART = re.compile(r"parts/(?P<number>[0-9]{3})(?:\.[a-z0-9]{1,8})?", re.ASCII)
_SEAL_CA = re.compile(rf"certificates/seal-ca(?:-{_CA_NUMBER})?\.der", re.ASCII)
_TSA = re.compile(r"certificates/tsa-[1-9]\.der", re.ASCII)
_CRL = re.compile(rf"crls/(?:root|seal-ca(?:-{_CA_NUMBER})?)-{_NUMBER}\.der", re.ASCII)
_TIMESTAMP = re.compile(r"timestamps/(?P<number>[0-9]{8,19})\.(?P<kind>txt|tsr)", re.ASCII)
_LOG = re.compile(rf"log/[1-9][0-9]{{0,2}}(?:/{_LOG_NAME}){{1,6}}", re.ASCII)
_ACCEPTED = re.compile(rf"accepted\.{_STATEMENT_FILE}", re.ASCII)
_INDEXED = (
    _DELIVERY, _ACCEPTED, _SIGNATURE, _PART, _SEAL_CA, _TSA, _CRL, _TIMESTAMP, _LOG,
)  # fmt: skip
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,8}", re.ASCII)


def encode(index: Index) -> bytes:
    """The canonical bytes of an index.

    Raises:
        NotCanonical: a value has no canonical form; ``field`` says which.
    """
    return canonical.encode(index)


def decode(data: bytes) -> Index:
    """Read an index. Whether the centre sealed it, and the files, are not checked here.

    Raises:
        NotCanonical: the bytes are not the canonical form of their value.
        EvidenceRefused: the size, a field or a rule; ``field`` names the place.
    """
    if len(data) > MAX_INDEX_BYTES:
        raise EvidenceRefused(
            f"the index has {len(data)} bytes; at most {MAX_INDEX_BYTES} are read", field="$"
        )
    index = canonical.decode(Index, data, EvidenceRefused)
    if not codes.is_uuid7(index.envelope_id):
        _refuse("envelope_id", index.envelope_id, "its time lies after the year 9999")
    if not times.is_time(index.made_at):
        _refuse("made_at", index.made_at, "there is no such instant in the calendar")
    try:
        centre = identity.parse(index.by).kind is identity.Kind.CENTRE_SEAL
    except Unauthenticated:
        centre = False
    if not centre:
        _refuse("by", index.by, "only a seal of the centre seals an index")
    if tuple(sorted(set(index.recipients))) != index.recipients:
        _refuse("recipients", index.recipients, "they are sorted, each one once")
    for path in index.files:
        if not is_indexed(path):
            _refuse("files", path, "no file of a bundle has this path")
    return index


def is_known(path: str) -> bool:
    """Whether a bundle may hold a file of this path."""
    return path in NOT_INDEXED or is_indexed(path)


def is_indexed(path: str) -> bool:
    """Whether a bundle may hold a file of this path, and its index must list it."""
    if path in (MANIFEST, ROOT_CERTIFICATE):
        return True
    return any(pattern.fullmatch(path) for pattern in _INDEXED)


def most_bytes(path: str) -> int | None:
    """The size of a known file at most; None for a part, whose size the manifest says."""
    if is_part(path):
        return None
    if path in (INDEX, MANIFEST):
        return MAX_INDEX_BYTES if path == INDEX else manifests.MAX_BYTES
    if path.startswith(("crls/", "timestamps/", "log/")):
        return MAX_LIST_BYTES
    if path in (VERIFY_TEXT, VERIFY_SCRIPT):
        return MAX_LIST_BYTES
    return MAX_SIGNATURE_BYTES if path.endswith(".p7s") else MAX_SMALL_BYTES


def signature_path(number: int) -> str:
    """The signature of the manifest of this number, counted from 1."""
    return f"signatures/{number:02d}.p7s"


def part_path(number: int, part: Part) -> str:
    """The part of this number in the manifest, counted from 1; with its extension if it is plain.

    The extension is what follows the last dot of the file name, if that is 1 to 8 ASCII letters
    and digits, in lower case. Nothing else of the name, which may be anything, gets into a path.
    """
    _, dot, extension = part.filename.rpartition(".")
    plain = bool(dot) and _EXTENSION.fullmatch(extension) is not None
    return f"parts/{number:03d}" + (f".{extension.lower()}" if plain else "")


def seal_ca_path(number: int = 1) -> str:
    """The certificate of a CA of the seals; after a change of CA there are several, from 1 to 9."""
    return "certificates/seal-ca.der" if number == 1 else f"certificates/seal-ca-{number}.der"


def crl_path(issuer: str, number: int) -> str:
    """A revocation list by its CRL number; ``issuer`` is root, seal-ca or seal-ca-2 …"""
    return f"crls/{issuer}-{number}.der"


def tsa_path(number: int) -> str:
    """A certificate in the chain of a time-stamping service outside of the exchange, from 1."""
    return f"certificates/tsa-{number}.der"


def timestamp_paths(batch: int) -> tuple[str, str]:
    """The lines that were stamped, and the DER TimeStampResp."""
    return f"timestamps/{batch:08d}.txt", f"timestamps/{batch:08d}.tsr"


def statement_of(path: str) -> tuple[StatementName, str] | None:
    """The statement of a delivery that the file belongs to, and its suffix; None for another."""
    found = _DELIVERY.fullmatch(path)
    if found is None:
        return None
    name = StatementName(found["unit"], int(found["seq"]), ReceiptType(found["type"]))
    return name, found["suffix"]


def is_signature(path: str) -> bool:
    """Whether it is a signature of the manifest."""
    return _SIGNATURE.fullmatch(path) is not None


def is_part(path: str) -> bool:
    """Whether it is a part."""
    return _PART.fullmatch(path) is not None


def is_seal_ca(path: str) -> bool:
    """Whether it is the certificate of a CA of the seals."""
    return _SEAL_CA.fullmatch(path) is not None


def is_crl(path: str) -> bool:
    """Whether it is a revocation list."""
    return _CRL.fullmatch(path) is not None


def is_tsa(path: str) -> bool:
    """Whether it is a certificate in the chain of a time-stamping service."""
    return _TSA.fullmatch(path) is not None


def is_log(path: str) -> bool:
    """Whether it is in the place for proofs of the transfer log."""
    return _LOG.fullmatch(path) is not None


def timestamp_of(path: str) -> tuple[int, str] | None:
    """The batch that a file under timestamps/ belongs to, and txt or tsr; None for another."""
    found = _TIMESTAMP.fullmatch(path)
    return (int(found["number"]), found["kind"]) if found else None


def index_sums(index_sha256: str, signature_sha256: str) -> bytes:
    """The text of ``index.sha256``, which ``sha256sum -c`` reads."""
    return f"{index_sha256}  {INDEX}\n{signature_sha256}  {INDEX_SIGNATURE}\n".encode("ascii")


def _refuse(field: str, value: object, why: str) -> None:
    raise refusal.of_value(EvidenceRefused, field, value, why)
