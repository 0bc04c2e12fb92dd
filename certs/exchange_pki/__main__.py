"""``python -m exchange_pki`` is the command ``exchange-pki``."""

import sys

from exchange_pki.cli import main

sys.exit(main())
