"""What a table's name means: the server's own rules, and never a name that it would cut."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from servers import connect, fetch
from traps import with_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import TestServer

DRIVERS = ["asyncpg", "psycopg"]
ROWS = pa.table({"id": pa.array([1, 2], pa.int32())})
YEARS = [f"sales_by_region_and_product_and_customer_and_day_and_hour_of_year_{year}" for year in (2023, 2024)]


def test_names_that_the_server_would_cut(dsn: str) -> None:
    """Cut, two names are one table: the load of one year would delete the other's rows."""
    cut = YEARS[0][:63]
    with connect(dsn) as conn:
        conn.execute(f'CREATE TABLE "{cut}" (id int4); INSERT INTO "{cut}" VALUES (7)')
        conn.execute(f'CREATE SCHEMA "{cut}"; CREATE TABLE "{cut}".t (id int4)')
    for name in (*YEARS, f'"{YEARS[0]}"', f"{YEARS[0]}.t", f"public.{YEARS[1]}", f"{YEARS[0]}.missing"):
        for mode in ("append", "create", "truncate"):
            with pytest.raises(bulkio.ConfigError, match=r"is longer than PostgreSQL's 63 bytes"):
                bulkio.load(ROWS, name, dsn, mode=mode)
        with pytest.raises(bulkio.ConfigError, match=r"is longer than PostgreSQL's 63 bytes"):
            bulkio.read(name, dsn).read_all()
    assert fetch(dsn, f'SELECT id FROM "{cut}"') == [(7,)]
    bulkio.load(ROWS, cut, dsn, mode="truncate")  # just as long as a name may be
    assert bulkio.read(f"{cut}.t", dsn).read_all().num_rows == 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_letters_are_folded_as_the_server_folds_them(dsn: str, driver: str) -> None:
    """Python's small letters are not PostgreSQL's, which folds ASCII alone."""
    with connect(dsn) as conn:
        conn.execute('CREATE TABLE "äpfel" (id int4); INSERT INTO "äpfel" VALUES (7)')
    with pytest.raises(bulkio.SchemaError, match="table Äpfel does not exist"):
        bulkio.load(ROWS, "ÄPFEL", dsn, driver=driver, mode="truncate")
    assert bulkio.load(ROWS, "Public.ÄPFEL", dsn, driver=driver).table == "public.Äpfel"
    assert fetch(dsn, 'SELECT id FROM "äpfel"') == [(7,)]
    assert bulkio.read('"äpfel"', dsn, driver=driver).read_all().num_rows == 1
    assert bulkio.read("ÄPFEL", dsn, driver=driver).read_all() == bulkio.read('"Äpfel"', dsn).read_all()


def test_a_single_byte_server_folds_by_its_own_locale(latin1_dsn: str) -> None:
    """Whatever it makes of a letter, bulkio finds the table that SQL finds."""
    with connect(latin1_dsn) as conn:
        conn.execute("CREATE TABLE ÄPFEL (id int4)")
    assert bulkio.load(ROWS, "ÄPFEL", latin1_dsn).created is False


def test_names_are_as_long_as_they_are_in_the_servers_encoding(server: TestServer) -> None:
    """A letter has one byte in LATIN1 and two in UTF-8; one of two bytes may have three in EUC_JP."""
    with server.database("LATIN1") as dsn:
        name = "é" * 63
        report = bulkio.load(pa.table({name: [1]}), f'"{name}"', dsn)
        assert report.table == f"public.{name}"
        assert bulkio.read(f'"{name}"', dsn).read_all().column_names == [name]
        with pytest.raises(bulkio.ConfigError, match="63 bytes"):
            bulkio.load(ROWS, name + "é", dsn)
        with pytest.raises(bulkio.SchemaError, match="63 bytes"):
            bulkio.load(pa.table({name + "é": [1]}), "t", dsn)
    with server.database("EUC_JP") as dsn:
        name = "ï" * 22  # 44 bytes in UTF-8, 66 in EUC_JP
        with pytest.raises(bulkio.ConfigError, match="63 bytes"):
            bulkio.load(ROWS, name, dsn)
        with pytest.raises(bulkio.SchemaError, match="63 bytes"):
            bulkio.load(pa.table({name: [1]}), "t", dsn)
        bulkio.load(ROWS, "t", dsn)
        with pytest.raises(bulkio.SchemaError, match="63 bytes"):
            bulkio.load(pa.table({name: [1]}), "t", dsn)


