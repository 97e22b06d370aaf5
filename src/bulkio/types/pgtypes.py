"""What PostgreSQL types bulkio knows, one row for each: the only place where a type's name, oid and codec stand.

Oids are those of src/include/catalog/pg_type.dat; they are part of PostgreSQL's protocol and never change. Types that a
database has made itself have no row here: `resolve` makes them of what the catalog says, down to these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bulkio.types.geo_typmods import spell_typmod

__all__ = [
    "ARRAY",
    "BASE_TYPES",
    "CODECS",
    "EXTENSION_CODECS",
    "INTERVAL_RANGES",
    "SERVER_TEXT",
    "PgType",
    "array_of",
    "base_type",
    "known_type",
    "named_type",
    "numeric_typmod",
]

#: The codec name of every array type.
ARRAY = "array"

#: The codec name of a type that travels as text, which the server itself writes and parses.
SERVER_TEXT = "server_text"


@dataclass(frozen=True, slots=True)
class PgType:
    """One PostgreSQL type as a column has it: resolved down to types that have a codec, with its typmod.

    A domain is its base type under another name and oid: so it travels.
    """

    #: pg_type.typname
    name: str
    oid: int
    #: the oid of its array type; 0 where there is none
    array_oid: int
    #: name of a family of codec classes: the way its values travel in COPY BINARY
    codec: str
    schema: str = "pg_catalog"
    #: the column's type modifier as pg_attribute has it, a domain's own; -1 where there is none
    typmod: int = -1
    #: element of an array, bounds of a range, ranges of a multirange
    element: PgType | None = None
    #: a composite's columns, in order, without the dropped ones
    fields: tuple[tuple[str, PgType], ...] = ()
    #: labels of an enum, in order
    labels: tuple[str, ...] = ()
    #: the type that a domain is made of, which may be a domain too
    domain_of: PgType | None = None
    #: constraints of a domain itself: NOT NULL; and a CHECK or a DEFAULT, whose text is not known here
    domain_not_null: bool = False
    domain_has_more: bool = False
    #: dimensions of an array, as the user declared them
    dimensions: int = 1
    #: the extension that brought it, "" for none
    extension: str = ""
    #: decimal places of money in the server's locale
    money_scale: int = 2
    #: delimiter of the elements in the text of its arrays (pg_type.typdelim)
    delimiter: str = ","

    @property
    def is_domain(self) -> bool:
        """Tell whether this is a domain."""
        return self.domain_of is not None

    @property
    def base(self) -> PgType:
        """The type itself, or the one that a domain is made of, through all domains between."""
        return self if self.domain_of is None else self.domain_of.base

    @property
    def base_name(self) -> str:
        """The name of the type itself, or of the one that a domain is made of."""
        return self.base.name

    @property
    def item(self) -> PgType:
        """The element as a column of its own would have it: an array's typmod is its elements'."""
        if self.element is None:
            raise TypeError(f"{self.name} has no elements")
        if self.codec != ARRAY or self.typmod < 0:
            return self.element
        return replace(self.element, typmod=self.typmod)

    # typmod layouts: src/backend/utils/adt/{numeric,varchar,varbit}.c; VARHDRSZ (4) is added to the first three
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
        if self.base_name in ("varchar", "bpchar") and self.typmod >= 4:
            return self.typmod - 4
        return None

    @property
    def sql(self) -> str:
        """The type as DDL spells it, such as ``numeric(10,2)[]``; what is not of pg_catalog, with its schema."""
        if self.codec == ARRAY and not self.is_domain:
            return self.item.sql + "[]"
        if self.schema != "pg_catalog":
            return f"{_quoted(self.schema)}.{_quoted(self.name)}{self._modifier}"
        if self.name == "char" or (self.name == "bit" and self.typmod < 0):
            return f'"{self.name}"'  # the one-byte type, and bits of any number: char and bit alone are of length 1
        # bpchar without a length has no other name: char alone would be char(1)
        name = "char" if self.name == "bpchar" and self.max_chars else self.name
        return name + self._modifier

    @property
    def ddl(self) -> str:
        """The type as a statement spells it whatever the search_path is: with the schema, pg_catalog too."""
        if self.codec == ARRAY and not self.is_domain:
            return self.item.ddl + "[]"
        if self.schema != "pg_catalog" or self.name == "interval":  # whose fields follow the keyword only
            return self.sql
        return f"pg_catalog.{self.name}{self._modifier}"

    @property
    def _modifier(self) -> str:
        """The typmod as DDL spells it; a domain has its own, which is not spelled."""
        if self.is_domain or self.typmod < 0:
            return ""
        if self.precision is not None:
            return f"({self.precision},{self.scale})"
        if self.max_chars is not None:
            return f"({self.max_chars})"
        if self.name == "interval":
            return _spell_interval(self.typmod)
        # decimal places, bits, or dimensions
        if self.name in ("time", "timetz", "timestamp", "timestamptz", "bit", "varbit", "vector", "halfvec"):
            return f"({self.typmod})"
        return spell_typmod(self.typmod) if self.codec in ("geometry", "geography") else ""


def _quoted(name: str) -> str:
    # as quote_ident, which stands above this layer
    return '"' + name.replace('"', '""') + '"'


#: fields of an interval, by the range in its typmod: masks of datetime.h, 1 << YEAR (2), MONTH (1), DAY (3), …
INTERVAL_RANGES = {
    1 << 2: "year",
    1 << 1: "month",
    1 << 3: "day",
    1 << 10: "hour",
    1 << 11: "minute",
    1 << 12: "second",
    1 << 2 | 1 << 1: "year to month",
    1 << 3 | 1 << 10: "day to hour",
    1 << 3 | 1 << 10 | 1 << 11: "day to minute",
    1 << 3 | 1 << 10 | 1 << 11 | 1 << 12: "day to second",
    1 << 10 | 1 << 11: "hour to minute",
    1 << 10 | 1 << 11 | 1 << 12: "hour to second",
    1 << 11 | 1 << 12: "minute to second",
}


def _spell_interval(typmod: int) -> str:
    # src/include/utils/timestamp.h, INTERVAL_PRECISION and INTERVAL_RANGE; 0xFFFF is "no precision"
    precision, fields = typmod & 0xFFFF, INTERVAL_RANGES.get(typmod >> 16 & 0x7FFF)
    digits = "" if precision == 0xFFFF else f"({precision})"
    return f" {fields}{digits}" if fields else digits


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
    _row("oid", 26, 1028, "uint4"),
    _row("xid", 28, 1011, "uint4"),
    _row("json", 114, 199),
    _row("point", 600, 1017),
    _row("cidr", 650, 651, "inet"),
    _row("float4", 700, 1021),
    _row("float8", 701, 1022),
    _row("macaddr8", 774, 775),
    _row("money", 790, 791),
    _row("macaddr", 829, 1040),
    _row("inet", 869, 1041),
    _row("bpchar", 1042, 1014, "text"),
    _row("varchar", 1043, 1015, "text"),
    _row("date", 1082, 1182),
    _row("time", 1083, 1183),
    _row("timestamp", 1114, 1115),
    _row("timestamptz", 1184, 1185),
    _row("interval", 1186, 1187),
    _row("timetz", 1266, 1270),
    _row("bit", 1560, 1561),
    _row("varbit", 1562, 1563, "bit"),
    _row("numeric", 1700, 1231),
    _row("uuid", 2950, 2951),
    _row("pg_lsn", 3220, 3221),
    _row("jsonb", 3802, 3807),
    _row("jsonpath", 4072, 4073, "versioned_text"),
    _row("xid8", 5069, 271, "uint8"),
)

#: codecs of types that extensions bring, by (extension, type)
EXTENSION_CODECS = {
    ("citext", "citext"): "text",
    ("hstore", "hstore"): "hstore",
    ("ltree", "ltree"): "versioned_text",
    ("vector", "vector"): "vector",
    ("vector", "halfvec"): "halfvec",
    ("postgis", "geometry"): "geometry",
    ("postgis", "geography"): "geography",
}

#: every codec that a type can have: those of the rows above, of extensions' types, and of types made in a database
CODECS = frozenset(
    {
        *(row.codec for row in BASE_TYPES),
        *EXTENSION_CODECS.values(),
        *(ARRAY, "composite", "range", "multirange", "enum", SERVER_TEXT),
    }
)

_BY_NAME = {row.name: row for row in BASE_TYPES}
_BY_OID = {row.oid: row for row in BASE_TYPES}
_ARRAYS_BY_OID = {row.array_oid: row for row in BASE_TYPES}


def base_type(name: str, typmod: int = -1) -> PgType:
    """Return a type of `BASE_TYPES` by name. Raises KeyError."""
    return replace(_BY_NAME[name], typmod=typmod)


def array_of(element: PgType) -> PgType:
    """Return the array type of `element`; an array's typmod is its elements', but for a domain's, which is its own."""
    if element.is_domain:
        return PgType(f"_{element.name}", element.array_oid, 0, ARRAY, element.schema, element=element)
    bare = replace(element, typmod=-1)
    return PgType(f"_{element.name}", element.array_oid, 0, ARRAY, element.schema, element.typmod, bare)


def known_type(oid: int, typmod: int = -1) -> PgType | None:
    """Return the type of `BASE_TYPES`, or the array of one, with this oid; None for any other."""
    if oid in _BY_OID:
        return replace(_BY_OID[oid], typmod=typmod)
    if oid in _ARRAYS_BY_OID:
        return array_of(replace(_ARRAYS_BY_OID[oid], typmod=typmod))
    return None


def named_type(name: str, typmod: int = -1) -> PgType | None:
    """Return the type of `BASE_TYPES` with this name (``int4``, ``_int4`` for its array), None for any other."""
    if name.startswith("_") and name[1:] in _BY_NAME:
        return array_of(base_type(name[1:], typmod))
    return base_type(name, typmod) if name in _BY_NAME else None


def numeric_typmod(precision: int, scale: int) -> int:
    """Return the type modifier of numeric(precision, scale)."""
    return ((precision << 16) | (scale & 0x7FF)) + 4
