"""What PostgreSQL types bulkio knows, one row for each: the only place where a type's name, oid and codec stand.

Oids are those of src/include/catalog/pg_type.dat; they are part of PostgreSQL's protocol and never change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["ARRAY", "BASE_TYPES", "PgType", "array_of", "base_type", "known_type", "named_type"]

#: The codec name of every array type.
ARRAY = "array"


@dataclass(frozen=True, slots=True)
class PgType:
    """One PostgreSQL type as a column has it: resolved, with its typmod, and its element for an array."""

    name: str
    oid: int
    array_oid: int
    #: how its values travel in COPY BINARY: names a family of codec classes
    codec: str
    schema: str = "pg_catalog"
    #: the column's type modifier as pg_attribute has it; -1 where there is none
    typmod: int = -1
    element: PgType | None = None

    # typmod layouts: src/backend/utils/adt/{numeric,varchar}.c; VARHDRSZ (4) is added to each
    @property
    def precision(self) -> int | None:
        """The precision of numeric(p, s), None where it is unconstrained."""
        if self.codec != "numeric" or self.typmod < 4:
            return None
        return ((self.typmod - 4) >> 16) & 0xFFFF

    @property
    def scale(self) -> int:
        """The scale of numeric(p, s); negative since PostgreSQL 15."""
        return (((self.typmod - 4) & 0x7FF) ^ 1024) - 1024 if self.precision is not None else 0

    @property
    def max_chars(self) -> int | None:
        """The n of varchar(n) and char(n); name holds 63 bytes, which the server checks."""
        if self.name in ("varchar", "bpchar") and self.typmod >= 4:
            return self.typmod - 4
        return None

    @property
    def sql(self) -> str:
        """The type as DDL spells it, such as ``numeric(10,2)[]``."""
        if self.element is not None:
            return replace(self.element, typmod=self.typmod).sql + "[]"
        if self.precision is not None:
            return f"numeric({self.precision},{self.scale})"
        if self.max_chars is not None:
            return f"{ {'varchar': 'varchar', 'bpchar': 'char'}[self.name] }({self.max_chars})"
        # a temporal type's typmod is its number of decimal places
        if self.name in ("time", "timestamp", "timestamptz") and self.typmod >= 0:
            return f"{self.name}({self.typmod})"
        return self.name


def _row(name: str, oid: int, array_oid: int, codec: str | None = None) -> PgType:
    return PgType(name, oid, array_oid, codec or name)


# name, oid, oid of its array, codec where it is not the name
BASE_TYPES = (
    _row("bool", 16, 1000),
    _row("bytea", 17, 1001),
    _row("name", 19, 1003, "text"),
    _row("int8", 20, 1016),
    _row("int2", 21, 1005),
    _row("int4", 23, 1007),
    _row("text", 25, 1009),
    _row("json", 114, 199),
    _row("float4", 700, 1021),
    _row("float8", 701, 1022),
    _row("bpchar", 1042, 1014, "text"),
    _row("varchar", 1043, 1015, "text"),
    _row("date", 1082, 1182),
    _row("time", 1083, 1183),
    _row("timestamp", 1114, 1115),
    _row("timestamptz", 1184, 1185),
    _row("numeric", 1700, 1231),
    _row("uuid", 2950, 2951),
    _row("jsonb", 3802, 3807),
)

_BY_NAME = {row.name: row for row in BASE_TYPES}
_BY_OID = {row.oid: row for row in BASE_TYPES}
_ARRAYS_BY_OID = {row.array_oid: row for row in BASE_TYPES}


def base_type(name: str, typmod: int = -1) -> PgType:
    """Give a type of `BASE_TYPES` by name. Raises KeyError."""
    return replace(_BY_NAME[name], typmod=typmod)


def array_of(element: PgType) -> PgType:
    """Give the array type of `element`; an array's typmod is its elements'."""
    bare = replace(element, typmod=-1)
    return PgType(f"_{element.name}", element.array_oid, 0, ARRAY, element.schema, element.typmod, bare)


def known_type(oid: int, typmod: int = -1) -> PgType | None:
    """Give the type with this oid, None where bulkio has no codec for it."""
    if oid in _BY_OID:
        return replace(_BY_OID[oid], typmod=typmod)
    if oid in _ARRAYS_BY_OID:
        return array_of(replace(_ARRAYS_BY_OID[oid], typmod=typmod))
    return None


def named_type(name: str, typmod: int = -1) -> PgType | None:
    """Give the type with this name in pg_type (``int4``, ``_int4`` for its array), None where bulkio has no codec."""
    if name.startswith("_") and name[1:] in _BY_NAME:
        return array_of(base_type(name[1:], typmod))
    return base_type(name, typmod) if name in _BY_NAME else None
