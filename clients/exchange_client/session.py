"""What the steps of a document's life share on the client's side."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from exchange_client.connection import Connection
from exchange_client.evidence import Verifier
from exchange_client.kept_receipts import KeptReceipts
from exchange_client.profile import Profile
from exchange_client.timing import Timing


@dataclass(slots=True)
class Session:
    """An open connection that speaks for one unit."""

    profile: Profile
    """As last renewed. A step that needs it twice reads it once, so that what it does is of one
    profile."""
    connection: Connection
    verifier: Verifier
    receipts: KeptReceipts = field(default_factory=KeptReceipts)

    @property
    def unit(self) -> str:
        """The own unit."""
        return self.profile.unit

    @property
    def timing(self) -> Timing:
        """Deadlines and budgets."""
        return self.connection.timing

    @staticmethod
    def now() -> datetime:
        """The clock of this machine: the party's own time in what it signs."""
        return datetime.now(UTC)


class HasSession:
    """What is done in an open session."""

    @property
    def session(self) -> Session:
        """The open session, for the steps' own modules."""
        raise NotImplementedError


def open_session(profile: Profile, timing: Timing) -> Session:
    """Connect; must be called in the event loop that will use the session.

    Raises:
        CertificateExpired: the system certificate's dates do not admit now.
    """
    profile.check_dates(Session.now())
    return Session(
        profile=profile,
        connection=Connection(profile, timing),
        verifier=Verifier(profile.root_fingerprint, profile.trust),
    )
