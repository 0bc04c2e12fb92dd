"""Beginning a draft of a joint issue: its folder, with copies of all parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from document_exchange.countersign import Seals
from document_exchange.errors import InvalidRequest, PartRefused
from document_exchange.manifest import Manifest
from exchange_client.download import PartWriter
from exchange_client.drafts import (
    MANIFEST_FILE,
    PARTS,
    SIGNATURES,
    SUFFIX,
    JointDraft,
    part_names,
    store_file,
)
from exchange_client.files import Folder
from exchange_client.parts import OutgoingPart
from exchange_client.store import ReceivedPart
from exchange_client.threads import in_thread

_README = """\
A draft of a document that several units issue jointly 联合行文. Each issuer seals the exact bytes
of manifest.json; none may change it, or the seals made so far no longer fit.
Look at it and seal it:  exchange countersign FOLDER
Give the folder back, or its signatures/UNIT.p7s, to the unit that drafted it, which sends it with
exchange send --draft FOLDER  once every issuer's seal is in signatures/.

本文件夹为联合行文会签稿。各发文单位对 manifest.json 的原始字节盖章；内容一经改动，已盖印章即失效。
查看并盖章：exchange countersign 文件夹
盖章后请将文件夹（或 signatures/单位编号.p7s）交还拟稿单位，由其用
exchange send --draft 文件夹  发出。
"""


async def write_draft(
    directory: Path,
    manifest: Manifest,
    content: bytes,
    outgoing: Sequence[OutgoingPart],
    signatures: Seals,
) -> JointDraft:
    """Write a new draft, durably on return; without manifest.json a folder is unfinished.

    Raises:
        InvalidRequest: there is something in ``directory``.
        PartRefused: a file changed while it was copied.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(await in_thread(Folder.open, directory))
        if folder.names():
            raise InvalidRequest(
                f"{directory} is not empty: name a new directory for the draft", field="directory"
            )
        parts = stack.enter_context(await in_thread(folder.folder, PARTS))
        names = part_names(manifest.parts)
        for name, part in zip(names, outgoing, strict=True):
            await _copy(part, parts, name)
        await in_thread(_write_rest, folder, parts, content, signatures)
        placed = (
            ReceivedPart(part, parts.path / name)
            for name, part in zip(names, manifest.parts, strict=True)
        )
        return JointDraft(directory, manifest, content, signatures, tuple(placed))


async def _copy(part: OutgoingPart, parts: Folder, name: str) -> None:
    with await in_thread(parts.create) as incoming:
        writer = PartWriter(incoming)
        async for data in part.chunks():
            await writer.take(data)
        if await writer.finish() != part.part.sha256:
            raise PartRefused(
                f"{part.part.filename} changed while it was being copied: draft it again",
                part=part.part.part_id,
            )
        await in_thread(incoming.finish, [name])


def _write_rest(folder: Folder, parts: Folder, content: bytes, signatures: Seals) -> None:
    """What comes after the parts, the manifest last."""
    parts.sync()
    with folder.folder(SIGNATURES) as place:
        for unit, signature in signatures.items():
            store_file(place, unit + SUFFIX, signature)
    store_file(folder, "README.txt", _README.encode())
    store_file(folder, MANIFEST_FILE, content)
