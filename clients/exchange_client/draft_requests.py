"""The requests to seal a draft: kept in its folder before they are sent, so sent once each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from document_exchange import codes, countersign
from document_exchange import manifest as manifests
from document_exchange.errors import ExchangeError
from document_exchange.manifest import Manifest
from document_exchange.signature import MAX_SIGNATURE_BYTES
from exchange_client.drafts import SUFFIX, JointDraft, existing, store_file
from exchange_client.files import Folder

_DIRECTORY = "requests"
_ENDING = ".json"
_MAX_KEPT = 100
"""Of one draft; more than any draft gets by asking each issuer again and again."""


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A sealed request as it was, or is to be, handed to the centre."""

    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes

    @property
    def envelope_id(self) -> str:
        """The request's own, which answers name in reply_to."""
        return self.manifest.envelope_id


def keep_request(draft: JointDraft, request: KeptRequest) -> None:
    """Keep a request, durably on return; the manifest last, since without it there is none."""
    name = request.envelope_id + _ENDING
    with existing(draft.directory) as folder, folder.folder(_DIRECTORY) as requests:
        store_file(requests, name + SUFFIX, request.signature)
        store_file(requests, name, request.manifest_bytes)


def drop_request(draft: JointDraft, request: KeptRequest) -> None:
    """Forget a request that the centre does not have and is not to get; no error if it is gone."""
    name = request.envelope_id + _ENDING
    with (
        contextlib.suppress(FileNotFoundError),
        existing(draft.directory) as folder,
        folder.inner(_DIRECTORY) as requests,
    ):
        for each in (name, name + SUFFIX):  # the manifest first: without it there is no request
            requests.remove(each)
        requests.sync()


def kept_requests(draft: JointDraft, unit: str) -> list[KeptRequest]:
    """The requests of ``unit`` for this very draft, oldest first.

    The folder may have been in other hands: whatever else is there is passed over. Nothing is
    believed of a request but what the centre says of it.
    """
    with existing(draft.directory) as folder:
        try:
            requests = folder.inner(_DIRECTORY)
        except FileNotFoundError:
            return []
        with requests:
            names = [name for name in requests.names() if name.endswith(_ENDING)][-_MAX_KEPT:]
            read = [_read(requests, name, draft, unit) for name in names]
    return [request for request in read if request is not None]


def _read(requests: Folder, name: str, draft: JointDraft, unit: str) -> KeptRequest | None:
    envelope_id = name.removesuffix(_ENDING)
    if not codes.is_uuid7(envelope_id):
        return None
    with contextlib.suppress(ExchangeError, FileNotFoundError):
        content = requests.read(name, manifests.MAX_BYTES)
        signature = requests.read(name + SUFFIX, MAX_SIGNATURE_BYTES)
        manifest = manifests.decode(content)
        form = countersign.read_request(manifest)
        own = (manifest.envelope_id, manifest.sender) == (envelope_id, unit)
        if own and form.manifest.sha256 == manifests.sha256_hex(draft.manifest_bytes):
            return KeptRequest(manifest, content, signature)
    return None
