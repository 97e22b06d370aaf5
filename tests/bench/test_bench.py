"""`bulkio bench load` and `bulkio bench export` on a real server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

import bulkio
from bulkio.bench import ExportBench, LoadBench, bench_load
from bulkio.bench.export import _Exports, bench_export
from bulkio.bench.result import LineResult
from bulkio.bench.scratch import Server
from bulkio.cli.bench import bench
from bulkio.errors import BulkioError, ConfigError, DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"
ORDERS = str(SAMPLE_DATA / "orders.parquet")
#: rows of a source that several workers share
ROWS = 25_000

#: alters one row of the third table that a bench loads, in silence
PLANT = """
CREATE FUNCTION public.spoil_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.o_orderkey = 7 THEN NEW.o_totalprice := NEW.o_totalprice + 0.01; END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION public.spoil_table() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE 'bulkio_bench%.run_3' LOOP
        EXECUTE format('CREATE TRIGGER spoil BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION public.spoil_row()',
                       made.object_identity);
    END LOOP;
END $$;
CREATE EVENT TRIGGER spoil ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.spoil_table();
"""


def _schemas_left(conn: psycopg.Connection) -> list[Any]:
    return conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'bulkio_bench%'").fetchall()


def _run_json(*args: str) -> dict[str, Any]:
    done = CliRunner().invoke(bench, [*args, "--json", "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check_line(line: dict[str, Any], rows: int) -> None:
    assert line["rows_per_s"] > 0
    assert line["peak_mb"] > 0
    for run in line["runs"]:
        assert run["rows"] == rows
        assert run["wall_s"] > 0
        assert run["cpu_s"] >= 0
        assert run["peak_mb"] >= run["start_mb"] > 0
    if line["role"] == "candidate":
        assert line["interval"][0] <= line["ratio"] <= line["interval"][1]
        assert line["for_publication"] is False


def test_load_gives_every_line_and_leaves_nothing(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Each driver and method has its line next to the replay's, with verified rows; the tables are gone."""
    found = _run_json("load", ORDERS, "--dsn", one_dsn, "--pairs", "1", "--rows", "2000")
    assert found["bench"] == "load"
    assert found["source"]["rows"] == 2000
    assert found["server"]["server_version"]
    assert found["machine"]["packages"]["asyncpg"]
    limit, *lines = found["lines"]
    methods = ("binary", "csv", "records")
    assert [line["name"] for line in lines] == [f"{d} {m}" for d in ("asyncpg", "psycopg") for m in methods]
    assert limit["role"] == "limit"
    assert {line["limit"] for line in lines} == {limit["name"]}
    assert len(limit["runs"]) == len(lines)
    assert {run["bytes"] for run in limit["runs"]} == {found["source"]["copy_bytes"]}
    for line in found["lines"]:
        _check_line(line, 2000)
    assert one_dsn not in json.dumps(found)
    assert not _schemas_left(connect(one_dsn))


def _odd_columns() -> dict[str, pa.Array]:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None]))
    return {
        "struct": pa.array([{"a": 1, "b": [None, "x"]}, None, {"a": 2, "b": []}]),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "run_end": runs,
    }


@pytest.mark.parametrize("name", ["struct", "map", "run_end"])
def test_load_of_columns_that_are_prepared_before_they_are_encoded(one_dsn: str, tmp_path: Path, name: str) -> None:
    """A column that the codec does not take as it is goes the way that a load's goes: what is sent is the same."""
    table = pa.table({"id": [1, 2, 3], name: _odd_columns()[name]})
    path = tmp_path / "odd.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    found = _run_json("load", str(path), "--dsn", one_dsn, "--pairs", "1", "--drivers", "psycopg")
    sent = {line["name"]: {run["bytes"] for run in line["runs"]} for line in found["lines"]}
    assert sent["psycopg binary"] == {found["source"]["copy_bytes"]}
    assert found["source"]["rows"] == 3


