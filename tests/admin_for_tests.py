"""A centre in memory whose registry can be administered, and whose authority answers staff.

It keeps entries and answers as the protocol says, without judging them: what the real registry
refuses is tested against the real one. Staff and routes need a second person.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import msgspec
from exchange_client.entries import from_message, to_message
from exchange_client.profile import Profile

from document_exchange import identity, status
from document_exchange.entries import Entry
from document_exchange.errors import EntriesChanged, ExchangeError, NotFound, SecondPersonNeeded
from document_exchange.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    authority_pb2,
    authority_pb2_grpc,
    directory_pb2,
)
from tests.centre_for_tests import ScriptedCentre, now
from tests.pki_for_tests import CLIENT, TRUST_DOMAIN, Holder, Pki, key_usage

PAGE = 2
"""Entries on a page, whatever was asked for."""
SECOND_PERSON = {"staff", "route"}
PROPOSAL = "0197a0c4-5f80-7abc-8def-0123456789ab"
FINGERPRINT = "ab" * 32
KEY = "cd" * 32
_OF_A_SEAL = ("seal_certificate", "seal_key")


class AdministeredCentre(
    ScriptedCentre, admin_pb2_grpc.AdminServiceServicer, authority_pb2_grpc.AuthorityServiceServicer
):
    """The centre and the authority at one address."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(pki)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self, self._server)
        authority_pb2_grpc.add_AuthorityServiceServicer_to_server(self, self._server)
        self.entries: dict[str, dict[str, Entry]] = {}
        self.requests: list[Any] = []
        self.proposals: list[admin_pb2.Proposal] = []
        self.refusal: ExchangeError | None = None
        self.units: list[directory_pb2.Unit] = []
        self.groups: list[directory_pb2.Group] = []
        self.answer = directory_pb2.CheckRouteResponse()
        self.role = "security"
        self.version = 1
        self.meanwhile: tuple[Entry, ...] = ()

    def forget(self) -> None:
        super().forget()
        self.entries = {}
        self.requests = []
        self.proposals = []
        self.refusal = None
        self.units = []
        self.groups = []
        self.answer = directory_pb2.CheckRouteResponse()
        self.role = "security"
        self.version = 1
        self.meanwhile = ()

    def staff(self, name: str) -> Holder:
        return self.leaf(
            f"spiffe://{TRUST_DOMAIN}/staff/{name}",
            self.pki.tls_ca,
            purposes=CLIENT,
            usage=key_usage("digital_signature"),
        )

    def staff_profile(self, name: str) -> Profile:
        holder = self.staff(name)
        return self.profile(
            "qd-centre",
            name=name,
            seal=None,
            system=identity.of_certificate(holder.certificate),
            system_certificate=holder.certificate,
            system_chain=holder.pem + self.pki.tls_ca.pem,
            system_key=holder.key_pem,
        )

    def write_staff_profile(self, name: str, directory: Path) -> None:
        """As ``write_profile``, for a member of staff."""
        self.write_profile(name, directory)
        target, holder = directory / name, self.staff(name)
        (target / "system.pem").write_bytes(holder.pem + self.pki.tls_ca.pem)
        (target / "system.key").write_bytes(holder.key_pem)
        settings = (target / "profile.toml").read_text().splitlines()
        kept = [line for line in settings if not line.startswith(_OF_A_SEAL)]
        (target / "profile.toml").write_text("\n".join([*kept, f'authority = "{self.address}"']))

    def keep(self, *entries: Entry) -> None:
        """Have them in the registry."""
        for entry in entries:
            self.entries.setdefault(entry.family, {})[entry.key] = entry

    # AdminService

    def ListEntries(self, request: Any, context: Any) -> admin_pb2.ListEntriesResponse:
        self._noted(request, context)
        kind = admin_pb2.EntryKind.Name(request.kind).removeprefix("ENTRY_KIND_").lower()
        held = sorted(self.entries.get(kind, {}).items())
        found = [
            entry
            for _, entry in held
            if not request.unit_id or getattr(entry, "unit_id", "") == request.unit_id
        ]
        start = int(request.page_token or 0)
        more = start + PAGE < len(found)
        version = self.version
        if self.meanwhile:  # somebody else, once this is read
            self.keep(*self.meanwhile)
            self.meanwhile = ()
            self.version += 1
        return admin_pb2.ListEntriesResponse(
            entries=[to_message(entry) for entry in found[start : start + PAGE]],
            next_page_token=str(start + PAGE) if more else "",
            version=version,
        )

    def ApplyChanges(self, request: Any, context: Any) -> admin_pb2.ApplyChangesResponse:
        self._noted(request, context)
        if request.version not in (0, self.version):
            self._refuse(context, EntriesChanged())
        differences = self._differences(request.changes)
        kinds = {from_message(change.entry).family for change in request.changes}
        needs_second = bool(kinds & SECOND_PERSON) and bool(differences)
        proposal_id = ""
        if needs_second and not request.dry_run:
            proposal_id = PROPOSAL
            made = admin_pb2.Proposal(
                proposal_id=PROPOSAL,
                changes=request.changes,
                standing=admin_pb2.PROPOSAL_STANDING_OPEN,
                proposed_by=f"spiffe://{TRUST_DOMAIN}/staff/one",
                reason=request.reason,
            )
            made.proposed_at.FromDatetime(now())
            self.proposals.append(made)
        applied = not request.dry_run and not needs_second
        if applied:
            self._apply(request.changes)
        return admin_pb2.ApplyChangesResponse(
            differences=differences, applied=applied, proposal_id=proposal_id
        )

    def ListProposals(self, request: Any, context: Any) -> admin_pb2.ListProposalsResponse:
        self._noted(request, context)
        wanted = [p for p in self.proposals if request.standing in (0, p.standing)]
        return admin_pb2.ListProposalsResponse(proposals=wanted)

    def GetProposal(self, request: Any, context: Any) -> admin_pb2.GetProposalResponse:
        self._noted(request, context)
        for found in self.proposals:
            if found.proposal_id == request.proposal_id:
                return admin_pb2.GetProposalResponse(proposal=found)
        self._refuse(context, NotFound(f"there is no proposal {request.proposal_id}"))
        raise AssertionError

    def DecideProposal(self, request: Any, context: Any) -> admin_pb2.DecideProposalResponse:
        self._noted(request, context)
        found = next((p for p in self.proposals if p.proposal_id == request.proposal_id), None)
        if found is None:
            self._refuse(context, NotFound("there is no such proposal"))
            raise AssertionError
        if request.approve and "same-person" in request.reason:
            self._refuse(context, SecondPersonNeeded())
        differences = self._differences(found.changes) if request.approve else []
        if request.approve:
            self._apply(found.changes)
        found.standing = (
            admin_pb2.PROPOSAL_STANDING_APPLIED
            if request.approve
            else admin_pb2.PROPOSAL_STANDING_REJECTED
        )
        found.decided_by = f"spiffe://{TRUST_DOMAIN}/staff/two"
        found.decided_at.FromDatetime(now())
        found.decision_reason = request.reason
        return admin_pb2.DecideProposalResponse(proposal=found, differences=differences)

    def _differences(self, changes: Iterable[admin_pb2.Change]) -> list[admin_pb2.Difference]:
        found = []
        for change in changes:
            entry = from_message(change.entry)
            before = self.entries.get(entry.family, {}).get(entry.key)
            old = _texts(before)
            for field, after in self._after(change.verb, entry, old).items():
                if old.get(field, "") != after:
                    found.append(
                        admin_pb2.Difference(
                            kind=admin_pb2.EntryKind.Value(f"ENTRY_KIND_{entry.family.upper()}"),
                            key=entry.key,
                            field=field,
                            before=old.get(field, ""),
                            after=after,
                        )
                    )
        return found

    def _after(self, verb: int, entry: Entry, old: dict[str, str]) -> dict[str, str]:
        statuses = {
            admin_pb2.VERB_SUSPEND: "SUSPENDED",
            admin_pb2.VERB_RESUME: "ACTIVE",
            admin_pb2.VERB_CLOSE: "CLOSED",
        }
        if verb == admin_pb2.VERB_PUT:
            return {**_texts(entry), **({} if _texts(entry).get("status") else _kept(old))}
        if verb == admin_pb2.VERB_REMOVE:
            return dict.fromkeys(old, "")
        more = {"successor": _texts(entry)["successor"]} if "successor" in _texts(entry) else {}
        return {"status": statuses[admin_pb2.Verb.ValueType(verb)], **more}

    def _apply(self, changes: Iterable[admin_pb2.Change]) -> None:
        for change in changes:
            entry = from_message(change.entry)
            if change.verb == admin_pb2.VERB_PUT:
                before = self.entries.get(entry.family, {}).get(entry.key)
                if before is not None and not getattr(entry, "status", "x"):
                    status = getattr(before, "status", "")
                    entry = msgspec.structs.replace(entry, status=status)
                self.keep(entry)
            elif change.verb == admin_pb2.VERB_REMOVE:
                self.entries[entry.family].pop(entry.key)

    # DirectoryService

    def ListUnits(self, request: Any, context: Any) -> directory_pb2.ListUnitsResponse:
        if not self.units:
            return super().ListUnits(request, context)
        found = [u for u in self.units if not request.group or request.group in u.groups]
        return directory_pb2.ListUnitsResponse(units=found)

    def ListGroups(self, request: Any, context: Any) -> directory_pb2.ListGroupsResponse:
        self._noted(request, context)
        return directory_pb2.ListGroupsResponse(groups=self.groups)

    def WhoAmI(self, request: Any, context: Any) -> directory_pb2.WhoAmIResponse:
        return directory_pb2.WhoAmIResponse(role=self.role)

    def CheckRoute(self, request: Any, context: Any) -> directory_pb2.CheckRouteResponse:
        self._noted(request, context)
        return self.answer

    # AuthorityService

    def IssueToken(self, request: Any, context: Any) -> authority_pb2.IssueTokenResponse:
        self._noted(request, context)
        made = authority_pb2.IssueTokenResponse(
            token="secret-of-the-token",
            token_id="t-1",
            root_fingerprint=FINGERPRINT,
            enrolment_address="ca.example:7443",
        )
        made.expires_at.FromDatetime(now())
        return made

    def ListTokens(self, request: Any, context: Any) -> authority_pb2.ListTokensResponse:
        self._noted(request, context)
        found = authority_pb2.Token(
            token_id="t-1",
            unit="qd-caizheng",
            system="oa",
            standing=authority_pb2.TOKEN_STANDING_OPEN,
        )
        return authority_pb2.ListTokensResponse(tokens=[found])

    def WithdrawToken(self, request: Any, context: Any) -> authority_pb2.WithdrawTokenResponse:
        self._noted(request, context)
        return authority_pb2.WithdrawTokenResponse()

    def ListSealRequests(
        self, request: Any, context: Any
    ) -> authority_pb2.ListSealRequestsResponse:
        self._noted(request, context)
        return authority_pb2.ListSealRequestsResponse(
            requests=[self._seal_request(authority_pb2.SEAL_STANDING_PENDING)]
        )

    def ApproveSeal(self, request: Any, context: Any) -> authority_pb2.ApproveSealResponse:
        self._noted(request, context)
        standing = (
            authority_pb2.SEAL_STANDING_REJECTED
            if request.reject
            else authority_pb2.SEAL_STANDING_ISSUED
        )
        return authority_pb2.ApproveSealResponse(request=self._seal_request(standing))

    def ListCertificates(
        self, request: Any, context: Any
    ) -> authority_pb2.ListCertificatesResponse:
        self._noted(request, context)
        return authority_pb2.ListCertificatesResponse(certificates=[self._record()])

    def Revoke(self, request: Any, context: Any) -> authority_pb2.RevokeResponse:
        self._noted(request, context)
        record = self._record()
        record.revoked_at.FromDatetime(now())
        record.revocation_reason = request.reason
        return authority_pb2.RevokeResponse(certificate=record)

    def _record(self) -> authority_pb2.CertificateRecord:
        return authority_pb2.CertificateRecord(
            fingerprint=FINGERPRINT,
            serial="0a1b",
            identity=f"spiffe://{TRUST_DOMAIN}/unit/qd-caizheng/system/oa",
            profile="system",
        )

    def _seal_request(
        self, standing: authority_pb2.SealStanding.ValueType
    ) -> authority_pb2.SealRequest:
        return authority_pb2.SealRequest(
            request_id="s-1", unit="qd-caizheng", seal="main", key_sha256=KEY, standing=standing
        )

    def Renew(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    def RenewSeal(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    def GetCrl(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this script")

    # What is asked of it

    def _noted(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        if self.refusal is not None:
            self._refuse(context, self.refusal)

    def asked(self, kind: type[Any]) -> list[Any]:
        """The requests of one type, in order."""
        return [each for each in self.requests if isinstance(each, kind)]

    def _refuse(self, context: Any, error: ExchangeError) -> None:
        made = status.to_status(error)
        context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
        context.abort(grpc.StatusCode[error.grpc_status], made.message)


def _texts(entry: Entry | None) -> dict[str, str]:
    """Its fields as differences show them."""
    if entry is None:
        return {}
    return {
        name: " ".join(value) if isinstance(value, tuple) else str(value or "")
        for name, value in msgspec.structs.asdict(entry).items()
    }


def _kept(old: dict[str, str]) -> dict[str, str]:
    return {"status": old.get("status", "ACTIVE")} if "status" in old else {}
