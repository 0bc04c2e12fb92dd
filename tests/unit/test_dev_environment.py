"""What the parts of ``exchange-server dev`` see of the environment in which it was started."""

from __future__ import annotations

import pytest

from exchange_server.dev.commands import own_environment


def test_another_centres_settings_are_left_out_and_deadlines_come_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXCHANGE_SERVER_LEDGER__DSN", "postgresql://of-another-centre/exchange")
    monkeypatch.setenv("EXCHANGE_PROFILE", "another")
    monkeypatch.setenv("EXCHANGE_SERVER_DEADLINES__INTERVAL_S", "0.5")
    found = own_environment()
    assert "EXCHANGE_SERVER_LEDGER__DSN" not in found
    assert "EXCHANGE_PROFILE" not in found
    assert found["EXCHANGE_SERVER_DEADLINES__INTERVAL_S"] == "0.5"
