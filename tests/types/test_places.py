"""Each type has its place wherever types are told apart: what nobody has listed there is not let through.

A type that is new in the table of types, or in an extension's, fails here once for each place that it lacks.
"""

from __future__ import annotations

import cases
import pyarrow as pa
import pytest

from bulkio.forms import copy_csv, rows
from bulkio.pgcopy.registry import DECODERS, ENCODERS
from bulkio.protocols import ROW_TYPE_OIDS
from bulkio.types import ARRAY, BASE_TYPES, CODECS, SERVER_TEXT, Cast, PgType, base_type, cast_from_pg, cast_to_pg
from bulkio.types import array_of as array
from bulkio.types.from_pg import _FROM_PG, _NESTED_FROM_PG
from bulkio.types.pgtypes import EXTENSION_CODECS
from bulkio.types.wire import _AS_FROM_PG, _NESTED, _OF_WIRE, wire_cast

INT4 = base_type("int4")
RANGE = PgType("r", 16401, 16402, "range", element=INT4)
#: one type of each name and codec
TYPES = [
    *BASE_TYPES,
    *(PgType(name, 16500, 16501, codec, extension=by) for (by, name), codec in EXTENSION_CODECS.items()),
    array(INT4),
    PgType("c", 16403, 16404, "composite", fields=(("a", INT4),)),
    RANGE,
    PgType("m", 16405, 16406, "multirange", element=RANGE),
    PgType("e", 16407, 16408, "enum", labels=("x",)),
    PgType("tsvector", 3614, 3643, SERVER_TEXT),
]

#: types whose values no row of the drivers holds, which the methods `records` and `cursor` refuse
NO_ROW = {
    *("xid", "xid8", "point", "cidr", "inet", "macaddr", "macaddr8", "money", "bit", "varbit", "pg_lsn", "jsonpath"),
    *("citext", "hstore", "ltree", "vector", "halfvec", "geometry", "geography", "c", "r", "m"),
}
#: codecs of types whose texts the server parses, of which it drops nothing in silence
KEPT_BY_THE_SERVER = {"bool", "bytea"}
#: … and of those that pgcopy/servertext.pyx checks, with textrules, nestedtext and geotext
CHECKED_FOR_THE_SERVER = {
    *("date", "time", "timestamp", "timestamptz", "interval", "money", "point", "vector", "halfvec", "hstore"),
    *("geometry", "geography", ARRAY, "composite", "range", "multirange", SERVER_TEXT),
}


def leaves(how: Cast) -> list[Cast]:
    """Return the nodes of a cast that have none below."""
    return [leaf for child in how.children for leaf in leaves(child)] or [how]


def test_these_are_all_types() -> None:
    """The list above has each codec and each name."""
    assert {pg.codec for pg in TYPES} == CODECS


def test_types_of_the_wire() -> None:
    """types/wire: every codec stands in one of its tables, and in one alone."""
    places = [*_OF_WIRE, *_AS_FROM_PG, *_NESTED]
    assert sorted(places) == sorted(CODECS), "types/wire.py"


def test_types_to_arrow() -> None:
    """types/from_pg: every codec stands in one of its tables, and in one alone."""
    assert sorted([*_FROM_PG, *_NESTED_FROM_PG]) == sorted(CODECS), "types/from_pg.py"


@pytest.mark.parametrize("pg", TYPES, ids=lambda pg: pg.name)
def test_decoders(pg: PgType) -> None:
    """pgcopy/registry: a decoder carries out what an export, and what the wire, makes of a type."""
    for how in (cast_from_pg(pg), wire_cast(cast_from_pg(pg))):
        assert {leaf.codec for leaf in leaves(how)} <= DECODERS.keys(), "pgcopy/registry.py, DECODERS"


@pytest.mark.parametrize("pg", TYPES, ids=lambda pg: pg.name)
def test_encoders(pg: PgType) -> None:
    """types/to_pg: what an export makes of a type, and text, goes back into it, with an encoder."""
    for arrow in (cast_from_pg(pg).arrow, pa.string()):
        how = cast_to_pg(arrow, pg)
        assert how is not None, "types/to_pg.py"
        assert {leaf.codec for leaf in leaves(how)} <= ENCODERS.keys(), "pgcopy/registry.py, ENCODERS"


@pytest.mark.parametrize("pg", TYPES, ids=lambda pg: pg.name)
def test_csv(pg: PgType) -> None:
    """forms/copy_csv: every type that the wire has is printed in a way that somebody has chosen for it."""
    for leaf in leaves(wire_cast(cast_from_pg(pg))):
        assert leaf.codec in copy_csv._NODES or (leaf.codec, leaf.pg.codec) in copy_csv._LEAVES, "forms/copy_csv.py"


@pytest.mark.parametrize("pg", TYPES, ids=lambda pg: pg.name)
def test_rows(pg: PgType) -> None:
    """forms/rows: a type goes in the drivers' rows where the contract names it; a new one is refused until it does."""
    refused = rows.unsupported(cast_from_pg(pg)) is not None
    assert refused == (pg.name in NO_ROW), "protocols.ROW_TYPE_OIDS, or NO_ROW here"


def test_the_contract_of_rows_names_types_of_the_table() -> None:
    """protocols: names and oids are those of types/pgtypes."""
    assert {name: base_type(name).oid for name in ROW_TYPE_OIDS} == ROW_TYPE_OIDS


def test_a_type_that_is_called_like_one_of_the_contracts() -> None:
    """forms/rows: a database may call a type of its own int4."""
    assert rows.unsupported(cast_from_pg(PgType("int4", 16409, 16410, "composite", "s"))) is not None


@pytest.mark.parametrize("pg", TYPES, ids=lambda pg: pg.name)
def test_texts_that_the_server_parses(pg: PgType) -> None:
    """pgcopy/servertext: what goes as text is checked, or somebody has looked and the server drops none of it."""
    how = cast_to_pg(pa.string(), pg)
    assert how is not None
    if how.needs_server:
        assert pg.codec in KEPT_BY_THE_SERVER | CHECKED_FOR_THE_SERVER, "pgcopy/servertext.pyx"


@pytest.mark.parametrize("pg", BASE_TYPES, ids=lambda pg: pg.name)
def test_cases_of_the_matrix(pg: PgType) -> None:
    """tests/matrix/cases: a type's values go round on a real server."""
    names = {case.type.split("(")[0].split("[")[0].strip() for case in cases.CASES}
    assert pg.name in names, "tests/matrix/cases.py"