@pytest.mark.parametrize("name", ["a.b.c", "", ".", "a.", '"a', '""', "1a", "a b", "-", "a-b", 'a"b"'])
def test_what_is_no_name(one_dsn: str, name: str) -> None:
    """The server parses it; the error says what is wanted."""
    with pytest.raises(bulkio.ConfigError, match=r"is not a table's name: give table or schema\.table"):
        bulkio.load(ROWS, name, one_dsn)


@pytest.mark.parametrize("name", ["my-table", "2024", "s.2024", "orders;", "$x", "my table"])
def test_load_and_read_take_the_same_names(one_dsn: str, tmp_path: Path, name: str) -> None:
    """What is a table's name to one is one to the other; what is none has the same message, with the quotes to type."""
    schema, _, table = name.rpartition(".")
    quoted = f'{schema}."{table}"' if schema else f'"{table}"'
    with connect(one_dsn) as conn:
        conn.execute("CREATE SCHEMA s")
    calls: list[Callable[[str], object]] = [
        lambda text: bulkio.load(ROWS, text, one_dsn),
        lambda text: bulkio.plan_load(ROWS, text, one_dsn),
        lambda text: bulkio.read(text, one_dsn).read_all(),
        lambda text: bulkio.export(text, tmp_path / "x.parquet", one_dsn),
        lambda text: bulkio.plan_export(text, "x.arrows", one_dsn),
    ]
    for call in calls:
        with pytest.raises(bulkio.ConfigError, match=f"is not a table's name: .*{re.escape(quoted)}"):
            call(name)
    for call in calls:
        call(quoted)


def test_a_query_is_not_a_table_to_load_into(one_dsn: str) -> None:
    """The message says what it is, and shows no quotes that would make a table's name of it."""
    with pytest.raises(bulkio.ConfigError, match="'select 1' is a query, not a table's name") as caught:
        bulkio.load(ROWS, "select 1", one_dsn)
    assert '"' not in str(caught.value)


def test_temporary_tables_do_not_stand_before_the_catalog(dsn: str) -> None:
    """A temporary table that has a catalog's name is found first, unless pg_temp stands at the path's end."""
    with connect(dsn) as conn:
        conn.execute(
            """
            CREATE TABLE t (id int4);
            CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                CREATE TEMP TABLE pg_class (trapped int); CREATE TEMP TABLE pg_sequence (trapped int); RETURN NULL;
            END $$;
            CREATE TRIGGER fire BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION fire();
            """
        )
    assert bulkio.load(ROWS, "t", dsn).rows == 2


@pytest.mark.parametrize("mode", ["append", "create", "replace"])
def test_rows_do_not_go_with_a_temporary_table(dsn: str, mode: str) -> None:
    """Where the path begins with pg_temp, a new table is a temporary one, unless its schema is named."""
    path = with_path(dsn, "pg_temp, public")
    with pytest.raises(bulkio.SchemaError, match=r"would be, a temporary one.*name the table with its schema"):
        bulkio.load(ROWS, "t", path, mode=mode)
    assert bulkio.load(ROWS, "public.t", path, mode=mode).table == "public.t"