def test_load_of_a_column_that_the_server_parses(
    one_dsn: str, connect: Callable[[str], psycopg.Connection], tmp_path: Path
) -> None:
    """Such a load travels as CSV, and so does its limit: a replay in binary was refused by the server."""
    connect(one_dsn).execute(
        "CREATE TABLE public.words AS SELECT i AS id, to_tsvector('simple', 'a b ' || i) AS v, i::money AS m"
        " FROM generate_series(1, 50) AS i"
    )
    path = tmp_path / "words.arrow"
    bulkio.export("public.words", path, one_dsn)
    found = _run_json("load", str(path), "--dsn", one_dsn, "--pairs", "1", "--methods", "binary,csv")
    assert {run["bytes"] for line in found["lines"] for run in line["runs"]} == {found["source"]["copy_bytes"]}


def test_row_changed_by_the_server_stops_the_bench(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """One value of one row that differs from the first run's is an error, and what was made is dropped."""
    conn = connect(one_dsn)
    conn.execute(PLANT)
    # run_1 is the calibration's, run_2 the first replay's.
    with pytest.raises(BulkioError, match=r"asyncpg binary stored other rows .* hash sum"):
        bench_load(LoadBench(ORDERS, ("asyncpg",), ("binary",), pairs=1), one_dsn, lambda _: None)
    assert not _schemas_left(conn)


def test_interruption_leaves_nothing(one_dsn: str, connect: Callable[[str], psycopg.Connection]) -> None:
    """Ctrl-C between two runs drops what was made, and goes on as what it is."""

    def interrupt(text: str) -> None:
        if text.startswith("pair 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench_load(LoadBench(ORDERS, ("asyncpg",), ("binary",), pairs=1), one_dsn, interrupt)
    assert not _schemas_left(connect(one_dsn))


def test_source_without_a_file_is_an_error_of_one_line(one_dsn: str) -> None:
    """What fails in the worker is told by its own message."""
    with pytest.raises(BulkioError, match=r"missing\.parquet"):
        bench_load(LoadBench("missing.parquet"), one_dsn, lambda _: None)


def test_export_gives_every_line(one_dsn: str) -> None:
    """Each method has its line, next to its driver's raw drain and the server alone."""
    bulkio.load(ORDERS, "orders", one_dsn)
    found = _run_json("export", "orders", "--dsn", one_dsn, "--pairs", "1", "--drivers", "asyncpg")
    assert found["method"]["compared"] == "digest of the COPY BINARY stream"
    assert [line["name"] for line in found["lines"]] == [
        "server alone, to /dev/null",
        "asyncpg raw drain",
        *(f"asyncpg {m}" for m in ("binary to Arrow", "cursor to Arrow", "binary to Parquet")),
    ]
    for line in found["lines"]:
        _check_line(line, 15000)


def test_export_that_differs_from_the_stream_is_refused(
    one_dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """A line whose rows are not those of the raw stream stops the bench before anything is measured."""
    bulkio.load(ORDERS, "orders", one_dsn)
    connect(one_dsn).execute("CREATE TABLE other AS SELECT * FROM orders WHERE o_orderkey <> 7")
    with Server(one_dsn) as server:
        what = _Exports(ExportBench("orders", ("psycopg",), ("binary",), 1), server, "", lambda _: None)
        what._job = _Exports(ExportBench("other"), server, "", lambda _: None)._job
        planned = what._line_job

        def reading_orders(driver: Any, method: Any) -> Any:
            return replace(planned(driver, method), table="orders")

        what._line_job = reading_orders  # type: ignore[method-assign]
        with pytest.raises(BulkioError, match="gave other rows than the server sent: 15000 of 14999"):
            what.result()


@pytest.mark.parametrize("as_json", [True, False])
def test_unknown_method_is_a_usage_error(as_json: bool) -> None:
    """A word that is no method is refused before anything is tried."""
    done = CliRunner().invoke(bench, ["load", ORDERS, "--methods", "carrier-pigeon", *(["--json"] * as_json)])
    assert done.exit_code == 2
    assert "carrier-pigeon" in done.output


def test_table_says_that_few_pairs_are_not_for_publication(one_dsn: str) -> None:
    """What a terminal shows names every line, and warns of too few pairs."""
    done = CliRunner().invoke(
        bench, ["load", ORDERS, "--dsn", one_dsn, "--pairs", "2", "--drivers", "psycopg", "--methods", "binary"]
    )
    assert done.exit_code == 0, done.output
    assert "psycopg binary" in done.stdout
    assert "not for publication" in done.stdout


def _row_groups(folder: Path, count: int) -> str:
    """Write a Parquet file of so many row groups, which several workers share."""
    path = folder / "groups.parquet"
    table = pa.table({"a": range(ROWS), "b": ["x" * 100] * ROWS})
    pq.write_table(table, path, row_group_size=ROWS // count, compression="none", use_dictionary=False)
    return str(path)


def test_several_workers_stand_next_to_a_limit_of_as_many(
    one_dsn: str, connect: Callable[[str], psycopg.Connection], tmp_path: Path
) -> None:
    """Each number of workers has its own limit; how much faster several are than one is told, too."""
    source = _row_groups(tmp_path, 8)
    options = ("--dsn", one_dsn, "--pairs", "1", "--drivers", "psycopg", "--methods", "binary")
    found = _run_json("load", source, *options, "--workers", "2,1")
    one, two, alone, both = found["lines"]
    assert [line["name"] for line in (alone, both)] == ["psycopg binary", "psycopg binary, 2 workers"]
    assert one["name"].startswith("replay (")
    assert two["name"].startswith("replay over 2 connections (")
    assert [line["workers"] for line in found["lines"]] == [1, 2, 1, 2]
    assert (alone["limit"], both["limit"]) == (one["name"], two["name"])
    assert set(found["method"]["calibration_s"]) == {one["name"], two["name"]}
    for first, second in ((one, two), (alone, both)):
        assert "speedup" not in first
        assert second["speedup"] == pytest.approx(first["runs"][0]["wall_s"] / second["runs"][0]["wall_s"], rel=0.01)
        assert second["speedup_interval"] == [second["speedup"]] * 2
    for line in found["lines"]:
        _check_line(line, ROWS)
        assert line["idle_share"] == line["runs"][0]["idle_share"]
    done = CliRunner().invoke(bench, ["load", source, *options, "--workers", "2"], catch_exceptions=False)
    assert "psycopg binary, 2" in done.stdout
    assert "speedup" in done.stdout
    assert not _schemas_left(connect(one_dsn))
    ledgers = "SELECT nspname FROM pg_namespace WHERE nspname = 'bulkio_ledger'"
    assert not connect(one_dsn).execute(ledgers).fetchall()


def test_several_workers_of_a_csv_stand_next_to_as_many_psqls(one_dsn: str, tmp_path: Path) -> None:
    """Each psql copies a part of the file, cut where a row ends; a quoted line end is none."""
    file = tmp_path / "t.csv"
    wide = "x" * 100
    file.write_text("a,b\n" + "".join(f'{row},"{wide}\ny"\n' for row in range(ROWS)))
    options = ("--dsn", one_dsn, "--pairs", "1", "--drivers", "psycopg", "--methods", "binary")
    found = _run_json("load", str(file), *options, "--workers", "1,2")
    assert [line["name"] for line in found["lines"] if line["role"] == "limit"] == [
        "psql's \\copy",
        "psql's \\copy, 2 at once",
    ]
    assert {run["rows"] for line in found["lines"] for run in line["runs"]} == {ROWS}


def test_several_workers_that_are_one_are_refused(one_dsn: str, tmp_path: Path) -> None:
    """A load that went over fewer connections makes no figure of several workers."""
    what = LoadBench(ORDERS, ("psycopg",), ("binary",), pairs=1, workers=(2,))
    with pytest.raises(BulkioError, match="failed: one connection did it, and not 2: the source is read in one piece"):
        bench_load(what, one_dsn, lambda _: None)
    what = replace(what, source=_row_groups(tmp_path, 2), workers=(3,))
    with pytest.raises(
        BulkioError,
        match=r"psycopg binary, 3 workers stored its rows in 2 transactions, and not in 3, one a worker$",
    ):
        bench_load(what, one_dsn, lambda _: None)


@pytest.mark.parametrize("name", ["one.arrow", "one.csv"])
def test_source_that_is_too_small_for_the_workers_is_refused(one_dsn: str, tmp_path: Path, name: str) -> None:
    """A worker without rows would make a figure of fewer workers."""
    path = tmp_path / name
    table = pa.table({"a": [1]})
    if name.endswith(".csv"):
        path.write_text("a\n1\n")
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(BulkioError, match=r"one\.\w+ is too small for 2 workers: it is cut into 1 part for the limit"):
        bench_load(LoadBench(str(path), workers=(2,)), one_dsn, lambda _: None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("1,0", "must be a number from 1 to 64"),
        ("two", "must be a number from 1 to 64"),
        ("1,auto", "auto is no number: name those to compare, such as 1,2"),
    ],
)
def test_numbers_of_workers_are_numbers(words: str, message: str) -> None:
    """A word that is no number of workers is refused before anything is tried."""
    done = CliRunner().invoke(bench, ["load", ORDERS, "--workers", words])
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_figures_of_a_line() -> None:
    """Rows per second and CPU are medians, memory is the most of all runs."""
    from bulkio.bench.spec import Run

    runs = tuple(
        Run(wall, cpu, peak, 50.0, 1000, 5)
        for wall, cpu, peak in [(2.0, 0.1, 90.0), (1.0, 0.3, 80.0), (4.0, 0.2, 70.0)]
    )
    line = LineResult("x", "limit", runs, None, None, ())
    assert (line.wall_s, line.rows_per_s, line.peak_mb) == (2.0, 500.0, 90.0)
    assert line.cpu_s_per_million_rows == pytest.approx(200.0)


def test_a_role_that_may_not_make_a_schema_is_told_so(
    one_dsn: str, connect: Callable[[str], psycopg.Connection]
) -> None:
    """It is no internal error, and says what to grant."""
    admin = connect(one_dsn)
    admin.execute("CREATE ROLE humble LOGIN PASSWORD 'secret'")
    try:
        dsn = make_conninfo(one_dsn, user="humble", password="secret")
        with pytest.raises(ConfigError, match="GRANT CREATE ON DATABASE"):
            bench_load(LoadBench(ORDERS), dsn, lambda _: None)
        admin.execute("CREATE TABLE secret AS SELECT 1 AS a")
        with pytest.raises(DriverError, match="permission denied for table secret"):
            bench_export(ExportBench("secret"), dsn, lambda _: None)
    finally:
        admin.execute("DROP ROLE humble")


def test_csv_is_compared_with_psql(one_dsn: str, connect: Callable[[str], psycopg.Connection], tmp_path: Path) -> None:
    r"""A CSV's limit is psql's \copy of the same file, and of an export to the same bytes."""
    file = tmp_path / "t.csv"
    connect(one_dsn).execute("CREATE TABLE t AS SELECT g AS a, g * 1.5 AS b, 'x' AS c FROM generate_series(1, 500) g")
    bulkio.export("t", file, one_dsn)
    options = ("--dsn", one_dsn, "--pairs", "1", "--drivers", "psycopg")
    found = _run_json("load", str(file), "--methods", "binary", *options)
    assert [line["name"] for line in found["lines"]] == ["psql's \\copy", "psycopg binary"]
    found = _run_json("export", "t", "--methods", "csv", *options)
    assert "psql's \\copy to CSV" in [line["name"] for line in found["lines"]]
