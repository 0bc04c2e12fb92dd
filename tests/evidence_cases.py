"""Bundles of evidence that verify, and bundles that must not, each for one fault at one step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives import serialization

from document_exchange import evidence
from tests import evidence_stories as stories
from tests.evidence_delivery_cases import OF_DELIVERIES
from tests.evidence_document_cases import OF_DOCUMENTS
from tests.evidence_faults import (
    CITY,
    FOREIGN,
    SIGNED,
    Case,
)
from tests.evidence_for_tests import (
    MINUTE,
    THEN,
    Files,
    Forgery,
    make_bundle,
)
from tests.evidence_json_cases import OF_JSON
from tests.evidence_outsider_cases import BY_OUTSIDERS
from tests.evidence_stamp_cases import OF_STAMPS, STAMP, with_other_service
from tests.evidence_stories import RECIPIENT
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    DAY,
    SEAL_CA_PURPOSES,
    Holder,
    make_crl,
    unit_seal_id,
)

__all__ = ["BROKEN", "CITY", "FOREIGN", "VALID"]


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
    "stamp-of-other-service": (
        "with a time-stamp by a service outside of the exchange, whose root is not known: a note",
        lambda: make_bundle(
            CITY,
            stories.stamped(),
            Forgery(signers={STAMP: FOREIGN.tsa}, before_index=with_other_service),
        ),
    ),
    "stamped-days-later": (
        "with a time-stamp three days after the acceptance: notes",
        lambda: make_bundle(CITY, stories.stamped_late()),
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
    "detail-imitates": (
        "an event whose free members have the names of others",
        lambda: make_bundle(
            CITY,
            stories.simple(),
            Forgery(
                rewritten={
                    f"{SIGNED}.event.json": lambda event: (
                        event | {"detail": {"at": "no", "type": "no"}}
                    )
                }
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


BROKEN: Mapping[str, Case] = {
    **BY_OUTSIDERS,
    **OF_DOCUMENTS,
    **OF_DELIVERIES,
    **OF_JSON,
    **OF_STAMPS,
}
"""Each fails first at one step; docs/formats.md lists them by the beginning of their names."""
