"""Load modes beside append, create and truncate: upsert, insert-new and replace-where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

import bulkio
from gaps import lacking
from servers import connect, fetch

if TYPE_CHECKING:
    from bulkio.choices import DriverName, Mode

DRIVERS = ["asyncpg", "psycopg"]


def table(*rows: tuple[int | None, str | None]) -> pa.Table:
    """Return rows of (id, v)."""
    return pa.table(
        {"id": pa.array([row[0] for row in rows], pa.int64()), "v": pa.array([row[1] for row in rows], pa.string())}
    )


def make(dsn: str, ddl: str, *rows: tuple[object, ...]) -> None:
    """Create the table t, with rows."""
    with connect(dsn) as conn:
        conn.execute(ddl)
        for row in rows:
            conn.execute(f"INSERT INTO t OVERRIDING SYSTEM VALUE VALUES ({', '.join(['%s'] * len(row))})", row)


def counts(report: bulkio.LoadReport) -> tuple[int, int, int, int, int | None]:
    """Return rows, inserted, updated, skipped and deleted."""
    return report.rows, report.inserted, report.updated, report.skipped, report.deleted


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_upsert_inserts_updates_and_leaves_alone(dsn: str, driver: DriverName, method: str, by: str) -> None:
    """New keys are inserted, others updated where the image changes; the report counts each."""
    make(dsn, f"CREATE TABLE t (id bigint PRIMARY KEY, v text){by}")
    if by:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
    bulkio.load(table((1, "a"), (2, "b"), (3, "c")), "t", dsn)
    new = table((4, "d"), (2, "b"), (3, "C"), (5, None))
    report = bulkio.load(new, "t", dsn, mode="upsert", driver=driver, method=method)
    assert counts(report) == (4, 2, 1, 1, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b"), (3, "C"), (4, "d"), (5, None)]
    assert counts(bulkio.load(new, "t", dsn, mode="upsert", driver=driver)) == (4, 0, 0, 4, 0)


@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_insert_new_leaves_old_rows(dsn: str, by: str) -> None:
    """Rows whose key is there change nothing."""
    make(dsn, f"CREATE TABLE t (id bigint PRIMARY KEY, v text){by}")
    if by:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
    bulkio.load(table((1, "a")), "t", dsn)
    assert counts(bulkio.load(table((1, "x"), (2, "b")), "t", dsn, mode="insert-new")) == (2, 1, 0, 1, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("mode", ["upsert", "insert-new", "replace-where", "replace", "create", "append"])
def test_a_missing_table_is_created(dsn: str, mode: Mode) -> None:
    """The first night's load makes the table, with the key that it is told; the second one finds it."""
    keyed = mode in ("upsert", "insert-new")
    options = {"key": ["id"]} if keyed else {"where": "id < $1", "params": ["10"]} if mode == "replace-where" else {}
    report = bulkio.load(table((1, "a"), (2, "b")), "t", dsn, mode=mode, **options)
    assert counts(report) == (2, 2, 0, 0, 0)
    assert report.created
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]
    if keyed:
        report = bulkio.load(table((2, "x")), "t", dsn, mode=mode)
        assert counts(report) == (1, 0, *((1, 0) if mode == "upsert" else (0, 1)), 0)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_replace_where(dsn: str, driver: DriverName, method: str) -> None:
    """The rows of a condition are replaced, others stay; a second run changes nothing."""
    make(dsn, "CREATE TABLE t (id bigint, v text)")
    bulkio.load(table((1, "a"), (2, "b"), (3, "a")), "t", dsn)
    for _ in range(2):
        report = bulkio.load(
            table(
                (4, "a"),
            ),
            "t",
            dsn,
            mode="replace-where",
            where="v = $1 -- why not",
            params=["a"],
            driver=driver,
            method=method,
        )
        assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(2, "b"), (4, "a")]
    assert counts(report) == (1, 1, 0, 0, 1)


def test_rows_outside_of_the_condition_are_refused(dsn: str) -> None:
    """One row that the next run would not delete again, and nothing is changed."""
    make(dsn, "CREATE TABLE t (id bigint, v text)")
    bulkio.load(table((1, "a")), "t", dsn)
    with pytest.raises(bulkio.CountError, match=r"2 of the source's 3 rows do not meet the condition where"):
        bulkio.load(table((4, "a"), (5, "b"), (6, None)), "t", dsn, mode="replace-where", where="v = 'a'")
    assert fetch(dsn, "SELECT * FROM t") == [(1, "a")]


