"""What an export records in Arrow metadata, so that a load can make the same table again.

Each field records its type: the ADBC driver's key holds the name, `bulkio:type` the whole tree as JSON (schema, typmod,
enum labels, a composite's columns). The schema records `bulkio:table`: the primary key, identity and serial columns.
What comes from a file is never put into SQL as it is: names are quoted, all else is looked up in the catalog.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from bulkio import sql
from bulkio.catalog.types import TypeRef
from bulkio.quote import NAME_BYTES, qualified
from bulkio.show import show_name
from bulkio.types import ARRAY, is_typmod
from bulkio.types.policies import MAX_DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bulkio.catalog import Column, NamedType, SequenceUse
    from bulkio.types import PgType

__all__ = [
    "RecordedTable",
    "RecordedType",
    "TypeName",
    "record_column",
    "record_table",
    "recorded_oid",
    "recorded_table",
    "recorded_type",
    "recorded_types",
]

TYPE_NAME_KEY = b"ADBC:postgresql:typname"
TYPE_KEY = b"bulkio:type"
TABLE_KEY = b"bulkio:table"

#: schema and name of a type; without a schema the search_path decides
TypeName = tuple[str, str]

#: nesting depth of types, at most: far beyond what anybody has, and less than Python's own limit
DEPTH_MAX = 32
#: values that a sequence from a file may compute ahead, at most: the first INSERT waits for them
CACHE_MAX = 100_000

#: the greatest values of the types that an identity can have, int2, int4 and int8, by their oids
_MAXIMA = {21: 2**15 - 1, 23: 2**31 - 1, 20: 2**63 - 1}


@dataclass(frozen=True, slots=True)
class RecordedType:
    """A type as an export has recorded it."""

    schema: str
    name: str
    typmod: int = -1
    #: kind of the type: composite, domain or enum; "" if it cannot be created from here
    kind: str = ""
    labels: tuple[str, ...] = ()
    #: columns of a composite; the base of a domain, without a name
    parts: tuple[tuple[str, RecordedType], ...] = ()
    #: True for a domain that is NOT NULL
    not_null: bool = False
    #: True for a domain with more to it than a file may say: a CHECK or a DEFAULT
    has_more: bool = False
    #: element of an array
    element: RecordedType | None = None
    dimensions: int = 1
    #: the extension that brought it
    extension: str = ""

    @property
    def sql(self) -> str:
        """The type as DDL spells it, without a typmod."""
        return self.element.sql + "[]" if self.element else qualified(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class RecordedTable:
    """A table as an export has recorded it."""

    primary_key: tuple[str, ...] = ()
    #: ALWAYS or BY DEFAULT, by identity column
    identity: Mapping[str, str] = field(default_factory=dict)
    #: options of identity columns that do not count in the usual way; None if they cannot be had
    identity_options: Mapping[str, sql.SequenceOptions | None] = field(default_factory=dict)
    serial: tuple[str, ...] = ()

    def options(self, column: str, type_oid: int) -> sql.SequenceOptions | None:
        """Tell how an identity of this type counts; None where as is usual, or where the type cannot count so."""
        how, limit = self.identity_options.get(column), _MAXIMA.get(type_oid, 0)
        return how if how and -limit - 1 <= how.minimum and how.maximum <= limit else None

    def notes(self, counted: Iterable[str]) -> tuple[str, ...]:
        """Tell which identity columns count otherwise than was recorded; those of a new table that do not are given."""
        lost = sorted(self.identity.keys() & self.identity_options.keys() - {*counted})
        how = "was recorded as an identity with options of its own, which it does not get here"
        return tuple(f"{show_name(name)} {how}" for name in lost)


def _usual_options(type_oid: int) -> sql.SequenceOptions:
    return sql.SequenceOptions(1, 1, 1, _MAXIMA[type_oid], 1, cycle=False)


# --- Recording ----------------------------------------------------------------------------------------------


def record_column(pg: PgType) -> dict[bytes, bytes]:
    """Return the metadata of a field."""
    return {TYPE_NAME_KEY: pg.name.encode(), TYPE_KEY: json.dumps(_type_facts(pg), separators=(",", ":")).encode()}


def _type_facts(pg: PgType) -> dict[str, object]:
    facts: dict[str, object] = {"schema": pg.schema, "name": pg.name}
    if pg.typmod >= 0:
        facts["typmod"] = pg.typmod
    if pg.extension:
        facts["extension"] = pg.extension
    if pg.domain_of is not None:
        facts |= {"kind": "domain", "parts": [["", _type_facts(pg.domain_of)]]}
        # the text of a constraint or a default is SQL, and none goes from a file into a database
        facts |= {"not_null": pg.domain_not_null, "has_more": pg.domain_has_more}
    elif pg.codec == "enum":
        facts |= {"kind": "enum", "labels": list(pg.labels)}
    elif pg.codec == "composite":
        facts |= {"kind": "composite", "parts": [[name, _type_facts(part)] for name, part in pg.fields]}
    elif pg.codec == ARRAY:
        facts["element"] = _type_facts(pg.item)
        if pg.dimensions > 1:
            facts["dimensions"] = pg.dimensions
    return facts


def record_table(columns: Iterable[Column], key: Sequence[str], sequences: Iterable[SequenceUse]) -> dict[bytes, bytes]:
    """Return the metadata of a schema."""
    listed = list(columns)
    owned = {use.column: use.options for use in sequences if use.owned}
    facts: dict[str, object] = {}
    if key:
        facts["primary_key"] = list(key)
    if any(column.identity for column in listed):
        facts["identity"] = {column.name: column.identity for column in listed if column.identity}
        counting = {column: owned[column.name] for column in listed if column.identity and column.name in owned}
        if special := {c.name: asdict(how) for c, how in counting.items() if how != _usual_options(c.type_oid)}:
            facts["identity_options"] = special
    if serial := [column.name for column in listed if column.name in owned and column.has_default]:
        facts["serial"] = serial
    return {TABLE_KEY: json.dumps(facts, separators=(",", ":")).encode()} if facts else {}


# --- Reading what was recorded ------------------------------------------------------------------------------


def recorded_type(arrow: pa.Field) -> RecordedType | None:
    """Return the type that a field records; None where it records none, or nothing that can be understood.

    The ADBC driver records a name without a schema, which the search_path then decides.
    """
    metadata = arrow.metadata or {}
    try:
        if facts := _read_json(metadata.get(TYPE_KEY)):
            return _type(facts, DEPTH_MAX)
        name = metadata.get(TYPE_NAME_KEY, b"").decode() or _opaque_name(arrow.type)
        return RecordedType("", _name(name)) if name else None
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return None


def _opaque_name(arrow: pa.DataType) -> str:
    """Return the type that arrow.opaque names, as the ADBC driver makes it of types that Arrow does not have."""
    return str(arrow.type_name) if isinstance(arrow, pa.OpaqueType) and arrow.vendor_name == "PostgreSQL" else ""


def recorded_table(schema: pa.Schema, rename: Mapping[str, str] | None = None) -> RecordedTable:
    """Return what a schema records of its table, as far as it can be understood and has these columns.

    Those that were renamed since are recorded by the names that `rename` maps.
    """
    facts = _renamed(_read_json((schema.metadata or {}).get(TABLE_KEY)), rename or {})
    names = set(schema.names)
    key = tuple(_strings(facts.get("primary_key")))
    identity = facts.get("identity")
    found = identity.items() if isinstance(identity, dict) else ()
    options = facts.get("identity_options")
    counting = options.items() if isinstance(options, dict) else ()
    return RecordedTable(
        primary_key=key if set(key) <= names and len(set(key)) == len(key) else (),
        identity={name: kind for name, kind in found if name in names and kind in ("ALWAYS", "BY DEFAULT")},
        identity_options={name: _options(given) for name, given in counting},
        serial=tuple(name for name in _strings(facts.get("serial")) if name in names),
    )


def _renamed(facts: dict[str, object], rename: Mapping[str, str]) -> dict[str, object]:
    """Return facts by the new names of columns, which are the keys of objects and the items of lists."""
    renamed: dict[str, object] = {}
    for fact, given in facts.items():
        if isinstance(given, dict):
            renamed[fact] = {rename.get(name, name): value for name, value in given.items()}
        elif isinstance(given, list):
            renamed[fact] = [rename.get(name, name) if isinstance(name, str) else name for name in given]
    return renamed


def _options(given: object) -> sql.SequenceOptions | None:
    """Take what CREATE SEQUENCE takes and INSERT can stand; None for anything else."""
    try:
        facts = cast("dict[str, object]", given)
        start, increment, least, most, cache = (
            _number(facts[name], -1 << 63, (1 << 63) - 1)
            for name in ("start", "increment", "minimum", "maximum", "cache")
        )
        cycle = facts["cycle"]
        if not isinstance(cycle, bool):
            return None
    except (KeyError, TypeError, ValueError):
        return None
    makes_sense = least <= start <= most and least < most and increment != 0 and 0 < cache <= CACHE_MAX
    return sql.SequenceOptions(start, increment, least, most, cache, cycle) if makes_sense else None


def _strings(given: object) -> list[str]:
    return [text for text in given if isinstance(text, str)] if isinstance(given, list) else []


def _read_json(text: bytes | None) -> dict[str, object]:
    try:
        facts = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _type(facts: object, depth: int) -> RecordedType:
    known = cast("dict[str, object]", facts)
    if depth == 0:
        raise ValueError("types that are nested too deeply")
    schema, name = _name(known["schema"]), _name(known["name"])
    return RecordedType(
        schema=schema,
        name=name,
        typmod=_typmod(schema, name, known.get("typmod", -1)),
        kind=str(known.get("kind", "")),
        labels=tuple(_name(label, least=0) for label in cast("list[object]", known.get("labels", []))),
        parts=tuple(
            (_name(n, least=0), _type(part, depth - 1)) for n, part in cast("list[Any]", known.get("parts", []))
        ),
        not_null=known.get("not_null") is True,
        has_more=known.get("has_more") is not False,
        element=_type(known["element"], depth - 1) if "element" in known else None,
        dimensions=_number(known.get("dimensions", 1), 1, MAX_DIMENSIONS),
        extension=str(known.get("extension", "")),
    )


def _name(given: object, *, least: int = 1) -> str:
    """Take what a name in PostgreSQL can be."""
    if not isinstance(given, str) or "\0" in given or not least <= len(given.encode()) <= NAME_BYTES:
        raise ValueError(f"no name: {given!r}")
    return given


def _number(given: object, least: int, most: int) -> int:
    if type(given) is not int or not least <= given <= most:
        raise ValueError(f"not from {least} to {most}: {given!r}")
    return given


def _typmod(schema: str, name: str, given: object) -> int:
    typmod = _number(given, -1, (1 << 31) - 1)
    if not is_typmod(schema, name, typmod):
        raise ValueError(f"no type modifier of {name}: {typmod}")
    return typmod


def recorded_types(schema: pa.Schema) -> tuple[TypeRef, ...]:
    """Return the types that the fields record, with their typmods, and the parts of these."""
    tops = list(_recorded(schema))
    refs = [replace(_ref(top.element or top), is_array=top.element is not None, typmod=top.typmod) for top in tops]
    parts = [_ref(part) for top in tops for part in _with_parts(top) if part.element is None]
    return tuple(dict.fromkeys([*refs, *parts]))


def _ref(one: RecordedType) -> TypeRef:
    return TypeRef(one.schema, one.name, one.extension)


def recorded_oid(one: RecordedType, known: Mapping[TypeName, NamedType]) -> int | None:
    """Return the oid that a recorded type has in this database; None where it is not there."""
    named = known.get((one.element.schema, one.element.name) if one.element else (one.schema, one.name))
    return None if named is None else named.array_oid if one.element else named.oid


def _recorded(schema: pa.Schema) -> Iterator[RecordedType]:
    yield from (found for column in schema if (found := recorded_type(column)) is not None)


def _with_parts(top: RecordedType) -> Iterator[RecordedType]:
    yield top
    for _, part in top.parts:
        yield from _with_parts(part)
    if top.element is not None:
        yield from _with_parts(top.element)
