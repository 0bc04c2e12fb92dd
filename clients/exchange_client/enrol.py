"""Enrolment: from a one-use token to a profile with certificates, safe to repeat at every point.

1. Trust. The authority's root is fetched without trusting anybody, and counts only when its SHA-256
   is the fingerprint that the operator gave; the CA of TLS certificates must be below it.
2. Keys. Those of system and seal are made here and durable before the token is used.
3. Call. Over TLS whose server certificate chains to that CA. The same keys get the same answer.
4. Verification of what came back: chains to the pinned root, our keys, the identity.
5. Profile. Files first, profile.toml last, then the directory gets its name.

A seal may be PENDING: a person approves it. The profile works without it until then, and
repeating the enrolment, in another process too, collects it. A profile that this one replaces is
kept, hidden, until this one is complete.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange import certificates, identity
from document_exchange.errors import (
    ConfigurationError,
    ExchangeError,
    InvalidRequest,
    VerificationFailed,
)
from document_exchange.identity import Identity, Kind
from exchange_client import enrolment_folder, keys, profile_store
from exchange_client.authority import EnrolmentClient
from exchange_client.authority_model import Enrolment
from exchange_client.contact import Authorities
from exchange_client.enrolment_folder import EnrolmentFolder
from exchange_client.profile import PROFILE_FILE, Profile, Settings, read_settings
from exchange_client.threads import in_thread
from exchange_client.timing import Timing
from exchange_client.trust_bundle import TrustBundle, normalised

ENROLMENT_PORT = 7452
"""Where EnrolmentService is unless the address says otherwise."""

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What the operator gave, and what the user wants."""

    authority: str
    """``host:port`` of EnrolmentService; the port may be left out."""
    root_fingerprint: str
    """SHA-256 of the root's DER in hex."""
    token: str = field(repr=False)
    unit: str = ""
    """The unit that the user believes to enrol for; empty: whatever the token says."""
    profile: str | None = None
    """What to call the profile; None: the unit's id, or the name of the member of staff."""
    http: str = ""
    """Where ``/root.pem`` and its like are served; empty: ask EnrolmentService itself."""
    with_seal: bool = True
    """Whether the token is expected to be for a seal, too; if it is not, none is had."""
    replace: bool = False
    """Take the place of another profile of this name."""
    passphrase: str | None = field(default=None, repr=False)
    """Encrypts the keys; None: EXCHANGE_KEY_PASSPHRASE, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A profile that is there now."""

    profile: Profile
    seal: str
    """NONE, PENDING, ISSUED or REJECTED."""
    seal_key_sha256: str
    """Of the seal's public key: what security staff compare. Empty without a seal."""
    seal_reason: str
    """Why it was rejected."""
    repeated: bool
    """Whether all of it was there before, so that nobody was asked."""


async def enrol(application: Application, config_dir: Path, timing: Timing) -> Enrolled:
    """Enrol, or go on with what an earlier try began. See the steps above.

    Raises:
        ConfigurationError: an argument is no good, or the name of the profile is taken.
        VerificationFailed: the authority, or what it answered, is not what it should be.
        TokenRefused, RequestRefused: as the authority says.
        Unavailable: it can't be reached; repeat it later.
    """
    async with Authorities(timing) as authorities:
        return await enrol_at(application, config_dir, authorities)


async def enrol_at(
    application: Application, config_dir: Path, authorities: Authorities
) -> Enrolled:
    """``enrol`` at one of several ``authorities``, which are not asked again who they are."""
    address = with_port(application.authority, ENROLMENT_PORT)
    pinned = normalised(application.root_fingerprint)
    passphrase = application.passphrase or keys.passphrase_of_environment()
    with enrolment_folder.opened(config_dir, application.token, pinned) as folder:
        wanted = application.profile or application.unit
        if wanted and not folder.is_profile:
            enrolment_folder.require_usable(config_dir, wanted, replace=application.replace)
        if _is_complete(folder):
            await in_thread(folder.remove_replaced)  # which a crash may have left
            return _enrolled(folder, passphrase)
        # 1. Trust.
        contact = await authorities.reach(address, application.http, pinned)
        await in_thread(enrolment_folder.remember, folder, application.token, address, pinned)
        # 2. Keys.
        applied = await in_thread(_Applied, folder, application.with_seal, passphrase)
        # 3. Call.
        answer = await _asked(contact.client, application, applied)
        # 4. Verification.
        system = applied.verified_system(answer, contact.bundle, application.unit)
        applied.verify_seal(answer, contact.bundle, system)
        # 5. Profile.
        await in_thread(applied.store, answer, contact.bundle)
        name = application.profile or system.unit or system.name
        named = folder.renamed(name, replace=application.replace)
        if _is_complete(named):
            await in_thread(named.remove_replaced)
        return _enrolled(named, passphrase, answer, applied.seal_key_sha256)


async def _asked(client: EnrolmentClient, application: Application, applied: _Applied) -> Enrolment:
    try:
        return await client.enrol(
            application.token, applied.system_request, applied.seal_request, application.unit
        )
    except InvalidRequest as error:
        if error.attributes.get("field") != "seal_request" or not applied.seal_request:
            raise
        # The token is without a seal, which we could not know: it is not used up by that.
        applied.give_up_seal()
        return await client.enrol(application.token, applied.system_request, b"", application.unit)


def with_port(address: str, port: int) -> str:
    """``address`` with ``port`` if it has none.

    Raises:
        ConfigurationError: it is no HOST:PORT.
    """
    match = _HOST_AND_PORT.fullmatch(address.strip())
    if match is None or not 0 < int(match[2] or port) < 65536:
        raise ConfigurationError(f"{address!r} is no HOST:PORT", field="authority", value=address)
    return f"{match[1]}:{int(match[2] or port)}"


