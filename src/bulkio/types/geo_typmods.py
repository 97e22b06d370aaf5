"""What the typmod of a PostGIS type says: shape and SRID. Source: PostGIS liblwgeom.h.in, TYPMOD_GET_*."""

from __future__ import annotations

__all__ = ["SRID_MAX", "spell_typmod", "typmod_shape", "typmod_srid"]

#: SRID_MAXIMUM
SRID_MAX = 999999

# liblwgeom's type numbers, from 0
_SHAPES = (
    "Geometry",
    "Point",
    "LineString",
    "Polygon",
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
    "GeometryCollection",
    "CircularString",
    "CompoundCurve",
    "CurvePolygon",
    "MultiCurve",
    "MultiSurface",
    "PolyhedralSurface",
    "Triangle",
    "Tin",
)


def typmod_srid(typmod: int) -> int:
    """Return the SRID in the typmod of a geometry or geography; 0 for none."""
    return ((typmod & 0x0FFFFF00) - (typmod & 0x10000000)) >> 8


def typmod_shape(typmod: int) -> str:
    """Return the name of the shape that a typmod asks for; that of any shape where it asks for none."""
    number = (typmod & 0xFC) >> 2
    return _SHAPES[number] if number < len(_SHAPES) else _SHAPES[0]


def spell_typmod(typmod: int) -> str:
    """Spell the typmod of a geometry or geography as DDL does.

    >>> spell_typmod(1107462), spell_typmod(-1)
    ('(PointZ,4326)', '')
    """
    if typmod < 0:
        return ""
    shape = typmod_shape(typmod) + ("Z" if typmod & 2 else "") + ("M" if typmod & 1 else "")
    srid = typmod_srid(typmod)
    return f"({shape},{srid})" if srid else f"({shape})"
