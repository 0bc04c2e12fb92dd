"""Taking a profile over from a directory or archive that an administrator handed out."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from document_exchange.errors import ConfigurationError
from exchange_client import locations
from exchange_client.profile import PROFILE_FILE, Profile, read_settings

_MAX_ARCHIVE_MEMBERS = 64
_MAX_FILE_BYTES = 1024 * 1024


def import_profile(
    source: Path, directory: Path, name: str | None = None, *, replace: bool = False
) -> Profile:
    """Check a profile and copy it below ``directory``, its keys readable by the owner alone.

    Args:
        source: a directory with a profile.toml, that file itself, or a tar archive of either
            (members at the top or in one directory).
        directory: where profiles live.
        name: what to call it; default: the id of the unit, or the name of the member of staff.
        replace: take the place of a profile of this name.

    Raises:
        ConfigurationError: the profile is not usable, or there is one of this name.
    """
    with tempfile.TemporaryDirectory(prefix="exchange-profile-") as unpacked:
        found = _directory_of(source, Path(unpacked))
        profile = Profile.read(found, name or source.name, private=False)
        chosen = name or profile.system.unit or profile.system.name
        if not locations.is_plain_name(chosen):
            raise ConfigurationError(f"{chosen!r} can't be the name of a profile", profile=chosen)
        target = directory / chosen
        if target.exists() and not replace:
            raise ConfigurationError(
                f"there is a profile {chosen} in {directory} already: give another --name,"
                " or --replace",
                profile=chosen,
            )
        _install(found, target)
    return Profile.read(target, chosen)


def _directory_of(source: Path, unpacked: Path) -> Path:
    if source.is_dir():
        return source
    if source.name == PROFILE_FILE and source.is_file():
        return source.parent
    if source.is_file() and tarfile.is_tarfile(source):
        return _unpack(source, unpacked)
    raise ConfigurationError(
        f"{source} is no profile: give a directory with a {PROFILE_FILE}, that file, or a tar"
        " archive of it",
        file=str(source),
    )


def _unpack(archive: Path, unpacked: Path) -> Path:
    """Only plain small files with plain names, whatever else the archive holds."""
    try:
        with tarfile.open(archive) as tar:
            for place, member in enumerate(tar):
                name = Path(member.name).name
                small = member.isreg() and member.size <= _MAX_FILE_BYTES
                if member.isdir() or (member.isreg() and name.startswith(".")):
                    continue  # locks and marks of the machine that it comes from
                if place >= _MAX_ARCHIVE_MEMBERS or not small or not locations.is_plain_name(name):
                    raise ConfigurationError(
                        f"{archive} is not the archive of a profile: {member.name!r} is too much",
                        file=str(archive),
                    )
                content = tar.extractfile(member)
                if content is not None:
                    _write_private(unpacked / name, content.read())
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigurationError(f"{archive}: {error}", file=str(archive)) from error
    return unpacked


def _install(source: Path, target: Path) -> None:
    """Copy what profile.toml names, and nothing else; the profile appears at once or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    settings = read_settings(source / PROFILE_FILE)
    fresh = Path(tempfile.mkdtemp(prefix=".importing-", dir=target.parent))
    try:
        for name in {PROFILE_FILE, *settings.file_names()}:
            _write_private(fresh / name, (source / name).read_bytes())
        if target.exists():
            retired = Path(tempfile.mkdtemp(prefix=".replaced-", dir=target.parent))
            target.rename(retired / target.name)
            fresh.rename(target)
            shutil.rmtree(retired)
        else:
            fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _write_private(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise ConfigurationError(f"{path.name} is there twice", file=path.name) from error
