"""From a staging table into the table: the statements of upsert and insert-new.

Rows go in by INSERT … ON CONFLICT: MERGE takes no part in unique violations, and UPDATE … FROM of a large staging table
takes minutes where this takes a second. The staging table of one transaction is a temporary one, in which the order of
the rows is that of their ctids: COPY only appends to a table that its own transaction has made. One that lasts, and
that several connections fill, has a column with the row's number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bulkio.quote import name_list, qualified, quote_ident

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "STAGING",
    "KeyColumn",
    "Places",
    "StagedInsert",
    "create_lasting_staging",
    "create_staging",
]

#: schema and name of the staging table of one transaction
STAGING = ("pg_temp", "bulkio_staging")

# Aliases that no column of a user's is likely to have; a column that has one is quoted and qualified all the same.
_TABLE, _NEW, _OLD = "bulkio_table", "bulkio_new", "bulkio_old"

#: the first version in which RETURNING can return the row that was there
_RETURNS_OLD = 18_00_00


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """One column of a unique key, and how its index compares it."""

    name: str
    #: COLLATE and the index's collation, with a blank before it, if it is not the column's
    collate: str = ""
    #: the index's equality operator, as OPERATOR() has it
    equals: str = "pg_catalog.="


def create_staging(schema: str, table: str, columns: Sequence[str], number: str = "") -> str:
    """Build the staging table, with columns of the table's types and none of its constraints.

    It has one more for the rows' numbers, where that has a name.

    >>> create_staging("public", "t", ["id"])
    'CREATE TEMPORARY TABLE bulkio_staging ON COMMIT DROP AS SELECT "id" FROM "public"."t" WITH NO DATA'
    """
    columns_of = f"{_columns(columns, number)} FROM {qualified(schema, table)}"
    return f"CREATE TEMPORARY TABLE {STAGING[1]} ON COMMIT DROP AS {columns_of} WITH NO DATA"


def create_lasting_staging(
    staging: tuple[str, str], schema: str, table: str, columns: Sequence[str], number: str, *, unlogged: bool
) -> tuple[str, ...]:
    """Build a staging table that lasts, with a column for the rows' numbers. Nobody but its owner sees its rows.

    Row security without a policy keeps others out, whatever the default privileges give them.
    """
    name = qualified(*staging)
    kind = "UNLOGGED TABLE" if unlogged else "TABLE"
    return (
        f"CREATE {kind} {name} AS {_columns(columns, number)} FROM {qualified(schema, table)} WITH NO DATA",
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
    )


def _columns(columns: Sequence[str], number: str) -> str:
    return f"SELECT {name_list(columns)}" + (f", 0::bigint AS {quote_ident(number)}" if number else "")


@dataclass(frozen=True, slots=True)
class Places:
    """Some of the staged rows, by their numbers: from the first, up to the end, but for these."""

    first: int
    end: int
    but: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StagedInsert:
    """INSERT of the staged rows, and what becomes of those whose key is there."""

    schema: str
    table: str
    columns: Sequence[str]
    key: Sequence[KeyColumn]
    #: the row that is kept of those with the same key: first or last; "" takes all rows
    keep: Literal["", "first", "last"] = ""
    #: column that tells which is first; None for the order of the rows
    order_by: str | None = None
    #: True if it gives values to an identity column that is GENERATED ALWAYS
    overriding: bool = False
    #: schema and name of the staging table, and its column that tells the order of the rows
    staging: tuple[str, str] = STAGING
    place: str = "ctid"
    #: rows that are taken, where they are numbered; None for all
    places: Places | None = None

    @property
    def staged(self) -> str:
        """The staging table's name, quoted where it has to be."""
        return f"{STAGING[0]}.{STAGING[1]}" if self.staging == STAGING else qualified(*self.staging)

    def all_rows(self) -> str:
        """Build the statement for rows that meet no others."""
        return self._insert()

    def doubled_keys(self) -> str:
        """Ask whether rows have the same key: a row if there are such."""
        return (
            f"SELECT 1 FROM {self.staged} GROUP BY {_grouped(self.key)}"  # noqa: S608 - names are quoted
            " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1 LIMIT 1"
        )

    def doubled_rows(self, limit: int) -> str:
        """Ask which rows have one key: the first such row's place, the row's own, its number (from 1), the key as text.

        This numbers all rows, which takes its time: it is for the message.
        """
        names = [f"k{number}" for number in range(len(self.key))]
        texts = ", ".join(f"pg_catalog.format('%s', {quote_ident(column.name)})" for column in self.key)
        numbered = (
            f"SELECT {texts}, {self.place}, pg_catalog.row_number() OVER (ORDER BY {self.place}),"  # noqa: S608 - quoted
            f" pg_catalog.count(*) OVER (PARTITION BY {_grouped(self.key)}),"
            f" pg_catalog.min({self.place}) OVER (PARTITION BY {_grouped(self.key)}) FROM {self.staged}"
        )
        return (
            f"SELECT first_place::pg_catalog.text, place::pg_catalog.text, row_number, {', '.join(names)}"  # noqa: S608
            f" FROM ({numbered}) AS numbered({', '.join(names)}, place, row_number, row_count, first_place)"
            f" WHERE row_count OPERATOR(pg_catalog.>) 1 ORDER BY first_place, row_number LIMIT {limit:d}"
        )

    def delete_missing(self, *, only: bool) -> str:
        """Build DELETE of the rows whose key is not staged; `only` leaves the tables that inherit as they are."""
        target = f"{'ONLY ' if only else ''}{qualified(self.schema, self.table)}"
        same = _same(self.key, _NEW, _TABLE)
        return (
            f"DELETE FROM {target} AS {_TABLE} WHERE NOT EXISTS ("  # noqa: S608 - names are quoted
            f"SELECT FROM {self.staged} AS {_NEW} WHERE {same})"
        )

    def do_nothing(self) -> str:
        """Build the statement that leaves them as they are."""
        return f"{self._on_conflict()} DO NOTHING"

    def do_update(self, columns: Sequence[str]) -> str:
        """Build the statement that updates these columns, where the row's image would change.

        IS DISTINCT FROM would skip 12.3 to 12.30, fail on json, and call the user's `=`.
        """
        sets = ", ".join(f"{quote_ident(name)} = EXCLUDED.{quote_ident(name)}" for name in columns)
        before, after = (
            ", ".join(f"{alias}.{quote_ident(name)}" for name in columns) for alias in (_TABLE, "EXCLUDED")
        )
        differs = f"ROW({before})::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW({after})::pg_catalog.record"
        return f"{self._on_conflict()} DO UPDATE SET {sets} WHERE {differs}"

    def do_update_counted(self, columns: Sequence[str], server_version: int) -> str:
        """Build `do_update` as a query of how many rows are new, and how many were updated.

        Before PostgreSQL 18 a new row's xmax tells it, which a partitioned table does not give.
        """
        is_new = f"WITH (OLD AS {_OLD}) {_OLD}.{quote_ident(self.key[0].name)} IS NULL"
        if server_version < _RETURNS_OLD:
            is_new = f"{_TABLE}.xmax OPERATOR(pg_catalog.=) 0"
        return (
            f"WITH written AS ({self.do_update(columns)} RETURNING {is_new} AS is_new)"  # noqa: S608
            " SELECT pg_catalog.count(*) FILTER (WHERE is_new), pg_catalog.count(*) FILTER (WHERE NOT is_new)"
            " FROM written"
        )

    def do_nothing_and_unstage(self) -> str:
        """Build `do_nothing` as a query: how many rows are new, and how many have left the staging table with them."""
        keys = name_list([column.name for column in self.key])
        return (
            f"WITH written AS ({self.do_nothing()} RETURNING {keys}), unstaged AS ("  # noqa: S608 - names are quoted
            f"DELETE FROM {self.staged} AS {_NEW} USING written WHERE {_same(self.key, _NEW, 'written')} RETURNING 1)"
            " SELECT (SELECT pg_catalog.count(*) FROM written), (SELECT pg_catalog.count(*) FROM unstaged)"
        )

    def _on_conflict(self) -> str:
        keys = name_list([column.name for column in self.key])
        order = f" ORDER BY {_grouped(self.key)}, {self._order()}" if self.keep else ""
        return f"{self._insert()}{order} ON CONFLICT ({keys})"

    def _insert(self) -> str:
        distinct = f"DISTINCT ON ({_grouped(self.key)}) " if self.keep else ""
        overriding = " OVERRIDING SYSTEM VALUE" if self.overriding else ""
        names = name_list(self.columns)
        return (
            f"INSERT INTO {qualified(self.schema, self.table)} AS {_TABLE} ({names}){overriding}"  # noqa: S608
            f" SELECT {distinct}{names} FROM {self.staged}{self._taken()}"
        )

    # --- Where rows are numbered: some of them -------------------------------------------------------------

    def part(self, places: Places) -> StagedInsert:
        """Return the insert of some of the rows, among which no two have the same key."""
        return replace(self, keep="", places=places)

    def index_places(self) -> str:
        """Build the index by which some of the rows are looked up."""
        return f"CREATE INDEX ON {self.staged} ({self.place})"

    def extent(self) -> str:
        """Ask how many rows are staged, and for the first and the last place."""
        of_place = f"pg_catalog.min({self.place}), pg_catalog.max({self.place})"
        return f"SELECT pg_catalog.count(*), {of_place} FROM {self.staged}"  # noqa: S608 - names are quoted

    def place_at(self, places: Places, index: int) -> str:
        """Ask for the place of one of some rows, by its index among them, from 0."""
        rows = replace(self, places=places)._taken()
        return f"SELECT {self.place} FROM {self.staged}{rows} ORDER BY 1 OFFSET {index:d} LIMIT 1"  # noqa: S608

    def delete_places(self, places: Iterable[int]) -> str:
        """Build DELETE of staged rows."""
        return f"DELETE FROM {self.staged} WHERE {self.place} OPERATOR(pg_catalog.=) ANY ({_array(places)})"  # noqa: S608

    def delete_superseded(self) -> str:
        """Build DELETE of the staged rows that are not the ones to be kept of those with the same key."""
        return (
            f"DELETE FROM {self.staged} AS {_NEW} WHERE NOT EXISTS (SELECT FROM ("  # noqa: S608 - names are quoted
            f"SELECT DISTINCT ON ({_grouped(self.key)}) {self.place} FROM {self.staged}"
            f" ORDER BY {_grouped(self.key)}, {self._order()}) AS kept(place)"
            f" WHERE kept.place OPERATOR(pg_catalog.=) {_NEW}.{self.place})"
        )

    def _taken(self) -> str:
        """Return the condition for the rows that are taken, with WHERE before it."""
        if self.places is None:
            return ""
        places, place = self.places, self.place
        but = f" AND {place} OPERATOR(pg_catalog.<>) ALL ({_array(places.but)})" if places.but else ""
        return (
            f" WHERE {place} OPERATOR(pg_catalog.>=) '{places.first:d}'::bigint"
            f" AND {place} OPERATOR(pg_catalog.<) '{places.end:d}'::bigint{but}"
        )

    def _order(self) -> str:
        """Return what decides between rows of one key, as ORDER BY has it."""
        direction = " DESC" if self.keep == "last" else ""
        column = "" if self.order_by is None else f"{quote_ident(self.order_by)}{direction} NULLS LAST, "
        return f"{column}{self.place}{direction}"


def _array(numbers: Iterable[int]) -> str:
    return f"'{{{','.join(f'{number:d}' for number in numbers)}}}'::bigint[]"


def _grouped(key: Sequence[KeyColumn]) -> str:
    return ", ".join(quote_ident(column.name) + column.collate for column in key)


def _same(key: Sequence[KeyColumn], left: str, right: str) -> str:
    """Build the comparison of the key's columns in two tables, as the index compares them."""
    pairs = [
        f"{left}.{name}{column.collate} OPERATOR({column.equals}) {right}.{name}{column.collate}"
        for column in key
        for name in [quote_ident(column.name)]
    ]
    return " AND ".join(pairs)
