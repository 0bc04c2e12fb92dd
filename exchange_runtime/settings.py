"""Settings of a service process: a TOML file, overridden by the environment."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from document_exchange.errors import ConfigurationError


class Section(BaseModel):
    """A part of the settings; what is unknown is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceSettings(BaseSettings):
    """The environment goes before the file, so that secrets need not be in it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


_Settings = TypeVar("_Settings", bound=ServiceSettings)


def load(
    cls: type[_Settings],
    path: Path,
    *,
    path_sections: Iterable[str] = (),
    paths: Iterable[str] = (),
) -> _Settings:
    """Read and check the settings. Relative paths in the file are relative to it.

    Args:
        cls: the settings.
        path: the TOML file.
        path_sections: sections whose strings all are paths.
        paths: single settings that are paths; ``section.name`` where they are in a section.

    Raises:
        ConfigurationError: the file can't be read, or settings are missing, unknown or wrong; it
            names all of them.
    """
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the settings in {path} can't be read: {error}") from error
    for section in path_sections:
        if isinstance(found.get(section), dict):
            _make_absolute(found[section], found[section], path.parent)
    for name in paths:
        section, _, leaf = name.rpartition(".")
        values = found.get(section) if section else found
        if isinstance(values, dict):
            _make_absolute(values, (leaf,), path.parent)
    try:
        return cls(**found)
    except ValidationError as error:
        wrong = [
            (".".join(str(piece) for piece in each["loc"]), each["msg"])
            for each in error.errors(include_input=False)
        ]
        said = "; ".join(f"{where}: {message}" for where, message in wrong)
        raise ConfigurationError(
            f"settings in {path} or the environment: {said}",
            field=", ".join(where for where, _ in wrong),
        ) from error


def _make_absolute(values: dict[str, Any], names: Iterable[str], directory: Path) -> None:
    for name in tuple(names):
        if isinstance(values.get(name), str):
            values[name] = directory / values[name]
