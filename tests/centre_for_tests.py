"""A small centre in memory that misbehaves on request, for tests of the SDK.

The real centre never breaks a stream after so many bytes, nor hands out a forged envelope. This
one speaks the same protocol over mutual TLS and signs what it says with a real seal; ``faults``
says where it lies or breaks. What the real centre does is tested against the real centre.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from exchange_client.profile import Profile

from document_exchange import codes, event, identity, manifest, receipt, signature, status, times
from document_exchange.certificates import fingerprint
from document_exchange.errors import ExchangeError, NotFound, StateConflict
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import Admission, Receipt, ReceiptType, State
from document_exchange.transitions import Standing, step
from document_exchange.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    envelope_pb2,
    exchange_pb2,
    exchange_pb2_grpc,
)
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    CLIENT,
    SERVER,
    TRUST_DOMAIN,
    Holder,
    Pki,
    key_usage,
    make_crl,
    make_leaf,
    unit_seal_id,
)

DAY = dt.timedelta(days=1)
CHUNK_BYTES = 64 * 1024
PENDING = Standing(State.PENDING)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class Faults:
    """What goes wrong; each one is given what it may change or break."""

    submit: Callable[[int], ExchangeError | None] = lambda attempt: None
    """Refuses the n-th submission (from 1), before any chunk is read."""
    lose_answer_of: set[str] = field(default_factory=set)
    """Methods that do their work once and then fail as if the connection had broken."""
    envelope: Callable[[envelope_pb2.Envelope], None] = lambda envelope: None
    statement: Callable[[envelope_pb2.Statement], None] = lambda statement: None
    part: Callable[[bytes], bytes] = lambda content: content
    encloses: bool = False
    """Whether parts come with their envelope, which is no fault."""
    break_downloads_after: list[int] = field(default_factory=list)
    """Bytes after which each of the next downloads breaks."""


@dataclass
class Held:
    """An accepted envelope."""

    manifest: Manifest
    content: bytes
    signatures: list[bytes]
    accepted: envelope_pb2.Statement
    parts: dict[str, bytes]
    standing: Standing = PENDING
    statements: list[envelope_pb2.Statement] = field(default_factory=list)
    decided_by: envelope_pb2.Statement | None = None
    """The last statement that changed where it stands."""

    @property
    def state(self) -> State:
        assert self.standing.state is not None
        return self.standing.state

    def record(self, statement: envelope_pb2.Statement, standing: Standing) -> None:
        if standing != self.standing:
            self.decided_by = statement
        self.standing = standing
        self.statements.append(statement)


class ScriptedCentre(
    exchange_pb2_grpc.ExchangeServiceServicer, directory_pb2_grpc.DirectoryServiceServicer
):
    """The centre. A context manager; each envelope has one recipient."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.faults = Faults()
        self.calls: list[str] = []
        self.offsets: list[int] = []
        self.handed_in: list[bytes] = []
        """Every receipt, however often and whatever became of it."""
        self.held: dict[str, Held] = {}
        self.watches: queue.Queue[list[exchange_pb2.WatchDeliveriesResponse]] = queue.Queue()
        self._lock = threading.Lock()
        self._submissions = 0
        self._seal = self.leaf(CENTRE_SEAL_ID, pki.seal_ca)
        self._crls = (
            make_crl(pki.root, this_update=now() - DAY, next_update=now() + DAY),
            make_crl(pki.seal_ca, this_update=now() - DAY, next_update=now() + DAY),
        )
        self._server = grpc.server(ThreadPoolExecutor(8))
        exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(self, self._server)
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(self, self._server)
        server = make_leaf(
            f"spiffe://{TRUST_DOMAIN}/centre/server/one",
            issuer=pki.tls_ca,
            purposes=SERVER,
            usage=key_usage("digital_signature"),
            further_names=[x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
            not_before=now() - DAY,
            not_after=now() + DAY,
        )
        credentials = grpc.ssl_server_credentials(
            [(server.key_pem, server.pem)], pki.tls_ca.pem, require_client_auth=True
        )
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"

    def forget(self) -> None:
        """Begin anew, with no faults."""
        self.faults = Faults()
        self.calls.clear()
        self.offsets.clear()
        self.handed_in.clear()
        self.held.clear()
        self._submissions = 0

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def system(self, unit: str) -> Holder:
        return self.leaf(
            f"spiffe://{TRUST_DOMAIN}/unit/{unit}/system/oa",
            self.pki.tls_ca,
            purposes=CLIENT,
            usage=key_usage("digital_signature"),
        )

    def profile(self, unit: str, **changes: Any) -> Profile:
        system = self.system(unit)
        values: dict[str, Any] = {
            "name": unit,
            "address": self.address,
            "server_name": "",
            "tls_ca": self.pki.tls_ca.pem,
            "root_fingerprint": fingerprint(self.pki.root.certificate),
            "trust": self.pki.trust,
            "system_chain": system.pem + self.pki.tls_ca.pem,
            "system_key": system.key_pem,
            "system_certificate": system.certificate,
            "system": identity.of_certificate(system.certificate),
            "seal": self.leaf(unit_seal_id(unit), self.pki.seal_ca).signer,
        }
        return Profile(**(values | changes))

    def write_profile(self, unit: str, directory: Path) -> None:
        """The profile as files, below ``directory``."""
        target = directory / unit
        target.mkdir(parents=True)
        system = self.system(unit)
        seal = self.leaf(unit_seal_id(unit), self.pki.seal_ca)
        files = {
            "root.pem": self.pki.root.pem,
            "tls-ca.pem": self.pki.tls_ca.pem,
            "seal-ca.pem": self.pki.seal_ca.pem,
            "system.pem": system.pem + self.pki.tls_ca.pem,
            "system.key": system.key_pem,
            "seal.pem": seal.pem,
            "seal.key": seal.key_pem,
        }
        for name, content in files.items():
            (target / name).write_bytes(content)
            (target / name).chmod(0o600)
        (target / "profile.toml").write_text(
            f'''address = "{self.address}"
root = "root.pem"
root_fingerprint = "{fingerprint(self.pki.root.certificate)}"
tls_ca = "tls-ca.pem"
seal_ca = "seal-ca.pem"
system_certificate = "system.pem"
system_key = "system.key"
seal_certificate = "seal.pem"
seal_key = "seal.key"
'''
        )

    def leaf(self, name: str, issuer: Holder, **more: Any) -> Holder:
        return make_leaf(name, issuer=issuer, not_before=now() - DAY, not_after=now() + DAY, **more)

    # ExchangeService

    def Submit(self, request_iterator: Any, context: Any) -> exchange_pb2.SubmitResponse:
        with self._lock:
            self._submissions += 1
            refusal = self.faults.submit(self._submissions)
        if refusal is not None:
            _abort(context, refusal)
        header = next(request_iterator).header
        decoded = manifest.decode(header.manifest)
        repeated = decoded.envelope_id in self.held
        if not repeated:
            parts = {part.part_id: b"" for part in decoded.parts}
            for request in request_iterator:
                parts[request.chunk.part_id] += request.chunk.data
            for part in decoded.parts:
                assert sha256_hex(parts[part.part_id]) == part.sha256
            self.accept(decoded, header.manifest, list(header.signatures), parts)
        held = self.held[decoded.envelope_id]
        self._said("Submit", context)
        return exchange_pb2.SubmitResponse(
            accepted=self._shown(held.accepted), repeated_submission=repeated
        )

    def GetEnvelope(self, request: Any, context: Any) -> exchange_pb2.GetEnvelopeResponse:
        held = self._find(request.envelope_id, context)
        made = envelope_pb2.Envelope(
            manifest=held.content,
            signatures=held.signatures,
            accepted=held.accepted,
            chain=[self.pki.seal_ca.der, self.pki.root.der],
            revocation_lists=self._revocation_lists(),
        )
        self.faults.envelope(made)
        self._said("GetEnvelope", context)
        enclosed = held.parts if self.faults.encloses and request.max_enclosed_bytes else {}
        return exchange_pb2.GetEnvelopeResponse(
            envelope=made,
            delivery=self.delivery(held),
            enclosed=[
                exchange_pb2.EnclosedPart(part_id=part_id, data=self.faults.part(content))
                for part_id, content in enclosed.items()
            ],
        )

    def DownloadPart(self, request: Any, context: Any) -> Iterator[Any]:
        held = self._find(request.envelope_id, context)
        self.offsets.append(request.offset)
        content = self.faults.part(held.parts[request.part_id])
        limits = self.faults.break_downloads_after
        end = limits.pop(0) + request.offset if limits else None
        for start in range(request.offset, len(content), CHUNK_BYTES):
            if end is not None and start >= end:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            yield exchange_pb2.DownloadPartResponse(data=content[start : start + CHUNK_BYTES])

    def ConfirmDelivery(self, request: Any, context: Any) -> exchange_pb2.ConfirmDeliveryResponse:
        held = self._find(request.envelope_id, context)
        if held.state is State.PENDING:
            self._record_own(held, ReceiptType.DELIVERED)
        self._said("ConfirmDelivery", context)
        return exchange_pb2.ConfirmDeliveryResponse(delivered=self._shown(held.statements[0]))

    def RecordReceipt(self, request: Any, context: Any) -> exchange_pb2.RecordReceiptResponse:
        self.handed_in.append(request.receipt.content)
        made = receipt.decode_receipt(request.receipt.content)
        held = self._find(made.envelope_id, context)
        recorded = [each for each in held.statements if each.receipt == request.receipt]
        if not recorded:
            try:
                standing = step(held.standing, made.type, made.reason_code)
            except StateConflict as error:
                _abort(context, self._with_what_won(held, error))
                raise
            recorded = [self._admit(held, made, request.receipt, standing)]
        self._said("RecordReceipt", context)
        return exchange_pb2.RecordReceiptResponse(statement=self._shown(recorded[0]))

    def TrackEnvelope(self, request: Any, context: Any) -> exchange_pb2.TrackEnvelopeResponse:
        held = self._find(request.envelope_id, context)
        return exchange_pb2.TrackEnvelopeResponse(
            envelope=envelope_pb2.Envelope(
                manifest=held.content,
                signatures=held.signatures,
                accepted=held.accepted,
                chain=[self.pki.seal_ca.der, self.pki.root.der],
                revocation_lists=self._revocation_lists(),
            ),
            deliveries=[
                exchange_pb2.TrackedDelivery(
                    status=envelope_pb2.DeliveryStatus(
                        recipient=held.manifest.recipients[0].unit,
                        state=_number(held.state),
                        seq=len(held.statements),
                    ),
                    statements=[self._shown(each) for each in held.statements],
                )
            ],
            revocation_lists=self._revocation_lists(),
        )

    def WatchDeliveries(self, request: Any, context: Any) -> Iterator[Any]:
        self.calls.append("WatchDeliveries")
        yield from self.watches.get_nowait()
        if self.watches.empty():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no further stream in this script")
        context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")

    def ListDeliveries(self, request: Any, context: Any) -> exchange_pb2.ListDeliveriesResponse:
        wanted = [h for h in self.held.values() if _number(h.state) in request.states]
        start = int(request.page_token or 0)
        page = wanted[start : start + 2]
        return exchange_pb2.ListDeliveriesResponse(
            deliveries=[self.delivery(held) for held in page],
            next_page_token=str(start + 2) if start + 2 < len(wanted) else "",
        )

    def ConfirmSeen(self, request: Any, context: Any) -> exchange_pb2.ConfirmSeenResponse:
        self.calls.append(f"ConfirmSeen {request.recipient} {request.seq} {request.party}")
        return exchange_pb2.ConfirmSeenResponse()

    def ListSubmissions(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "made by something in between")

    def WatchSubmissions(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    # DirectoryService

    def ListUnits(self, request: Any, context: Any) -> directory_pb2.ListUnitsResponse:
        self._said("ListUnits", context)
        return directory_pb2.ListUnitsResponse(units=[_unit("qd-caizheng"), _unit("qd-jiaoyu")])

    def GetUnit(self, request: Any, context: Any) -> directory_pb2.GetUnitResponse:
        self._said("GetUnit", context)
        return directory_pb2.GetUnitResponse(unit=_unit(request.unit_id))

    def ListGroups(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    def WhoAmI(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    def CheckRoute(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    def ListOwnCertificates(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    def WatchOwnCertificates(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    # What it signs

    def accept(
        self, decoded: Manifest, content: bytes, signatures: list[bytes], parts: dict[str, bytes]
    ) -> Held:
        made, salt, leaf = self._event(decoded, "ENVELOPE_ACCEPTED", None, 0)
        accepted = self._sign(
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                receipt_id=codes.new_id(now()),
                type=ReceiptType.ACCEPTED,
                envelope_id=decoded.envelope_id,
                manifest_sha256=sha256_hex(content),
                by=CENTRE_SEAL_ID,
                at=event.decode(made).at,
                signatures_sha256=tuple(sha256_hex(each) for each in signatures),
                seq=0,
                state_after=State.PENDING,
                leaf=leaf,
            )
        )
        statement = envelope_pb2.Statement(receipt=accepted, event=made, event_salt=salt)
        held = Held(decoded, content, signatures, statement, parts)
        self.held[decoded.envelope_id] = held
        return held

    def delivery(self, held: Held) -> envelope_pb2.Delivery:
        return envelope_pb2.Delivery(
            envelope_id=held.manifest.envelope_id,
            recipient=held.manifest.recipients[0].unit,
            sender=held.manifest.sender,
            state=_number(held.state),
            seq=len(held.statements),
            title=held.manifest.document.title,
        )

    def _record_own(self, held: Held, kind: ReceiptType) -> None:
        recipient, seq = held.manifest.recipients[0].unit, len(held.statements) + 1
        standing = step(held.standing, kind, None)
        made, salt, leaf = self._event(held.manifest, kind.value, recipient, seq)
        signed = self._sign(
            Receipt(
                schema=receipt.RECEIPT_SCHEMA,
                receipt_id=codes.new_id(now()),
                type=kind,
                envelope_id=held.manifest.envelope_id,
                recipient=recipient,
                manifest_sha256=sha256_hex(held.content),
                by=CENTRE_SEAL_ID,
                at=event.decode(made).at,
                seq=seq,
                state_before=held.state,
                state_after=standing.state,
                leaf=leaf,
            )
        )
        statement = envelope_pb2.Statement(receipt=signed, event=made, event_salt=salt)
        held.record(statement, standing)

    def _with_what_won(self, held: Held, error: StateConflict) -> StateConflict:
        if held.decided_by is None:
            return error
        won = self._shown(held.decided_by)
        winning = (
            *(won.receipt.content, won.receipt.signature),
            *(won.admission.content, won.admission.signature),
        )
        return StateConflict(error.message, winning, **error.attributes)

    def _admit(
        self, held: Held, made: Receipt, signed: envelope_pb2.SignedBytes, standing: Standing
    ) -> envelope_pb2.Statement:
        assert standing.state is not None
        recipient, seq = held.manifest.recipients[0].unit, len(held.statements) + 1
        happened, salt, leaf = self._event(held.manifest, made.type.value, recipient, seq)
        admission = self._sign(
            Admission(
                schema=receipt.ADMISSION_SCHEMA,
                receipt_sha256=sha256_hex(signed.content),
                receipt_signature_sha256=sha256_hex(signed.signature),
                envelope_id=made.envelope_id,
                recipient=recipient,
                seq=seq,
                state_before=held.state,
                state_after=standing.state,
                recorded_at=event.decode(happened).at,
                by=CENTRE_SEAL_ID,
                leaf=leaf,
            )
        )
        statement = envelope_pb2.Statement(
            receipt=signed, admission=admission, event=happened, event_salt=salt
        )
        held.record(statement, standing)
        return statement

    def _event(
        self, decoded: Manifest, kind: str, recipient: str | None, seq: int
    ) -> tuple[bytes, bytes, str]:
        content = event.encode(
            event.Event(
                schema=event.SCHEMA,
                event_id=codes.new_id(now()),
                type=kind,
                at=times.format_time(now()),
                actor=CENTRE_SEAL_ID,
                envelope_id=decoded.envelope_id,
                recipient=recipient,
                seq=seq,
            )
        )
        salt = event.new_salt()
        return content, salt, event.leaf(salt, content)

    def _sign(self, statement: Receipt | Admission) -> envelope_pb2.SignedBytes:
        content = receipt.encode(statement)
        signed = signature.sign(content, self._seal.signer, at=now())
        return envelope_pb2.SignedBytes(content=content, signature=signed)

    def _revocation_lists(self) -> list[envelope_pb2.RevocationList]:
        return [
            envelope_pb2.RevocationList(der=crl.public_bytes(Encoding.DER)) for crl in self._crls
        ]

    # Faults

    def _shown(self, statement: envelope_pb2.Statement) -> envelope_pb2.Statement:
        copy = envelope_pb2.Statement()
        copy.CopyFrom(statement)
        self.faults.statement(copy)
        return copy

    def _said(self, method: str, context: Any) -> None:
        self.calls.append(method)
        if method in self.faults.lose_answer_of:
            self.faults.lose_answer_of.discard(method)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")

    def _find(self, envelope_id: str, context: Any) -> Held:
        held = self.held.get(envelope_id)
        if held is None:
            _abort(context, NotFound(f"no envelope {envelope_id}", envelope_id=envelope_id))
            raise AssertionError
        return held


def _abort(context: Any, error: ExchangeError) -> None:
    made = status.to_status(error)
    context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
    context.abort(grpc.StatusCode[error.grpc_status], made.message)


def _number(state: State) -> envelope_pb2.DeliveryState.ValueType:
    return envelope_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state.value}")


def _unit(unit_id: str) -> directory_pb2.Unit:
    return directory_pb2.Unit(
        unit_id=unit_id,
        name_zh="财政局",
        organisation_code="005117558",
        status=directory_pb2.UNIT_STATUS_ACTIVE,
    )
