"""What both kinds of plan share: how columns are shown, and how all faults are told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import ConfigError, SchemaError
from bulkio.show import did_you_mean, show_name, show_option, show_type, show_value
from bulkio.types import ARRAY, arrow_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from bulkio.pgcopy import Field
    from bulkio.types import Charset, PgType, Policies

__all__ = ["misfit", "refuse", "refuse_changed", "refuse_odd_dimensions", "unlike"]


def refuse(faults: Sequence[tuple[str, str]], what: str) -> None:
    """Raise one SchemaError for all the columns at fault."""
    if faults:
        lines = "".join(f"\n  {show_name(name)}: {fault}" for name, fault in faults)
        raise SchemaError(f"{what}:{lines}", columns=tuple(name for name, _ in faults))


def misfit(arrow: pa.Field, pg: PgType, type_name: str) -> str:
    """Say that a source's column does not go into a type, and what to do."""
    nested = arrow_kind(arrow.type) == "list" and arrow_kind(arrow.type.value_type) == "list"
    deep = nested and pg.codec == ARRAY and pg.dimensions == 1
    mend = f"say how many dimensions it has ({show_option('dimensions')})" if deep else "cast it in the source first"
    return f"Arrow's {show_type(arrow.type)} does not go into {show_type(type_name)} unchanged: {mend}"


def unlike(arrow: pa.Field) -> str:
    """Say that there is no type for a source's column, and what to do."""
    return f"no PostgreSQL type is like Arrow's {show_type(arrow.type)}: ask for one with {show_option('types')}"


def refuse_changed(charset: Charset, texts: Iterable[str], what: str) -> None:
    """Refuse text for SQL with a character that the database's encoding would make another one of.

    Raises:
        ConfigError: with the text and the character.
    """
    for text in texts:
        if char := charset.first_changed(text):
            raise ConfigError(
                f"{what} {show_value(text)} has the character {show_value(char)}, which the database's encoding,"
                f" {charset.name}, does not keep: the server would take it for another one"
            )


def refuse_odd_dimensions(policies: Policies, fields: Sequence[Field], where: str) -> None:
    """Refuse dimensions of columns that do not exist or are not arrays."""
    types = {field.name: field.cast.pg for field in fields}
    faults = [
        (name, f"dimensions names it; {did_you_mean(name, types)}".rstrip("; "))
        for name in policies.dimensions
        if name not in types
    ]
    refuse(faults, f"{where} has no such columns")
    faults = [
        (name, f"{show_type(types[name].sql)} is not an array")
        for name, number in policies.dimensions.items()
        if number > 1 and types[name].element is None
    ]
    refuse(faults, "dimensions are for arrays")
