"""geometry and geography, without a server: what passes, refusals, hostile bytes, typmods and metadata."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError
from bulkio.types import PgType
from bulkio.types.geo import arrow_extension, field_metadata, field_typmod, fixed_srid
from bulkio.types.geo_typmods import spell_typmod
from pgcopy.one_column import decode, encode, field_of

GEOMETRY = PgType("geometry", 70007, 70008, "geometry", "public")
GEOGRAPHY = PgType("geography", 70009, 70010, "geography", "public")
POINT_4326 = replace(GEOMETRY, typmod=(4326 << 8) | (1 << 2))


def point(*axes: float, code: int = 1, srid: int | None = None, order: str = "<") -> bytes:
    """Return the WKB of a point."""
    head = struct.pack(order + "BI", order == "<", code | (0 if srid is None else 0x20000000))
    return head + (b"" if srid is None else struct.pack(order + "I", srid)) + struct.pack(f"{order}{len(axes)}d", *axes)


def collection(*parts: bytes, code: int = 7, order: str = "<") -> bytes:
    return struct.pack(order + "BII", order == "<", code, len(parts)) + b"".join(parts)


def line(*points: tuple[float, ...], code: int = 2) -> bytes:
    return struct.pack("<BII", 1, code, len(points)) + b"".join(struct.pack(f"<{len(p)}d", *p) for p in points)


POLYGON = struct.pack("<BIII8d", 1, 3, 1, 4, 0, 0, 1, 0, 1, 1, 0, 0)
GOOD = [
    point(1, 2),
    point(1, 2, order=">"),
    point(1, 2, 3, code=1001),
    point(1, 2, 3, code=0x80000001),
    point(1, 2, 3, 4, code=0xC0000001),
    point(1, 2, 3, 4, code=3001),
    point(1, 2, srid=4326),
    point(math.nan, math.nan),
    line(),
    line((1, 2, 3), (4, 5, 6), code=2002),
    POLYGON,
    collection(),
    collection(point(1, 2), line((1, 2), (3, 4)), collection(POLYGON)),
    collection(point(1, 2, 3, code=1001), code=0x80000007),
    collection(point(1, 2), point(3, 4), code=4, order=">"),
]


def binaries(*values: bytes) -> pa.Array:
    return pa.array(values, pa.binary())


@pytest.mark.parametrize("wkb", GOOD, ids=bytes.hex)
def test_geometry_passes_unchanged(wkb: bytes) -> None:
    """Without an SRID in the column's type, the bytes go and come as they are."""
    assert encode(binaries(wkb), GEOMETRY) == field_of(wkb)
    assert decode(field_of(wkb), GEOMETRY).to_pylist() == [wkb]


@pytest.mark.parametrize("wkb", GOOD, ids=bytes.hex)
def test_geometry_takes_every_cut_as_an_error(wkb: bytes) -> None:
    """No proper beginning of a geometry is one, and neither is one with a byte more."""
    for bad in [*(wkb[:n] for n in range(len(wkb))), wkb + b"\0"]:
        with pytest.raises(EncodeError, match=r'row 1, column "c": .* is not a valid "public"."geometry"'):
            encode(binaries(bad), GEOMETRY)


BAD = [
    b"\2" + point(1, 2)[1:],  # byte order
    point(1, 2, code=0),
    point(1, 2, code=13),  # an old number of PostGIS's, by now another type
    point(1, 2, code=18),
    point(1, 2, code=4001),
    point(1, 2, code=0x10000001),
    point(1, 2, srid=1_000_000),  # PostGIS maps it into its range
    point(1, 2, srid=0x80000001),
    point(math.nan, math.nan, 3, code=1001),  # PostGIS makes it empty
    struct.pack("<BII", 1, 2, 0xFFFFFFFF),
    struct.pack("<BIII", 1, 3, 1, 0x7FFFFFFF),
    struct.pack("<BII", 1, 7, 0xFFFFFFFF),
    collection(point(1, 2, 3, code=1001)),  # parts of other axes
    collection(point(1, 2, 3, code=2001), code=1007),
]