@pytest.mark.parametrize("mode", ["append", "upsert", "truncate", "replace"])
def test_a_temporary_table_that_is_there_takes_no_rows(one_dsn: str, mode: str) -> None:
    """Each session has one, as behind a pooler one that another client has left: it comes before the one meant."""
    with connect(one_dsn) as conn:
        conn.execute(
            """
            CREATE TABLE t (id int PRIMARY KEY);
            CREATE FUNCTION leave() RETURNS event_trigger LANGUAGE plpgsql AS $$
            BEGIN
                CREATE TEMPORARY TABLE t (id int PRIMARY KEY);
            END $$;
            CREATE EVENT TRIGGER leave ON login EXECUTE FUNCTION leave();
            """
        )
    with pytest.raises(bulkio.SchemaError, match="a temporary one"):
        bulkio.load(ROWS, "t", one_dsn, mode=mode)
    assert bulkio.load(ROWS, "public.t", one_dsn, mode=mode).rows == 2
    assert fetch(one_dsn, "SELECT count(*) FROM public.t") == [(2,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_eight_first_loads_into_one_missing_table(dsn: str, driver: str) -> None:
    """One creates it, the others add their rows; a type that is recorded is made once, too."""
    with connect(dsn) as conn:
        conn.execute("CREATE TYPE mood AS ENUM ('sad')")
        conn.execute("CREATE TABLE src AS SELECT 'sad'::mood AS m, g FROM generate_series(1, 99) g")
    source = bulkio.read("src", dsn).read_all()
    with connect(dsn) as conn:
        conn.execute("DROP TABLE src; DROP TYPE mood")
    with ThreadPoolExecutor(8) as threads:
        loads = [threads.submit(bulkio.load, source, "t", dsn, driver=driver) for _ in range(8)]
        reports = [load.result() for load in loads]
        loads = [threads.submit(bulkio.load, source, f"t{i}", dsn, driver=driver) for i in range(8)]
        assert all(load.result().created for load in loads)
    assert sorted(report.created for report in reports) == [False] * 7 + [True]
    assert fetch(dsn, "SELECT count(*) FROM t WHERE m = 'sad'::mood") == [(8 * 99,)]
    with ThreadPoolExecutor(8) as threads:
        loads = [threads.submit(bulkio.load, source, "u", dsn, driver=driver, mode="create") for _ in range(8)]
        errors = [error for load in loads if (error := load.exception())]
    assert len(errors) == 7
    assert {str(error).split(":")[0] for error in errors} == {"table u exists already"}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_first_load_holds_up_only_those_of_its_own_table_and_types(dsn: str, driver: str) -> None:
    """While one creates t and a type until its COMMIT, others create theirs, and t can be planned."""
    sources = {}
    with connect(dsn) as conn:
        for mood in ("mood", "other"):
            conn.execute(f"CREATE TYPE {mood} AS ENUM ('sad'); CREATE TABLE src AS SELECT 'sad'::{mood} AS m")
            sources[mood] = bulkio.read("src", dsn).read_all()
            conn.execute(f"DROP TABLE src; DROP TYPE {mood}")
    done = threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        assert bulkio.load(sources["other"], "u", dsn, driver=driver, lock_timeout="10s").created
        assert bulkio.plan_load(ROWS, "t", dsn, driver=driver, lock_timeout="10s").creates
        done.set()
        yield from sources["mood"].to_batches()

    slow = pa.RecordBatchReader.from_batches(sources["mood"].schema, batches())
    assert bulkio.load(slow, "t", dsn, driver=driver).created
    assert done.is_set()
    assert fetch(dsn, "SELECT (SELECT m FROM t)::text, (SELECT m FROM u)::text") == [("sad", "sad")]


@pytest.mark.parametrize("params", [[[1]], [object()], "ab", [{"a": 1}]])
def test_parameters_that_are_no_values(one_dsn: str, params: object) -> None:
    """They travel as text: what has no one spelling in SQL is refused."""
    with pytest.raises(bulkio.ConfigError, match="param"):
        bulkio.read("SELECT $1::int AS a", one_dsn, params=params)
