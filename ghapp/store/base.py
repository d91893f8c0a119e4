"""What the query functions see of a database: one interface, SQLite and PostgreSQL behind it.

SQL is written once, in PostgreSQL's flavour, with `:name` parameters given by keyword:

    await tx.one("SELECT * FROM deploys WHERE id = :id FOR UPDATE", id=7)

What holds on both:

- A list is one parameter: `id = ANY(:ids)`, `state <> ALL(:states)`; integers or strings, empty allowed.
- `FOR UPDATE [OF x] [SKIP LOCKED | NOWAIT]` locks on PostgreSQL; SQLite's one writer has everything anyway.
- `:x::bigint` tells PostgreSQL a parameter's type and is dropped on SQLite (use CAST where the conversion
  matters). PostgreSQL needs it where nothing else says the type (`:x IS NULL`), and in arithmetic with a
  constant, where it would guess a 32 bit integer (`:now::bigint - 60000`).
- Columns are BIGINT, TEXT (JSON too) and `{blob}`; a boolean is a BIGINT 0 or 1 and is compared (`paused = 1`).
  On PostgreSQL SUM gives a Decimal: `CAST(SUM(size) AS BIGINT)`.
- Not on both: GREATEST and LEAST, IS DISTINCT FROM, `INSERT … SELECT … ON CONFLICT` without a WHERE,
  deferrable constraints (they would fail the commit that several writes share).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Row = Mapping[str, Any]


class StoreError(Exception):
    """The database refused or failed. Nothing of the transaction was saved, unless a subclass says else."""


class Unavailable(StoreError):
    """The database cannot be reached or cannot work now. Trying again later may help.

    Where the connection broke during the commit it is not known whether the transaction was saved.
    """


class Violation(StoreError):
    """A constraint (foreign key, check, not null) refused the statement."""


class Conflict(Violation):
    """A unique constraint or index refused the statement: the row is already there.

    `columns` are those of the constraint, in its order; empty for an index on an expression.
    The values are left out on purpose: they may be secrets.
    """

    def __init__(self, table: str, columns: tuple[str, ...]) -> None:
        super().__init__(f"{table} already has a row with the same {', '.join(columns) or 'key'}")
        self.table = table
        self.columns = columns


class Refusal(Exception):
    """What a work raises to undo itself with a reason for whoever asked; if they have gone, nobody is told."""


class Tx(Protocol):
    """A transaction, good for as long as the work that was given it runs.

    After a statement has failed it takes no further one, and the transaction is undone even if the work
    catches the error. Raises Conflict, Violation, Unavailable; the driver's own error for wrong SQL.
    """

    async def all(self, sql: str, /, **params: object) -> list[Row]:
        """All rows, as dictionaries, in memory."""
        ...

    async def one(self, sql: str, /, **params: object) -> Row | None:
        """The first row, or None."""
        ...

    async def run(self, sql: str, /, **params: object) -> int:
        """The number of rows changed."""
        ...


Work = Callable[[Tx], Awaitable[T]]
"""What is to be done in one transaction. It touches the outside world through its Tx only and keeps no state
of its own: on PostgreSQL it runs again after a deadlock. On SQLite every write waits for it, so it awaits
nothing else; nor may it use the database by another way than its Tx (RuntimeError)."""


class Database(Protocol):
    """One database. Every work runs in a task of its own, in the caller's context (contextvars).

    A cancelled caller abandons its wait; the transaction still runs to its end. An error raised by the work
    undoes this transaction alone and is raised to the caller; a CancelledError raised *inside* the work
    arrives as Unavailable.
    """

    async def write(self, work: Work[T]) -> T:
        """Run `work` in one durable transaction; returns what it returned, after the commit."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a read-only transaction on one consistent snapshot of what is committed."""
        ...

    async def close(self) -> None:
        """Finish what was handed in, refuse what comes later (Unavailable), let go of all connections."""
        ...
