"""A time-stamping service that is none of the exchange's: ``openssl ts -reply`` behind HTTP."""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.pki_for_tests import Holder

_CONFIG = """\
[tsa]
serial = {directory}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
tsa_name = {tsa_name}
accuracy = secs:1
"""


class OpensslTsa:
    """Makes responses in a directory of its own; its clock is this machine's."""

    def __init__(self, directory: Path, tsa: Holder, *, tsa_name: str = "no") -> None:
        self.directory = directory
        self._numbers = itertools.count()
        (directory / "tsa.pem").write_bytes(tsa.pem)
        (directory / "tsa.key").write_bytes(tsa.key_pem)
        (directory / "serial").write_text("01\n")
        config = _CONFIG.format(directory=directory, tsa_name=tsa_name)
        (directory / "tsa.cnf").write_text(config)
        self._lock = threading.Lock()

    def reply(self, query: bytes) -> bytes:
        """The TimeStampResp to a TimeStampReq."""
        with self._lock:
            question = self.directory / f"{next(self._numbers)}.tsq"
            question.write_bytes(query)
            answer = question.with_suffix(".tsr")
            files = {"-config": "tsa.cnf", "-signer": "tsa.pem", "-inkey": "tsa.key"}
            words = [x for name, file in files.items() for x in (name, self.directory / file)]
            subprocess.run(
                [
                    "openssl",
                    "ts",
                    "-reply",
                    "-section",
                    "tsa",
                    *words,
                    "-queryfile",
                    question,
                    "-out",
                    answer,
                ],
                check=True,
                capture_output=True,
                timeout=30,
            )
            return answer.read_bytes()

    @contextmanager
    def served(self) -> Iterator[str]:
        """Answer on a free port; gives the URL."""
        tsa = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/timestamp-query"
                answer = tsa.reply(query)
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Tests are quiet."""

        with serving(Handler) as url:
            yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on a free port of the loopback; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
