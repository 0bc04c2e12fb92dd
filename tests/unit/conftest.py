"""What unit tests share: certificates of an invented world, and a place in it to join."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.joining_for_tests import ScriptedAuthority, WelcomingCentre
from tests.pki_for_tests import Pki


@pytest.fixture(scope="module")
def pki() -> Pki:
    """An authority of the module's own."""
    return Pki()


@pytest.fixture(scope="module")
def running_centre(pki: Pki) -> Iterator[WelcomingCentre]:
    with WelcomingCentre(pki) as centre:
        yield centre


@pytest.fixture
def centre(running_centre: WelcomingCentre) -> WelcomingCentre:
    """A centre in memory that knows nothing of other tests."""
    running_centre.forget()
    return running_centre


@pytest.fixture(scope="module")
def running_authority(pki: Pki, running_centre: WelcomingCentre) -> Iterator[ScriptedAuthority]:
    with ScriptedAuthority(pki, running_centre.address) as authority:
        yield authority


@pytest.fixture
def authority(running_authority: ScriptedAuthority) -> ScriptedAuthority:
    """Its authority."""
    running_authority.forget()
    return running_authority


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where profiles are kept; nothing is there yet. No other setting counts."""
    for variable in ("EXCHANGE_PROFILE", "EXCHANGE_KEY_PASSPHRASE", "LC_ALL", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    directory = tmp_path / "config"
    monkeypatch.setenv("EXCHANGE_CONFIG", str(directory))
    return directory
