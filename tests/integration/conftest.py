"""What integration tests share: one running centre with a few units."""

from __future__ import annotations

from pathlib import Path

from exchange_client.testing import local_centre_fixture

SMALL_CITY = Path(__file__).parent / "small_city.toml"

local_centre = local_centre_fixture(registry=SMALL_CITY)
