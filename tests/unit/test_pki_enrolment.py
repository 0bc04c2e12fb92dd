"""The pure pieces of enrolment: tokens, for whom they are, and signing requests off the wire."""

from __future__ import annotations

import contextlib
import hashlib
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from exchange_pki.service import proved_request, token_batch
from exchange_pki.service.tokens import Holder, NewToken, digest, new_token
from hypothesis import given
from hypothesis import strategies as st

from document_exchange.errors import (
    IdentityMismatch,
    InvalidRequest,
    RequestRefused,
    TokenUnknown,
)
from tests.authority_for_tests import FOUNDED_AT, new_private_key
from tests.enrolment_for_tests import public_sha256, signing_request, system_id

KEY = new_private_key()
GOOD = signing_request(KEY)


def test_a_token_has_200_random_bits_in_40_characters() -> None:
    made = {new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[a-z2-7]{40}", token) for token in made)
    # Every place takes every character: nothing of it is fixed.
    assert all(len({token[place] for token in made}) == 32 for place in range(40))


def test_a_token_is_known_by_the_hash_of_its_characters() -> None:
    token = new_token()
    expected = hashlib.sha256(token.encode()).digest()
    assert digest(token) == digest(f" {token.upper()}\r\n") == expected


@given(st.text(max_size=80))
def test_no_other_text_is_a_token(text: str) -> None:
    if re.fullmatch(r"\s*[A-Za-z2-7]{40}\s*", text, re.ASCII) is None:
        with pytest.raises(TokenUnknown) as caught:
            digest(text)
        assert caught.value.attributes == {"field": "token"}


@pytest.mark.parametrize(
    "text",
    ["", "a" * 41, "a" * 39, "a" * 20 + " " + "a" * 19, "a" * 39 + "1", "\N{KELVIN SIGN}" * 40],
)
def test_near_misses_are_no_tokens(text: str) -> None:
    with pytest.raises(TokenUnknown):
        digest(text)


def test_a_new_token_does_not_show_itself() -> None:
    made = NewToken(new_token(), "id", FOUNDED_AT)
    assert made.token not in repr(made)


@pytest.mark.parametrize(
    "holder", [Holder("qd-a", "oa"), Holder("qd-a", "oa", "main"), Holder(staff="li.na")]
)
def test_for_whom_a_token_may_be(holder: Holder) -> None:
    holder.check()
    assert set(holder.detail().values()) == {
        value for value in (holder.unit, holder.system, holder.seal, holder.staff) if value
    }


@pytest.mark.parametrize(
    ("holder", "field"),
    [
        (Holder(), "unit"),
        (Holder("qd-a"), "system"),
        (Holder(system="oa"), "unit"),
        (Holder("QD-A", "oa"), "unit"),
        (Holder("qd-a", "oa\n"), "system"),
        (Holder("qd-a", "oa", "../x"), "seal"),
        (Holder("qd-a", "oa", staff="li.na"), "staff"),
        (Holder(seal="main", staff="li.na"), "staff"),
        (Holder(staff="Li Na"), "staff"),
    ],
)
def test_for_whom_no_token_is(holder: Holder, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        holder.check()
    assert caught.value.attributes["field"] == field


def test_a_good_request_gives_its_key() -> None:
    read = proved_request.read(GOOD, "request")
    assert read.public_key == KEY.public_key()
    assert read.key_sha256 == public_sha256(KEY) == hashlib.sha256(read.key_der).hexdigest()
    read.check_names(system_id())


def test_a_subject_is_not_looked_at() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody else")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)
    proved_request.read(request, "request").check_names(system_id())


@pytest.mark.parametrize(
    "names",
    [
        [x509.UniformResourceIdentifier(system_id(name="oa2"))],
        [x509.UniformResourceIdentifier(system_id())] * 2,
        [x509.UniformResourceIdentifier(system_id()), x509.DNSName("localhost")],
        [x509.UniformResourceIdentifier(system_id() + "/")],
        [x509.UniformResourceIdentifier(system_id().upper())],
        [x509.DNSName(system_id())],
        [x509.RFC822Name("a@b.example")],
    ],
)
def test_other_names_are_refused_and_not_repeated(names: list[x509.GeneralName]) -> None:
    read = proved_request.read(signing_request(KEY, *names), "seal_request")
    with pytest.raises(IdentityMismatch) as caught:
        read.check_names(system_id())
    assert caught.value.attributes == {"field": "seal_request"}
    assert system_id() not in caught.value.message


def test_every_flipped_byte_is_refused_or_changes_nothing_that_counts() -> None:
    for place in range(len(GOOD)):
        broken = bytearray(GOOD)
        broken[place] ^= 0x01
        with contextlib.suppress(RequestRefused):
            read = proved_request.read(bytes(broken), "request")
            assert read.public_key == KEY.public_key()


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_the_right_type(data: bytes) -> None:
    with pytest.raises(RequestRefused):
        proved_request.read(data, "request")


def _rsa_request() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "data",
    [
        signing_request(new_private_key(ec.SECP384R1)),
        signing_request(new_private_key(ec.SECP256K1)),
        _rsa_request(),
        GOOD + b"\0",
        bytes(16 * 1024 + 1),
        x509.load_der_x509_csr(GOOD).public_bytes(Encoding.PEM),
    ],
    ids=["P-384", "secp256k1", "RSA", "trailing", "size", "PEM"],
)
def test_other_requests_are_refused(data: bytes) -> None:
    with pytest.raises(RequestRefused):
        proved_request.read(data, "request")


def test_a_batch_says_for_whom_tokens_are() -> None:
    lines = (
        b'{"unit": "qd-a", "system": "oa"}\n\n'
        b'{"unit": "qd-a", "system": "oa2", "seal": "", "lifetime_s": 60}\n'
        b'{"staff": "li.na"}\n'
    )
    assert token_batch.wishes(lines) == [
        token_batch.Wish(Holder("qd-a", "oa", "main")),
        token_batch.Wish(Holder("qd-a", "oa2"), 60),
        token_batch.Wish(Holder(staff="li.na")),
    ]


@pytest.mark.parametrize(
    "line", [b"[]", b'{"units": "qd-a"}', b'{"lifetime_s": "60"}', b"\xff", b"null", b'{"unit": 1}']
)
def test_a_batch_with_a_malformed_line_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRequest, match="line 2") as caught:
        token_batch.wishes(b'{"staff": "li.na"}\n' + line)
    assert caught.value.attributes == {"line": "2"}
