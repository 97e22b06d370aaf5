"""Row-level security: an export never leaves out hidden rows in silence, a load never stores what a policy forbids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from matrix_check import DRIVERS, FORMATS, Place, Way, folder, round_trip
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import bulkio
from printed_matrix import note

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE = """
CREATE TABLE t (a int4, b text);
INSERT INTO t VALUES (1, 'mine'), (2, 'hidden');
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON t USING (b = 'mine');
CREATE VIEW v WITH (security_invoker) AS TABLE t;
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, TRUNCATE ON t, v TO {role};
"""


@dataclass(frozen=True)
class Guarded:
    """A table that its policy hides a row of from a role, and that role's DSN."""

    schema: str
    dsn: str


@pytest.fixture
def guarded(place: Place) -> Iterator[Guarded]:
    """Make the table and the role."""
    known = conninfo_to_dict(place.dsn)
    with place.schema() as schema:
        role = f"limited_{schema}"
        place.conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{known['password']}'")
        try:
            place.conn.execute(_TABLE.format(schema=schema, role=role))
            yield Guarded(schema, make_conninfo(**{**known, "user": role}))
        finally:
            place.conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("what", ["table", "query", "view"])
def test_export_of_a_limited_role(what: str, driver: str, guarded: Guarded, place: Place) -> None:
    """It fails, and says why, by each method; no file appears."""
    name = {"table": f"{guarded.schema}.t", "query": f"SELECT a FROM {guarded.schema}.t", "view": f"{guarded.schema}.v"}
    for method in ("binary", "cursor"):
        with folder() as path:
            for form in FORMATS[:3]:
                with pytest.raises(bulkio.DriverError, match='row-level security policy for table "t"') as caught:
                    bulkio.export(name[what], path / f"x.{form}", guarded.dsn, driver=driver, method=method)
                assert caught.value.sqlstate == "42501"
            assert list(path.iterdir()) == []
        with pytest.raises(bulkio.DriverError, match='row-level security policy for table "t"'):
            bulkio.read(name[what], guarded.dsn, driver=driver, method=method)
    note("row-level security", f"export of a {what} by a limited role", f"{place.server.id} {driver}", "refused")


def test_export_of_the_owner(guarded: Guarded, place: Place) -> None:
    """Whom no policy limits, for whom all rows are exported, and come back."""
    assert len(place.rows(f"{guarded.schema}.t")) == 3
    place.conn.execute(f"DROP VIEW {guarded.schema}.v")
    for driver in DRIVERS:
        round_trip(place, f"{guarded.schema}.t", Way("parquet", {"driver": driver}, {"driver": driver}))
        note("row-level security", "export by the owner", f"{place.server.id} {driver}", "ok")


@pytest.mark.parametrize("driver", DRIVERS)
def test_load_of_a_limited_role(driver: str, guarded: Guarded, place: Place) -> None:
    """COPY FROM is refused where a policy would have to be asked for each row: nothing is written."""
    before = place.rows(f"{guarded.schema}.t")
    rows = pa.table({"a": [3], "b": ["mine"]})
    for method in ("binary", "csv", "records"):
        for mode in ("append", "truncate"):
            with pytest.raises(bulkio.DriverError, match="row-level security"):
                bulkio.load(rows, f"{guarded.schema}.t", guarded.dsn, driver=driver, method=method, mode=mode)
    assert place.rows(f"{guarded.schema}.t") == before
    bulkio.load(rows, f"{guarded.schema}.t", place.dsn, driver=driver)
    assert len(place.rows(f"{guarded.schema}.t")) == len(before) + 1
    note("row-level security", "load by a limited role", f"{place.server.id} {driver}", "refused")
