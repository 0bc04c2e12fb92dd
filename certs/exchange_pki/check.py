"""What is not in order: acts without outcome, torn ends, lists past their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from document_exchange.errors import ConfigurationError
from exchange_pki import files
from exchange_pki.authority import Authority
from exchange_pki.crl import LARGEST_BYTES
from exchange_pki.journal import CrlIntent, IssueIntent, RevokeIntent
from exchange_pki.profile import AUTHORITIES


@dataclass(frozen=True)
class Problem:
    """One thing that is not in order. ``kind`` is for programs, the rest for people."""

    kind: str
    what: str
    remedy: str


def problems(authority: Authority) -> list[Problem]:
    """Everything that is not in order."""
    return [
        *_unfinished(authority),
        *_torn(authority),
        *(problem for name in AUTHORITIES for problem in _list_of(authority, name)),
    ]


def _unfinished(authority: Authority) -> Iterator[Problem]:
    for intent in authority.register.unfinished():
        match intent:
            case IssueIntent():
                yield Problem(
                    "ISSUE_UNFINISHED",
                    f"{intent.at}: {intent.profile} for {intent.identity}, serial {intent.serial}, "
                    "may have been signed and was handed to nobody",
                    f"exchange-pki revoke --serial {intent.serial} --reason superseded",
                )
            case RevokeIntent():
                yield Problem(
                    "REVOCATION_UNFINISHED",
                    f"{intent.at}: serial {intent.serial} was to be revoked and is not",
                    f"exchange-pki revoke --serial {intent.serial} --reason {intent.reason}",
                )
            case CrlIntent():
                yield Problem(
                    "CRL_UNFINISHED",
                    f"{intent.at}: list {intent.number} of {intent.issuer} may have been signed",
                    f"exchange-pki crl --issuer {intent.issuer}",
                )


def _torn(authority: Authority) -> Iterator[Problem]:
    if authority.torn:
        yield Problem(
            "JOURNAL_TORN",
            f"the last line of {authority.layout.journal} is torn ({len(authority.torn)} bytes)",
            "none is needed: the next command that writes sets it aside",
        )
    if authority.layout.torn_journal.exists():
        yield Problem(
            "JOURNAL_WAS_TORN",
            f"{authority.layout.torn_journal} holds torn ends of the journal",
            "compare it with the unfinished acts, then move it to your files",
        )


def _list_of(authority: Authority, name: str) -> Iterator[Problem]:
    path = authority.layout.crl(name)
    remedy = f"exchange-pki crl --issuer {name}"
    try:
        crl = x509.load_der_x509_crl(files.read(path, limit=LARGEST_BYTES))
    except (ConfigurationError, ValueError) as error:
        yield Problem("CRL_UNREADABLE", f"{path}: {error}", remedy)
        return
    next_update = crl.next_update_utc
    if next_update is None or next_update <= authority.now():
        yield Problem("CRL_EXPIRED", f"{path} was in force until {next_update}", remedy)
    listed = {entry.serial_number for entry in crl}
    for revocation in authority.register.revoked_by(name):
        if int(revocation.serial, 16) not in listed:
            yield Problem("CRL_INCOMPLETE", f"{path} does not hold {revocation.serial} yet", remedy)
