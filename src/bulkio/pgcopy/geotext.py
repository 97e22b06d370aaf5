"""Texts of PostGIS's geometry and geography: well-known text, GeoJSON, and EWKB in hexadecimal digits.

The server parses them (postgis/lwgeom_inout.c, geography_inout.c). In silence, or with a notice, it moves degrees into
their range, makes a point of an empty multipoint, and rounds coordinates to float8.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from bulkio.pgcopy.messages import BAD_SYNTAX, OUT_OF_RANGE, WOULD_DROP
from bulkio.pgcopy.textparts import BLANKS, RefusedError
from bulkio.types.geo import holds_points_only
from bulkio.types.geo_typmods import SRID_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio.pgcopy.textparts import TakeApart
    from bulkio.types import PgType

    Parts = Iterator[tuple[int, str | bytes]]

__all__ = ["geometry_rule"]

# the children of a geometry's cast from text
WKB, COORDINATE = 0, 1

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_SRID = re.compile(r"SRID=(\d{1,9});", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_KEYWORD = re.compile(r"[A-Za-z]+")


def geometry_rule(pg: PgType) -> TakeApart | None:
    """Return what finds the WKB or the coordinates in the texts of a type; None for a type that is not PostGIS's."""
    if pg.codec not in ("geometry", "geography"):
        return None
    geodetic, points_only = pg.codec == "geography", holds_points_only(pg)
    return lambda text: _take_apart(text.strip(BLANKS), geodetic=geodetic, points_only=points_only)


def _take_apart(text: str, *, geodetic: bool, points_only: bool) -> Parts:
    if _HEX.fullmatch(text):
        yield WKB, bytes.fromhex(text)
    elif text.startswith("{"):
        yield from _geojson(text, points_only=points_only)
    else:
        yield from _well_known_text(text, geodetic=geodetic, points_only=points_only)


def _well_known_text(text: str, *, geodetic: bool, points_only: bool) -> Parts:
    srid = _SRID.match(text)
    if srid is not None:
        if int(srid[1]) > SRID_MAX:
            raise RefusedError(OUT_OF_RANGE)
        text = text[srid.end() :].lstrip(BLANKS)
    if points_only and not text.upper().startswith("POINT"):
        raise RefusedError(BAD_SYNTAX)
    for piece in re.split("[(),]", text):
        words = piece.split()
        if all(map(_KEYWORD.fullmatch, words)):
            continue
        if not all(map(_NUMBER.fullmatch, words)):
            raise RefusedError(BAD_SYNTAX)
        if geodetic and not (abs(float(words[0])) <= 180 and (len(words) == 1 or abs(float(words[1])) <= 90)):
            raise RefusedError(OUT_OF_RANGE)
        yield from ((COORDINATE, word) for word in words)


def _geojson(text: str, *, points_only: bool) -> Parts:
    """Take the members that PostGIS reads, and no other: it would leave that out."""
    numbers: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=_Members, parse_float=numbers.append, parse_int=numbers.append)
    except (ValueError, RecursionError):
        raise RefusedError(BAD_SYNTAX) from None
    for members in _all_members(value):
        names = [name for name, _ in members]
        if len(set(names)) < len(names) or not {*names} <= {"type", "coordinates", "geometries"}:
            raise RefusedError(WOULD_DROP)
    if points_only and ("type", "Point") not in value:
        raise RefusedError(BAD_SYNTAX)
    yield from ((COORDINATE, number) for number in numbers)


class _Members(list[tuple[str, object]]):
    """A JSON object as its members, in case a name is there twice."""


def _all_members(value: object) -> Iterator[_Members]:
    if isinstance(value, _Members):
        yield value
        for _, member in value:
            yield from _all_members(member)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _all_members(item)