@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_a_trigger_that_moves_rows_out_of_the_condition_is_refused(dsn: str, by: str) -> None:
    """COPY has seen the row before the trigger has: the next run would not delete it."""
    make(dsn, f"CREATE TABLE t (id bigint, v text){by}")
    with connect(dsn) as conn:
        if by:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
        conn.execute(f"""
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF new.id = 5 THEN new.v = 'b'; END IF;
                RETURN new;
            END $$;
            CREATE TRIGGER f BEFORE INSERT ON {"t_all" if by else "t"} FOR EACH ROW EXECUTE FUNCTION f()""")
    options = {"mode": "replace-where", "where": "v = 'a'"}
    for _ in range(2):
        bulkio.load(table((4, "a"), (6, "a")), "t", dsn, **options)
    with pytest.raises(
        bulkio.CountError, match="2 rows were loaded, and 1 of the table's rows meet the condition where"
    ):
        bulkio.load(table((4, "a"), (5, "a")), "t", dsn, **options)
    assert fetch(dsn, "SELECT id FROM t ORDER BY 1") == [(4,), (6,)]


@pytest.mark.parametrize(
    "keeper",
    [
        "CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING",
        "CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
        "CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (4, 'a');"
        " CREATE TRIGGER keep BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION keep()",
    ],
)
def test_rows_that_are_kept_from_being_deleted_are_not_stored_twice(dsn: str, keeper: str) -> None:
    """What a trigger or a rule keeps would be there beside the rows that replace it."""
    make(dsn, "CREATE TABLE t (id bigint, v text)", (4, "a"))
    with connect(dsn) as conn:
        conn.execute("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        conn.execute(keeper)
    before = fetch(dsn, "SELECT id FROM t")
    with pytest.raises(bulkio.CountError, match="1 rows were loaded, and 2 of the table's rows meet the condition"):
        bulkio.load(table((4, "a")), "t", dsn, mode="replace-where", where="v = 'a'")
    assert fetch(dsn, "SELECT id FROM t") == before


def test_a_condition_is_counted_where_the_table_has_generated_columns(one_dsn: str) -> None:
    """Servers before the releases of 2025-11 take a generated column for NULL in COPY's WHERE; others refuse it."""
    make(one_dsn, "CREATE TABLE t (id bigint, v text, twice bigint GENERATED ALWAYS AS (id * 2) STORED)")
    make(one_dsn, "CREATE TABLE plain (id bigint, v text)")
    options = {"mode": "replace-where", "where": "id = 1"}
    plans = [bulkio.plan_load(table((1, "a")), name, one_dsn, **options) for name in ("t", "plain")]
    assert [bool(plan.work.recount) for plan in plans] == [True, False]


@pytest.mark.parametrize("by", ["", " PARTITION BY RANGE (id)"])
def test_delete_missing(dsn: str, by: str) -> None:
    """Rows whose key the source lacks go, up to the limit."""
    make(dsn, f"CREATE TABLE t (id bigint PRIMARY KEY, v text){by}")
    if by:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t_all PARTITION OF t DEFAULT")
    bulkio.load(table(*((i, "a") for i in range(20))), "t", dsn)
    new = table(*((i, "a") for i in range(3, 21)))
    with pytest.raises(
        bulkio.SchemaError,
        match=r"the source lacks the keys of 3 of 20 rows of the table, and max_delete allows 10% to be deleted",
    ):
        bulkio.load(new, "t", dsn, mode="upsert", delete_missing=True)
    with pytest.raises(bulkio.SchemaError, match=r"the source lacks the keys of 3 rows .* max_delete allows 2 "):
        bulkio.load(new, "t", dsn, mode="upsert", delete_missing=True, max_delete="2")
    assert fetch(dsn, "SELECT count(*), min(id), max(id) FROM t") == [(20, 0, 19)]
    report = bulkio.load(new, "t", dsn, mode="upsert", delete_missing=True, max_delete="15%")
    assert counts(report) == (18, 1, 0, 17, 3)
    assert fetch(dsn, "SELECT count(*), min(id), max(id) FROM t") == [(18, 3, 20)]


def test_what_inherits_does_not_count_for_the_limit_of_deletes(dsn: str) -> None:
    """Only the table's own rows are deleted, so the percentage is of these."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)", *((i, "a") for i in range(10)))
    make(dsn, "CREATE TABLE child () INHERITS (t)")
    with connect(dsn) as conn:
        conn.execute("INSERT INTO child SELECT g, 'a' FROM generate_series(100, 1000) AS g")
    with pytest.raises(bulkio.SchemaError, match=r"the source lacks the keys of 10 of 10 rows"):
        bulkio.load(table((10, "a")), "t", dsn, mode="upsert", delete_missing=True)
    assert fetch(dsn, "SELECT count(*) FROM ONLY t") == [(10,)]


def test_duplicates_are_refused_with_key_and_rows(dsn: str) -> None:
    """The message names the keys and the rows of the source."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    rows = table((7, "a"), (8, "b"), (7, "c"), (9, "d"), (8, "e"), (7, "f"))
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(rows, "t", dsn, mode="upsert")
    assert str(caught.value) == (
        "rows of the source have the same key (\"id\"):\n  '7': rows 1, 3, 6\n  '8': rows 2, 5\n"
        "keep one of them with duplicates='first' or duplicates='last'"
    )
    assert fetch(dsn, "SELECT * FROM t") == []


@pytest.mark.parametrize("mode", ["upsert", "insert-new"])
@pytest.mark.parametrize(
    ("duplicates", "order_by", "kept"),
    [
        ("first", None, "b"),
        ("last", None, "a"),
        ("first", "v", "a"),
        ("last", "v", "c"),
    ],
)
def test_one_of_the_duplicates_is_kept(dsn: str, mode: Mode, duplicates: str, order_by: str | None, kept: str) -> None:
    """First and last are by the source's order, or by a column; a NULL there is never preferred."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    rows = table((1, "b"), (1, "c"), (1, None), (2, "x"), (1, "a"))
    report = bulkio.load(rows, "t", dsn, mode=mode, duplicates=duplicates, order_by=order_by)
    assert counts(report) == (5, 2, 0, 3, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, kept), (2, "x")]


def test_keys_that_cannot_decide_are_listed(dsn: str) -> None:
    """No primary key, and none of the unique indexes fits: the message lists them with what is wrong."""
    make(dsn, "CREATE TABLE t (id bigint, v text, w int)")
    with pytest.raises(bulkio.SchemaError, match=r"no primary key .* with key; it has none: CREATE UNIQUE INDEX"):
        bulkio.load(table((1, "a")), "t", dsn, mode="upsert")
    with connect(dsn) as conn:
        conn.execute("CREATE UNIQUE INDEX partial ON t (id) WHERE w = 1")
        conn.execute("CREATE UNIQUE INDEX expression ON t (lower(v), id)")
        conn.execute("ALTER TABLE t ADD CONSTRAINT late UNIQUE (id) DEFERRABLE")
        conn.execute("CREATE UNIQUE INDEX two ON t (v, id) INCLUDE (w)")
    with pytest.raises(bulkio.SchemaError) as caught:
        bulkio.load(table((1, "a")), "t", dsn, mode="upsert", key=["id"])
    assert str(caught.value) == (
        'table "public"."t" has no unique key on "id" that mode upsert can use; it has:\n'
        '  "id" (index "expression", which is on an expression)\n'
        '  "id" (index "late", which is deferrable)\n'
        '  "id" (index "partial", which covers some rows only)\n'
        '  "v", "id" (index "two")'
    )
    assert bulkio.load(table((1, "a")), "t", dsn, mode="upsert", key=["id", "v"]).inserted == 1


def test_a_key_needs_its_columns(one_dsn: str) -> None:
    """The source lacks a column of the key, or of the options that name one: the nearest is told."""
    make(one_dsn, "CREATE TABLE t (id bigint, v text, k int UNIQUE)")
    source = table((1, "a"))
    for options, message in (
        ({"key": ["k"]}, 'the source has no column "k", and key names it'),
        ({"key": ["ID"], "update": ["v"]}, 'the source has no column "ID", and key names it; did you mean "id"?'),
    ):
        with pytest.raises(bulkio.SchemaError, match=message):
            bulkio.load(source, "t", one_dsn, mode="upsert", **options)
    with connect(one_dsn) as conn:
        conn.execute("ALTER TABLE t DROP COLUMN k; ALTER TABLE t ADD PRIMARY KEY (id)")
    for options, message in (
        ({"update": ["V"]}, 'the source has no column "V", and update names it; did you mean v?'),
        ({"duplicates": "last", "order_by": "x"}, 'the source has no column "x", and order_by names it'),
    ):
        with pytest.raises(bulkio.SchemaError, match=message):
            bulkio.load(source, "t", one_dsn, mode="upsert", **options)
    with pytest.raises(bulkio.SchemaError, match=r'table "public"."u" does not exist, and the source records no'):
        bulkio.load(source, "u", one_dsn, mode="upsert")


@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_a_null_in_the_key_is_refused(one_dsn: str, method: str) -> None:
    """It would never be found again: the error names its row."""
    make(one_dsn, "CREATE TABLE t (id bigint UNIQUE, v text)")
    with pytest.raises(bulkio.EncodeError, match=r'^row 2, column "id": '):
        bulkio.load(table((1, "a"), (None, "b")), "t", one_dsn, mode="upsert", key=["id"], method=method)
    assert fetch(one_dsn, "SELECT * FROM t") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": ["id"]}, r"^key is for mode='upsert' or mode='insert-new', not for mode='append'"),
        ({"mode": "insert-new", "update": ["v"]}, r"^update is for mode='upsert', not for mode='insert-new'"),
        ({"mode": "truncate", "where": "true"}, r"^where is for mode='replace-where', not for mode='truncate'"),
        ({"mode": "replace-where"}, r"^mode='replace-where' needs where"),
        ({"mode": "append", "if_empty": "ok"}, r"^if_empty is for mode='truncate' or mode='replace' or mode='upsert'"),
        ({"mode": "upsert", "max_delete": "5%"}, r"^max_delete needs delete_missing=True"),
        ({"mode": "upsert", "max_delete": "101%"}, r"^max_delete is '101%', and must be a number of rows"),
        (
            {"mode": "replace-where", "where": "id = $1"},
            r"uses \$1, but 0 parameters were given: .* \(params\)",
        ),
        ({"params": ["1"]}, r"^params is for mode='replace-where'"),
        ({"mode": "replace-where", "where": "true) or (true"}, "closes a bracket that it did not open"),
        ({"mode": "replace-where", "where": "true; drop table t"}, "more than one statement"),
    ],
)
def test_options_of_other_modes_are_refused(one_dsn: str, options: dict[str, object], message: str) -> None:
    """An option that would have no effect, or no meaning, is an error and not ignored."""
    make(one_dsn, "CREATE TABLE t (id bigint, v text)")
    with pytest.raises(bulkio.ConfigError, match=message):
        bulkio.load(table((1, "a")), "t", one_dsn, **options)


@pytest.mark.parametrize("options", [
    {"mode": "truncate"}, {"mode": "replace"}, {"mode": "replace-where", "where": "true"},
    {"mode": "upsert", "delete_missing": True},
])  # fmt: skip
@pytest.mark.parametrize("is_counted", [True, False])
def test_an_empty_source_empties_nothing(one_dsn: str, options: dict[str, object], is_counted: bool) -> None:
    """Unless it is told to: a feed that failed upstream is often an empty file."""
    make(one_dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    bulkio.load(table((1, "a")), "t", one_dsn)

    def empty() -> object:
        return table() if is_counted else table().to_reader()

    with pytest.raises(bulkio.SchemaError, match=r"has no rows, and mode='.*' would delete .* with if_empty='ok'"):
        bulkio.load(empty(), "t", one_dsn, **options)
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(1,)]
    if options.get("delete_missing"):
        options = {**options, "max_delete": "100%"}
    bulkio.load(empty(), "t", one_dsn, if_empty="ok", **options)
    assert fetch(one_dsn, "SELECT count(*) FROM t") == [(0,)]


def test_what_has_another_image_is_updated(dsn: str) -> None:
    """12.3 becomes 12.30, json is compared as it is written, -0 and 0 differ, NULLs are equal: by image, not by `=`."""
    make(dsn, "CREATE TABLE t (id numeric PRIMARY KEY, n numeric, j json, f float8, x text)")
    old = pa.table({"id": ["1.0", "2", "3"], "n": ["12.3", "1", None], "j": ["{}", "[1]", None], "f": [0.0, 1.0, 2.0],
                    "x": [None, "a", "b"]})  # fmt: skip
    new = pa.table({"id": ["1.00", "2", "3"], "n": ["12.30", "1", None], "j": ["{}", "[1 ]", None],
                    "f": [0.0, 1.0, -0.0], "x": [None, "a", "b"]})  # fmt: skip
    bulkio.load(old, "t", dsn)
    assert counts(bulkio.load(old, "t", dsn, mode="upsert")) == (3, 0, 0, 3, 0)
    assert counts(bulkio.load(new, "t", dsn, mode="upsert")) == (3, 0, 3, 0, 0)
    assert fetch(dsn, "SELECT id::text, n::text, j::text, f::text FROM t ORDER BY 1") == [
        ("1.00", "12.30", "{}", "0"),
        ("2", "1", "[1 ]", "1"),
        ("3", None, None, "-0"),
    ]


def test_update_limits_the_columns(dsn: str) -> None:
    """Only these columns change, and only where they differ."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text, w text)", (1, "a", "a"), (2, "b", "b"))
    new = pa.table({"id": [1, 2, 3], "v": ["x", "b", "c"], "w": ["y", "y", "c"]})
    assert counts(bulkio.load(new, "t", dsn, mode="upsert", update=["v"])) == (3, 1, 1, 1, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "x", "a"), (2, "b", "b"), (3, "c", "c")]


