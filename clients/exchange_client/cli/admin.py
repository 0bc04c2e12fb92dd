"""``exchange admin``: what staff do to the registry, the tokens, the seals and the certificates."""

from __future__ import annotations

import click

from exchange_client.cli.admin_authority import certificate, seal, token
from exchange_client.cli.admin_entries import kind_group
from exchange_client.cli.admin_kinds import KINDS
from exchange_client.cli.admin_proposals import proposals
from exchange_client.cli.admin_transfer import export, import_


@click.group()
def admin() -> None:
    """Administer the centre, with the profile of a member of staff.

    Operators keep units, systems, groups, regions, lines of business, quotas and tokens; security
    staff keep staff, routes, seals and certificates; auditors read.
    """


for _kind in KINDS:
    admin.add_command(kind_group(_kind))
for _command in (import_, export, proposals, token, seal, certificate):
    admin.add_command(_command)
