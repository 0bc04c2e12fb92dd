"""``exchange admin unit|system|staff|...``: the verbs for one entry of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from exchange_client.cli.admin_changes import (
    Mode,
    change,
    dry_run_option,
    reason_option,
    show_outcome,
    upon_what_is_there,
    yes_option,
)
from exchange_client.cli.admin_kinds import Field, Kind
from exchange_client.cli.command import Command, Settings, run, settings_of
from exchange_client.cli.values import OneOf

if TYPE_CHECKING:
    from document_exchange.entries import Entry
    from exchange_client.admin import Outcome
    from exchange_client.client import AsyncClient


def kind_group(kind: Kind) -> click.Group:
    """The commands about one kind of entry."""
    group = click.Group(kind.name, help=kind.help)
    for command in (_list, _show, _add, _set):
        group.add_command(command(kind))
    if kind.has_status:
        group.add_command(_simple(kind, "suspend", "For a while it may not call; takes 2 s."))
        group.add_command(_simple(kind, "resume", "It may call again."))
        group.add_command(_ending(kind, "close", "It is no more, for ever."))
    if kind.removable:
        group.add_command(_ending(kind, "remove", "Forget it."))
    return group


def row_of(entry: Entry, settings: Settings) -> dict[str, Any]:
    """An entry as a row; in tables with ``name`` in the user's language where it has two."""
    import msgspec

    row = msgspec.structs.asdict(entry)
    if settings.json:
        return row
    row["key"] = entry.key
    if "name_zh" in row:
        row["name"] = row["name_zh" if settings.output.words.language == "zh" else "name_en"]
    return row


def _list(kind: Kind) -> click.Command:
    @click.pass_context
    def list_(context: click.Context, unit: str | None = None) -> None:
        settings = settings_of(context)
        found = run(settings, lambda client: client.admin.entries(kind.name, unit))
        settings.output.table([row_of(entry, settings) for entry in found], kind.columns)

    command = Command("list", callback=list_, help=f"List every {kind.name}.")
    if kind.of_units:
        command.params.append(click.Option(["--unit"], metavar="UNIT", help="Only of this unit."))
    return command


def _show(kind: Kind) -> click.Command:
    @click.pass_context
    def show(context: click.Context, key: str) -> None:
        settings = settings_of(context)
        found = run(settings, lambda client: client.admin.entry(kind.name, key))
        row = row_of(found, settings)
        hidden = ("key", "name") if "name_zh" in row else ("key",)
        settings.output.table([row], [name for name in row if name not in hidden])

    return _keyed(kind, Command("show", callback=show, help=f"Show one {kind.name}."))


def _add(kind: Kind) -> click.Command:
    @reason_option
    @dry_run_option
    @click.pass_context
    def add(
        context: click.Context, /, key: str, dry_run: bool, reason: str, **given: str | int | None
    ) -> None:
        async def work(client: AsyncClient) -> Outcome:
            from document_exchange.entry_changes import Verb
            from document_exchange.errors import InvalidRequest
            from exchange_client.admin import Change
            from exchange_client.entries import changed, keyed

            entry = changed(keyed(kind.name, key), _values(kind, given))
            listing = await client.admin.listing_around(kind.name, key)
            if listing.find(key) is not None:
                raise InvalidRequest(
                    f"there is a {kind.name} {key} already: change it with"
                    f"  exchange admin {kind.name} set {key}",
                    field=kind.name,
                )
            return await client.admin.apply(
                [Change(Verb.PUT, entry)], dry_run=dry_run, reason=reason, version=listing.version
            )

        settings = settings_of(context)
        outcome = run(settings, lambda client: upon_what_is_there(lambda: work(client)))
        show_outcome(settings, outcome, Mode(dry_run, "--dry-run"))

    return _with_fields(kind, _command("add", add, f"Register a {kind.name} that is new."))


