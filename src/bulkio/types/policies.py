"""Policies: what happens to values that have no exact counterpart. The default is always an error.

Each is an option of the CLI and an argument of the API under the same name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from bulkio.choices import BoundsPolicy, InfinityPolicy, NanPolicy, NulPolicy, check_choice, check_number
from bulkio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_DIMENSIONS", "STRICT", "Policies", "numeric_form"]

#: PostgreSQL's MAXDIM
MAX_DIMENSIONS = 6


@dataclass(frozen=True, slots=True)
class Policies:
    """What the user allows."""

    #: policy for infinite dates and timestamps, and 24:00:00. Export: error, null, or the Arrow type's extreme as a
    #: sentinel; load: with sentinel, that extreme goes back as infinity
    infinity: InfinityPolicy = "error"
    #: policy for exporting numeric NaN and infinity as a decimal
    nan: NanPolicy = "error"
    #: policy for loading NUL characters in text: take them out, or put U+FFFD in their place
    nul: NulPolicy = "error"
    #: policy for exporting arrays whose lower bound is not 1: drop the bound
    bounds: BoundsPolicy = "error"
    #: dimensions of array columns, by column, if more than one
    dimensions: Mapping[str, int] = field(default_factory=dict)
    #: Arrow type that a numeric without precision is exported as (see `numeric_form`)
    numeric: str = "string"
    #: True if a load may lose digits: float64 into float4, floats into numeric, nanoseconds into microseconds, and
    #: numeric with fewer places
    allow_lossy: bool = False

    def __post_init__(self) -> None:
        check_choice("infinity", self.infinity, InfinityPolicy)
        check_choice("nan", self.nan, NanPolicy)
        check_choice("nul", self.nul, NulPolicy)
        check_choice("bounds", self.bounds, BoundsPolicy)
        for column, number in self.dimensions.items():
            check_number(f"dimensions[{column!r}]", number, 1, MAX_DIMENSIONS)
        numeric_form(self.numeric)

    @property
    def changes_exports(self) -> tuple[str, ...]:
        """Name the policies that let an export change values."""
        changes = {"infinity": self.infinity, "nan": self.nan, "bounds": self.bounds}
        found = [name for name, policy in changes.items() if policy != "error"]
        return tuple(found if self.numeric == "string" else [*found, "numeric"])


_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


def numeric_form(text: str) -> pa.DataType:
    """Read what numeric without precision shall become: ``string``, ``float64`` or ``decimal(p,s)``.

    >>> numeric_form("decimal(38,9)")
    Decimal128Type(decimal128(38, 9))

    Raises:
        ConfigError: it is none of these.
    """
    if text in ("string", "float64"):
        return pa.string() if text == "string" else pa.float64()
    match = _DECIMAL.fullmatch(text)
    precision, scale = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= precision <= 76 or scale > precision:
        raise ConfigError(
            f"numeric is {text!r}, and can be 'string', 'float64' or 'decimal(p,s)' with p from 1 to 76 and s up to p"
        )
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


#: The policies that make every such value an error.
STRICT = Policies()
