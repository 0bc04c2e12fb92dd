"""Time-stamps: what is accepted of the exchange's own service and of others, and what is not."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

import pytest
from asn1crypto import core, tsp  # type: ignore[import-untyped]

from document_exchange import asn1, cms, timestamp, timestamp_answer
from document_exchange.certificates import EMAIL_PROTECTION, CrlPair, fingerprint
from document_exchange.errors import TimestampRefused
from document_exchange.timestamp import Stamp
from document_exchange.timestamp_answer import Failure
from tests.pki_for_tests import (
    CENTRE_SEAL_ID,
    CLIENT,
    DAY,
    NOW,
    TIME_STAMPING,
    TRUST_DOMAIN,
    Holder,
    Pki,
    make_system,
    unit_seal_id,
)
from tests.timestamps_for_tests import (
    NONCE,
    POLICY,
    SERIAL,
    TSA_ID,
    answered,
    make_tsa,
    stamped,
)

DATA = b"".join(hashlib.sha256(bytes([n])).hexdigest().encode() + b"\n" for n in range(3))
PKI = Pki()
TSA = make_tsa(PKI)
GOOD = stamped(DATA, TSA)
CHAIN = [PKI.root.certificate, PKI.seal_ca.certificate]


def verified(response: bytes, data: bytes = DATA, crls: CrlPair | None = None) -> Stamp:
    return timestamp.verify(response, data, PKI.trust, crls or PKI.crls(), nonce=NONCE)


def external(response: bytes, data: bytes = DATA, pki: Pki = PKI, nonce: int = NONCE) -> Stamp:
    root = fingerprint(pki.root.certificate)
    return timestamp.verify_external(response, data, CHAIN, root, nonce=nonce)


def with_token(token: asn1.ContentInfo | None, status: int = 0) -> bytes:
    """A response around a token of one's own."""
    info = asn1.PkiStatusInfo(status=status, status_string=None, failure=None)
    return asn1.encode(asn1.TimeStampResponse(status=info, token=token))


def token(response: bytes) -> asn1.ContentInfo:
    found = asn1.decode(asn1.TimeStampResponse, response).token
    assert found is not None
    return found


