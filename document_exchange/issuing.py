"""Who may send a document that these units issue: one of them, or who acts for the leading one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from document_exchange.errors import NotPermitted


def check_issuing(sender: str, issuers: Sequence[str], acts_for: Collection[str]) -> None:
    """Whether ``sender`` may send a document of ``issuers``.

    Args:
        sender: the unit that would send it.
        issuers: the units that issue it, the leading one first; at least one.
        acts_for: the units in whose name the sender may send, as the directory has it.

    Raises:
        NotPermitted: it is none of them and does not act for the leading one; ``field`` is
            ``document.issuers``.
    """
    if sender not in issuers and issuers[0] not in acts_for:
        raise NotPermitted(
            f"{sender} is no issuer of this document and does not act for {issuers[0]}",
            field="document.issuers",
        )