@pytest.mark.parametrize("wkb", BAD, ids=bytes.hex)
def test_geometry_refuses_garbage(wkb: bytes) -> None:
    """What is no (E)WKB, or would change in PostGIS, is refused with row and column."""
    with pytest.raises(EncodeError, match=r'row 2, column "c": .* is not a valid "public"."geometry"'):
        encode(binaries(point(1, 2), wkb), GEOMETRY)


def test_geometry_depth_is_limited() -> None:
    """Collections in collections go as deep as PostGIS takes them, and not deeper."""
    wkb = point(1, 2)
    for _ in range(198):
        wkb = collection(wkb)
    encode(binaries(wkb), GEOMETRY)
    with pytest.raises(EncodeError, match="not a valid"):
        encode(binaries(collection(wkb)), GEOMETRY)


@pytest.mark.parametrize("order", ["<", ">"])
def test_geometry_gets_the_columns_srid(order: str) -> None:
    """WKB without an SRID, or with zero, gets the column's; another is refused, also inside."""
    wanted = point(1, 2, srid=4326, order=order)
    for wkb in (point(1, 2, order=order), point(1, 2, srid=0, order=order), wanted):
        assert encode(binaries(wkb), POINT_4326) == field_of(wanted)
    with pytest.raises(EncodeError, match=r'another SRID than "public"."geometry"\(Point,4326\)'):
        encode(binaries(point(1, 2, srid=3857, order=order)), POINT_4326)
    with pytest.raises(EncodeError, match="another SRID"):
        encode(binaries(collection(point(1, 2, srid=3857, order=order))), GEOMETRY)


def test_geometry_layouts() -> None:
    """Every layout of binaries goes."""
    for arrow in (pa.large_binary(), pa.binary_view(), pa.binary(21)):
        array = (
            pa.array([None, point(1, 2)]).cast(pa.binary()).cast(arrow)
            if arrow != pa.binary(21)
            else pa.array([None, point(1, 2)], arrow)
        )
        assert decode(encode(array, GEOMETRY), GEOMETRY).to_pylist() == [None, point(1, 2)]


@pytest.mark.parametrize("axes", [(180.5, 0.0), (-180.1, 0.0), (0.0, 90.1), (0.0, -math.inf)])
def test_geography_refuses_what_postgis_would_move(axes: tuple[float, float]) -> None:
    """Degrees out of range would be moved into it, with no more than a notice."""
    with pytest.raises(EncodeError, match="out of range"):
        encode(binaries(line((0.0, 0.0), axes)), GEOGRAPHY)
    encode(binaries(line((0.0, 0.0), axes)), GEOMETRY)


def test_geometry_decodes_to_iso_where_the_srid_is_fixed() -> None:
    """The SRID goes, as it stands in the metadata; Z and M are spelled as ISO does, at every level."""
    ewkb = collection(point(1, 2, 3, code=0x80000001), point(1, 2, 3, code=0x80000001), code=0xA0000007)
    ewkb = ewkb[:5] + struct.pack("<I", 4326) + ewkb[5:]
    iso = collection(point(1, 2, 3, code=1001), point(1, 2, 3, code=1001), code=1007)
    pg = replace(GEOMETRY, typmod=4326 << 8)
    for chunk_bytes in (None, 1):
        assert decode(field_of(ewkb), pg, chunk_bytes=chunk_bytes).to_pylist() == [iso]
    back = point(1, 2, srid=4326)
    assert decode(field_of(back), GEOGRAPHY).to_pylist() == [point(1, 2)]


@pytest.mark.parametrize("wkb", [b"", b"\1", b"\1\1\0\0\x20", point(1, 2), point(1, 2, srid=4267)], ids=bytes.hex)
def test_geometry_refuses_bad_bytes_from_the_server(wkb: bytes) -> None:
    """Damaged bytes and other SRIDs than the fixed one are DecodeErrors; so is every cut."""
    with pytest.raises(DecodeError, match='row 1, column "c"'):
        decode(field_of(wkb), POINT_4326)


def test_geometry_refuses_cut_bytes_from_the_server() -> None:
    """No beginning of a geometry is decoded where it is looked into."""
    parts = collection(point(1, 2), line((1, 2), (3, 4)), POLYGON)[5:]
    whole = struct.pack("<BII", 1, 0x20000007, 4326) + parts
    for n in range(len(whole)):
        with pytest.raises(DecodeError):
            decode(field_of(whole[:n]), POINT_4326)