class TestOwnService:
    def test_a_stamp_says_when_and_on_whose_word(self) -> None:
        at = NOW + dt.timedelta(microseconds=123_456)
        stamp = verified(stamped(DATA, TSA, at=at))
        assert stamp == Stamp(NOW + dt.timedelta(milliseconds=123), TSA_ID)

    def test_it_counts_as_of_its_own_time_whatever_came_later(self) -> None:
        young = make_tsa(PKI, not_before=NOW - 300 * DAY, not_after=NOW - 100 * DAY)
        at = NOW - 200 * DAY
        crls = PKI.crls(
            this_update=at - dt.timedelta(hours=1),
            next_update=at + DAY,
            revoked=[(young.certificate, at + dt.timedelta(seconds=1))],
        )
        assert verified(stamped(DATA, young, at=at), crls=crls).at == at

    @pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
    def test_each_digest_may_be_stamped(self, algorithm: str) -> None:
        query = tsp.TimeStampReq(
            {
                "version": 1,
                "message_imprint": {
                    "hash_algorithm": {"algorithm": algorithm},
                    "hashed_message": hashlib.new(algorithm, DATA).digest(),
                },
                "nonce": NONCE,
                "cert_req": True,
            }
        ).dump()
        assert verified(answered(query, TSA).der).tsa == TSA_ID

    @pytest.mark.parametrize(
        ("response", "why"),
        [
            (lambda: stamped(b"other", TSA), "other bytes"),
            (lambda: stamped(DATA, TSA, nonce=NONCE + 1), "nonce"),
            (lambda: stamped(DATA, TSA, at=NOW + 400 * DAY), "was valid from"),
            (lambda: stamped(DATA, TSA, at=NOW + 8 * DAY), "list"),
            (
                lambda: stamped(
                    DATA, make_system(f"spiffe://{TRUST_DOMAIN}/centre/tsa/x", PKI.tls_ca)
                ),
                "does not count",
            ),
            (lambda: stamped(DATA, make_tsa(PKI, issuer=PKI.tls_ca)), "does not count"),
            (lambda: stamped(DATA, make_tsa(PKI, issuer=PKI.root)), "does not count"),
            (lambda: stamped(DATA, make_tsa(Pki())), "does not count"),
            (lambda: stamped(DATA, PKI.seal("qd-caizheng")), "does not count"),
            (lambda: stamped(DATA, PKI.centre_seal), "does not count"),
            (lambda: stamped(DATA, make_tsa(PKI, unit_seal_id("qd-caizheng"))), "is not a time"),
            (lambda: stamped(DATA, make_tsa(PKI, CENTRE_SEAL_ID)), "is not a time"),
            (
                lambda: stamped(DATA, make_tsa(PKI, purposes=(*TIME_STAMPING, EMAIL_PROTECTION))),
                "timeStamping alone",
            ),
            (lambda: stamped(DATA, make_tsa(PKI, purposes=CLIENT)), "timeStamping alone"),
            (lambda: stamped(DATA, make_tsa(PKI, critical=False)), "does not count"),
            (lambda: with_token(None), "no token"),
            (lambda: with_token(token(GOOD), status=1), "did not grant"),
            (lambda: answered(b"", TSA).der, "did not grant"),
            (lambda: b"", "not a TimeStampResp"),
            (lambda: GOOD + b"\0", "not a TimeStampResp"),
            (lambda: GOOD[:-1], "not a TimeStampResp"),
            (lambda: bytes(timestamp.MAX_RESPONSE_BYTES + 1), "are allowed"),
        ],
    )
    def test_what_is_refused(self, response: Callable[[], bytes], why: str) -> None:
        with pytest.raises(TimestampRefused, match=why):
            verified(response())

    def test_a_service_that_was_revoked_by_then_is_refused(self) -> None:
        crls = PKI.crls(revoked=[(TSA.certificate, NOW - DAY)])
        with pytest.raises(TimestampRefused, match="had been revoked"):
            verified(GOOD, crls=crls)

    def test_two_signers_are_refused(self) -> None:
        good, other = token(GOOD), token(stamped(DATA, make_tsa(PKI)))
        both = [each.signed_data.signer_infos.as_list()[0] for each in (good, other)]
        good.signed_data.signer_infos = asn1.SetOf(sorted(both, key=asn1.encode))
        with pytest.raises(TimestampRefused, match="2 signers"):
            verified(with_token(good))
        with pytest.raises(TimestampRefused, match="2 signers"):
            external(with_token(good))

    def test_without_its_certificate_it_is_refused(self) -> None:
        query = asn1.decode(
            asn1.TimeStampRequest, timestamp.query(hashlib.sha256(DATA).digest(), 1)
        )
        query.certificate_wanted = False
        with pytest.raises(TimestampRefused, match="not inside"):
            timestamp.verify(answered(asn1.encode(query), TSA).der, DATA, PKI.trust, None)

    def test_a_document_signature_is_no_token(self) -> None:
        made = cms.sign(DATA, TSA.signer, at=NOW, attached=True)
        with pytest.raises(TimestampRefused, match="content type"):
            verified(with_token(made))

    def test_no_flipped_bit_goes_unnoticed(self) -> None:
        for place in range(len(GOOD)):
            altered = bytearray(GOOD)
            altered[place] ^= 1 << place % 8
            with pytest.raises(TimestampRefused):
                verified(bytes(altered))


class TestExternal:
    def test_it_is_accepted_under_the_root_that_is_named(self) -> None:
        stamp = external(GOOD)
        assert stamp == Stamp(NOW, TSA.certificate.subject.rfc4514_string())

    @pytest.mark.parametrize(
        ("response", "why"),
        [
            (lambda: stamped(b"other", TSA), "Mismatch between messages"),
            (lambda: stamped(DATA, TSA, nonce=NONCE + 1), "Nonce"),
            (lambda: stamped(DATA, TSA, at=NOW + 400 * DAY), "expired"),
            (lambda: stamped(DATA, make_tsa(Pki())), "local issuer"),
            (lambda: stamped(DATA, PKI.centre_seal), "EKU|time-stamping|purpose"),
            (lambda: stamped(DATA, make_tsa(PKI, critical=False)), "critical|purpose"),
            (
                lambda: stamped(DATA, make_tsa(PKI, purposes=(*TIME_STAMPING, EMAIL_PROTECTION))),
                "alone|purpose",
            ),
            (lambda: stamped(DATA, below_a_leaf()), "verif"),
            (lambda: b"\x30\x00", "not a TimeStampResp"),
        ],
    )
    def test_what_is_refused(self, response: Callable[[], bytes], why: str) -> None:
        with pytest.raises(TimestampRefused, match=why):
            external(response())

    def test_only_the_root_that_is_named_ends_a_chain(self) -> None:
        with pytest.raises(TimestampRefused, match="fingerprint"):
            external(GOOD, pki=Pki())
        foreign = Pki()
        root = fingerprint(foreign.root.certificate)
        everything = [*CHAIN, foreign.root.certificate, foreign.seal_ca.certificate]
        with pytest.raises(TimestampRefused, match="issuer"):
            timestamp.verify_external(GOOD, DATA, everything, root)

    def test_few_flipped_bits_change_nothing_that_counts(self) -> None:
        """rfc3161-client overlooks some; whatever is accepted says the same."""
        for place in range(len(GOOD)):
            altered = bytearray(GOOD)
            altered[place] ^= 1 << place % 8
            try:
                found = external(bytes(altered))
            except TimestampRefused:
                continue
            assert found == external(GOOD)


