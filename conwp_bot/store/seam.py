"""The seam between what is done to the database and how: one protocol, so that units are written once.

A unit is a plain synchronous function `unit(conn, *args)` over a SQLAlchemy Core connection. It touches nothing but `conn`
and its arguments, because it may be run twice: a group that fails is taken apart and its units are run again one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy.engine import Connection

P = ParamSpec("P")
T = TypeVar("T")

Unit = Callable[Concatenate[Connection, P], T]


class Store(Protocol):
    """A database that commits in groups and reads beside it."""

    async def do(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that writes; returns once it is durable.

        All that is queued commits as one group. Raises what the unit raised (its changes are then undone, its neighbours' are
        not), StoreBusy when too much is queued, StoreBroken when the database fails, StoreClosed after `close`.
        """

    def submit(
        self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Queue a unit as `do` does and return at once; units that are submitted one after the other run in that order.

        What is submitted right behind another unit mostly shares its commit. The future must not be cancelled. Raises StoreBusy,
        StoreClosed.
        """

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query that only reads, on a connection that cannot write; it sees all that `do` returned for."""

    async def close(self) -> None:
        """Finish what is queued, checkpoint, and close; further calls raise StoreClosed."""
