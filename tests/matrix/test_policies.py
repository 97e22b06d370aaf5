"""The policies that change values: what comes back is what the policy says, and nothing else; without one, an error."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from matrix_check import DRIVERS, FORMATS, Place, Way, carry, folder

import bulkio
from gaps import lacking
from printed_matrix import note


@dataclass(frozen=True)
class Policy:
    """A column of a type; for each of its values what comes back; the argument of export."""

    type: str
    exports: dict[str, str]
    #: value, what comes back; None is NULL
    values: tuple[tuple[str, str | None], ...]
    #: what an export without the policy says
    refused: str
    #: types that it needs
    setup: str = ""
    dimensions: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Name the case."""
        ((name, policy),) = self.exports.items()
        return f"{self.type} {name}={policy}"


_NULLED = (("infinity", None), ("-infinity", None))
EXPORTS = (
    Policy("numeric(10,2)", {"nan": "null"}, (("NaN", None), ("1.50", "1.50"), ("0", "0")), "NaN"),
    Policy("numeric(60,20)", {"nan": "null"}, (("NaN", None), ("-1.5", "-1.5")), "NaN"),
    Policy("numeric(5,-2)", {"nan": "null"}, (("NaN", None), ("12300", "12300")), "NaN"),
    Policy("numeric(10,2)[]", {"nan": "null"}, (("{NaN,1.50}", "{NULL,1.50}"),), "NaN"),
    Policy("prices", {"nan": "null"}, (("(NaN,1)", "(,1)"),), "NaN", "CREATE TYPE prices AS (a numeric(4,2), b int4)"),
    Policy("date", {"infinity": "null"}, (*_NULLED, ("5874897-12-31", "5874897-12-31")), "infinity"),
    Policy("timestamp", {"infinity": "null"}, (*_NULLED, ("4713-01-01 BC", "4713-01-01 BC")), "infinity"),
    Policy("timestamptz", {"infinity": "null"}, (*_NULLED, ("2000-01-01Z", "2000-01-01Z")), "infinity"),
    Policy("time", {"infinity": "null"}, (("24:00", None), ("23:59:59.999999", "23:59:59.999999")), "outside"),
    Policy("date[]", {"infinity": "null"}, (("{infinity,2000-01-01}", "{NULL,2000-01-01}"),), "infinity"),
    Policy("int4[]", {"bounds": "drop"}, (("[0:1]={1,NULL}", "{1,NULL}"), ("{7}", "{7}"), ("{}", "{}")), "lower bound"),
    Policy("text[]", {"bounds": "drop"}, (("[-5:-4]={a,b}", "{a,b}"),), "lower bound"),
    Policy(
        "numeric(4,2)[]",
        {"bounds": "drop"},
        (("[2:3][0:1]={{1,2.50},{NULL,4}}", "{{1,2.50},{NULL,4}}"), ("{{1}}", "{{1}}")),
        "lower bound",
        dimensions={"v": 2},
    ),
)


def literal(value: str | None, type_: str) -> str:
    """Write a value in SQL."""
    return "NULL" if value is None else f"'{value}'::{type_}"


@pytest.mark.parametrize("policy", EXPORTS, ids=str)
def test_export(policy: Policy, place: Place) -> None:
    """What an export's policy lets go comes back as it says, in each format and by each driver."""
    if "-" in policy.type and place.server.version < 15:
        lacking("PostgreSQL 15")
    with place.schema() as schema:
        place.conn.execute(f"{policy.setup}; CREATE TABLE t (v {policy.type}); CREATE TABLE expected (v {policy.type})")
        for value, back in policy.values:
            place.conn.execute(f"INSERT INTO t VALUES ({literal(value, policy.type)})")
            place.conn.execute(f"INSERT INTO expected VALUES ({literal(back, policy.type)})")
        expected, facts = place.rows("expected"), place.facts("expected")
        for i, form in enumerate(FORMATS):
            note("policies of exports", str(policy), f"{place.server.id} {form}", "FAILED")
            there, back = {"driver": DRIVERS[i % 2]}, {"driver": DRIVERS[1 - i % 2]}
            dimensions = {"dimensions": policy.dimensions}
            if i < len(DRIVERS):
                with pytest.raises(bulkio.DecodeError, match=rf'row 1, column "v".*{policy.refused}'):
                    carry(place, f"{schema}.t", f"{schema}.back", Way(form, there | dimensions))
            way = Way(form, {**there, **dimensions, **policy.exports}, back | dimensions)
            carry(place, f"{schema}.t", f"{schema}.back", way)
            assert place.facts("back") == facts
            assert place.rows("back") == expected
            place.conn.execute("DROP TABLE back")
            note("policies of exports", str(policy), f"{place.server.id} {form}", "ok")


NULS: dict[str, tuple[pa.DataType, object, object, object]] = {
    "text": (pa.string(), "a\0b", "ab", "a�b"),
    "varchar(3)": (pa.large_string(), "\0", "", "�"),
    "char(4)": (pa.string_view(), "é\0", "é   ", "é�  "),
    "text[]": (pa.list_(pa.string()), ["\0x", None], ["x", None], ["�x", None]),
    "pair": (pa.struct([("a", pa.int32()), ("b", pa.string())]), {"a": 1, "b": "\0"}, '(1,"")', "(1,�)"),
    "name": (pa.dictionary(pa.int8(), pa.string()), "a\0", "a", "a�"),
}


@pytest.mark.parametrize("type_", NULS)
def test_nul_characters(type_: str, place: Place) -> None:
    """NUL characters are refused with their row and column, taken out, or replaced: as the load's policy says."""
    arrow, value, stripped, replaced = NULS[type_]
    table = pa.table({"v": pa.array([None, value], arrow)})
    with place.schema() as schema:
        place.conn.execute(f"CREATE TYPE pair AS (a int4, b text); CREATE TABLE t (v {type_})")
        for i, (policy, expected) in enumerate((("strip", stripped), ("replace", replaced))):
            with pytest.raises(bulkio.EncodeError, match="NUL") as caught:
                bulkio.load(table, f"{schema}.t", place.dsn, driver=DRIVERS[i])
            assert (caught.value.row, caught.value.column) == (2, "v")
            assert place.conn.execute("SELECT count(*) FROM t").fetchone() == (0,)
            bulkio.load(table, f"{schema}.t", place.dsn, driver=DRIVERS[i], nul=policy)
            shown = "v::text" if type_ == "pair" else "v"
            assert place.conn.execute(f"SELECT {shown} FROM t WHERE v IS NOT NULL").fetchall() == [(expected,)]
            place.conn.execute("TRUNCATE t")


def test_no_file_is_left_by_a_refused_value(place: Place) -> None:
    """An export that meets a value which no policy allows leaves no file, and one that was there as it was."""
    with place.schema() as schema, folder() as path:
        place.conn.execute("CREATE TABLE t AS SELECT 'NaN'::numeric(4,2) AS v")
        (path / "old.parquet").write_bytes(b"old")
        for driver in DRIVERS:
            for name in ("new.arrow", "old.parquet"):
                with pytest.raises(bulkio.DecodeError, match=r'row 1, column "v"'):
                    bulkio.export(f"{schema}.t", path / name, place.dsn, driver=driver)
        assert [found.name for found in path.iterdir()] == ["old.parquet"]
        assert (path / "old.parquet").read_bytes() == b"old"