class _Applied:
    """The keys that a token belongs to, and what is done with the answer to them."""

    def __init__(self, folder: EnrolmentFolder, with_seal: bool, passphrase: str | None) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self._seal_key: ec.EllipticCurvePrivateKey | None = None
        self.seal_request = b""
        if folder.has_profile:  # the system's key may have been renewed meanwhile
            self._system_key = None
            self.system_request = folder.request("system")
        else:
            self._system_key, self.system_request = folder.key_and_request("system", passphrase)
        if with_seal:
            self._seal_key, self.seal_request = folder.key_and_request("seal", passphrase)

    def give_up_seal(self) -> None:
        """This token is without one."""
        self._seal_key, self.seal_request = None, b""

    @property
    def seal_key_sha256(self) -> str:
        """What security staff compare, from our own key and not from the answer."""
        return keys.key_sha256(self._seal_key) if self._seal_key is not None else ""

    def verified_system(self, answer: Enrolment, bundle: TrustBundle, unit: str) -> Identity:
        """Whose certificate came back, after checking that it is one and ours.

        Raises:
            VerificationFailed: it is not.
            CertificateExpired: it is not valid now: this machine's clock is wrong.
        """
        if self._system_key is None:
            return Profile.read(
                self._folder.directory, self._folder.directory.name, passphrase=self._passphrase
            ).system
        certificate = _loaded(answer.system_certificate, "system")
        bundle.tls.check_client(certificate, datetime.now(UTC))
        if certificate.public_key() != self._system_key.public_key():
            raise VerificationFailed("the authority certified another key than ours")
        holder = _holder(certificate)
        if str(holder) != answer.identity or holder.kind not in (Kind.SYSTEM, Kind.STAFF):
            raise VerificationFailed(
                f"the authority promised {answer.identity} and certified {holder}"
            )
        if unit and holder.unit != unit:
            raise VerificationFailed(f"the certificate is for {holder}, not for unit {unit}")
        return holder

    def verify_seal(self, answer: Enrolment, bundle: TrustBundle, system: Identity) -> None:
        """Check the seal in the answer, if there is one.

        Raises:
            VerificationFailed: it is no seal, of another unit, or of another key.
        """
        if answer.seal_standing != "ISSUED":
            return
        certificate = _loaded(answer.seal_certificate, "seal")
        try:
            holder = bundle.seals.check(certificate, at=datetime.now(UTC), crls=None)
        except ExchangeError as error:
            raise VerificationFailed(f"the seal that came is none: {error}") from error
        if holder.kind is not Kind.SEAL or holder.unit != system.unit:
            raise VerificationFailed(f"the seal that came is of {holder}, not of {system.unit}")
        if self._seal_key is None or certificate.public_key() != self._seal_key.public_key():
            raise VerificationFailed("the authority sealed another key than ours")

    def store(self, answer: Enrolment, bundle: TrustBundle) -> None:
        """Write the profile, or add the seal to the one that is there; durable on return."""
        directory = self._folder.directory
        sealed = answer.seal_standing == "ISSUED"
        seal_pem = _pem(answer.seal_certificate) + bundle.seal_ca_pem if sealed else b""
        if self._system_key is None:
            if sealed and self._seal_key is not None:
                profile_store.replace_certificate(
                    directory, "seal", self._seal_key, seal_pem, self._passphrase
                )
        else:
            files = {
                "root.pem": bundle.root_pem,
                "tls-ca.pem": bundle.tls_ca_pem,
                "seal-ca.pem": bundle.seal_ca_pem,
                "system.pem": _pem(answer.system_certificate) + bundle.tls_ca_pem,
            }
            if sealed:
                files["seal.pem"] = seal_pem
            settings = Settings(
                address=_address(answer.centre_address, "exchange centre"),
                authority=_address(answer.authority_address, "authority"),
                root="root.pem",
                root_fingerprint=certificates.fingerprint(bundle.tls.root),
                tls_ca="tls-ca.pem",
                seal_ca="seal-ca.pem",
                system_certificate="system.pem",
                system_key="system.key",
                seal_certificate="seal.pem" if sealed else "",
                seal_key="seal.key" if sealed else "",
            )
            profile_store.write_profile(directory, settings, files)
        record = msgspec.structs.replace(self._folder.record, seal=answer.seal_standing)
        self._folder.write_record(record)


def _is_complete(folder: EnrolmentFolder) -> bool:
    """Whether there is nothing left to ask for."""
    if not (folder.is_profile and folder.has_profile):
        return False
    settings = read_settings(folder.directory / PROFILE_FILE)
    return bool(settings.seal_certificate) or folder.record.seal == "NONE"


def _enrolled(
    folder: EnrolmentFolder,
    passphrase: str | None,
    answer: Enrolment | None = None,
    seal_key_sha256: str = "",
) -> Enrolled:
    """Without ``answer``: all was there before."""
    profile = Profile.read(folder.directory, folder.directory.name, passphrase=passphrase)
    return Enrolled(
        profile=profile,
        seal="ISSUED" if profile.seal is not None else folder.record.seal,
        seal_key_sha256=seal_key_sha256,
        seal_reason=answer.seal_reason if answer else "",
        repeated=answer is None,
    )


def _loaded(der: bytes, kind: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise VerificationFailed(f"what came as {kind} certificate is none: {error}") from error


def _holder(certificate: x509.Certificate) -> Identity:
    try:
        return identity.of_certificate(certificate)
    except ExchangeError as error:
        raise VerificationFailed(f"the certificate that came names nobody: {error}") from error


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def _address(given: str, what: str) -> str:
    match = _HOST_AND_PORT.fullmatch(given)
    if match is None or match[2] is None:
        raise VerificationFailed(f"the authority named {given!r} as the address of the {what}")
    return given
