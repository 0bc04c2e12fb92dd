"""Who somebody is: the SPIFFE ID in the single URI SAN of a leaf certificate, and nothing else.

Shapes (SPIFFE-ID specification, section 2)::

    spiffe://<trust-domain>/unit/<unit_id>/system/<name>
    spiffe://<trust-domain>/unit/<unit_id>/seal/<name>
    spiffe://<trust-domain>/staff/<name>
    spiffe://<trust-domain>/centre/{seal,server,tsa,authority}/<name>
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from cryptography import x509

from document_exchange.errors import Unauthenticated

_TRUST_DOMAIN = r"[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?"
UNIT_ID = r"[a-z0-9-]{2,40}"
NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
_SPIFFE_ID = re.compile(
    rf"spiffe://(?P<trust_domain>{_TRUST_DOMAIN})/"
    rf"(?:unit/(?P<unit>{UNIT_ID})/(?P<unit_kind>system|seal)/(?P<unit_name>{NAME})"
    rf"|staff/(?P<staff>{NAME})"
    rf"|centre/(?P<centre_kind>seal|server|tsa|authority)/(?P<centre_name>{NAME}))",
    re.ASCII,
)


class Kind(enum.Enum):
    """What a certificate's holder is."""

    SYSTEM = "system"
    SEAL = "seal"
    STAFF = "staff"
    CENTRE_SEAL = "centre-seal"
    CENTRE_SERVER = "centre-server"
    CENTRE_TSA = "centre-tsa"
    CENTRE_AUTHORITY = "centre-authority"


@dataclass(frozen=True, slots=True)
class Identity:
    """One SPIFFE ID taken apart. ``unit`` is None for staff and for the centre itself."""

    trust_domain: str
    kind: Kind
    name: str
    unit: str | None = None

    def __str__(self) -> str:
        head = f"spiffe://{self.trust_domain}"
        if self.unit is not None:
            return f"{head}/unit/{self.unit}/{self.kind.value}/{self.name}"
        if self.kind is Kind.STAFF:
            return f"{head}/staff/{self.name}"
        return f"{head}/centre/{self.kind.value.removeprefix('centre-')}/{self.name}"


def parse(spiffe_id: str) -> Identity:
    """Take a SPIFFE ID apart.

    Raises:
        Unauthenticated: it has none of the shapes above.
    """
    match = _SPIFFE_ID.fullmatch(spiffe_id)
    if match is None:
        raise Unauthenticated(
            f"{spiffe_id!r} is not an identity of this exchange", identity=spiffe_id
        )
    found = match.groupdict()
    if found["unit"] is not None:
        return Identity(
            found["trust_domain"], Kind(found["unit_kind"]), found["unit_name"], found["unit"]
        )
    if found["staff"] is not None:
        return Identity(found["trust_domain"], Kind.STAFF, found["staff"])
    return Identity(
        found["trust_domain"], Kind(f"centre-{found['centre_kind']}"), found["centre_name"]
    )


def of_certificate(certificate: x509.Certificate) -> Identity:
    """The identity in the certificate's subjectAltName, which must hold exactly one URI.

    DNS names and IP addresses beside it are allowed (servers need them).

    Raises:
        Unauthenticated: no SAN, not exactly one URI, or not one of our shapes.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise Unauthenticated(f"the certificate has no usable subjectAltName: {error}") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise Unauthenticated(f"the certificate must hold exactly one URI, it holds {len(uris)}")
    return parse(uris[0])
