"""Which methods a caller may call: one list for each service; what is not on it is denied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from document_exchange.errors import NotPermitted
from document_exchange.identity import Kind
from exchange_runtime.values import Principal

OPERATOR, SECURITY, AUDITOR = "operator", "security", "auditor"
ROLES = frozenset({OPERATOR, SECURITY, AUDITOR})
"""The roles of staff 三员分立. Nobody holds two."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may call a method. Staff by their roles alone."""

    kinds: frozenset[Kind] = frozenset()
    """Kinds of certificates, other than staff's."""
    roles: frozenset[str] = frozenset()


def check(allowed: Mapping[str, Allowed], principal: Principal, method: str, role: str) -> None:
    """Raise NotPermitted unless the list has the method for this caller.

    Args:
        allowed: the service's list, by full name of the method.
        principal: who calls; that it is admitted at all is asked before (``standing``).
        method: the full name, as in ``/package.Service/Method``.
        role: of staff: the role that the certificate was issued for; without one, all is denied.
    """
    callers = allowed.get(method, Allowed())
    kind = principal.identity.kind
    if kind is Kind.STAFF:
        if role not in callers.roles:
            whose = f"{role} staff" if role else "staff without a role"
            raise NotPermitted(f"{whose} may not call {method}", method=method)
    elif kind not in callers.kinds:
        raise NotPermitted(f"a {kind.value} certificate may not call {method}", method=method)
