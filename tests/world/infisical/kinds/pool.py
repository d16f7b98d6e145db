"""A few open connections to PostgreSQL, handed out one statement batch at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import conninfo

PRESENT: Final = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"


class Pool:
    """Up to ``size`` autocommit connections, opened when first needed."""

    def __init__(self, dsn: str, size: int = 4) -> None:
        self.dsn = dsn
        self.size = size
        self.database = str(conninfo.conninfo_to_dict(dsn).get("dbname", "postgres"))
        self._slots = asyncio.Semaphore(size)
        self._whole = asyncio.Lock()
        self._idle: list[psycopg.AsyncConnection[Any]] = []

    async def run(self, statements: str) -> None:
        """A batch in one round trip; PostgreSQL makes it one transaction."""
        async with self._slots, self._connection() as connection:
            # NB: the statements are the test administrator's own, not a client's.
            await connection.execute(statements.encode())

    async def names(self, query: LiteralString, values: Sequence[str]) -> set[str]:
        """The first column of a query over a list of names."""
        async with self._slots, self._connection() as connection:
            return await _names(connection, query, values)

    async def change(self, roles: Mapping[str, str]) -> set[str]:
        """Run each role's statement, all in one transaction; returns the roles that are there.

        Nothing else of this pool runs meanwhile: PostgreSQL fails a statement whose role another
        transaction changes ("tuple concurrently updated").
        """
        async with self._whole, contextlib.AsyncExitStack() as slots:
            for _ in range(self.size):
                await slots.enter_async_context(self._slots)
            async with self._connection() as connection:
                present = await _names(connection, PRESENT, list(roles))
                await connection.execute(" ".join(roles[name] for name in present).encode())
                return present

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = self._idle.pop() if self._idle else await self._open()
        try:
            yield connection
        finally:
            if connection.closed:
                await connection.close()
            else:
                self._idle.append(connection)

    async def _open(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)


async def _names(
    connection: psycopg.AsyncConnection[Any], query: LiteralString, values: Sequence[str]
) -> set[str]:
    cursor = await connection.execute(query, (list(values),))
    return {str(row[0]) for row in await cursor.fetchall()}
