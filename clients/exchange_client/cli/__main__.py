"""``python -m exchange_client.cli``: the same as ``exchange``."""

import sys

from exchange_client.cli import main

sys.exit(main())
