"""The security procedure: who must have sealed what, and what a recipient must find."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from msgspec import structs

from document_exchange import manifest as manifests
from document_exchange import receipt as receipts
from document_exchange import signature, times
from document_exchange.certificates import CrlPair
from document_exchange.errors import (
    NotCanonical,
    ReceiptRefused,
    SealExpired,
    SealNotTrusted,
    SealOfAnotherUnit,
    SealRevoked,
    SignatureInvalid,
    SignatureMissing,
    SignatureRefused,
    StateConflict,
    VerificationFailed,
)
from document_exchange.manifest import Manifest, sha256_hex
from document_exchange.receipt import Admission, ReasonCode, Receipt, ReceiptType, State
from document_exchange.verification import (
    Signed,
    VerifiedEnvelope,
    verify_admission,
    verify_envelope,
    verify_receipt,
    verify_recorded,
    verify_seals,
)
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    CLIENT,
    DAY,
    NOW,
    TRUST_DOMAIN,
    Holder,
    Pki,
    make_leaf,
    unit_seal_id,
)
from tests.statements_for_tests import a_manifest, accepted, an_admission, delivered, signed_for

PKI = Pki()
MANIFEST = a_manifest()
CONTENT = manifests.encode(MANIFEST)
LEADING, SECOND = MANIFEST.document.issuers
RECIPIENT = "qd-caizheng"
STRANGER = "qd-weisheng"
AT = times.format_time(NOW)
LATER = NOW + dt.timedelta(minutes=5)
CRLS = PKI.crls()


def seal(content: bytes, holder: Holder) -> bytes:
    return signature.sign(content, holder.signer, at=NOW)


def seals(*units: str, content: bytes = CONTENT) -> tuple[bytes, ...]:
    return tuple(seal(content, PKI.seal(unit)) for unit in units)


def check_seals(
    signatures: Sequence[bytes],
    *,
    manifest: Manifest = MANIFEST,
    at: dt.datetime = NOW,
    crls: CrlPair | None = None,
) -> list[str]:
    content = manifests.encode(manifest)
    found = verify_seals(manifest, content, signatures, PKI.trust, at=at, crls=crls)
    return [str(whose) for whose, _ in found]


class TestSeals:
    def test_each_issuer_has_sealed(self) -> None:
        signatures = seals(SECOND, LEADING)
        found = verify_seals(MANIFEST, CONTENT, signatures, PKI.trust, at=NOW, crls=CRLS)
        assert [whose.unit for whose, _ in found] == [SECOND, LEADING]
        assert [certificate for _, certificate in found] == [
            PKI.seal(SECOND).certificate,
            PKI.seal(LEADING).certificate,
        ]

    def test_the_sender_may_seal_besides_and_need_not(self) -> None:
        manifest = structs.replace(MANIFEST, sender="qd-dangzheng")
        content = manifests.encode(manifest)
        both = seals(LEADING, SECOND, content=content)
        assert len(check_seals(both, manifest=manifest)) == 2
        three = seals(LEADING, SECOND, "qd-dangzheng", content=content)
        assert check_seals(three, manifest=manifest)[2] == unit_seal_id("qd-dangzheng")

    @pytest.mark.parametrize(
        ("sealed", "missing"), [((), LEADING), ((LEADING,), SECOND), ((SECOND,), LEADING)]
    )
    def test_a_missing_seal_is_named(self, sealed: tuple[str, ...], missing: str) -> None:
        with pytest.raises(SignatureMissing) as caught:
            check_seals(seals(*sealed))
        assert caught.value.attributes["unit"] == missing

    def test_a_stranger_s_seal_is_refused_even_besides(self) -> None:
        with pytest.raises(SealOfAnotherUnit) as caught:
            check_seals(seals(LEADING, SECOND, STRANGER))
        assert caught.value.attributes["unit"] == STRANGER
        assert caught.value.attributes["signature"] == "2"

    def test_a_recipient_is_a_stranger_too(self) -> None:
        with pytest.raises(SealOfAnotherUnit):
            check_seals(seals(RECIPIENT))

    def test_the_centre_seals_no_documents(self) -> None:
        with pytest.raises(SealOfAnotherUnit):
            check_seals([*seals(LEADING, SECOND), seal(CONTENT, PKI.centre_seal)])

    def test_two_seals_of_one_unit_are_refused(self) -> None:
        second_seal = make_leaf(unit_seal_id(LEADING, "seal-2"), issuer=PKI.seal_ca)
        with pytest.raises(SignatureRefused, match="twice") as caught:
            check_seals([*seals(LEADING, SECOND), seal(CONTENT, second_seal)])
        assert caught.value.attributes["unit"] == LEADING

    def test_the_same_seal_twice_is_refused(self) -> None:
        with pytest.raises(SignatureRefused, match="twice"):
            check_seals(seals(LEADING, LEADING, SECOND))

    def test_more_than_32_are_refused_before_they_are_looked_at(self) -> None:
        with pytest.raises(SignatureRefused, match="33 signatures"):
            check_seals([b"no signature"] * 33)

    def test_a_manifest_altered_after_signing_is_refused(self) -> None:
        altered = structs.replace(MANIFEST, operator="李某")
        with pytest.raises(SignatureInvalid) as caught:
            check_seals(seals(LEADING, SECOND), manifest=altered)
        assert caught.value.attributes["signature"] == "0"

    def test_seals_of_two_trust_domains_are_refused(self) -> None:
        elsewhere = make_leaf(unit_seal_id(SECOND, domain="elsewhere.example"), issuer=PKI.seal_ca)
        with pytest.raises(SignatureRefused, match="trust domains"):
            check_seals([*seals(LEADING), seal(CONTENT, elsewhere)])

    @pytest.mark.parametrize(
        ("holder", "error"),
        [
            (Pki().seal(SECOND), SealNotTrusted),
            (
                make_leaf(
                    f"spiffe://{TRUST_DOMAIN}/unit/{SECOND}/system/oa",
                    issuer=PKI.tls_ca,
                    purposes=CLIENT,
                ),
                SealNotTrusted,
            ),
            (make_leaf(unit_seal_id(SECOND), issuer=PKI.seal_ca, not_after=NOW), SealExpired),
            (make_leaf(unit_seal_id(SECOND), issuer=PKI.seal_ca, not_before=LATER), SealExpired),
        ],
        ids=["foreign", "a TLS certificate", "expired", "not yet valid"],
    )
    def test_what_is_no_seal_is_refused(
        self, holder: Holder, error: type[SignatureRefused]
    ) -> None:
        at = NOW + dt.timedelta(seconds=1)
        with pytest.raises(error) as caught:
            check_seals([*seals(LEADING), seal(CONTENT, holder)], at=at)
        assert caught.value.attributes["signature"] == "1"

    def test_a_revoked_seal_is_refused(self) -> None:
        crls = PKI.crls(revoked=[(PKI.seal(SECOND).certificate, NOW - DAY)])
        with pytest.raises(SealRevoked) as caught:
            check_seals(seals(LEADING, SECOND), crls=crls)
        assert caught.value.attributes["signature"] == "1"

    def test_without_lists_revocation_is_the_caller_s_to_know(self) -> None:
        assert len(check_seals(seals(LEADING, SECOND), crls=None)) == 2


@dataclass(frozen=True)
class Delivered:
    """An envelope as a recipient gets it; a test replaces what it wants to be wrong."""

    content: bytes = CONTENT
    signatures: tuple[bytes, ...] = field(default_factory=lambda: seals(LEADING, SECOND))
    says: dict[str, Any] = field(default_factory=dict)
    by: Holder = PKI.centre_seal
    at: dt.datetime = NOW
    crls: CrlPair = CRLS
    recipient: str | None = RECIPIENT
    envelope_id: str | None = MANIFEST.envelope_id

    def accepted(self) -> Signed:
        receipt = structs.replace(
            accepted(),
            manifest_sha256=sha256_hex(self.content),
            signatures_sha256=tuple(map(sha256_hex, self.signatures)),
            by=CENTRE_SEAL_ID,
            at=times.format_time(self.at),
        )
        content = receipts.encode(structs.replace(receipt, **self.says))
        return Signed(content, seal(content, self.by))

    def verify(self, accepted: Signed | None = None) -> VerifiedEnvelope:
        return verify_envelope(
            self.content,
            self.signatures,
            accepted or self.accepted(),
            PKI.trust,
            self.crls,
            recipient=self.recipient,
            envelope_id=self.envelope_id,
        )

    def fails(self, accepted: Signed | None = None) -> tuple[str, str]:
        """The step and the code of the failure."""
        with pytest.raises(VerificationFailed) as caught:
            self.verify(accepted)
        return caught.value.attributes["step"], caught.value.attributes["code"]


class TestEnvelope:
    def test_a_good_one(self) -> None:
        found = Delivered().verify()
        assert found.manifest == MANIFEST
        assert found.accepted.type is ReceiptType.ACCEPTED
        assert found.accepted_at == NOW
        assert [whose.unit for whose in found.sealed_by] == [LEADING, SECOND]

    def test_the_sender_s_view_has_no_recipient(self) -> None:
        assert Delivered(recipient=None, envelope_id=None).verify().manifest == MANIFEST

    def test_what_was_valid_at_acceptance_stays_so(self) -> None:
        brief = make_leaf(
            unit_seal_id(SECOND), issuer=PKI.seal_ca, not_after=NOW + dt.timedelta(hours=1)
        )
        signatures = (*seals(LEADING), seal(CONTENT, brief))
        assert Delivered(signatures=signatures).verify().accepted_at == NOW
        late = Delivered(signatures=signatures, at=NOW + DAY)
        assert late.fails() == ("envelope.5", "SEAL_EXPIRED")

    def test_the_manifest_must_decode(self) -> None:
        spaced = CONTENT.replace(b'":', b'": ', 1)
        assert Delivered(content=spaced).fails() == ("envelope.1", "NOT_CANONICAL")

    def test_it_must_be_the_one_asked_for(self) -> None:
        other = "0121a0c4-5f00-7abc-8def-0123456789ab"
        assert Delivered(envelope_id=other).fails() == ("envelope.2", "RECEIPT_REFUSED")

    def test_it_must_be_for_the_recipient(self) -> None:
        assert Delivered(recipient=STRANGER).fails() == ("envelope.2", "RECEIPT_REFUSED")

    @pytest.mark.parametrize(
        "says",
        [
            {"envelope_id": "0121a0c4-5f00-7abc-8def-0123456789ab"},
            {"manifest_sha256": "0" * 64},
            {"state_after": State.DELIVERED},
            {"seq": 1},
            {"leaf": None},
            {"signatures_sha256": None},
        ],
        ids=lambda says: next(iter(says)),
    )
    def test_the_acceptance_must_be_about_it(self, says: dict[str, Any]) -> None:
        assert Delivered(says=says).fails()[0] == "envelope.3"

    def test_another_statement_is_no_acceptance(self) -> None:
        confirmed = structs.replace(
            delivered(), manifest_sha256=sha256_hex(CONTENT), by=CENTRE_SEAL_ID, at=AT
        )
        content = receipts.encode(confirmed)
        statement = Signed(content, seal(content, PKI.centre_seal))
        assert Delivered().fails(statement) == ("envelope.3", "RECEIPT_REFUSED")

    def test_an_altered_acceptance_is_refused(self) -> None:
        good = Delivered().accepted()
        other = Delivered(at=NOW - DAY).accepted()
        mixed = Signed(other.content, good.signature)
        assert Delivered().fails(mixed) == ("envelope.3", "SIGNATURE_INVALID")

    @pytest.mark.parametrize(
        ("by", "code"),
        [
            (PKI.seal(LEADING), "SEAL_OF_ANOTHER_UNIT"),
            (Pki().centre_seal, "SEAL_NOT_TRUSTED"),
            (make_leaf(CENTRE_SEAL_ID, issuer=PKI.tls_ca), "SEAL_NOT_TRUSTED"),
            (
                make_leaf(CENTRE_SEAL_ID.replace("seal", "server"), issuer=PKI.seal_ca),
                "SEAL_NOT_TRUSTED",
            ),
            (
                make_leaf(CENTRE_SEAL_ID.replace("centre-1", "centre-2"), issuer=PKI.seal_ca),
                "SEAL_OF_ANOTHER_UNIT",
            ),
            (make_leaf(CENTRE_SEAL_ID, issuer=PKI.seal_ca, not_after=NOW - DAY), "SEAL_EXPIRED"),
        ],
        ids=["a unit", "foreign", "of the TLS CA", "a server", "another of its seals", "expired"],
    )
    def test_only_the_seal_of_the_centre_accepts(self, by: Holder, code: str) -> None:
        assert Delivered(by=by).fails() == ("envelope.3", code)

    def test_a_revoked_seal_of_the_centre_accepts_nothing(self) -> None:
        crls = PKI.crls(revoked=[(PKI.centre_seal.certificate, NOW - DAY)])
        assert Delivered(crls=crls).fails() == ("envelope.3", "SEAL_REVOKED")

    def test_lists_that_were_not_in_force_at_acceptance_do_not_do(self) -> None:
        crls = PKI.crls(this_update=LATER)
        assert Delivered(crls=crls).fails() == ("envelope.3", "REVOCATION_LIST_NOT_IN_FORCE")

    def test_no_signature_can_be_added_stripped_or_swapped(self) -> None:
        good = Delivered()
        statement = good.accepted()
        first, second = good.signatures
        again = seal(CONTENT, PKI.seal(SECOND))
        for signatures in (
            (first,),
            (second, first),
            (first, second, second),
            (first, again),
            (),
        ):
            changed = replace(good, signatures=signatures)
            assert changed.fails(statement) == ("envelope.4", "RECEIPT_REFUSED")

    def test_every_issuer_must_have_sealed_whatever_the_centre_says(self) -> None:
        lacking = Delivered(signatures=seals(LEADING))
        assert lacking.fails() == ("envelope.5", "SIGNATURE_MISSING")

    def test_a_seal_revoked_before_acceptance_is_refused(self) -> None:
        crls = PKI.crls(revoked=[(PKI.seal(SECOND).certificate, NOW)])
        assert Delivered(crls=crls).fails() == ("envelope.5", "SEAL_REVOKED")

    def test_a_seal_revoked_after_acceptance_was_good(self) -> None:
        crls = PKI.crls(revoked=[(PKI.seal(SECOND).certificate, LATER)])
        assert Delivered(crls=crls).verify().accepted_at == NOW

    def test_the_centre_of_another_trust_domain_is_refused(self) -> None:
        elsewhere = CENTRE_SEAL_ID.replace(TRUST_DOMAIN, "elsewhere.example")
        by = make_leaf(elsewhere, issuer=PKI.seal_ca)
        delivery = Delivered(by=by, says={"by": elsewhere})
        assert delivery.fails() == ("envelope.6", "SEAL_OF_ANOTHER_UNIT")


def party_receipt(signer: Holder | None = None, /, **says: Any) -> Signed:
    """SIGNED_FOR of the recipient, or what ``says`` makes of it."""
    receipt = structs.replace(
        signed_for(), manifest_sha256=sha256_hex(CONTENT), by=unit_seal_id(RECIPIENT), at=AT
    )
    content = receipts.encode(structs.replace(receipt, **says))
    return Signed(content, seal(content, signer or PKI.seal(RECIPIENT)))


def check_receipt(
    receipt: Signed, *, expected_by: str | None = RECIPIENT, crls: CrlPair | None = None
) -> Receipt:
    return verify_receipt(
        receipt, MANIFEST, PKI.trust, at=LATER, crls=crls, expected_by=expected_by
    )


class TestReceipt:
    def test_a_recipient_s(self) -> None:
        assert check_receipt(party_receipt()).type is ReceiptType.SIGNED_FOR

    def test_the_sender_s(self) -> None:
        withdrawn = party_receipt(
            PKI.seal(MANIFEST.sender),
            type=ReceiptType.WITHDRAWN,
            by=unit_seal_id(MANIFEST.sender),
        )
        assert check_receipt(withdrawn, expected_by=MANIFEST.sender).recipient == RECIPIENT
        with pytest.raises(ReceiptRefused):
            check_receipt(withdrawn)

    def test_the_centre_s_is_not_a_unit_s(self) -> None:
        receipt = structs.replace(
            delivered(), manifest_sha256=sha256_hex(CONTENT), by=CENTRE_SEAL_ID, at=AT
        )
        content = receipts.encode(receipt)
        statement = Signed(content, seal(content, PKI.centre_seal))
        assert check_receipt(statement, expected_by=None).type is ReceiptType.DELIVERED
        with pytest.raises(ReceiptRefused):
            check_receipt(statement)
        with pytest.raises(ReceiptRefused):
            check_receipt(party_receipt(), expected_by=None)

    def test_an_effect_that_is_no_legal_step_is_refused(self) -> None:
        receipt = structs.replace(
            delivered(),
            manifest_sha256=sha256_hex(CONTENT),
            by=CENTRE_SEAL_ID,
            state_before=State.SIGNED_FOR,
        )
        content = receipts.encode(receipt)
        with pytest.raises(StateConflict):
            check_receipt(Signed(content, seal(content, PKI.centre_seal)), expected_by=None)

    @pytest.mark.parametrize(
        ("says", "field"),
        [
            ({"envelope_id": "0121a0c4-5f00-7abc-8def-0123456789ab"}, "envelope_id"),
            ({"manifest_sha256": "0" * 64}, "manifest_sha256"),
            ({"recipient": STRANGER}, "recipient"),
            ({"recipient": "qd-jiaoyu"}, "type"),
            ({"type": ReceiptType.WITHDRAWN}, "type"),
            ({"type": ReceiptType.REFUSED}, "reason_code"),
            ({"reason_code": ReasonCode.DUPLICATE}, "reason_code"),
        ],
    )
    def test_it_must_be_about_this_envelope(self, says: dict[str, Any], field: str) -> None:
        with pytest.raises(ReceiptRefused) as caught:
            check_receipt(party_receipt(**says))
        assert caught.value.attributes["field"] == field

    def test_it_must_be_canonical(self) -> None:
        content = party_receipt().content + b" "
        with pytest.raises(NotCanonical):
            check_receipt(Signed(content, seal(content, PKI.seal(RECIPIENT))))

    @pytest.mark.parametrize(
        ("by", "error"),
        [
            (PKI.seal("qd-jiaoyu"), SealOfAnotherUnit),
            (PKI.centre_seal, SealOfAnotherUnit),
            (make_leaf(unit_seal_id(RECIPIENT, "seal-2"), issuer=PKI.seal_ca), SealOfAnotherUnit),
            (Pki().seal(RECIPIENT), SealNotTrusted),
            (make_leaf(unit_seal_id(RECIPIENT), issuer=PKI.seal_ca, not_after=NOW), SealExpired),
        ],
        ids=["another unit", "the centre", "another seal than it says", "foreign", "expired"],
    )
    def test_it_must_be_signed_by_the_seal_that_it_names(
        self, by: Holder, error: type[SignatureRefused]
    ) -> None:
        with pytest.raises(error):
            check_receipt(party_receipt(by))

    def test_another_unit_can_not_speak_for_the_recipient(self) -> None:
        other = PKI.seal("qd-jiaoyu")
        with pytest.raises(SealOfAnotherUnit):
            check_receipt(party_receipt(other, by=unit_seal_id("qd-jiaoyu")))

    def test_it_must_not_be_altered(self) -> None:
        good = party_receipt()
        other = party_receipt(at=times.format_time(NOW - DAY))
        with pytest.raises(SignatureInvalid):
            check_receipt(Signed(other.content, good.signature))

    def test_a_revoked_seal_signs_for_nothing(self) -> None:
        crls = PKI.crls(revoked=[(PKI.seal(RECIPIENT).certificate, NOW)])
        with pytest.raises(SealRevoked):
            check_receipt(party_receipt(), crls=crls)


def admission_of(receipt: Signed, signer: Holder = PKI.centre_seal, /, **says: Any) -> Signed:
    statement = structs.replace(
        an_admission(),
        receipt_sha256=sha256_hex(receipt.content),
        receipt_signature_sha256=sha256_hex(receipt.signature),
        recorded_at=times.format_time(LATER),
        by=CENTRE_SEAL_ID,
    )
    content = receipts.encode(structs.replace(statement, **says))
    return Signed(content, seal(content, signer))


def check_admission(admission: Signed, receipt: Signed, crls: CrlPair = CRLS) -> Admission:
    return verify_admission(admission, receipt, PKI.trust, crls=crls)


class TestAdmission:
    def test_a_good_one(self) -> None:
        receipt = party_receipt()
        assert check_admission(admission_of(receipt), receipt).state_after is State.SIGNED_FOR

    def test_it_is_of_one_receipt_with_one_signature(self) -> None:
        receipt = party_receipt()
        signed_again = Signed(receipt.content, seal(receipt.content, PKI.seal(RECIPIENT)))
        other = party_receipt(at=times.format_time(NOW - DAY))
        swapped = Signed(other.content, receipt.signature)
        for another in (signed_again, other, swapped):
            with pytest.raises(VerificationFailed) as caught:
                check_admission(admission_of(receipt), another)
            assert caught.value.attributes["step"] == "admission.2"

    @pytest.mark.parametrize(
        ("says", "step"),
        [
            ({"envelope_id": "0121a0c4-5f00-7abc-8def-0123456789ab"}, "admission.2"),
            ({"recipient": "qd-jiaoyu"}, "admission.2"),
            ({"state_after": State.COMPLETED}, "admission.3"),
            ({"state_before": State.PENDING}, "admission.3"),
            ({"seq": 0}, "admission.1"),
        ],
    )
    def test_what_it_says_must_fit(self, says: dict[str, Any], step: str) -> None:
        receipt = party_receipt()
        with pytest.raises(VerificationFailed) as caught:
            check_admission(admission_of(receipt, **says), receipt)
        assert caught.value.attributes["step"] == step

    def test_the_centre_s_own_receipts_have_none(self) -> None:
        content = Delivered().accepted()
        with pytest.raises(VerificationFailed) as caught:
            check_admission(admission_of(content), content)
        assert caught.value.attributes["step"] == "admission.1"

    @pytest.mark.parametrize("by", [PKI.seal(RECIPIENT), Pki().centre_seal])
    def test_only_the_centre_admits(self, by: Holder) -> None:
        receipt = party_receipt()
        with pytest.raises(VerificationFailed) as caught:
            check_admission(admission_of(receipt, by), receipt)
        assert caught.value.attributes["step"] == "admission.4"

    def test_a_revoked_seal_of_the_centre_admits_nothing(self) -> None:
        receipt = party_receipt()
        crls = PKI.crls(revoked=[(PKI.centre_seal.certificate, LATER)])
        with pytest.raises(VerificationFailed) as caught:
            check_admission(admission_of(receipt), receipt, crls)
        assert caught.value.attributes["code"] == "SEAL_REVOKED"


class TestRecorded:
    def verify(
        self,
        receipt: Signed,
        admission: Signed | None,
        expected_by: str | None = RECIPIENT,
        crls: CrlPair = CRLS,
    ) -> tuple[ReceiptType, dt.datetime]:
        found = verify_recorded(
            receipt, admission, MANIFEST, PKI.trust, crls=crls, expected_by=expected_by
        )
        assert (found.admission is None) is (admission is None)
        return found.receipt.type, found.recorded_at

    def test_a_party_s_receipt_counts_from_its_admission(self) -> None:
        receipt = party_receipt()
        found = self.verify(receipt, admission_of(receipt))
        assert found == (ReceiptType.SIGNED_FOR, LATER)

    def test_a_party_can_not_date_its_receipt_back_to_before_its_revocation(self) -> None:
        crls = PKI.crls(revoked=[(PKI.seal(RECIPIENT).certificate, NOW + (LATER - NOW) / 5 * 4)])
        receipt = party_receipt(at=AT)
        with pytest.raises(VerificationFailed) as caught:
            self.verify(receipt, admission_of(receipt), crls=crls)
        assert caught.value.attributes["step"] == "recorded.2"
        assert caught.value.attributes["code"] == "SEAL_REVOKED"

    def test_the_centre_s_own_receipt_counts_from_its_time(self) -> None:
        found = self.verify(Delivered().accepted(), None, expected_by=None)
        assert found == (ReceiptType.ACCEPTED, NOW)

    def test_a_party_s_receipt_without_admission_proves_nothing(self) -> None:
        with pytest.raises(VerificationFailed) as caught:
            self.verify(party_receipt(), None)
        assert caught.value.attributes["step"] == "recorded.1"

    def test_the_centre_s_own_receipt_can_not_be_passed_off_as_a_party_s(self) -> None:
        own = Delivered().accepted()
        with pytest.raises(VerificationFailed):
            self.verify(own, admission_of(own))
        with pytest.raises(VerificationFailed):
            self.verify(party_receipt(), None, expected_by=None)
