"""Messages end with a next step: what to type, whom to ask, which name was meant."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import bulkio
from servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVERS = ["asyncpg", "psycopg"]
ORDERS = pa.table({"id": [1], "amount": [2]})


@pytest.fixture
def role(one_dsn: str) -> Iterator[tuple[str, str]]:
    """Yield a role without any privilege, and its DSN; there are a table and a schema that it may not use."""
    name = f"poor_{time.time_ns()}"
    with connect(one_dsn) as conn:
        conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
        conn.execute(
            "CREATE TABLE orders (id int8, amount int8); CREATE SCHEMA closed; CREATE TABLE closed.t (id int8)"
        )
        yield name, make_conninfo(one_dsn, user=name, password="x")
        conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("driver", DRIVERS)
def test_permission_denied_says_what_to_grant(role: tuple[str, str], driver: str) -> None:
    """The role, the privilege that the work needs, and the GRANT as its owner can run it."""
    name, dsn = role
    cases = {
        lambda: bulkio.load(ORDERS, "orders", dsn, driver=driver): 'GRANT INSERT ON TABLE "orders"',
        lambda: bulkio.load(ORDERS, "orders", dsn, driver=driver, mode="truncate"): "GRANT INSERT, TRUNCATE ON TABLE",
        lambda: bulkio.load(ORDERS, "fresh", dsn, driver=driver): 'GRANT USAGE, CREATE ON SCHEMA "public"',
        lambda: bulkio.plan_export("orders", "x.arrows", dsn, driver=driver): 'GRANT SELECT ON TABLE "orders"',
        lambda: bulkio.plan_export(
            "select * from orders", "x.arrows", dsn, driver=driver
        ): 'GRANT SELECT ON TABLE "orders"',
        lambda: bulkio.plan_export("closed.t", "x.arrows", dsn, driver=driver): 'GRANT USAGE ON SCHEMA "closed"',
    }
    for act, grant in cases.items():
        with pytest.raises(bulkio.DriverError) as caught:
            act()
        assert caught.value.sqlstate == "42501"
        assert str(caught.value).startswith("permission denied for ")
        assert f'role "{name}" lacks it; its owner can {grant}' in str(caught.value)
        assert str(caught.value).endswith(f' TO "{name}"')


def test_what_the_grant_says_helps(role: tuple[str, str], one_dsn: str) -> None:
    """The advised statement is SQL, and after it the load works."""
    _, dsn = role
    with pytest.raises(bulkio.DriverError) as caught:
        bulkio.load(ORDERS, "orders", dsn, mode="truncate")
    with connect(one_dsn) as conn:
        conn.execute("GRANT " + str(caught.value).partition("GRANT ")[2])
    assert bulkio.load(ORDERS, "orders", dsn, mode="truncate").rows == 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_password_given(one_dsn: str, driver: str) -> None:
    """Where none was given, the message says so and where to put one; a wrong one is refused in the server's words."""
    parts = conninfo_to_dict(one_dsn)
    parts.pop("password")
    dsn = make_conninfo(**parts)
    with pytest.raises(bulkio.ConnectError, match=r"none was given: put it into ~/\.pgpass, PGPASSWORD") as caught:
        bulkio.read("select 1", dsn, driver=driver)
    assert caught.value.sqlstate == "28P01"
    with pytest.raises(bulkio.ConnectError, match="password authentication failed"):
        bulkio.read("select 1", dsn, driver=driver, password="wrong")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("ordres", "orders"), ("public.order", "public.orders"), ("ORDER_S", "orders"), ("elsewhere", "other.elsewhere")],
)
def test_a_table_that_does_not_exist(one_dsn: str, typed: str, meant: str) -> None:
    """The table whose name is most like it is suggested, in whatever schema it is."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE orders (id int8); CREATE SCHEMA other; CREATE TABLE other.elsewhere (id int8)")
    with pytest.raises(bulkio.SchemaError, match=rf"does not exist; did you mean {meant}\?$"):
        bulkio.plan_export(typed, "x.arrows", one_dsn)
    with pytest.raises(bulkio.SchemaError, match=rf"did you mean {meant}\? If not, use mode='create'"):
        bulkio.load(ORDERS, typed, one_dsn, mode="truncate")


def test_nothing_is_suggested_where_nothing_is_like_it(one_dsn: str) -> None:
    """No guess is better than a wild one."""
    with pytest.raises(bulkio.SchemaError, match=r"table zzz does not exist$"):
        bulkio.plan_export("zzz", "x.arrows", one_dsn)


def test_columns_that_do_not_exist(one_dsn: str) -> None:
    """The column whose name is most like it is suggested: the table's, the source's, and for each option."""
    with connect(one_dsn) as conn:
        conn.execute("CREATE TABLE orders (id int8, amount int8)")
    meant = r'did you mean "amount"\?'
    wrong = ORDERS.rename_columns(["id", "amuont"])
    for act in (
        lambda: bulkio.load(wrong, "orders", one_dsn),
        lambda: bulkio.load(ORDERS, "orders", one_dsn, columns=["amont"]),
        lambda: bulkio.load(ORDERS, "fresh", one_dsn, types={"amont": "int8"}),
        lambda: bulkio.load(ORDERS, "orders", one_dsn, dimensions={"amont": 2}),
        lambda: bulkio.plan_export("orders", "x.arrows", one_dsn, columns=["amont"]),
    ):
        with pytest.raises(bulkio.SchemaError, match=meant):
            act()


@pytest.mark.parametrize("mode", ["overwrite", "update", "merge"])
def test_modes_of_other_tools(mode: str) -> None:
    """Whoever asks for a mode that other tools have is told which fits here."""
    fits = "replace puts a new table" if mode == "overwrite" else "upsert inserts new rows"
    with pytest.raises(bulkio.ConfigError, match=f"there is no mode {mode}: .*{fits}"):
        bulkio.load(ORDERS, "orders", "postgresql://nowhere.invalid/x", mode=mode)  # type: ignore[arg-type]