def test_identity_and_generated_columns(dsn: str) -> None:
    """A key that the server makes ALWAYS is taken from the source; the next one of its own comes behind."""
    make(
        dsn,
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text,"
        " n int GENERATED ALWAYS AS (length(v)) STORED)",
    )
    rows = table((5, "aa"), (7, "b"))
    assert counts(bulkio.load(rows, "t", dsn, mode="upsert")) == (2, 2, 0, 0, 0)
    assert counts(bulkio.load(table((5, "a"), (8, "c")), "t", dsn, mode="upsert")) == (2, 1, 1, 0, 0)
    with connect(dsn) as conn:
        conn.execute("INSERT INTO t (v) VALUES ('own')")
        conn.execute("ALTER TABLE t ADD k text UNIQUE")
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [
        (5, "a", 1, None), (7, "b", 1, None), (8, "c", 1, None), (9, "own", 3, None),
    ]  # fmt: skip
    keyed = pa.table({"id": [9], "k": ["x"]})
    with pytest.raises(bulkio.SchemaError, match='column "id" is GENERATED ALWAYS AS IDENTITY, which no update can'):
        bulkio.load(keyed, "t", dsn, mode="upsert", key=["k"])


def test_keys_are_compared_as_the_index_compares_them(dsn: str) -> None:
    """A collation without case makes A and a one key: they are duplicates, and one is not missing for the other."""
    with connect(dsn) as conn:
        try:
            conn.execute("CREATE SCHEMA c")
            conn.execute("CREATE COLLATION c.loose (provider=icu, locale='und-u-ks-level2', deterministic=false)")
        except psycopg.errors.FeatureNotSupported:
            lacking("ICU")
        conn.execute("CREATE TABLE t (k text, v text); CREATE UNIQUE INDEX ON t (k COLLATE c.loose)")
    rows = pa.table({"k": ["a", "b"], "v": ["1", "1"]})
    bulkio.load(rows, "t", dsn)
    with pytest.raises(bulkio.SchemaError, match="rows 1, 2"):
        bulkio.load(pa.table({"k": ["A", "a"], "v": ["2", "3"]}), "t", dsn, mode="upsert", key=["k"])
    new = pa.table({"k": ["A", "b"], "v": ["1", "1"]})
    report = bulkio.load(new, "t", dsn, mode="upsert", key=["k"], delete_missing=True)
    assert counts(report) == (2, 0, 1, 1, 0)
    assert fetch(dsn, 'SELECT k FROM t ORDER BY k COLLATE "C"') == [("A",), ("b",)]


