"""Renewing the certificates of a profile: one renewal, step by step, safe to break off anywhere.

1. Only one process renews a profile at a time; what another has renewed meanwhile is taken over.
2. The next key is made and stored, before anybody is asked to certify it.
3. The authority certifies it; asked again about the same key it gives the same certificate. It is
   asked again by whoever goes on: what it gave an earlier try may have been revoked since.
4. The certificate is compared with what was asked for, and kept beside the key.
5. Every server process is given the time to hear of it.
6. A system certificate must open the door of the centre before it is relied upon.
7. Key and certificate take their place in the profile, at once, and the kept ones are removed.

A crash before 7 leaves the old profile, which works, and the key for the repetition; after it, the
new one. A key that will never have a certificate of use is given up for another. A seal's request
is signed by the seal in use: a TLS key alone never yields a seal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import (
    CertificateNotAdmitted,
    CertificateRevoked,
    ConfigurationError,
    ExchangeError,
    KeyReused,
    Unavailable,
    VerificationFailed,
)
from exchange_client import keys, profile_store
from exchange_client.certificate_request import CertificateRequest
from exchange_client.connection import Connection
from exchange_client.pending import Busy, Pending, only_renewal
from exchange_client.profile import PROFILE_FILE, Profile, read_settings
from exchange_client.profile_store import CertificateKind
from exchange_client.threads import in_thread
from exchange_client.timing import Timing

SETTLING_S = 3.0
"""A change of who may call is known to every server process within 2 s."""

_LOOK_AGAIN_S = 0.2
_LONGEST_UNANSWERED_S = 10.0
"""For so long a centre that does not answer keeps a good certificate out of the profile."""
_UNKNOWN_FOR_GOOD_S = 60.0
"""A centre that has not heard of a certificate after so long never will."""

Admitted = Callable[[Profile], Awaitable[None]]
"""Raises CertificateNotAdmitted or Unavailable unless the centre answers a call with a profile."""


def certificate_of(profile: Profile, kind: CertificateKind) -> x509.Certificate | None:
    """The certificate of this kind; None where the profile has no seal."""
    if kind == "system":
        return profile.system_certificate
    return profile.seal.certificate if profile.seal is not None else None


def due_at(certificate: x509.Certificate, obtained_at: datetime | None = None) -> datetime:
    """When to renew: at two thirds of its lifetime.

    ``obtained_at``: when this process got it. Certificates begin before they are issued, and one
    that was past its two thirds by then is not renewed at once, again and again.
    """
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    due = begins + (ends - begins) * 2 / 3
    if obtained_at is None or obtained_at > ends:
        return due
    return max(due, obtained_at + (ends - obtained_at) / 3)


async def newest(profile: Profile) -> Profile:
    """The profile as another process has renewed it since it was loaded; else as it is.

    Raises:
        ConfigurationError, KeyUnusable: what is stored can't be used, and this one is over.
    """
    now = datetime.now(UTC)
    if profile.directory is None or due_at(profile.system_certificate) > now:
        return profile
    try:
        stored = await in_thread(_stored, profile, profile.directory)
    except ExchangeError:
        if profile.system_certificate.not_valid_after_utc < now:
            raise
        return profile  # it still works
    newer = _is_newer(stored.system_certificate, profile.system_certificate)
    return stored if newer else profile


async def renew(
    profile: Profile, kind: CertificateKind, timing: Timing, admitted: Admitted | None = None
) -> Profile:
    """Renew one certificate now, or take over what another process has renewed.

    Args:
        profile: as this process has it in use.
        kind: which of its certificates.
        timing: deadlines of the calls, and for how long the authority is asked again.
        admitted: asks the centre whether it admits a profile; default: by a call of its own.

    Returns:
        The profile as it is stored now.

    Raises:
        ConfigurationError: the profile says no authority, is not in a directory, has no seal.
        ExchangeError: the authority refused, or did not answer. What is stored works as before,
            and the same call goes on where this one ended.
    """
    directory, in_use = profile.directory, certificate_of(profile, kind)
    if directory is None or not profile.authority or in_use is None:
        raise ConfigurationError(
            f"the {kind} certificate of profile {profile.name} can't be renewed: it needs a"
            f" directory, the address of the authority in its {PROFILE_FILE}, and a certificate",
            profile=profile.name,
        )
    # 1. Alone, and with what is stored now.
    async with _alone(directory):
        stored = await in_thread(_stored, profile, directory)
        if _is_newer(certificate_of(stored, kind), in_use):
            return stored
        return await _Renewal(stored, directory, kind, timing, admitted or _admitted(timing)).run()


@dataclass(frozen=True, slots=True)
class _Renewal:
    """One renewal, while nobody else renews this profile."""

    profile: Profile
    directory: Path
    kind: CertificateKind
    timing: Timing
    admitted: Admitted

    @property
    def _in_use(self) -> x509.Certificate:
        found = certificate_of(self.profile, self.kind)
        if found is None:
            raise ConfigurationError(f"profile {self.profile.name} has no seal any more")
        return found

    async def run(self) -> Profile:
        """All steps; once more with another key if what an earlier try left was given up."""
        pending = Pending(self.directory, self.kind)
        while True:
            resumed = await in_thread(pending.exists)
            try:
                return await self._attempt(pending)
            except ExchangeError:
                if not resumed or await in_thread(pending.exists):
                    raise

    async def _attempt(self, pending: Pending) -> Profile:
        passphrase = await in_thread(_passphrase, self.profile, self.directory)
        # 2. The key.
        key = await in_thread(pending.key, self._in_use, passphrase)
        # 3. and 4. The certificate.
        request = CertificateRequest(self.profile, self.kind, self._in_use, self.timing)
        try:
            certificate = await request.answered(pending, key)
            if due_at(certificate) <= datetime.now(UTC):
                raise VerificationFailed("the next certificate is as good as over", step="renew")
        except (KeyReused, VerificationFailed):
            # This key would get the same answer for ever.
            await in_thread(pending.clear)
            raise
        # 5. and 6. The centre.
        await self._settle(pending)
        chain = request.chain(certificate)
        if self.kind == "system":
            await self._admit(pending, self._candidate(key, certificate, chain))
        # 7. The profile.
        renewed = await in_thread(
            profile_store.replace_certificate, self.directory, self.kind, key, chain, passphrase
        )
        await in_thread(pending.clear)
        return replace(renewed, name=self.profile.name)

    def _candidate(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, chain: bytes
    ) -> Profile:
        return replace(
            self.profile,
            system_certificate=certificate,
            system_chain=chain,
            system_key=keys.private_pem(key),
        )

    def _left_s(self) -> float:
        """Seconds for which the certificate in use can still be used."""
        return (self._in_use.not_valid_after_utc - datetime.now(UTC)).total_seconds()

    async def _settle(self, pending: Pending) -> None:
        """Let time pass since the certificate was issued, but not too much of what is left."""
        passed_s = await self._kept_for_s(pending)
        await asyncio.sleep(max(0.0, min(SETTLING_S - passed_s, self._left_s() / 4)))

    async def _kept_for_s(self, pending: Pending) -> float:
        since_s = await in_thread(pending.kept_since)
        return max(time.time() - since_s, 0.0) if since_s is not None else 0.0

    async def _admit(self, pending: Pending, candidate: Profile) -> None:
        """Step 6; gives the key up where the centre says that its certificate opens no door."""
        try:
            await self._until_admitted(candidate)
        except CertificateRevoked:
            await in_thread(pending.clear)
            raise
        except CertificateNotAdmitted:
            if await self._kept_for_s(pending) > _UNKNOWN_FOR_GOOD_S:
                await in_thread(pending.clear)
            raise

    async def _until_admitted(self, candidate: Profile) -> None:
        """Return when the centre admits the new certificate, or does not answer for long.

        Raises:
            CertificateNotAdmitted: it did answer, and no.
        """
        patience_s = min(_LONGEST_UNANSWERED_S, max(self._left_s() / 2, 0.0))
        give_up_at = time.monotonic() + patience_s
        while True:
            try:
                await self.admitted(candidate)
                return
            except CertificateNotAdmitted:
                if time.monotonic() > give_up_at:
                    raise
            except Unavailable:
                # A centre that is down must not keep the profile from living on.
                if time.monotonic() > give_up_at:
                    return
            await asyncio.sleep(min(1.0, patience_s / 8))


def _admitted(timing: Timing) -> Admitted:
    """By a connection of its own."""

    async def ask(profile: Profile) -> None:
        connection = Connection(profile, timing)
        try:
            await (await connection.open_beside(profile)).close(None)
        finally:
            await connection.close()

    return ask


@asynccontextmanager
async def _alone(directory: Path) -> AsyncIterator[None]:
    """Wait until no other process renews this profile."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_renewal(directory))
                break
            except Busy:
                await asyncio.sleep(_LOOK_AGAIN_S)
        yield


def _is_newer(stored: x509.Certificate | None, in_use: x509.Certificate) -> bool:
    return (
        stored is not None
        and stored != in_use
        and stored.not_valid_before_utc >= in_use.not_valid_before_utc
    )


def _stored(profile: Profile, directory: Path) -> Profile:
    return Profile.read(directory, profile.name, passphrase=profile.passphrase)


def _passphrase(profile: Profile, directory: Path) -> str | None:
    """With which the profile's keys are encrypted; None where they are not."""
    settings = read_settings(directory / PROFILE_FILE)
    return profile_store.passphrase_in_use(directory, settings, profile.passphrase)
