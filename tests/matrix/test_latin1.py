"""A database in LATIN1: names and values with é arrive, and a character that LATIN1 does not have is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from matrix_check import DRIVERS, FORMATS, Place, Way, round_trip

import bulkio
from printed_matrix import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    import servers

#: every printable character of LATIN1 beside ASCII's
_LETTERS = "".join(map(chr, range(0xA1, 0x100)))
_TABLE = f"""
CREATE TYPE "humör" AS ENUM ('é', 'ÿ ''', 'ok');
CREATE TYPE "paår" AS ("é" text, "ñ" "humör");
CREATE DOMAIN "kört" AS varchar(5);
CREATE TABLE "tâble" ("ça" text NOT NULL, "n°" int4 PRIMARY KEY, a varchar(95), b char(3), c name, d json, e jsonb,
    f "humör", g "paår", h text[], i "paår"[], j "kört", k tsvector, l "humör"[], m box);
INSERT INTO "tâble" VALUES ('{_LETTERS}', 1, '{_LETTERS}', 'é', 'ü', '{{"é":"\\u00e9","x":"ÿ"}}', '{{"é": "ÿ"}}',
    'é', '("à,","ÿ ''")', '{{é,NULL,"\\"ß"}}', '{{"(é,é)",NULL}}', 'ééééé', '''é'':1', '{{ok,é}}', '(1,1),(0,0)');
INSERT INTO "tâble" ("ça", "n°") VALUES ('', 2);
"""


@pytest.fixture(scope="module")
def _latin1() -> Iterator[dict[str, Place]]:
    made: dict[str, Place] = {}
    yield made
    for place in made.values():
        place.close()


@pytest.fixture
def latin1(server: servers.TestServer, _latin1: dict[str, Place]) -> Place:
    """Return a LATIN1 database on each server, for all the tests of this file."""
    if server.id not in _latin1:
        _latin1[server.id] = Place(server, "LATIN1")
    return _latin1[server.id]


def test_the_server_keeps_latin1(latin1: Place) -> None:
    """The tests below would prove nothing in another encoding."""
    assert latin1.conn.execute("SHOW server_encoding").fetchone() == ("LATIN1",)
    assert latin1.conn.execute("SELECT octet_length('é')").fetchone() == (1,)


@pytest.mark.parametrize("driver", DRIVERS)
def test_round_trip(driver: str, latin1: Place) -> None:
    """Names of tables, columns, types, fields and labels, and all kinds of values."""
    with latin1.schema() as schema:
        latin1.conn.execute(_TABLE)
        other = DRIVERS[1 - DRIVERS.index(driver)]
        for form in FORMATS:
            round_trip(latin1, f'{schema}."tâble"', Way(form, {"driver": driver}, {"driver": other}))
            note("a LATIN1 database", f"export by {driver}", f"{latin1.server.id} {form}", "ok")
        assert latin1.conn.execute('SELECT "ça" FROM "tâble" WHERE "n°" = 1').fetchone() == (_LETTERS,)


def test_read(latin1: Place) -> None:
    """What is read is UTF-8, whatever the server keeps."""
    with latin1.schema() as schema:
        latin1.conn.execute(_TABLE)
        for driver in DRIVERS:
            found = bulkio.read(f'SELECT * FROM {schema}."tâble" WHERE "n°" = 1', latin1.dsn, driver=driver).read_all()
            (row,) = found.to_pylist()
            assert (row["ça"], row["f"], row["g"]) == (_LETTERS, "é", {"é": "à,", "ñ": "ÿ '"})
            assert (row["h"], row["k"]) == (["é", None, '"ß'], "'é':1")


FOREIGN = {
    "text": pa.array(["é", None, "10 €"]),
    "varchar(9)": pa.array(["é", None, "日本"], pa.large_string()),
    "json": pa.array(['"é"', None, '"€"']),
    "jsonb": pa.array([{"a": "é"}, None, {"a": "€"}]),
    "text[]": pa.array([["é"], None, ["a", "😀"]]),
    "pair": pa.array([{"a": "é"}, None, {"a": "€"}]),
    "tsvector": pa.array(["é", None, "€"]),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("method", ["binary", "csv"])
@pytest.mark.parametrize("type_", FOREIGN)
def test_character_that_latin1_does_not_have(type_: str, method: str, driver: str, latin1: Place) -> None:
    """It is an error that names the encoding, the row and the column, and nothing is written."""
    with latin1.schema() as schema:
        latin1.conn.execute("CREATE TYPE pair AS (a text)")
        latin1.conn.execute(f"CREATE TABLE t (v {type_}); INSERT INTO t VALUES (NULL)")
        before = latin1.rows("t")
        # The server converts a line of CSV as a whole, so it knows no column.
        where = 'row 3, column "v"' if method == "binary" and type_ != "tsvector" else "row 3"
        with pytest.raises(bulkio.DriverError, match=f'^{where}: .*no equivalent in encoding "LATIN1"'):
            bulkio.load(pa.table({"v": FOREIGN[type_]}), f"{schema}.t", latin1.dsn, driver=driver, method=method)
        assert latin1.rows("t") == before


@pytest.mark.parametrize("driver", DRIVERS)
def test_name_that_latin1_does_not_have(driver: str, latin1: Place) -> None:
    """No table is made for a column that it cannot name."""
    with latin1.schema() as schema:
        with pytest.raises(bulkio.DriverError, match="LATIN1"):
            bulkio.load(pa.table({"in €": [1]}), f"{schema}.t", latin1.dsn, driver=driver)
        assert latin1.conn.execute("SELECT to_regclass('t')").fetchone() == (None,)
