"""Where profiles live, and which one is meant. Knows paths only, so that the CLI starts fast."""

from __future__ import annotations

import os
import re
from pathlib import Path

from document_exchange.errors import ConfigurationError

CONFIG_VARIABLE = "EXCHANGE_CONFIG"
PROFILE_VARIABLE = "EXCHANGE_PROFILE"
HOW_TO_GET_PROFILES = (
    f"set {CONFIG_VARIABLE} to the directory that holds your profiles (for a development stack:"
    " STATE/clients), join with  exchange enrol,  or import one with  exchange profile import DIR"
)
_MOST_LISTED = 10
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)


def config_dir(given: str | Path | None = None) -> Path:
    """The directory of all profiles: as given, or EXCHANGE_CONFIG, or below ~/.config."""
    chosen = given or os.environ.get(CONFIG_VARIABLE) or "~/.config/document-exchange"
    return Path(chosen).expanduser()


def is_plain_name(name: str) -> bool:
    """Whether this names a file or directory in its parent and nothing else."""
    return _PLAIN_NAME.fullmatch(name) is not None


def profile_names(directory: Path) -> list[str]:
    """The names of all profiles in ``directory``, sorted."""
    if not directory.is_dir():
        return []
    return sorted(
        entry.name
        for entry in directory.iterdir()
        if is_plain_name(entry.name) and (entry / "profile.toml").is_file()
    )


def choose_profile(directory: Path, given: str | None = None) -> str:
    """The profile that is meant: as given, or EXCHANGE_PROFILE, or the only one that there is.

    Raises:
        ConfigurationError: there is none of that name, or none was named and there are several.
    """
    name = given or os.environ.get(PROFILE_VARIABLE)
    if name:
        if not is_plain_name(name):
            raise ConfigurationError(f"{name!r} can't be the name of a profile", profile=name)
        if not (directory / name / "profile.toml").is_file():
            found = profile_names(directory)
            remedy = f"there are {_listed(found)}" if found else HOW_TO_GET_PROFILES
            raise ConfigurationError(
                f"there is no profile {name} in {directory}: {remedy}", profile=name
            )
        return name
    names = profile_names(directory)
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigurationError(
            f"there are no profiles in {directory}: {HOW_TO_GET_PROFILES}",
            directory=str(directory),
        )
    raise ConfigurationError(
        f"there are {len(names)} profiles in {directory}: choose one with --profile"
        f" or {PROFILE_VARIABLE}"
    )


def _listed(names: list[str]) -> str:
    """The first few of ``names``; a city has too many for one message."""
    shown = ", ".join(names[:_MOST_LISTED])
    return shown if len(names) <= _MOST_LISTED else f"{shown} and {len(names) - _MOST_LISTED} more"