def _set(kind: Kind) -> click.Command:
    @reason_option
    @dry_run_option
    @click.pass_context
    def set_(
        context: click.Context, /, key: str, dry_run: bool, reason: str, **given: str | int | None
    ) -> None:
        values = _values(kind, given)
        if not values:
            raise click.UsageError("give at least one field to change")

        async def work(client: AsyncClient) -> Outcome:
            from document_exchange.entry_changes import Verb
            from document_exchange.errors import NotFound
            from exchange_client.admin import Change
            from exchange_client.entries import changed, without_status

            listing = await client.admin.listing_around(kind.name, key)
            found = listing.find(key)
            if found is None:
                raise NotFound(f"there is no {kind.name} {key}", kind=kind.name, key=key)
            changes = [Change(Verb.PUT, changed(without_status(found), values))]
            return await client.admin.apply(
                changes, dry_run=dry_run, reason=reason, version=listing.version
            )

        settings = settings_of(context)
        outcome = run(settings, lambda client: upon_what_is_there(lambda: work(client)))
        show_outcome(settings, outcome, Mode(dry_run, "--dry-run"))

    text = (
        f"Change fields of a {kind.name}; those not given stay as they are, an empty text empties."
    )
    return _with_fields(kind, _command("set", set_, text), all_optional=True)


def _simple(kind: Kind, verb: str, text: str) -> click.Command:
    """A verb that takes effect at once."""

    @reason_option
    @dry_run_option
    @click.pass_context
    def act(context: click.Context, key: str, dry_run: bool, reason: str) -> None:
        from document_exchange.entry_changes import Verb
        from exchange_client.admin import Change
        from exchange_client.entries import keyed

        changes = [Change(Verb(verb.upper()), keyed(kind.name, key))]
        change(settings_of(context), changes, Mode(dry_run, "--dry-run"), reason)

    return _keyed(kind, _command(verb, act, text))


def _ending(kind: Kind, verb: str, text: str) -> click.Command:
    """A verb that can't be undone: it only shows what it would do, unless --yes is given."""

    @reason_option
    @yes_option
    @click.pass_context
    def act(
        context: click.Context, key: str, yes: bool, reason: str, successor: str | None = None
    ) -> None:
        from document_exchange.entry_changes import Verb
        from exchange_client.admin import Change
        from exchange_client.entries import changed, keyed

        entry = keyed(kind.name, key)
        if successor is not None:
            entry = changed(entry, {"successor": successor})
        changes = [Change(Verb(verb.upper()), entry)]
        change(settings_of(context), changes, Mode(not yes, "--yes"), reason)

    command = _keyed(kind, _command(verb, act, text))
    if kind.name == "unit":
        command.params.append(
            click.Option(["--successor"], metavar="UNIT", help="The unit that took over.")
        )
    return command


def _command(name: str, callback: Callable[..., None], text: str) -> click.Command:
    return click.command(name, cls=Command, help=text)(callback)


def _keyed(kind: Kind, command: click.Command) -> click.Command:
    command.params.insert(0, click.Argument(["key"], metavar=kind.key))
    return command


def _with_fields(
    kind: Kind, command: click.Command, *, all_optional: bool = False
) -> click.Command:
    options = [
        _option(field, required=field.required and not all_optional) for field in kind.fields
    ]
    command.params[:0] = options
    return _keyed(kind, command)


def _option(field: Field, *, required: bool) -> click.Option:
    if field.number:
        return click.Option([field.option], type=click.IntRange(min=0), help=field.help)
    if field.several:
        text = f"{field.help} With commas; all of them."
        return click.Option([field.option], metavar="A,B,...", help=text)
    kind: click.ParamType[Any] = click.STRING
    if field.values:
        upper = field.values[0].isupper()
        kind = OneOf(field.values) if upper else click.Choice(field.values)
    metavar = "GENRE" if field.name == "genre" else None
    return click.Option(
        [field.option], type=kind, metavar=metavar, help=field.help, required=required
    )


def _values(kind: Kind, given: dict[str, str | int | None]) -> dict[str, Any]:
    """What the options gave, by field; lists apart."""
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for field in kind.fields:
        if field.several and field.name in values:
            names = [name for each in values[field.name].split(",") if (name := each.strip())]
            if field.never_empty and not names:
                raise click.UsageError(
                    f"{field.option} must name somebody: to take the last one out, change its unit"
                )
            values[field.name] = tuple(names)
    return values
