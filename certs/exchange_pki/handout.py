"""What the holder gets as files: certificate with chain, and the key if it was made here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from document_exchange.errors import ConfigurationError, InvalidRequest
from exchange_pki import files, keys
from exchange_pki import profile as profiles
from exchange_pki.authority import Authority
from exchange_pki.prepare import Order
from exchange_pki.register import Certified


@dataclass(frozen=True)
class Errand:
    """An order with the directory in which its certificate is to lie.

    ``public_key`` None asks for a new key, which is written beside the certificate.
    """

    order: Order
    directory: Path
    public_key: ec.EllipticCurvePublicKey | None = None

    @property
    def certificate_path(self) -> Path:
        """Where the certificate goes, followed by that of its issuer, in PEM."""
        return self.directory / f"{self.order.profile}.pem"

    @property
    def key_path(self) -> Path | None:
        """Where the new key goes (0600), in PEM."""
        return None if self.public_key else self.directory / f"{self.order.profile}.key"


def run(
    authority: Authority, errands: Iterable[Errand], *, replace: bool = False
) -> list[tuple[Errand, Certified]]:
    """Issue for all errands or none, then write their files: each key before its certificate.

    Raises:
        ConfigurationError: a file is there already and ``replace`` is false; nothing was issued.
        InvalidRequest: two errands want the same file, or an order is wrong; nothing was issued.
    """
    listed = list(errands)
    _check_paths(listed, replace=replace)
    orders: list[tuple[Order, ec.EllipticCurvePublicKey]] = []
    new_keys: list[ec.EllipticCurvePrivateKey | None] = []
    for errand in listed:
        if errand.public_key is None:
            new_key = keys.generate(profiles.get(errand.order.profile).curve)
            new_keys.append(new_key)
            orders.append((errand.order, new_key.public_key()))
        else:
            new_keys.append(None)
            orders.append((errand.order, errand.public_key))
    issued = authority.issue_all(orders)
    for errand, key, certified in zip(listed, new_keys, issued, strict=True):
        files.make_directory(errand.directory)
        if key is not None and errand.key_path is not None:
            pem = keys.plain_pem(key)
            files.write(errand.key_path, pem, mode=files.PRIVATE, replace=replace)
        chain = authority.chain_pem(certified)
        files.write(errand.certificate_path, chain, mode=files.PUBLIC, replace=replace)
    return list(zip(listed, issued, strict=True))


def _check_paths(errands: list[Errand], *, replace: bool) -> None:
    seen: set[Path] = set()
    for errand in errands:
        if errand.certificate_path in seen:
            raise InvalidRequest(
                f"two orders want the file {errand.certificate_path}",
                field="directory",
                value=str(errand.directory),
            )
        seen.add(errand.certificate_path)
        for path in (errand.certificate_path, errand.key_path):
            if path is not None and not replace and os.path.lexists(path):
                raise ConfigurationError(
                    f"{path} is there already; nothing is overwritten", path=str(path)
                )