def test_two_indexes_that_compare_in_different_ways_are_refused(dsn: str) -> None:
    """ON CONFLICT goes by both: A would be dropped as if it were a, which the chosen key tells apart."""
    with connect(dsn) as conn:
        try:
            conn.execute("CREATE COLLATION loose (provider=icu, locale='und-u-ks-level2', deterministic=false)")
        except psycopg.errors.FeatureNotSupported:
            lacking("ICU")
        conn.execute("CREATE TABLE t (k text PRIMARY KEY, v text); CREATE UNIQUE INDEX other ON t (k COLLATE loose)")
    with pytest.raises(bulkio.SchemaError, match='"t_pkey", and "other", which compares in another way'):
        bulkio.load(pa.table({"k": ["a", "A"], "v": ["1", "2"]}), "t", dsn, mode="insert-new")


def test_a_second_index_on_the_key(dsn: str) -> None:
    """One that is deferrable is refused, as ON CONFLICT does; one that says the same does no harm."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text UNIQUE)")
    with connect(dsn) as conn:
        conn.execute('CREATE UNIQUE INDEX same ON t (id DESC); CREATE UNIQUE INDEX c ON t (v COLLATE "C")')
        conn.execute(
            "CREATE UNIQUE INDEX part ON t (id) WHERE v = 'x'; CREATE UNIQUE INDEX p ON t (v text_pattern_ops)"
        )
    for key in ("id", "v"):
        assert bulkio.load(table((1, "a")), "t", dsn, mode="upsert", key=[key]).rows == 1
    with connect(dsn) as conn:
        conn.execute("ALTER TABLE t ADD CONSTRAINT late UNIQUE (id) DEFERRABLE")
    with pytest.raises(bulkio.SchemaError, match='unique on "id": "t_pkey", and "late", which is deferrable'):
        bulkio.load(table((1, "a")), "t", dsn, mode="upsert")


def test_triggers_count_and_run_under_the_users_path(dsn: str) -> None:
    """What a BEFORE trigger drops is skipped; what it changes is stored as it says."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)", (1, "a"))
    with connect(dsn) as conn:
        conn.execute("CREATE FUNCTION mark(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 || '!' $$")
        conn.execute("""
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF new.v = 'drop' THEN RETURN NULL; END IF;
                new.v = mark(new.v);
                RETURN new;
            END $$;
            CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()""")
    report = bulkio.load(table((1, "x"), (2, "drop"), (3, "c")), "t", dsn, mode="upsert")
    assert counts(report) == (3, 1, 1, 1, 0)
    assert fetch(dsn, "SELECT * FROM t ORDER BY 1") == [(1, "x!!"), (3, "c!")]


