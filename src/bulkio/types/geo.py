"""PostGIS types: what a typmod says, what geoarrow.wkb's metadata says, and the SRID in EWKB.

Sources: PostGIS liblwgeom.h.in, TYPMOD_GET_*; https://geoarrow.org/extension-types. A column whose type fixes the SRID
travels as ISO WKB with the CRS in the field's metadata; in any other each value keeps its own SRID, as EWKB.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bulkio.types.geo_typmods import SRID_MAX, typmod_shape, typmod_srid

if TYPE_CHECKING:
    import pyarrow as pa

    from bulkio.types.pgtypes import PgType

__all__ = [
    "arrow_extension",
    "field_metadata",
    "field_typmod",
    "fixed_srid",
    "holds_points_only",
]

EXTENSION_NAME_KEY = b"ARROW:extension:name"
EXTENSION_METADATA_KEY = b"ARROW:extension:metadata"
GEOARROW_WKB = b"geoarrow.wkb"

#: the SRID of a geography that says nothing else
WGS84 = 4326
#: EPSG's codes end here (https://epsg.org, policy on codes); above are ESRI's, and users' own
EPSG_MAX = 32767


def fixed_srid(pg: PgType) -> int | None:
    """Return the SRID that every value of the column has; None where each value has its own.

    A geography without typmod counts as 4326, what PostGIS makes of a value that says nothing; another is found, and
    refused, when it is read.
    """
    if pg.codec not in ("geometry", "geography"):
        return None
    if pg.typmod >= 0:
        return typmod_srid(pg.typmod) or None
    return WGS84 if pg.codec == "geography" else None


def holds_points_only(pg: PgType) -> bool:
    """Tell whether a column's typmod is a point's: there PostGIS makes a point of an empty multipoint, too."""
    return pg.codec in ("geometry", "geography") and pg.typmod >= 0 and typmod_shape(pg.typmod) == "Point"


def field_metadata(pg: PgType) -> dict[bytes, bytes]:
    """Return the metadata of the Arrow field that a column of type `pg` becomes; none where no one SRID is fixed."""
    srid = fixed_srid(pg)
    if srid is None:
        return {}
    if srid <= EPSG_MAX:
        about = {"crs": f"EPSG:{srid}", "crs_type": "authority_code"}
    else:
        about = {"crs": str(srid), "crs_type": "srid"}
    if pg.codec == "geography":
        about["edges"] = "spherical"
    return {EXTENSION_NAME_KEY: GEOARROW_WKB, EXTENSION_METADATA_KEY: json.dumps(about).encode()}


def arrow_extension(field: pa.Field) -> str | None:
    """Name the PostGIS type of a field that is geoarrow.wkb, registered with pyarrow or not; None for any other."""
    if _extension_name(field) != GEOARROW_WKB:
        return None
    return "geography" if _extension_metadata(field).get("edges", "planar") != "planar" else "geometry"


def field_typmod(field: pa.Field) -> int:
    """Return the typmod that fixes the SRID which a geoarrow.wkb field's CRS names; -1 where it names none."""
    srid = _crs_srid(_extension_metadata(field).get("crs"))
    return -1 if srid is None else srid << 8


def _extension_name(field: pa.Field) -> bytes:
    name = getattr(field.type, "extension_name", None)
    return str(name).encode() if name is not None else (field.metadata or {}).get(EXTENSION_NAME_KEY, b"")


def _extension_metadata(field: pa.Field) -> dict[str, object]:
    """Read geoarrow's JSON; what is none counts as empty."""
    if hasattr(field.type, "__arrow_ext_serialize__"):
        text = field.type.__arrow_ext_serialize__()
    else:
        text = (field.metadata or {}).get(EXTENSION_METADATA_KEY, b"")
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _crs_srid(crs: object) -> int | None:
    """Read the SRID from ``EPSG:4326``, ``OGC:CRS84``, a bare SRID or PROJJSON's id; None for all else."""
    if isinstance(crs, dict):
        known = crs.get("id")
        if not isinstance(known, dict):
            return None
        crs = f"{known.get('authority')}:{known.get('code')}"
    if crs == "OGC:CRS84":
        return WGS84  # PostGIS's 4326 has the longitude first, too
    digits = str(crs).removeprefix("EPSG:")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(SRID_MAX))):
        return None
    return int(digits) if 0 < int(digits) <= SRID_MAX else None
