"""Where the authority keeps its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The names under the state directory.

    The journal owns every fact; certificates and current lists beside it are copies to hand out.
    """

    state: Path

    @property
    def journal(self) -> Path:
        """Intent, act and outcome of everything, one JSON line each (0600)."""
        return self.state / "journal.jsonl"

    @property
    def torn_journal(self) -> Path:
        """Where torn ends of the journal are set aside (0600)."""
        return self.state / "journal.torn"

    @property
    def private(self) -> Path:
        """The directory of the encrypted keys (0700)."""
        return self.state / "private"

    @property
    def crls(self) -> Path:
        """The directory of the lists of revoked certificates."""
        return self.state / "crl"

    def certificate(self, authority: str) -> Path:
        """An authority's own certificate, in PEM."""
        return self.state / f"{authority}.pem"

    def key(self, authority: str) -> Path:
        """An authority's private key: encrypted PKCS#8 in PEM (0600)."""
        return self.private / f"{authority}.key"

    def own_key(self, profile: str, name: str) -> Path:
        """A leaf of the service itself: certificate and encrypted key in PEM (0600)."""
        return self.private / f"{profile}-{name}.pem"

    def crl(self, authority: str) -> Path:
        """An authority's newest list, in DER."""
        return self.crls / f"{authority}.crl"

    def numbered_crl(self, authority: str, number: int) -> Path:
        """One of an authority's lists for good, in DER."""
        return self.crls / f"{authority}-{number}.crl"
