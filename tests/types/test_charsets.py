"""Characters that a database's encoding changes in silence: the table of them, and that none gets through."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

import bulkio
from bulkio.types import UTF8, charset_of
from bulkio.types.changed_chars import CHANGED
from make_changed_chars import changed_code_points, runs, server_encodings
from servers import connect, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import TestServer

#: behind it no server's encoding of one byte, and none of several, has anything
ONE_BYTE_END, PLANES_END = 0x10000, 0x30000
#: a broken bar; EUC_JP has the fullwidth one alone
BAR, FULLWIDTH = "¦", "\uffe4"
DRIVERS = ("asyncpg", "psycopg")


def codes_of(encoding: str) -> list[int]:
    """Return the table's code points."""
    return list(memoryview(charset_of(encoding).changed).cast("I"))


@pytest.fixture
def euc_jp(server: TestServer) -> Iterator[str]:
    """Yield the DSN of a database in EUC_JP."""
    with server.database("EUC_JP") as dsn:
        yield dsn


def test_the_table_is_what_the_servers_say(server: TestServer, dsn: str) -> None:
    """Asked again, code point by code point, for every encoding that a database can have."""
    with connect(dsn) as conn:
        encodings = server_encodings(conn)
        assert CHANGED.keys() <= {*encodings}
        assert {"EUC_JP", "EUC_KR", "EUC_CN", "EUC_TW", "EUC_JIS_2004", "LATIN1", "LATIN10", "WIN1252"} <= {*encodings}
        for encoding in encodings:
            end = PLANES_END if encoding.startswith("EUC") else ONE_BYTE_END
            assert (encoding, changed_code_points(conn, encoding, end)) == (encoding, codes_of(encoding))


def test_a_pair_that_is_one_character(dsn: str) -> None:
    """EUC_JIS_2004 has characters for some letters with a mark behind them: they come back as the pair."""
    marks = "\u309a\u0300\u0301\u02e5\u02e9"
    bases = "かきくけこカキクケコセツトㇷæɔʌəɚ˩˥"
    found = 0
    with connect(dsn) as conn:
        for text in (base + mark for base in bases for mark in marks):
            query = "SELECT convert_from(convert_to(%s, 'EUC_JIS_2004'), 'EUC_JIS_2004')"
            with contextlib.suppress(psycopg.errors.UntranslatableCharacter):
                assert conn.execute(query, [text]).fetchone() == (text,)
                found += 1
    assert found >= 25


def test_the_tables_form() -> None:
    """Runs, none of ASCII; UTF-8, and an encoding that no server has, keep everything."""
    for encoding, text in CHANGED.items():
        codes = codes_of(encoding)
        assert runs(codes) == text
        assert codes == sorted({*codes})
        assert codes[0] >= 0x80
    assert codes_of("EUC_JP") == [ord(BAR)]
    assert codes_of("EUC_JIS_2004") == list(range(0x80, 0xA0))
    assert charset_of("UTF8") == UTF8
    assert charset_of("EUC_KR").first_changed(BAR) == charset_of("?").first_changed(BAR) == ""


