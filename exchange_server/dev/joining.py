"""Gives every unit and member of staff of the registry a profile: each enrols with its own token.

A profile whose certificates are valid is left alone, it renews itself; so is one that was revoked.
The tokens are kept in a file until they are used up, so that a start which was killed amid the
enrolment goes on with the same keys and certificates.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from document_exchange import certificates
from document_exchange.errors import ConfigurationError, ExchangeError
from exchange_server.dev.authority import is_valid
from exchange_server.dev.commands import CLIENT, PKI, call
from exchange_server.dev.places import Places, write_private
from exchange_server.registry_file import RegistryFile

_SYSTEM = "oa"
_SOME_FAILED = 1


@dataclass(frozen=True, slots=True)
class Joined:
    """How many enrolled in this start, and how long tokens and enrolment took."""

    units: int
    staff: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who should have a profile."""

    name: str
    """Of the profile, too."""
    is_staff: bool

    def token_order(self) -> dict[str, str]:
        """A line of ``exchange-pki token --batch``."""
        return {"staff": self.name} if self.is_staff else {"unit": self.name, "system": _SYSTEM}


class Joining:
    """One start's enrolments."""

    def __init__(self, places: Places, root_fingerprint: str, dsn: str) -> None:
        """``dsn``: of the ledger, for the authority's role."""
        self._places = places
        self._root_fingerprint = root_fingerprint
        self._dsn = dsn

    def run(self, found: RegistryFile) -> Joined:
        """Enrol whoever of the registry has no profile; says on stderr who gets no token.

        Raises:
            ConfigurationError: two would share a profile, or one with a token fails.
        """
        start = time.monotonic()
        missing = [each for each in members(found) if not self._has_profile(each)]
        if not missing:
            self._places.joining.unlink(missing_ok=True)
            return Joined(0, 0, 0.0)
        if self._places.joining.exists():  # the last start was killed
            self._enrol()
        still_missing = [each for each in missing if not self._has_profile(each)]
        if still_missing:
            applications = self._applications(still_missing)
            text = "".join(json.dumps(each) + "\n" for each in applications)
            write_private(self._places.joining, text)
            failed = [row for row in self._enrol() if "error" in row]
            if failed:
                raise ConfigurationError(
                    f"{len(failed)} could not enrol, the first of them {failed[0]['profile']}: "
                    f"{failed[0]['message']} [{failed[0]['error']}]"
                )
        joined = [each for each in missing if self._has_profile(each)]
        staff = sum(each.is_staff for each in joined)
        return Joined(len(joined) - staff, staff, time.monotonic() - start)

    def _applications(self, missing: Sequence[Member]) -> list[dict[str, Any]]:
        """Lines of ``exchange enrol --batch``: a new token for each who may have one."""
        applications = []
        for member, issued in zip(missing, self._tokens(missing), strict=True):
            if "token" in issued:
                application = {"token": issued["token"], "profile": member.name}
                applications.append(application | {"seal": not member.is_staff})
            else:
                click.echo(f"no profile for {member.name}: {issued['message']}", err=True)
        return applications

    def _tokens(self, missing: Sequence[Member]) -> list[dict[str, str]]:
        batch = self._places.state / "tokens.jsonl"
        write_private(batch, "".join(json.dumps(each.token_order()) + "\n" for each in missing))
        printed = call(
            [*PKI, "token", "--state", str(self._places.pki), "--batch", str(batch)],
            accepted=(0, _SOME_FAILED),
            EXCHANGE_PKI_DSN=self._dsn,
        )
        batch.unlink()
        return [json.loads(line) for line in printed.splitlines()]

    def _enrol(self) -> list[dict[str, str]]:
        """What became of each line in the file of tokens, which is used up then."""
        printed = call(
            [
                *(*CLIENT, "enrol", "--json", "--replace", "--batch", str(self._places.joining)),
                *("--authority", self._places.address("enrolment")),
                *("--fingerprint", self._root_fingerprint),
            ],
            accepted=(0, _SOME_FAILED),
            EXCHANGE_CONFIG=str(self._places.clients),
        )
        self._places.joining.unlink()
        return [json.loads(line) for line in printed.splitlines()]

    def _has_profile(self, member: Member) -> bool:
        """Whether its profile is of this centre, and its certificates are valid now."""
        directory = self._places.clients / member.name
        try:
            profile = tomllib.loads((directory / "profile.toml").read_text(encoding="utf-8"))
            here = self._is_of_this_centre(profile, directory)
        except (OSError, ValueError, ExchangeError):
            return False
        kinds = ["system"] if member.is_staff else ["system", "seal"]
        return here and all(
            is_valid(directory / str(profile.get(f"{kind}_certificate")))
            and (directory / str(profile.get(f"{kind}_key"))).is_file()
            for kind in kinds
        )

    def _is_of_this_centre(self, profile: Mapping[str, Any], directory: Path) -> bool:
        root = certificates.load_pem((directory / str(profile.get("root"))).read_bytes())
        return (
            certificates.fingerprint(root) == self._root_fingerprint
            and profile.get("address") == self._places.address("server")
            and profile.get("authority") == self._places.address("authority")
        )


def members(found: RegistryFile) -> list[Member]:
    """Who of the registry should have a profile.

    Raises:
        ConfigurationError: two of them would have to share one.
    """
    units = [Member(unit.unit_id, is_staff=False) for unit in found.unit]
    staff = [Member(person.name, is_staff=True) for person in found.staff]
    for shared in {each.name for each in units} & {each.name for each in staff}:
        raise ConfigurationError(
            f"a unit and a member of staff are both called {shared}, and so would be their "
            "profiles: rename one of them in the registry file"
        )
    return [*units, *staff]
