"""Makes the day's files beside everything else: in two processes, in the order of the plan."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Self

from demo import city, documents
from demo.files import MadeFile, RealFiles
from demo.plan import PlannedDocument, Workday

PROCESSES = 2


class Files:
    """The files of each document: made ahead, or those of a folder. A context manager."""

    def __init__(self, workday: Workday, folder: Path, seed: int, real: RealFiles | None) -> None:
        self._folder = folder
        self._real = real
        self._pool: ProcessPoolExecutor | None = None
        self._made: Mapping[int, Future[list[MadeFile]]] = {}
        self._workday = workday
        self._seed = seed

    def __enter__(self) -> Self:
        if self._real is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(PROCESSES, context, _live_as_long_as_parent)
            self._made = {
                document.key: self._pool.submit(_make, document, self._folder, self._seed)
                for document in self._workday.documents
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    async def of(self, document: PlannedDocument) -> list[MadeFile]:
        """Body and attachments of one document, as soon as they are there."""
        if self._real is not None:
            return await asyncio.to_thread(self._real.files_of, document)
        return await asyncio.wrap_future(self._made[document.key])

    def title_of(self, document: PlannedDocument, files: list[MadeFile]) -> str:
        """The planned title; of real files, the name of the body."""
        return document.title if self._real is None else Path(files[0].filename).stem

    def done_with(self, document: PlannedDocument, files: list[MadeFile]) -> None:
        """The centre holds them now: give the room on disk back. Real files stay."""
        if self._real is None:
            for file in files:
                file.path.unlink()
            (self._folder / str(document.key)).rmdir()


@lru_cache(maxsize=1)
def _city() -> city.City:
    return city.load()


def _make(document: PlannedDocument, folder: Path, seed: int) -> list[MadeFile]:
    return documents.make_document(document, _city(), folder / str(document.key), seed=seed)


def _live_as_long_as_parent() -> None:
    """Leave interrupts to the parent, and end when it ends, however that happens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
