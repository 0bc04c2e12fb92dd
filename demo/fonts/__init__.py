"""The font of the sample documents: a subset of Noto Serif SC (see ``OFL.txt``)."""

from pathlib import Path

SONG = str(Path(__file__).with_name("exchange-demo-song.ttf"))
