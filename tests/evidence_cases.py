"""Bundles of evidence that verify, and bundles that must not, each for one fault at one step."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives import serialization

from document_exchange import event, evidence
from document_exchange.evidence import Content, Step
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import ReasonCode, ReceiptType
from tests import evidence_stories as stories
from tests.cms_for_tests import make_cms, make_signer
from tests.evidence_for_tests import (
    MINUTE,
    THEN,
    City,
    Files,
    FixedSigner,
    Forgery,
    Story,
    Value,
    make_bundle,
    reindex,
)
from tests.evidence_for_tests import Step as Statement
from tests.evidence_stories import BODY, OTHER, RECIPIENT, SENDER, SIGNED_FOR, TABLE
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    DAY,
    SEAL_CA_PURPOSES,
    SEAL_PURPOSES,
    Holder,
    make_crl,
    unit_seal_id,
)

CITY = City()
FOREIGN = City("another city")
"""Another exchange, with units and a centre of the same names."""

DELIVERED = f"deliveries/{RECIPIENT}/0001-DELIVERED"
SIGNED = f"deliveries/{RECIPIENT}/0002-SIGNED_FOR"


class Case(NamedTuple):
    """One bundle that must be refused at one step, and why."""

    step: Step
    reason: str
    make: Callable[[], Files]


def centre_after_its_first() -> Holder:
    """The seal that the centre got when its first one ended."""
    return CITY.leaf(
        CENTRE_SEAL_ID, "second", not_before=THEN + 300 * DAY, not_after=THEN + 700 * DAY
    )


VALID: Mapping[str, tuple[str, Callable[[], Files]]] = {
    "simple": ("one recipient, who signed for it", lambda: make_bundle(CITY, stories.simple())),
    "life": (
        "seven recipients: completed; returned; withdrawal asked for and declined; the same, asked "
        "for again and granted; refused, offered again, refused; overdue and withdrawn; not "
        "delivered yet",
        lambda: make_bundle(CITY, stories.life()),
    ),
    "joint": ("a joint issue with three seals", lambda: make_bundle(CITY, stories.joint())),
    "digests": ("without the parts, digests only", lambda: make_bundle(CITY, stories.digests())),
    "expired": (
        "made when the seals in it had expired, by the centre's next seal",
        lambda: make_bundle(
            CITY, stories.expired(), Forgery(index_signer=centre_after_its_first())
        ),
    ),
    "revoked-later": (
        "the seals of issuer and recipient were revoked after the fact",
        lambda: make_bundle(CITY, stories.revoked(CITY)),
    ),
    "timestamps": (
        "with a time-stamp by the exchange's own service",
        lambda: make_bundle(CITY, stories.stamped()),
    ),
    "two-authorities": (
        "two CAs for seals with one name, the recipient's seal by the second",
        lambda: make_bundle(
            CITY,
            stories.simple(),
            Forgery(
                signers={f"{SIGNED}.p7s": _of_second_authority()},
                before_index=_with_second_authority,
            ),
        ),
    ),
    "log": (
        "with a file in the place for log proofs, which this version passes over",
        lambda: make_bundle(CITY, stories.simple(), Forgery(before_index=_with_log)),
    ),
}


@functools.cache
def _second_authority() -> Holder:
    """The CA for seals after a change of its key: the name stayed."""
    return CITY.authority(
        "Seal CA", key_name="Seal CA, second", issuer=CITY.root, purposes=SEAL_CA_PURPOSES
    )


def _of_second_authority() -> Holder:
    return CITY.leaf(unit_seal_id(RECIPIENT), "of the second CA", issuer=_second_authority())


def _with_second_authority(files: Files) -> None:
    made = make_crl(_second_authority(), this_update=THEN - 60 * MINUTE, next_update=THEN + 7 * DAY)
    files[evidence.seal_ca_path(2)] = _second_authority().der
    files[evidence.crl_path("seal-ca-2", 1)] = made.public_bytes(serialization.Encoding.DER)


def _with_log(files: Files) -> None:
    files["log/1/inclusion/0000.json"] = b"{}"


def _after(
    change: Callable[[Files], object], story: Callable[[], Story] = stories.simple
) -> Callable[[], Files]:
    """Changed after the centre sealed the index."""

    def make() -> Files:
        files = make_bundle(CITY, story())
        change(files)
        return files

    return make


def _by(story: Callable[[], Story] = stories.simple, **forgery: object) -> Callable[[], Files]:
    """Made so from the beginning, and indexed by the centre: it erred, or its seal was stolen."""
    return lambda: make_bundle(CITY, story(), Forgery(**forgery))  # type: ignore[arg-type]


def _sealed(
    change: Callable[[Files], object], story: Callable[[], Story] = stories.simple
) -> Callable[[], Files]:
    """Changed, and then indexed by the centre."""
    return _by(story, before_index=change)


def _signed(
    path: str, holder: Callable[[], Holder], story: Callable[[], Story] = stories.simple
) -> Callable[[], Files]:
    return lambda: make_bundle(CITY, story(), Forgery(signers={path: holder()}))


def _told(**changes: object) -> Callable[[], Story]:
    return lambda: dataclasses.replace(stories.simple(), **changes)  # type: ignore[arg-type]


def _rewritten(path: str, **members: object) -> Callable[[], Files]:
    def change(value: Value) -> Value:
        return value | members

    return _by(rewritten={path: change})


def flip(path: str, at: int = -1) -> Callable[[Files], None]:
    """Change the lowest bit of one byte."""

    def change(files: Files) -> None:
        data = bytearray(files[path])
        data[at] ^= 1
        files[path] = bytes(data)

    return change


def _overlooked(path: str) -> Callable[[Files], None]:
    """Change the version of a CMS signature, which openssl does not look at."""

    def change(files: Files) -> None:
        data = files[path]
        version = data.index(b"\x02\x01\x01")
        files[path] = data[: version + 2] + b"\x00" + data[version + 3 :]

    return change


def _sums(files: Files) -> None:
    index, made = files[evidence.INDEX], files[evidence.INDEX_SIGNATURE]
    files[evidence.INDEX_SUMS] = evidence.index_sums(sha256_hex(index), sha256_hex(made))


def _later(files: Files) -> None:
    files[evidence.INDEX] = files[evidence.INDEX].replace(b"T01:40", b"T01:41")
    _sums(files)


def _rename(old: str, new: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[new] = files.pop(old)

    return change


def _put(path: str, data: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[path] = data

    return change


def _drop(*suffixes: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        for path in [path for path in files if path.endswith(suffixes)]:
            del files[path]

    return change


def lost(files: Files) -> None:
    """A refusal that lost the race against SIGNED_FOR: well signed, but never admitted."""
    late = dataclasses.replace(
        stories.simple(),
        histories={
            RECIPIENT: (
                SIGNED_FOR[0],
                Statement(ReceiptType.REFUSED, stories.at(2), ReasonCode.OTHER, "no"),
            )
        },
    )
    for path, data in make_bundle(CITY, late).items():
        if "0002-REFUSED" in path and "admission" not in path:
            files[path.replace("0002", "0003")] = data


def _slipped_in(holder: Callable[[], Holder]) -> Callable[[], Files]:
    def change(files: Files) -> None:
        lost(files)
        reindex(files, holder())

    return _after(change)


def _unsealed(files: Files) -> None:
    lost(files)
    made = files[evidence.INDEX_SIGNATURE]
    reindex(files, CITY.seal(RECIPIENT))
    files[evidence.INDEX_SIGNATURE] = made
    _sums(files)


def _from_foreign(*paths: str) -> Callable[[], Files]:
    """The bundle of another exchange with some files of this one."""

    def make() -> Files:
        files, own = make_bundle(FOREIGN, stories.simple()), make_bundle(CITY, stories.simple())
        return files | {path: own[path] for path in paths}

    return make


def _second_seal() -> Holder:
    return CITY.leaf(unit_seal_id(stories.LEADER, "seal-2"))


def _ended_seal() -> Holder:
    return CITY.leaf(unit_seal_id(SENDER), "ended", not_after=THEN - DAY)


def _not_a_seal() -> Holder:
    """Issued by the CA of the seals, for mail alone."""
    return CITY.leaf(unit_seal_id(RECIPIENT), "for mail", purposes=SEAL_PURPOSES[1:])


def _issued_by_unit() -> Holder:
    return CITY.leaf(unit_seal_id(RECIPIENT), "by a unit", issuer=CITY.seal(OTHER))


def _another_event(files: Files) -> None:
    path = f"{SIGNED}.event.json"
    content = files[path].replace(b'"type":"SIGNED_FOR"', b'"type":"COMPLETED"')
    assert content != files[path]
    files[path] = content


def _shifted_salt(files: Files) -> None:
    """The same digest of salt and event, with another border between them."""
    salt, told = files[f"{SIGNED}.salt"], files[f"{SIGNED}.event.json"]
    files[f"{SIGNED}.salt"], files[f"{SIGNED}.event.json"] = salt + told[:1], told[1:]
    assert event.leaf(salt, told) == sha256_hex(salt + told)


def _of_another_envelope(files: Files) -> None:
    told = stories.simple()
    other = dataclasses.replace(told, manifest=_with_other_title(told), made_at=told.made_at)
    for path, data in make_bundle(CITY, other).items():
        if path.startswith(SIGNED):
            files[path] = data


def _with_other_title(told: Story) -> Manifest:
    document = msgspec.structs.replace(told.manifest.document, title="另一份通知")
    return msgspec.structs.replace(told.manifest, document=document)


def _gap(files: Files) -> None:
    for path in [path for path in files if path.startswith(DELIVERED)]:
        del files[path]


def _stranger(files: Files) -> None:
    other = dataclasses.replace(
        stories.simple(),
        manifest=stories.manifest((RECIPIENT, OTHER)),
        histories={OTHER: SIGNED_FOR},
    )
    for path, data in make_bundle(CITY, other).items():
        if path.startswith("deliveries/"):
            files[path] = data


def _one_line_less(files: Files) -> None:
    files["timestamps/00000001.txt"] = files["timestamps/00000001.txt"][65:]


def _stamp_of_nothing(files: Files) -> None:
    files.update(
        {
            path: data
            for path, data in make_bundle(
                CITY, dataclasses.replace(stories.joint(), stamped_at=stories.at(3))
            ).items()
            if path.startswith("timestamps/")
        }
    )


def _foreign_list(files: Files) -> None:
    files[evidence.crl_path("seal-ca", 1)] = make_bundle(FOREIGN, stories.simple())[
        evidence.crl_path("seal-ca", 1)
    ]


def _without_one_seal(files: Files) -> None:
    del files["signatures/02.p7s"]


GRANTED_UNASKED = (
    *SIGNED_FOR,
    Statement(ReceiptType.WITHDRAWAL_REQUESTED, stories.at(3), reason="发错了"),
    Statement(ReceiptType.WITHDRAWAL_DECLINED, stories.at(4)),
)


def _renamed_grant() -> Files:
    """A second answer to a request that was answered before."""
    stem = f"deliveries/{RECIPIENT}/0005-WITHDRAWAL_DECLINED"
    asked_twice = (
        *GRANTED_UNASKED,
        Statement(ReceiptType.PROGRESS, stories.at(5), reason="x"),
    )
    progress = f"deliveries/{RECIPIENT}/0005-PROGRESS"

    def as_answer(value: Value) -> Value:
        value = value | {"type": "WITHDRAWAL_DECLINED"}
        return value

    def rename(files: Files) -> None:
        for path in [path for path in files if path.startswith(progress)]:
            files[path.replace(progress, stem)] = files.pop(path)

    story = dataclasses.replace(stories.simple(), histories={RECIPIENT: asked_twice})
    return make_bundle(
        CITY,
        story,
        Forgery(
            rewritten={f"{progress}{suffix}": as_answer for suffix in (".json", ".event.json")},
            before_index=rename,
        ),
    )


def _without_signed_attributes(content: bytes) -> bytes:
    """CMS, but no CAdES: the signature is over the content itself."""
    holder = CITY.seal(RECIPIENT)
    bare = make_signer(
        content, holder, signed_attrs=None, signature=FixedSigner(holder).sign(content)
    )
    return make_cms([bare], [holder])


def _backwards() -> Story:
    late, early = stories.at(3), stories.at(2)
    turned = (
        Statement(ReceiptType.DELIVERED, late),
        Statement(ReceiptType.SIGNED_FOR, early),
    )
    return dataclasses.replace(stories.simple(), histories={RECIPIENT: turned})


_TOO_FAR = dt.timedelta(seconds=121)
"""One second more than clocks may differ."""


def _before_acceptance() -> Story:
    early = tuple(
        dataclasses.replace(each, at=each.at - dt.timedelta(minutes=20)) for each in SIGNED_FOR
    )
    return dataclasses.replace(stories.simple(), histories={RECIPIENT: early})


BROKEN: Mapping[str, Case] = {
    # Changed by somebody who holds no key at all.
    "part-changed": Case(
        Step.FILES, "one bit of a part was changed", _after(flip("parts/001.txt"))
    ),
    "signature-changed": Case(
        Step.FILES,
        "a byte of a signature that openssl overlooks was changed",
        _after(_overlooked(f"{SIGNED}.p7s")),
    ),
    "index-changed": Case(Step.INDEX, "a digit of made_at was changed", _after(_later)),
    "index-signature-changed": Case(
        Step.INDEX,
        "a byte of index.json.p7s that openssl overlooks was changed, index.sha256 was not",
        _after(_overlooked(evidence.INDEX_SIGNATURE)),
    ),
    "index-sums-changed": Case(
        Step.INDEX, "index.sha256 ends with another byte", _after(flip(evidence.INDEX_SUMS))
    ),
    "admission-removed": Case(
        Step.FILES,
        "the admission of a receipt was removed",
        _after(_drop(".admission.json", ".admission.p7s")),
    ),
    "part-added": Case(Step.FILES, "a part was added", _after(_put("parts/003.txt", b"more\n"))),
    "part-renamed": Case(
        Step.FILES, "a part was renamed", _after(_rename("parts/001.txt", "parts/001.pdf"))
    ),
    "file-unknown": Case(
        Step.BUNDLE, "there is a file that no bundle has", _after(_put("readme.txt", b"hello\n"))
    ),
    "file-hidden": Case(
        Step.BUNDLE,
        "there is a file that no bundle has, its name begins with a dot",
        _after(_put("parts/.001.txt", b"hello\n")),
    ),
    "admission-of-the-centres-own": Case(
        Step.BUNDLE,
        "a receipt of the centre itself has an admission",
        _sealed(_put(f"{DELIVERED}.admission.json", b"{}")),
    ),
    "accepted-removed": Case(
        Step.BUNDLE, "the receipt ACCEPTED was removed", _after(_drop("accepted.json"))
    ),
    # Another exchange.
    "root-other": Case(
        Step.ROOT, "all of it is of another exchange, with another root", _from_foreign()
    ),
    "root-put-before": Case(
        Step.AUTHORITIES,
        "all of it is of another exchange, but the root",
        _from_foreign(evidence.ROOT_CERTIFICATE),
    ),
    "centre-other": Case(
        Step.INDEX,
        "all of it is of another exchange, but root, CA and revocation lists",
        _from_foreign(
            evidence.ROOT_CERTIFICATE,
            evidence.seal_ca_path(),
            evidence.crl_path("root", 1),
            evidence.crl_path("seal-ca", 1),
        ),
    ),
    "authority-for-tls": Case(
        Step.AUTHORITIES,
        "the CA is not for seals: it is the one for TLS",
        _after(_put(evidence.seal_ca_path(), CITY.tls_ca.der)),
    ),
    "list-of-another": Case(
        Step.AUTHORITIES, "a revocation list is by none of the authorities", _after(_foreign_list)
    ),
    # A losing receipt, slipped in.
    "losing-receipt-index-old": Case(
        Step.INDEX,
        "a receipt without admission was added, the index has its old seal",
        _after(_unsealed),
    ),
    "losing-receipt-index-by-unit": Case(
        Step.INDEX,
        "a receipt without admission was added, a unit's seal sealed the index",
        _slipped_in(lambda: CITY.seal(RECIPIENT)),
    ),
    "losing-receipt-index-by-system": Case(
        Step.INDEX,
        "a receipt without admission was added, a TLS certificate sealed the index",
        _slipped_in(lambda: CITY.system(RECIPIENT)),
    ),
    "losing-receipt-index-by-stranger": Case(
        Step.INDEX,
        "a receipt without admission was added, the centre of another exchange sealed the index",
        _slipped_in(lambda: FOREIGN.centre),
    ),
    "losing-receipt-index-by-centre": Case(
        Step.RECEIPT, "a receipt without admission is there", _sealed(lost)
    ),
    # From here on the centre's own seal sealed the index: it erred, or was stolen.
    "delivery-not-named": Case(
        Step.FILES,
        "a delivery is there whose recipient the index does not name",
        _sealed(_stranger),
    ),
    "index-of-another-envelope": Case(
        Step.MANIFEST,
        "the index names another envelope",
        _rewritten(evidence.INDEX, envelope_id="016b1af0-89e0-7000-8000-000000000000"),
    ),
    "index-names-stranger": Case(
        Step.MANIFEST,
        "the index names a recipient that the manifest does not",
        _rewritten(evidence.INDEX, recipients=[RECIPIENT, OTHER]),
    ),
    "accepted-by-unit": Case(
        Step.ACCEPTED,
        "a unit's seal signed ACCEPTED",
        _signed("accepted.p7s", lambda: CITY.seal(SENDER)),
    ),
    "accepted-other-signatures": Case(
        Step.ACCEPTED,
        "ACCEPTED names other signatures",
        _rewritten("accepted.json", signatures_sha256=[sha256_hex(b"another signature")]),
    ),
    "accepted-signature-stripped": Case(
        Step.ACCEPTED,
        "one of three seals was taken away",
        _sealed(_without_one_seal, stories.joint),
    ),
    "accepted-without-list": Case(
        Step.ACCEPTED,
        "no revocation list is there that was in force at the acceptance",
        _by(_told(made_at=THEN + 10 * DAY, list_days=(9,))),
    ),
    "seal-of-another-unit": Case(
        Step.SEALS,
        "a unit that has no part in it sealed the manifest",
        _signed("signatures/01.p7s", lambda: CITY.seal(OTHER)),
    ),
    "seal-of-system": Case(
        Step.SEALS,
        "a TLS certificate sealed the manifest",
        _signed("signatures/01.p7s", lambda: CITY.system(SENDER)),
    ),
    "seal-of-stranger": Case(
        Step.SEALS,
        "a seal of another root sealed the manifest",
        _signed("signatures/01.p7s", lambda: FOREIGN.seal(SENDER)),
    ),
    "seal-expired": Case(
        Step.SEALS,
        "the seal had ended before the acceptance",
        _signed("signatures/01.p7s", _ended_seal),
    ),
    "seal-revoked": Case(
        Step.SEALS,
        "the seal had been revoked before the acceptance",
        lambda: make_bundle(
            CITY, dataclasses.replace(stories.simple(), revoked={0: (CITY.seal(SENDER),)})
        ),
    ),
    "seal-missing": Case(
        Step.SEALS,
        "the sender sealed it, which may, but the issuer did not",
        _signed(
            "signatures/01.p7s",
            lambda: CITY.seal(SENDER),
            _told(manifest=stories.manifest(issuers=(stories.LEADER,))),
        ),
    ),
    "seal-twice": Case(
        Step.SEALS,
        "one issuer sealed it with two seals, and another one not at all",
        _signed("signatures/02.p7s", _second_seal, stories.joint),
    ),
    "part-other": Case(
        Step.PARTS,
        "a part is not the one of the manifest",
        _sealed(_put("parts/001.txt", BODY[::-1])),
    ),
    "part-more": Case(
        Step.PARTS,
        "there are more parts than in the manifest",
        _sealed(_put("parts/003.txt", TABLE)),
    ),
    "part-missing": Case(Step.PARTS, "a part is missing", _sealed(_drop("parts/002.c"))),
    "digests-with-part": Case(
        Step.PARTS,
        "the index says digests only, and a part is there",
        _sealed(_put("parts/001.txt", BODY), _told(content=Content.DIGESTS)),
    ),
    "delivered-by-unit": Case(
        Step.RECEIPT,
        "the recipient's seal signed the centre's receipt",
        _signed(f"{DELIVERED}.p7s", lambda: CITY.seal(RECIPIENT)),
    ),
    "receipt-by-another-unit": Case(
        Step.RECEIPT,
        "another unit's seal signed the receipt",
        _signed(f"{SIGNED}.p7s", lambda: CITY.seal(OTHER)),
    ),
    "receipt-by-sender": Case(
        Step.RECEIPT,
        "the sender's seal signed the recipient's receipt",
        _signed(f"{SIGNED}.p7s", lambda: CITY.seal(SENDER)),
    ),
    "receipt-by-centre": Case(
        Step.RECEIPT,
        "the centre's seal signed the recipient's receipt",
        _signed(f"{SIGNED}.p7s", lambda: CITY.centre),
    ),
    "receipt-by-system": Case(
        Step.RECEIPT,
        "a TLS certificate signed the receipt",
        _signed(f"{SIGNED}.p7s", lambda: CITY.system(RECIPIENT)),
    ),
    "receipt-by-stranger": Case(
        Step.RECEIPT,
        "a seal of another root signed the receipt",
        _signed(f"{SIGNED}.p7s", lambda: FOREIGN.seal(RECIPIENT)),
    ),
    "receipt-by-time-stamping": Case(
        Step.RECEIPT,
        "the certificate of the time-stamping service signed the receipt",
        _signed(f"{SIGNED}.p7s", lambda: CITY.tsa),
    ),
    "receipt-by-other-purpose": Case(
        Step.RECEIPT,
        "a certificate that is not for documents signed the receipt",
        _signed(f"{SIGNED}.p7s", _not_a_seal),
    ),
    "receipt-by-issued-by-unit": Case(
        Step.RECEIPT,
        "a certificate that a unit's seal issued signed the receipt",
        _signed(f"{SIGNED}.p7s", _issued_by_unit),
    ),
    "receipt-without-signed-attributes": Case(
        Step.RECEIPT,
        "the recipient's signature is over the receipt itself, without signed attributes",
        _by(made={f"{SIGNED}.p7s": _without_signed_attributes}),
    ),
    "receipt-names-another": Case(
        Step.RECEIPT,
        "the receipt names another seal than the one that signed it",
        _rewritten(f"{SIGNED}.json", by=unit_seal_id(RECIPIENT, "seal-2")),
    ),
    "receipt-of-another-envelope": Case(
        Step.RECEIPT,
        "receipt, admission and event are about another manifest",
        _sealed(_of_another_envelope),
    ),
    "receipt-seal-revoked": Case(
        Step.RECEIPT,
        "the recipient's seal had been revoked before its receipt was recorded",
        lambda: make_bundle(
            CITY, dataclasses.replace(stories.simple(), revoked={0: (CITY.seal(RECIPIENT),)})
        ),
    ),
    "receipt-of-another-schema": Case(
        Step.RECEIPT,
        "what the recipient signed is no receipt: its schema is another",
        _rewritten(f"{SIGNED}.json", schema="document-exchange/manifest/1"),
    ),
    "admission-of-another-schema": Case(
        Step.RECEIPT,
        "what the centre signed is no admission: its schema is another",
        _rewritten(f"{SIGNED}.admission.json", schema="document-exchange/receipt/1"),
    ),
    "event-of-another-schema": Case(
        Step.LEAF,
        "what the leaf commits to is no event: its schema is another",
        _rewritten(f"{SIGNED}.event.json", schema="document-exchange/receipt/1"),
    ),
    "accepted-of-another-schema": Case(
        Step.ACCEPTED,
        "what the centre signed is no receipt: its schema is another",
        _rewritten("accepted.json", schema="document-exchange/admission/1"),
    ),
    "admission-by-unit": Case(
        Step.ADMISSION,
        "the recipient's own seal signed the admission",
        _signed(f"{SIGNED}.admission.p7s", lambda: CITY.seal(RECIPIENT)),
    ),
    "admission-of-another-receipt": Case(
        Step.ADMISSION,
        "the admission has the digest of another receipt",
        _rewritten(f"{SIGNED}.admission.json", receipt_sha256=sha256_hex(b"another")),
    ),
    "admission-of-another-signature": Case(
        Step.ADMISSION,
        "the admission has the digest of another signature",
        _rewritten(f"{SIGNED}.admission.json", receipt_signature_sha256=sha256_hex(b"another")),
    ),
    "admission-with-other-effect": Case(
        Step.ADMISSION,
        "by the admission SIGNED_FOR leads to COMPLETED",
        _rewritten(f"{SIGNED}.admission.json", state_after="COMPLETED"),
    ),
    "event-other": Case(Step.LEAF, "the event is not the one of the leaf", _sealed(_another_event)),
    "salt-other": Case(
        Step.LEAF, "the salt is not the one of the leaf", _sealed(flip(f"{SIGNED}.salt"))
    ),
    "salt-shifted": Case(
        Step.LEAF, "salt and event have another border, and the same digest", _sealed(_shifted_salt)
    ),
    "event-of-another-statement": Case(
        Step.LEAF,
        "the event is about the statement with another number",
        _rewritten(f"{SIGNED}.event.json", seq=3),
    ),
    "history-gap": Case(Step.HISTORY, "the first statement is missing", _sealed(_gap)),
    "history-number": Case(
        Step.HISTORY,
        "the second statement has the number 3",
        _by(
            rewritten={
                path: lambda value: value | {"seq": 3}
                for path in (f"{SIGNED}.admission.json", f"{SIGNED}.event.json")
            }
        ),
    ),
    "history-early": Case(
        Step.HISTORY, "the statements are dated before the acceptance", _by(_before_acceptance)
    ),
    "history-not-asked": Case(
        Step.HISTORY, "a request for withdrawal is answered a second time", _renamed_grant
    ),
    "history-backwards": Case(
        Step.HISTORY, "the second statement is dated before the first", _by(_backwards)
    ),
    "history-after-index": Case(
        Step.HISTORY,
        "a statement is dated after the index that tells it",
        _by(_told(made_at=stories.at(1))),
    ),
    "stamp-early": Case(
        Step.TIMESTAMP,
        "the time-stamp is 121 seconds earlier than a statement whose signature it is over",
        _by(_told(stamped_at=stories.at(2) - _TOO_FAR)),
    ),
    "stamp-late": Case(
        Step.TIMESTAMP,
        "the time-stamp is 121 seconds later than the index",
        _by(_told(stamped_at=stories.at(10) + _TOO_FAR)),
    ),
    "stamp-of-other-text": Case(
        Step.TIMESTAMP,
        "a line was taken out of the stamped text",
        _sealed(_one_line_less, stories.stamped),
    ),
    "stamp-by-seal": Case(
        Step.TIMESTAMP,
        "the centre's seal made the time-stamp",
        _signed("timestamps/00000001.tsr", lambda: CITY.centre, stories.stamped),
    ),
    "stamp-by-stranger": Case(
        Step.TIMESTAMP,
        "the time-stamping service of another exchange made the time-stamp",
        _signed("timestamps/00000001.tsr", lambda: FOREIGN.tsa, stories.stamped),
    ),
    "stamp-of-nothing": Case(
        Step.TIMESTAMP,
        "no signature of this bundle is among those stamped",
        _sealed(_stamp_of_nothing),
    ),
    "stamp-without-text": Case(
        Step.TIMESTAMP,
        "what was stamped is missing",
        _sealed(_drop("00000001.txt"), stories.stamped),
    ),
}