def below_a_leaf() -> Holder:
    """Issued by a seal, which is no CA."""
    return make_tsa(PKI, issuer=PKI.seal("qd-jiaoyu"))


def status_of(response: bytes) -> tsp.PKIStatusInfo:
    """asn1crypto reads no TimeStampResp without a token, so its first field is read alone."""
    only = core.Sequence.load(response, strict=True)
    return tsp.PKIStatusInfo.load(only[0].dump(), strict=True)


class TestAnswers:
    def request(self, **changes: object) -> bytes:
        made = asn1.decode(
            asn1.TimeStampRequest, timestamp.query(hashlib.sha256(DATA).digest(), NONCE)
        )
        for name, value in changes.items():
            setattr(made, name, value)
        return asn1.encode(made)

    def imprint(self, algorithm: str, length: int) -> asn1.MessageImprint:
        return asn1.MessageImprint(
            hash_algorithm=asn1.AlgorithmIdentifier(
                algorithm=type(POLICY)(algorithm), parameters=None
            ),
            hashed_message=bytes(length),
        )

    def test_a_token_holds_what_was_asked(self) -> None:
        found = tsp.TimeStampResp.load(answered(self.request(), TSA).der, strict=True)
        assert found["status"]["status"].native == "granted"
        info = found["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed
        assert info["nonce"].native == NONCE
        assert info["serial_number"].native == SERIAL
        assert info["policy"].native == POLICY.dotted_string
        assert info["gen_time"].native == NOW
        assert info["accuracy"]["seconds"].native == 1
        assert info["message_imprint"]["hashed_message"].native == hashlib.sha256(DATA).digest()

    @pytest.mark.parametrize(
        ("change", "failure", "told"),
        [
            ({"version": 2}, Failure.BAD_REQUEST, "bad_request"),
            ({"nonce": 2**300}, Failure.BAD_REQUEST, "bad_request"),
            ({"policy": type(POLICY)("1.2.3")}, Failure.UNACCEPTED_POLICY, "unaccepted_policy"),
            (
                {"extensions": [asn1.tlv(b"\x30\x00")]},
                Failure.UNACCEPTED_EXTENSION,
                "unaccepted_extensions",
            ),
        ],
    )
    def test_a_wrong_field_is_named(
        self, change: dict[str, object], failure: Failure, told: str
    ) -> None:
        answer = answered(self.request(**change), TSA)
        assert answer.failure is failure
        status = status_of(answer.der)
        assert (status["status"].native, status["fail_info"].native) == ("rejection", {told})

    def test_a_weak_or_short_digest_is_refused(self) -> None:
        sha1 = self.request(message_imprint=self.imprint("1.3.14.3.2.26", 20))
        assert answered(sha1, TSA).failure is Failure.BAD_ALGORITHM
        short = self.request(message_imprint=self.imprint("2.16.840.1.101.3.4.2.1", 31))
        assert answered(short, TSA).failure is Failure.BAD_DATA_FORMAT

    @pytest.mark.parametrize("query", [b"", b"GET /", bytes(1000), b"\x30\x80\x00\x00"])
    def test_what_is_no_question_is_answered_too(self, query: bytes) -> None:
        answer = answered(query, TSA)
        assert answer.failure is Failure.BAD_DATA_FORMAT
        assert status_of(answer.der)["status"].native == "rejection"

    @pytest.mark.parametrize("failure", list(Failure))
    def test_every_failure_is_the_bit_that_the_standard_says(self, failure: Failure) -> None:
        status = status_of(timestamp_answer.refuse(failure, "why").der)
        (name,) = status["fail_info"].native
        assert name == {
            Failure.BAD_ALGORITHM: "bad_alg",
            Failure.UNACCEPTED_EXTENSION: "unaccepted_extensions",
        }.get(failure, failure.name.lower())
        assert status["status_string"].native == ["why"]
