"""Bundles with time-stamps that do not hold."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping

from document_exchange import evidence
from document_exchange.evidence import Step
from tests import evidence_stories as stories
from tests.evidence_faults import (
    CITY,
    FOREIGN,
    Case,
    by,
    drop,
    more_behind,
    sealed,
    signed,
    told,
)
from tests.evidence_for_tests import (
    Files,
    Forgery,
    make_bundle,
)


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


def _not_granted(files: Files) -> None:
    """Granted with modifications, as nobody signed: the status stands outside of the token."""
    files[STAMP] = files[STAMP].replace(b"\x30\x03\x02\x01\x00", b"\x30\x03\x02\x01\x01", 1)


def with_other_service(files: Files) -> None:
    """The certificates of a service outside of the exchange."""
    files[evidence.tsa_path(1)] = FOREIGN.root.der
    files[evidence.tsa_path(2)] = FOREIGN.seal_ca.der


def _of_other_service(change: Callable[[Files], None]) -> Callable[[], Files]:
    def both(files: Files) -> None:
        with_other_service(files)
        change(files)

    forgery = Forgery(signers={STAMP: FOREIGN.tsa}, before_index=both)
    return lambda: make_bundle(CITY, stories.stamped(), forgery)


def _another_line(files: Files) -> None:
    files[TEXT] += b"f" * 64 + b"\n"


STAMP, TEXT = "timestamps/00000001.tsr", "timestamps/00000001.txt"
_TOO_FAR = dt.timedelta(seconds=121)
"""One second more than clocks may differ."""


OF_STAMPS: Mapping[str, Case] = {
    "stamp-early": Case(
        Step.TIMESTAMP,
        "the time-stamp is 121 seconds earlier than a statement whose signature it is over",
        by(told(stamped_at=stories.at(2) - _TOO_FAR)),
    ),
    "stamp-late": Case(
        Step.TIMESTAMP,
        "the time-stamp is 121 seconds later than the index",
        by(told(stamped_at=stories.at(10) + _TOO_FAR)),
    ),
    "stamp-of-other-text": Case(
        Step.TIMESTAMP,
        "a line was taken out of the stamped text",
        sealed(_one_line_less, stories.stamped),
    ),
    "stamp-by-seal": Case(
        Step.TIMESTAMP,
        "the centre's seal made the time-stamp",
        signed("timestamps/00000001.tsr", lambda: CITY.centre, stories.stamped),
    ),
    "stamp-by-stranger": Case(
        Step.TIMESTAMP,
        "the time-stamping service of another exchange made the time-stamp",
        signed("timestamps/00000001.tsr", lambda: FOREIGN.tsa, stories.stamped),
    ),
    "stamp-of-nothing": Case(
        Step.TIMESTAMP,
        "no signature of this bundle is among those stamped",
        sealed(_stamp_of_nothing),
    ),
    "stamp-without-text": Case(
        Step.TIMESTAMP,
        "what was stamped is missing",
        sealed(drop("00000001.txt"), stories.stamped),
    ),
    "stamp-not-granted": Case(
        Step.TIMESTAMP,
        "the time-stamp was granted with modifications",
        sealed(_not_granted, stories.stamped),
    ),
    "stamp-with-more": Case(
        Step.TIMESTAMP,
        "there is something behind the time-stamp",
        sealed(more_behind(STAMP), stories.stamped),
    ),
    "stamp-of-other-service-over-other-text": Case(
        Step.TIMESTAMP,
        "a service outside of the exchange made the time-stamp, over another text",
        _of_other_service(_another_line),
    ),
    "stamp-of-other-service-damaged": Case(
        Step.TIMESTAMP,
        "a service outside of the exchange made the time-stamp, and half of it is missing",
        _of_other_service(lambda files: files.update({STAMP: files[STAMP][:400]})),
    ),
    "stamp-of-other-service-without-certificates": Case(
        Step.TIMESTAMP,
        "of the service outside of the exchange a certificate is none",
        _of_other_service(more_behind(evidence.tsa_path(2))),
    ),
}
"""By name."""