_PAIR = pa.struct([("a", pa.string())])
#: type: the column whose second row is refused
CHANGING = {
    "text": pa.array(["a", f"x{BAR}"]),
    "varchar(9)": pa.array(["ア", f"ア{BAR}"], pa.large_string()),
    "char(3)": pa.array(["a", BAR]).cast(pa.string_view()),
    "name": pa.array(["a", BAR]).dictionary_encode(),
    "json": pa.array(["1", f'"{BAR}"']),
    "jsonb": pa.array(["1", f'{{"a":"{BAR}"}}']),
    "jsonb ": pa.array(["1", r'{"a":["\u00a6"]}']),
    "jsonb  ": pa.array([r'"\u30a2"', r'{"\"\u00A6":1}']),
    "jsonb   ": pa.array([{"a": "a"}, {"a": BAR}]),
    "text[]": pa.array([["a"], ["a", None, BAR]]),
    "pair": pa.array([{"a": "a"}, {"a": BAR}], _PAIR),
    "pair ": pa.array(["(a)", f"({BAR})"]),
    "tsvector": pa.array(["a", BAR]),
    "hstore": pa.array([[("a", "b")], [("a", BAR)]], pa.map_(pa.string(), pa.string())),
    "hstore ": pa.array(["a=>b", f'"{BAR}"=>b']),
    "citext": pa.array(["a", BAR]),
    "texts": pa.array(["a", BAR]),
    "jsonpath": pa.array(["$.a", f'$."{BAR}"']),
    "jsonpath ": pa.array(["$.a", r'$."\u00a6"']),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_value_that_would_change(euc_jp: str, driver: str) -> None:
    """It is refused with row and column, in every type of text, whatever the method; the rest is kept."""
    with connect(euc_jp) as conn:
        conn.execute("CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE TYPE pair AS (a text)")
        conn.execute("CREATE DOMAIN texts AS text")
        for type_, column in CHANGING.items():
            conn.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (v {type_})")
            for method in ("binary", "csv"):
                with pytest.raises(bulkio.EncodeError, match=r'^row 2, column "v": .*encoding, EUC_JP, does not keep'):
                    bulkio.load(pa.table({"v": column}), "t", euc_jp, driver=driver, method=method)
                bulkio.load(pa.table({"v": column[:1]}), "t", euc_jp, driver=driver, method=method)
            assert conn.execute("SELECT count(*) FROM t").fetchone() == (2,)
        conn.execute("CREATE TABLE u (v text)")
        with pytest.raises(bulkio.EncodeError, match=r'^row 2, column "v": .*does not keep'):
            bulkio.load(pa.table({"v": ["a", BAR]}), "u", euc_jp, driver=driver, method="records")
        with pytest.raises(bulkio.EncodeError, match=r'^row 2, column "v": .*does not keep'):
            bulkio.load(pa.table({"v": ["a", f"{BAR}\0"]}), "u", euc_jp, driver=driver, nul="strip")
        kept = f"日本ア{FULLWIDTH} ~\\"
        bulkio.load(pa.table({"v": [kept]}), "u", euc_jp, driver=driver)
        assert conn.execute("SELECT v FROM u").fetchall() == [(kept,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_name_that_would_change(euc_jp: str, driver: str) -> None:
    """No table of another name is made, filled, emptied or read, and no column, type or label of another name made."""
    with connect(euc_jp) as conn:
        conn.execute(f'CREATE TABLE "{FULLWIDTH}" (a int8); INSERT INTO "{FULLWIDTH}" VALUES (1)')
        conn.execute(f'CREATE DOMAIN "{FULLWIDTH}x" AS int8')
        conn.execute(f"CREATE TYPE mood AS ENUM ('{FULLWIDTH}'); CREATE TABLE m (v mood)")
    rows = pa.table({"a": [1]})
    name = f'"{BAR}"'
    for mode in ("append", "truncate", "create"):
        with pytest.raises(
            bulkio.ConfigError, match=r"the table's name .* has the character '¦', which the .*, EUC_JP,"
        ):
            bulkio.load(rows, name, euc_jp, driver=driver, mode=mode)
    for wanted in (name, f"SELECT '{BAR}' AS a"):
        with pytest.raises(bulkio.ConfigError, match="has the character '¦'"):
            bulkio.read(wanted, euc_jp, driver=driver)
    with pytest.raises(bulkio.ConfigError, match=r"the query .* has the character '¦'"):
        bulkio.read("SELECT $1::text AS a", euc_jp, params=[BAR], driver=driver)
    with pytest.raises(bulkio.ConfigError, match="the column's name 'a¦' has the character '¦'"):
        bulkio.load(pa.table({f"a{BAR}": [1]}), "new", euc_jp, driver=driver)
    with pytest.raises(bulkio.ConfigError, match=r"the type .* has the character '¦'"):
        bulkio.load(rows, "new", euc_jp, types={"a": f'"{BAR}x"'}, driver=driver)
    with pytest.raises(bulkio.EncodeError, match="'¦' is not a label of"):
        bulkio.load(pa.table({"v": [BAR]}), "m", euc_jp, driver=driver)
    recorded = json.dumps({"schema": "public", "name": "new", "kind": "enum", "labels": ["a", BAR]})
    field = pa.field("v", pa.dictionary(pa.int32(), pa.string()), metadata={"bulkio:type": recorded})
    with pytest.raises(bulkio.ConfigError, match=r"CREATE TYPE .* has the character '¦'"):
        bulkio.load(pa.table([pa.array(["a"]).dictionary_encode()], pa.schema([field])), "new", euc_jp, driver=driver)
    assert fetch(euc_jp, f"SELECT a, to_regclass('new')::text FROM \"{FULLWIDTH}\"") == [(1, None)]


def test_bytes_that_are_no_text_in_euc_tw(server: TestServer) -> None:
    """The server makes of some characters what it does not take for EUC_TW itself."""
    with server.database("EUC_TW") as dsn:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t (v text)")
        with pytest.raises(bulkio.EncodeError, match=r'^row 2, column "v": .*, EUC_TW, does not keep'):
            bulkio.load(pa.table({"v": ["一", "\u4e04"]}), "t", dsn)
        bulkio.load(pa.table({"v": ["一"]}), "t", dsn)
        assert fetch(dsn, "SELECT v FROM t") == [("一",)]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv", "records"])
def test_sql_ascii_counts_bytes(server: TestServer, driver: str, method: str) -> None:
    """Blanks past the n bytes of varchar(n) and char(n) would be cut in silence there, é being two."""
    types = {"varchar(3)": "v", "char(3)": "c", "short": "d", "varchar(3)[]": "a"}
    columns = ", ".join(f"{name} {type_}" for type_, name in types.items())
    with server.database("SQL_ASCII") as dsn:
        with connect(dsn) as conn:
            conn.execute(f"CREATE DOMAIN short AS varchar(3); CREATE TABLE t ({columns})")
        fits, cut = "é ", "éa "
        for name in "vcda":
            values = [[fits], [cut]] if name == "a" else [fits, cut]
            with pytest.raises(bulkio.EncodeError, match=rf'^row 2, column "{name}": .* is longer than'):
                bulkio.load(pa.table({name: values}), "t", dsn, driver=driver, method=method)
        bulkio.load(
            pa.table({"v": [fits], "c": [fits], "d": [fits], "a": [[fits]]}), "t", dsn, driver=driver, method=method
        )
        assert fetch(dsn, "SELECT v, c::text, d, a[1] FROM t") == [(fits, "é", fits, fits)]


def test_sql_ascii_counts_bytes_in_text_of_parts(server: TestServer) -> None:
    """Where the server parses the text of an array or a composite, and cuts its parts."""
    with server.database("SQL_ASCII") as dsn:
        with connect(dsn) as conn:
            conn.execute("CREATE TYPE pair AS (x varchar(3), y box); CREATE TABLE t (a varchar(3)[], p pair)")
        bulkio.load(pa.table({"a": ['{"é "}'], "p": ['("é ",)']}), "t", dsn)
        for column in ({"a": ['{"éa "}']}, {"p": ['("éa ",)']}):
            with pytest.raises(bulkio.EncodeError, match="is longer than"):
                bulkio.load(pa.table(column), "t", dsn)


@pytest.mark.parametrize("encoding", ["EUC_JP", "EUC_TW", "EUC_KR", "EUC_JIS_2004"])
def test_names_that_grow(server: TestServer, encoding: str) -> None:
    """Of a name the server cuts what is more than 63 of its own bytes, which may be more than UTF-8 has."""
    letters = {"EUC_JP": "é", "EUC_JIS_2004": "é", "EUC_TW": "乂", "EUC_KR": "가"}[encoding]
    with server.database(encoding) as dsn:
        with connect(dsn) as conn:
            conn.execute("CREATE TABLE t (n name, b box)")
        for count in range(1, 64):
            name = (letters * 63)[:count]
            try:
                bulkio.load(pa.table({"n": [name], "b": ["(1,1),(0,0)"]}), "t", dsn, mode="truncate")
            except (bulkio.EncodeError, bulkio.DriverError):
                assert count > 10
                continue
            assert fetch(dsn, "SELECT n::text FROM t") == [(name,)]