@given(st.binary(max_size=60), st.integers(0, 4))
def test_geometry_survives_noise(noise: bytes, kind: int) -> None:
    """Random bytes behind a plausible header are taken or refused, never more."""
    wkb = struct.pack("<BI", 1, (1, 2, 3, 7, 0x20000007)[kind]) + noise
    try:
        stream = encode(binaries(wkb), GEOMETRY)
    except EncodeError:
        return
    assert stream == field_of(wkb)


# --- typmods and metadata ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typmod", "spelled", "srid"),
    [
        (-1, "", None),
        (4, "(Point)", None),
        (1107460, "(Point,4326)", 4326),
        (1107463, "(PointZM,4326)", 4326),
        (999999 << 8, "(Geometry,999999)", 999999),
        (13 << 2 | 2, "(PolyhedralSurfaceZ)", None),
    ],
)
def test_geometry_typmods(typmod: int, spelled: str, srid: int | None) -> None:
    """A typmod is read as PostGIS writes it."""
    assert spell_typmod(typmod) == spelled
    assert fixed_srid(replace(GEOMETRY, typmod=typmod)) == srid


def test_geoarrow_metadata() -> None:
    """A fixed SRID is in the field's metadata, from where a load reads it again."""
    assert field_metadata(GEOMETRY) == {} == field_metadata(replace(GEOMETRY, typmod=4))
    metadata = field_metadata(POINT_4326)
    assert metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"
    assert json.loads(metadata[b"ARROW:extension:metadata"]) == {"crs": "EPSG:4326", "crs_type": "authority_code"}
    field = pa.field("g", pa.binary(), metadata=metadata)
    assert (arrow_extension(field), field_typmod(field)) == ("geometry", 4326 << 8)
    spherical = pa.field("g", pa.binary(), metadata=field_metadata(GEOGRAPHY))
    assert (arrow_extension(spherical), field_typmod(spherical)) == ("geography", 4326 << 8)
    esri = pa.field("g", pa.binary(), metadata=field_metadata(replace(GEOMETRY, typmod=102100 << 8)))
    assert field_typmod(esri) == 102100 << 8
    assert arrow_extension(pa.field("b", pa.binary())) is None


@pytest.mark.parametrize(
    ("about", "typmod"),
    [
        ("", -1),
        ("not json", -1),
        ("[]", -1),
        ('{"crs": null}', -1),
        ('{"crs": "OGC:CRS84"}', 4326 << 8),
        ('{"crs": {"id": {"authority": "EPSG", "code": 3857}}}', 3857 << 8),
        ('{"crs": {"id": {"authority": "IAU", "code": 3857}}}', -1),
        ('{"crs": {"name": "my own"}}', -1),
        ('{"crs": "EPSG:1000000"}', -1),
    ],
)
def test_foreign_geoarrow_metadata(about: str, typmod: int) -> None:
    """The CRS of other writers is understood where it is an EPSG code, and else left alone."""
    metadata = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": about}
    field = pa.field("g", pa.binary(), metadata=metadata)
    assert arrow_extension(field) == "geometry"
    assert field_typmod(field) == typmod


UNCLOSED = struct.pack("<BIII8d", 1, 3, 1, 4, 0, 0, 1, 0, 1, 1, 5, 5)
TRIANGLE = struct.pack("<BIII6d", 1, 17, 1, 3, 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "wkb",
    [line((1, 2)), UNCLOSED, TRIANGLE, line((1, 2), code=8), line((0, 0), (1, 1), code=8), collection(line((1, 2)))],
)
def test_what_postgis_refuses_of_wkb_alone(wkb: bytes) -> None:
    """It takes these as hexadecimal digits: so that no method differs from another, they are refused here."""
    with pytest.raises(EncodeError, match="is not a valid"):
        encode(binaries(wkb), GEOMETRY)
    assert decode(field_of(wkb), GEOMETRY)[0].as_py() == wkb


def test_columns_of_points_take_no_multipoint() -> None:
    """PostGIS makes POINT EMPTY of an empty one, in silence."""
    for wkb in (collection(code=4), collection(point(math.nan, math.nan), code=4)):
        with pytest.raises(EncodeError, match="is not a valid"):
            encode(binaries(wkb), POINT_4326)
        encode(binaries(wkb), GEOMETRY)
