"""``python -m exchange_server`` is the command ``exchange-server``."""

from exchange_server.cli import main

main()
