"""Commands that make: ``init``, ``issue``, ``issue-batch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange_pki.cli.options import (
    PATH,
    Moment,
    Seconds,
    load,
    passphrase_file_option,
    passphrase_of,
    printing_options,
    read_batch,
    replace_option,
    state_option,
    whole_seconds,
)
from exchange_pki.cli.report import Report

if TYPE_CHECKING:  # cryptography takes a tenth of a second: `--help` does without
    from exchange_pki.handout import Errand
    from exchange_pki.register import Certified


@click.command()
@state_option
@passphrase_file_option
@click.option("--trust-domain", required=True, help="As in spiffe://TRUST-DOMAIN/…")
@printing_options
def init(
    state: Path,
    passphrase_file: Path | None,
    trust_domain: str,
    as_json: bool,
    language: str | None,
) -> None:
    """Found an authority: root, TLS CA, seal CA and their empty CRLs. Overwrites nothing."""
    from exchange_pki.authority import Authority

    passphrase = passphrase_of(passphrase_file)
    if passphrase is None:
        raise click.UsageError(
            "a passphrase is needed: set EXCHANGE_PKI_PASSPHRASE, or give --passphrase-file FILE"
        )
    authority = Authority.init(state, trust_domain, passphrase)
    Report(as_json=as_json, language=language).row(
        {
            "state": str(state),
            "trust_domain": authority.trust_domain,
            "root_fingerprint": authority.root_fingerprint,
        }
    )


@click.command()
@click.argument("profile")
@state_option
@passphrase_file_option
@click.option("--unit", help="The unit, for systems and seals.")
@click.option("--name", required=True, help="The last part of the identity.")
@click.option("--role", help="For staff: operator, security or auditor.")
@click.option("--dns", "dns_names", multiple=True, help="A DNS name, for servers. May be repeated.")
@click.option("--ip", "ip_addresses", multiple=True, help="An IP address, for servers.")
@click.option("--not-before", type=Moment(), help="Later than the profile's, never earlier.")
@click.option("--not-after", type=Moment(), help="Earlier than the profile's, never later.")
@click.option("--lifetime", type=Seconds(), help="Shorter than the profile's, never longer.")
@click.option("--request", type=PATH, help="A signing request; only its public key is used.")
@click.option("--new-key", is_flag=True, help="Make a key, too (0600, not encrypted).")
@click.option("--out", type=PATH, required=True, help="The directory for the files.")
@replace_option
@printing_options
def issue(
    state: Path,
    passphrase_file: Path | None,
    request: Path | None,
    new_key: bool,
    out: Path,
    replace: bool,
    as_json: bool,
    language: str | None,
    **order: Any,
) -> None:
    """Issue one certificate of PROFILE into OUT/PROFILE.pem (leaf, then its issuer)."""
    if (request is None) == (not new_key):
        raise click.UsageError("give either --request FILE or --new-key")
    from exchange_pki import files, handout, signing_request
    from exchange_pki.prepare import Order

    key = None
    if request is not None:
        data = files.read(request, limit=signing_request.LARGEST_BYTES)
        key = signing_request.proved_key(data)
    errand = handout.Errand(Order(**order), out, key)
    issued = handout.run(load(state, passphrase_file), [errand], replace=replace)
    report = Report(as_json=as_json, language=language)
    for done, certified in issued:
        report.row(_issued_row(done, certified))


@click.command()
@click.argument("file", type=click.File("rb"))
@state_option
@passphrase_file_option
@click.option("--out", type=PATH, required=True, help="The directory of the directories.")
@replace_option
@printing_options
def issue_batch(
    file: Any,
    state: Path,
    passphrase_file: Path | None,
    out: Path,
    replace: bool,
    as_json: bool,
    language: str | None,
) -> None:
    """Issue certificates with new keys for all lines of FILE, or for none.

    A line is {"profile", "name", "directory", "unit"?, "role"?, "dns"?: [], "ip"?: []}; the
    directory lies below OUT.
    """
    from exchange_pki import batch, handout

    errands = batch.errands(read_batch(file), out)
    issued = handout.run(load(state, passphrase_file), errands, replace=replace)
    columns = ("profile", "identity", "not_after", "certificate")
    Report(as_json=as_json, language=language).rows(
        (_issued_row(errand, certified) for errand, certified in issued), columns
    )


def _issued_row(errand: Errand, certified: Certified) -> dict[str, object]:
    return {
        "profile": certified.profile,
        "identity": certified.identity,
        "role": certified.role,
        "serial": certified.serial,
        "fingerprint": certified.fingerprint,
        "not_after": whole_seconds(certified.certificate.not_valid_after_utc),
        "certificate": str(errand.certificate_path),
        "key": None if errand.key_path is None else str(errand.key_path),
    }
