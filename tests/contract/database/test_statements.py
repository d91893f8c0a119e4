"""What a statement may say, and what its errors are, alike on every Database."""

import sqlite3
from collections.abc import Sequence

import pytest

from ghapp.store.base import Conflict, Database, Row, StoreError, Tx, Violation
from ghapp.store.stores import Stores
from tests.contract.database.works import add, ask, names


async def test_values_come_back_as_they_went_in(db: Database) -> None:
    async def work(tx: Tx) -> Row | None:
        return await tx.one(
            "INSERT INTO things (name, n, body) VALUES (:name, :n, :body) RETURNING name, n, body, id",
            name="ünï'; DROP TABLE things; --",
            n=2**53,
            body=b"\x00\xff",
        )

    row = await db.write(work)
    assert row == {"name": "ünï'; DROP TABLE things; --", "n": 2**53, "body": b"\x00\xff", "id": 1}
    assert isinstance(row, dict)


async def test_a_boolean_is_stored_as_a_number(db: Database) -> None:
    await db.write(add("yes", True))
    assert await db.read(ask("SELECT n FROM things WHERE n = :n", n=True)) == [{"n": 1}]


async def test_one_is_the_first_row_or_none_and_run_counts(db: Database) -> None:
    async def work(tx: Tx) -> None:
        for name in ("a", "b", "c"):
            assert await tx.run("INSERT INTO things (name) VALUES (:name)", name=name) == 1
        assert await tx.one("SELECT name FROM things ORDER BY name DESC") == {"name": "c"}
        assert await tx.one("SELECT name FROM things WHERE name = 'z'") is None
        assert await tx.run("UPDATE things SET n = 7 WHERE name <> :name", name="a") == 2
        assert await tx.run("DELETE FROM things WHERE n = 9") == 0
        assert await tx.run("CREATE TABLE more (id BIGINT)") <= 0

    await db.write(work)


async def test_parameters_are_found_where_they_are_and_nowhere_else(db: Database) -> None:
    sql = """
        SELECT ':not_a' || :a::text AS "b:b", -- :not_b, isn't one
          :n :: bigint + :n AS sum, 'it''s :not_c' AS quoted /* :not_d */, :_x1::text AS last
        FROM (SELECT 1) AS one WHERE :a::text IS NOT NULL AND :unset::bigint IS NULL
    """
    rows = await db.read(ask(sql, a="!", n=2**40, _x1="x", unset=None))
    assert rows == [{"b:b": ":not_a!", "sum": 2**41, "quoted": "it's :not_c", "last": "x"}]


async def test_a_parameter_that_is_missing_is_an_error(db: Database) -> None:
    with pytest.raises((KeyError, sqlite3.ProgrammingError)):
        await db.read(ask("SELECT :a::text AS a"))


@pytest.mark.parametrize("chosen", [["a"], ["a", "c", "?'\""], [], ("b",)])
async def test_a_list_is_one_parameter(db: Database, chosen: Sequence[str]) -> None:
    for n, name in enumerate("abc"):
        await db.write(add(name, n))
    inside = await db.read(ask("SELECT name FROM things WHERE name = ANY(:chosen)", chosen=chosen))
    outside = await db.read(ask("SELECT name FROM things WHERE name <> ALL ( :chosen )", chosen=chosen))
    assert {row["name"] for row in inside} == set(chosen) & set("abc")
    assert {row["name"] for row in outside} == set("abc") - set(chosen)
    numbers = await db.read(ask("SELECT n FROM things WHERE n = ANY(:numbers) ORDER BY n", numbers=[2, 0, 9]))
    assert numbers == [{"n": 0}, {"n": 2}]


@pytest.mark.parametrize("lock", ["FOR UPDATE", "FOR UPDATE SKIP LOCKED", "for update of things", "FOR NO KEY UPDATE"])
async def test_row_locks_are_written_once(db: Database, lock: str) -> None:
    await db.write(add("for update"))
    sql = f"SELECT name FROM things WHERE name = 'for update' {lock}"
    assert await db.write(ask(sql)) == [{"name": "for update"}]


async def test_insert_or_leave(db: Database) -> None:
    await db.write(add("a"))
    again = ask("INSERT INTO things (name) VALUES ('a') ON CONFLICT (name, n) DO NOTHING RETURNING id")
    assert await db.write(again) == []


async def test_a_unique_constraint_names_its_columns_not_the_values(db: Database) -> None:
    await db.write(add("s3cret"))
    with pytest.raises(Conflict) as caught:
        await db.write(add("s3cret"))
    assert (caught.value.table, caught.value.columns) == ("things", ("name", "n"))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_partial_unique_index_and_a_key_are_conflicts_too(db: Database) -> None:
    await db.write(add("a"))
    await db.write(ask("INSERT INTO parts (thing_id) VALUES (1)"))
    with pytest.raises(Conflict) as caught:
        await db.write(ask("INSERT INTO parts (thing_id) VALUES (1)"))
    assert (caught.value.table, caught.value.columns) == ("parts", ("thing_id",))
    with pytest.raises(Conflict) as caught:
        await db.write(ask("INSERT INTO things (id, name) VALUES (1, 'b')"))
    assert caught.value.columns == ("id",)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO parts (thing_id) VALUES (42)",
        "INSERT INTO things (name) VALUES (NULL)",
        "INSERT INTO things (name, n) VALUES ('a', -1)",
    ],
)
async def test_other_constraints_are_violations(db: Database, sql: str) -> None:
    with pytest.raises(Violation) as caught:
        await db.write(ask(sql))
    assert not isinstance(caught.value, Conflict)


async def test_wrong_sql_is_the_drivers_own_error(db: Database) -> None:
    with pytest.raises(Exception, match="nothing_of_that_name") as caught:
        await db.read(ask("SELECT * FROM nothing_of_that_name"))
    assert not isinstance(caught.value, StoreError)


async def test_an_error_that_the_work_hides_undoes_it_all_the_same(db: Database) -> None:
    async def hides(tx: Tx) -> str:
        await add("before")(tx)
        try:
            await tx.run("INSERT INTO parts (thing_id) VALUES (42)")
        except Violation:
            return "saved, or so it says"
        raise AssertionError

    with pytest.raises(Violation):
        await db.write(hides)
    assert await names(db) == []


async def test_no_statement_follows_a_failed_one(db: Database) -> None:
    async def goes_on(tx: Tx) -> None:
        try:
            await tx.run("INSERT INTO parts (thing_id) VALUES (42)")
        except Violation:
            await add("after")(tx)

    with pytest.raises(RuntimeError, match="has failed"):
        await db.write(goes_on)
    assert await names(db) == []


async def test_a_transaction_ends_with_its_work(db: Database) -> None:
    kept: list[Tx] = []

    async def keeps(tx: Tx) -> None:
        kept.append(tx)

    await db.write(keeps)
    with pytest.raises(RuntimeError, match="has ended"):
        await add("late")(kept[0])


async def test_a_work_has_no_second_way_to_the_database(stores: Stores) -> None:
    async def nested(tx: Tx) -> None:
        await stores.logs.write(ask("SELECT 1"))

    async def nested_read(tx: Tx) -> None:
        await names(stores.main)

    for work in (nested, nested_read):
        with pytest.raises(RuntimeError, match="its own Tx"):
            await stores.main.write(work)
        with pytest.raises(RuntimeError, match="its own Tx"):
            await stores.main.read(work)
