"""Write the JSON Schemas beside the protos, or into another directory.

``python proto/write_schemas.py [DIRECTORY]`` prints the name of each file that it changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from document_exchange.schemas import json_schemas

BESIDE_THE_PROTOS = Path(__file__).parent / "document_exchange" / "v1"


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in json_schemas().items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else BESIDE_THE_PROTOS)
