"""The calls of a client that ask the directory."""

from __future__ import annotations

from document_exchange.manifest import Direction, Genre
from exchange_client import directory
from exchange_client.choices import chosen
from exchange_client.directory import Group, RouteAnswer
from exchange_client.model import Unit
from exchange_client.session import HasSession


class DirectoryCalls(HasSession):
    """What ``AsyncClient`` asks of who takes part, and of what may be sent to whom."""

    async def units(self, group: str | None = None) -> list[Unit]:
        """Every unit that takes part, or the members of a group, by unit_id."""
        return await directory.units(self.session, group)

    async def groups(self) -> list[Group]:
        """Every named list of units 通讯组, by group_id; see ``send`` for how to write to one."""
        return await directory.groups(self.session)

    async def check_route(
        self,
        recipient: str,
        *,
        business: str = "",
        genre: Genre | str = "",
        direction: Direction | str = "",
        sender: str = "",
    ) -> RouteAnswer:
        """Whether a document would be accepted for a recipient now, and why, step by step.

        Args:
            recipient: a unit.
            business: a line of business; by default DOCUMENT.
            genre: by default NONE.
            direction: by default PARALLEL.
            sender: for staff: the unit that would send it. Units ask for themselves.

        Raises:
            InvalidRequest: a genre or direction that there is none of, or staff named no sender.
            NotPermitted: a unit asked for another.
        """
        return await directory.check_route(
            self.session,
            recipient,
            business,
            chosen(Genre, genre, "genre") if genre else "",
            chosen(Direction, direction, "direction") if direction else "",
            sender,
        )

    async def unit(self, unit_id: str) -> Unit:
        """One unit.

        Raises:
            NotFound: there is none of this id.
        """
        return await directory.unit(self.session, unit_id)
