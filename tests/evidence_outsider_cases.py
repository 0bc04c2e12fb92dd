"""Bundles of evidence spoilt by who does not hold the seal of the centre."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from document_exchange import evidence
from document_exchange.evidence import Step
from document_exchange.receipt import ReasonCode, ReceiptType
from tests import evidence_stories as stories
from tests.evidence_faults import (
    CITY,
    DELIVERED,
    FOREIGN,
    SIGNED,
    Case,
    after,
    drop,
    flip,
    overlooked,
    put,
    rename,
    sealed,
    sums,
)
from tests.evidence_for_tests import (
    Files,
    make_bundle,
    reindex,
)
from tests.evidence_for_tests import Step as Statement
from tests.evidence_stories import RECIPIENT, SIGNED_FOR
from tests.pki_for_tests import (
    Holder,
)


def _later(files: Files) -> None:
    files[evidence.INDEX] = files[evidence.INDEX].replace(b"T01:40", b"T01:41")
    sums(files)


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

    return after(change)


def _unsealed(files: Files) -> None:
    lost(files)
    made = files[evidence.INDEX_SIGNATURE]
    reindex(files, CITY.seal(RECIPIENT))
    files[evidence.INDEX_SIGNATURE] = made
    sums(files)


def _from_foreign(*paths: str) -> Callable[[], Files]:
    """The bundle of another exchange with some files of this one."""

    def make() -> Files:
        files, own = make_bundle(FOREIGN, stories.simple()), make_bundle(CITY, stories.simple())
        return files | {path: own[path] for path in paths}

    return make


def _foreign_list(files: Files) -> None:
    files[evidence.crl_path("seal-ca", 1)] = make_bundle(FOREIGN, stories.simple())[
        evidence.crl_path("seal-ca", 1)
    ]


BY_OUTSIDERS: Mapping[str, Case] = {
    # Changed by somebody who holds no key at all.
    "part-changed": Case(Step.FILES, "one bit of a part was changed", after(flip("parts/001.txt"))),
    "signature-changed": Case(
        Step.FILES,
        "a byte of a signature that openssl overlooks was changed",
        after(overlooked(f"{SIGNED}.p7s")),
    ),
    "index-changed": Case(Step.INDEX, "a digit of made_at was changed", after(_later)),
    "index-signature-changed": Case(
        Step.INDEX,
        "a byte of index.json.p7s that openssl overlooks was changed, index.sha256 was not",
        after(overlooked(evidence.INDEX_SIGNATURE)),
    ),
    "index-sums-changed": Case(
        Step.INDEX, "index.sha256 ends with another byte", after(flip(evidence.INDEX_SUMS))
    ),
    "admission-removed": Case(
        Step.FILES,
        "the admission of a receipt was removed",
        after(drop(".admission.json", ".admission.p7s")),
    ),
    "part-added": Case(Step.FILES, "a part was added", after(put("parts/003.txt", b"more\n"))),
    "part-renamed": Case(
        Step.FILES, "a part was renamed", after(rename("parts/001.txt", "parts/001.pdf"))
    ),
    "file-unknown": Case(
        Step.BUNDLE, "there is a file that no bundle has", after(put("readme.txt", b"hello\n"))
    ),
    "file-hidden": Case(
        Step.BUNDLE,
        "there is a file that no bundle has, its name begins with a dot",
        after(put("parts/.001.txt", b"hello\n")),
    ),
    "admission-of-the-centres-own": Case(
        Step.BUNDLE,
        "a receipt of the centre itself has an admission",
        sealed(put(f"{DELIVERED}.admission.json", b"{}")),
    ),
    "accepted-removed": Case(
        Step.BUNDLE, "the receipt ACCEPTED was removed", after(drop("accepted.json"))
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
        after(put(evidence.seal_ca_path(), CITY.tls_ca.der)),
    ),
    "list-of-another": Case(
        Step.AUTHORITIES, "a revocation list is by none of the authorities", after(_foreign_list)
    ),
    # A losing receipt, slipped in.
    "losing-receipt-index-old": Case(
        Step.INDEX,
        "a receipt without admission was added, the index has its old seal",
        after(_unsealed),
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
        Step.RECEIPT, "a receipt without admission is there", sealed(lost)
    ),
}
"""By name; at the end the centre slips in what it never admitted."""