def test_a_trigger_that_changes_the_key_stores_no_row_twice(dsn: str) -> None:
    """Before PostgreSQL 18 a partitioned table's new rows go in first: the second step must not insert them again."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text) PARTITION BY RANGE (id)")
    with connect(dsn) as conn:
        conn.execute("""
            CREATE TABLE t_all PARTITION OF t DEFAULT;
            CREATE SEQUENCE s START 100;
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                new.id = nextval('s');
                RETURN new;
            END $$;
            CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()""")
        in_two_steps = conn.info.server_version < 180000
    if in_two_steps:
        with pytest.raises(bulkio.SchemaError, match="a trigger of the table changes the key of new rows"):
            bulkio.load(table((1, "a"), (2, "b")), "t", dsn, mode="upsert")
        assert fetch(dsn, "SELECT count(*) FROM t") == [(0,)]
    else:
        assert counts(bulkio.load(table((1, "a"), (2, "b")), "t", dsn, mode="upsert")) == (2, 2, 0, 0, 0)


def test_rows_of_all_sizes_keep_their_numbers(dsn: str) -> None:
    """The staging table's order is the source's: rows are appended to it, and never put into a gap."""
    make(dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    sizes = [(i * 7919) % 8000 for i in range(5000)]
    rows = pa.table(
        {"id": [i if i not in (17, 4321) else -1 for i in range(5000)], "v": ["x" * size for size in sizes]}
    )
    with pytest.raises(bulkio.SchemaError, match=r"'-1': rows 18, 4322"):
        bulkio.load(rows, "t", dsn, mode="upsert")
    bulkio.load(rows, "t", dsn, mode="upsert", duplicates="last")
    assert fetch(dsn, "SELECT length(v) FROM t WHERE id = -1") == [(sizes[4321],)]


@pytest.mark.parametrize("mode", ["upsert", "insert-new", "replace-where"])
def test_views_and_foreign_tables_are_refused(one_dsn: str, mode: Mode) -> None:
    """ON CONFLICT and LOCK TABLE know tables only."""
    make(one_dsn, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
    with connect(one_dsn) as conn:
        conn.execute("CREATE VIEW w AS SELECT * FROM t")
        conn.execute("CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw")
        conn.execute("CREATE FOREIGN TABLE f (id bigint, v text) SERVER s OPTIONS (filename '/dev/null')")
    options = {"where": "true"} if mode == "replace-where" else {"key": ["id"]}
    with pytest.raises(bulkio.SchemaError, match="w is a view: COPY can only load into tables"):
        bulkio.load(table((1, "a")), "w", one_dsn, mode=mode, **options)
    with pytest.raises(bulkio.SchemaError, match=f"f is a foreign table, which mode='{mode}' cannot load"):
        bulkio.load(table((1, "a")), "f", one_dsn, mode=mode, **options)
