"""A draft becomes a certificate that may be signed, if it obeys every rule.

The draft is signed with a throwaway key that no one trusts and the result is parsed again: the
rules look at that specimen. Only ``lint`` makes a ``LintedCertificate``, only that can be
signed, and the signed bytes must equal the linted ones.
"""

from __future__ import annotations

import functools
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import InvalidRequest
from exchange_pki import keys
from exchange_pki.prepare import Draft
from exchange_pki.rules import RULES, Case, Known


class LintRefused(InvalidRequest):
    """The certificate breaks a rule.

    ``attributes["rule"]`` names the first one broken; the message has all of them.
    """


class LintedCertificate:
    """A draft that passed every rule, with the exact bytes that may be signed.

    Only ``lint`` can make one.
    """

    __slots__ = ("_draft", "_specimen")

    def __init__(self, draft: Draft, specimen: x509.Certificate, made_by: object) -> None:
        if made_by is not _MADE_BY_LINT:
            raise TypeError("only exchange_pki.lint.lint makes a LintedCertificate")
        self._draft = draft
        self._specimen = specimen

    @property
    def draft(self) -> Draft:
        """What was linted."""
        return self._draft

    @property
    def specimen(self) -> x509.Certificate:
        """The certificate as it will be, but for the signature, which is nobody's."""
        return self._specimen

    @property
    def tbs(self) -> bytes:
        """The DER of the TBSCertificate that may be signed."""
        return self._specimen.tbs_certificate_bytes


_MADE_BY_LINT = object()


def lint(draft: Draft, *, trust_domain: str, now: datetime, known: Known) -> LintedCertificate:
    """Check a draft against its profile and against every rule that no profile can relax.

    Raises:
        LintRefused: it breaks at least one.
    """
    throwaway = _throwaway_key(draft.signing_curve)
    try:
        specimen = draft.builder.sign(throwaway, keys.signature_hash(draft.signing_curve))
        case = Case(specimen, draft, trust_domain, now, known)
        faults = [(rule.__name__, fault) for rule in RULES for fault in rule(case)]
    except (ValueError, TypeError) as error:  # it can't even be encoded or parsed again
        faults = [("encoding", str(error))]
    if faults:
        raise LintRefused(
            "the certificate breaks its rules: "
            + "; ".join(f"{rule}: {fault}" for rule, fault in faults),
            rule=faults[0][0],
            profile=draft.profile.name,
        )
    return LintedCertificate(draft, specimen, _MADE_BY_LINT)


@functools.cache
def _throwaway_key(curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    """A key of this process that nobody trusts; it makes specimens and is never written down."""
    return ec.generate_private_key(curve())
