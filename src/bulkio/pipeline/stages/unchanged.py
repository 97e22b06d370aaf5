"""Which columns of a query's result are columns of `input` as they are, as DuckDB's own parser reads the query.

DuckDB hands on values and types, but not what was recorded of a column, such as its type in PostgreSQL (jsonb,
varchar(10)) and that it has no NULL. Of a column that is merely handed on, that stays true. Where a query is not a
plain SELECT from `input` alone, nothing is known.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["unchanged_columns"]


def unchanged_columns(con: Any, text: str, names: Sequence[str]) -> list[str | None]:
    """Return for each column of the result the one of `input`, which has these names, that it is; None for others."""
    [(parsed,)] = con.execute("SELECT json_serialize_sql(?)", [text]).fetchall()
    node = json.loads(parsed)["statements"][0]["node"]
    if not _is_plain(node):
        return []
    known = {name.lower(): name for name in names}
    return [each for item in node["select_list"] for each in _columns(item, known)]


def _is_plain(node: dict[str, Any]) -> bool:
    table = node.get("from_table", {})
    return (
        node["type"] == "SELECT_NODE"
        and not node["cte_map"]["map"]
        and not node["group_expressions"]
        and not node["group_sets"]
        and table.get("type") == "BASE_TABLE"
        and table["table_name"].lower() == "input"
        and not table["column_name_alias"]
    )


def _columns(item: dict[str, Any], known: dict[str, str]) -> Iterator[str | None]:
    """Yield what an item of the select list is: one column, or, of a star, several."""
    if item["type"] == "COLUMN_REF":
        yield known.get(item["column_names"][0].lower()) if len(item["column_names"]) == 1 else None
    elif item["type"] == "STAR" and not item["columns"] and item["expr"] is None:
        left_out = {name.lower() for name in item["exclude_list"]}
        replaced = {each["key"].lower() for each in item["replace_list"]}
        for lower, name in known.items():
            if lower not in left_out:
                yield None if lower in replaced else name
    else:
        yield None
