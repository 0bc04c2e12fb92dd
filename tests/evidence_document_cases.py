"""Bundles with a fault in index, acceptance, seals or parts, and the centre indexed them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from document_exchange import evidence
from document_exchange.evidence import Content, Step
from document_exchange.manifest import sha256_hex
from tests import evidence_stories as stories
from tests.evidence_faults import (
    CITY,
    FOREIGN,
    Case,
    by,
    drop,
    more_behind,
    put,
    rewritten,
    sealed,
    signed,
    told,
)
from tests.evidence_for_tests import (
    THEN,
    Files,
    make_bundle,
)
from tests.evidence_stories import BODY, OTHER, RECIPIENT, SENDER, SIGNED_FOR, TABLE
from tests.pki_for_tests import (
    DAY,
    Holder,
    unit_seal_id,
)


def _second_seal() -> Holder:
    return CITY.leaf(unit_seal_id(stories.LEADER, "seal-2"))


def _ended_seal() -> Holder:
    return CITY.leaf(unit_seal_id(SENDER), "ended", not_after=THEN - DAY)


def _stranger(files: Files) -> None:
    other = dataclasses.replace(
        stories.simple(),
        manifest=stories.manifest((RECIPIENT, OTHER)),
        histories={OTHER: SIGNED_FOR},
    )
    for path, data in make_bundle(CITY, other).items():
        if path.startswith("deliveries/"):
            files[path] = data


def _without_one_seal(files: Files) -> None:
    del files["signatures/02.p7s"]


OF_DOCUMENTS: Mapping[str, Case] = {
    "authority-with-more": Case(
        Step.AUTHORITIES,
        "there is something behind the certificate of the CA",
        sealed(more_behind(evidence.seal_ca_path())),
    ),
    "list-with-more": Case(
        Step.AUTHORITIES,
        "there is something behind a revocation list",
        sealed(more_behind(evidence.crl_path("seal-ca", 1))),
    ),
    "delivery-not-named": Case(
        Step.FILES,
        "a delivery is there whose recipient the index does not name",
        sealed(_stranger),
    ),
    "index-of-another-envelope": Case(
        Step.MANIFEST,
        "the index names another envelope",
        rewritten(evidence.INDEX, envelope_id="016b1af0-89e0-7000-8000-000000000000"),
    ),
    "index-names-stranger": Case(
        Step.MANIFEST,
        "the index names a recipient that the manifest does not",
        rewritten(evidence.INDEX, recipients=[RECIPIENT, OTHER]),
    ),
    "accepted-by-unit": Case(
        Step.ACCEPTED,
        "a unit's seal signed ACCEPTED",
        signed("accepted.p7s", lambda: CITY.seal(SENDER)),
    ),
    "accepted-other-signatures": Case(
        Step.ACCEPTED,
        "ACCEPTED names other signatures",
        rewritten("accepted.json", signatures_sha256=[sha256_hex(b"another signature")]),
    ),
    "accepted-signature-stripped": Case(
        Step.ACCEPTED,
        "one of three seals was taken away",
        sealed(_without_one_seal, stories.joint),
    ),
    "accepted-without-list": Case(
        Step.ACCEPTED,
        "no revocation list is there that was in force at the acceptance",
        by(told(made_at=THEN + 10 * DAY, list_days=(9,))),
    ),
    "seal-of-another-unit": Case(
        Step.SEALS,
        "a unit that has no part in it sealed the manifest",
        signed("signatures/01.p7s", lambda: CITY.seal(OTHER)),
    ),
    "seal-of-system": Case(
        Step.SEALS,
        "a TLS certificate sealed the manifest",
        signed("signatures/01.p7s", lambda: CITY.system(SENDER)),
    ),
    "seal-of-stranger": Case(
        Step.SEALS,
        "a seal of another root sealed the manifest",
        signed("signatures/01.p7s", lambda: FOREIGN.seal(SENDER)),
    ),
    "seal-expired": Case(
        Step.SEALS,
        "the seal had ended before the acceptance",
        signed("signatures/01.p7s", _ended_seal),
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
        signed(
            "signatures/01.p7s",
            lambda: CITY.seal(SENDER),
            told(manifest=stories.manifest(issuers=(stories.LEADER,))),
        ),
    ),
    "seal-twice": Case(
        Step.SEALS,
        "one issuer sealed it with two seals, and another one not at all",
        signed("signatures/02.p7s", _second_seal, stories.joint),
    ),
    "part-other": Case(
        Step.PARTS,
        "a part is not the one of the manifest",
        sealed(put("parts/001.txt", BODY[::-1])),
    ),
    "part-more": Case(
        Step.PARTS,
        "there are more parts than in the manifest",
        sealed(put("parts/003.txt", TABLE)),
    ),
    "part-missing": Case(Step.PARTS, "a part is missing", sealed(drop("parts/002.c"))),
    "digests-with-part": Case(
        Step.PARTS,
        "the index says digests only, and a part is there",
        sealed(put("parts/001.txt", BODY), told(content=Content.DIGESTS)),
    ),
    "accepted-of-another-schema": Case(
        Step.ACCEPTED,
        "what the centre signed is no receipt: its schema is another",
        rewritten("accepted.json", schema="document-exchange/admission/1"),
    ),
}
"""By name. The centre erred, or its seal was stolen."""
