"""hstore, vector, halfvec and geometry, without a server: golden bytes, round trips, refusals, hostile bytes."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkio.errors import DecodeError, EncodeError, SchemaError
from bulkio.pgcopy import Decoder, Encoder, Field
from bulkio.types import PgType, cast_from_pg, cast_to_pg
from bulkio.types.geo import arrow_extension, field_metadata, field_typmod, fixed_srid, spell_typmod, with_srid

HSTORE = PgType("hstore", 70001, 70002, "hstore", "public")
VECTOR = PgType("vector", 70003, 70004, "vector", "public")
HALFVEC = PgType("halfvec", 70005, 70006, "halfvec", "public")
GEOMETRY = PgType("geometry", 70007, 70008, "geometry", "public")
GEOGRAPHY = PgType("geography", 70009, 70010, "geography", "public")
POINT_4326 = replace(GEOMETRY, typmod=(4326 << 8) | (1 << 2))

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def encode(array: pa.Array, pg: PgType) -> bytes:
    """Give the stream of one column."""
    cast = cast_to_pg(array.type, pg)
    assert cast is not None
    encoder = Encoder([Field("c", cast)])
    blocks = list(encoder.encode(pa.record_batch([array], names=["c"])))
    return b"".join(bytes(block) for block in [*blocks, encoder.finish()])


def decode(
    stream: bytes, pg: PgType, *, chunk_bytes: int | None = None, batch_bytes: int = 16 << 20
) -> pa.ChunkedArray:
    """Read a stream of one column, chunk by chunk."""
    cast = cast_from_pg(pg)
    decoder = Decoder([Field("c", cast)], pa.schema([pa.field("c", cast.arrow)]), batch_bytes=batch_bytes)
    size = chunk_bytes or max(len(stream), 1)
    for at in range(0, len(stream), size):
        decoder.feed(stream[at : at + size])
    batches = [pa.record_batch(batch) for batch in decoder.finish()]
    for batch in batches:
        batch.validate(full=True)
    return pa.chunked_array([batch.column(0) for batch in batches], cast.arrow)


def field_of(value: bytes) -> bytes:
    """Give a stream of one row with this field."""
    return HEADER + b"\0\1" + struct.pack(">i", len(value)) + value + TRAILER


# --- hstore --------------------------------------------------------------------------------------------------

GOLDEN_HSTORE = bytes.fromhex("00000002 00000001 61 00000001 31 00000001 62 ffffffff")  # '"a"=>"1", "b"=>NULL'
MAP = pa.map_(pa.string(), pa.string())


def maps(values: list[object], arrow: pa.DataType = MAP) -> pa.Array:
    return pa.array(values, arrow)


def test_hstore_golden() -> None:
    """The bytes are those of hstore_send, and come back."""
    stream = encode(maps([[("a", "1"), ("b", None)]]), HSTORE)
    assert stream == field_of(GOLDEN_HSTORE)
    assert decode(stream, HSTORE).to_pylist() == [[("a", "1"), ("b", None)]]


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)


@given(st.lists(st.none() | st.dictionaries(TEXTS, st.none() | TEXTS, max_size=20)))
def test_hstore_round_trip(rows: list[dict[str, str | None] | None]) -> None:
    """Any maps of texts come back, from a slice too, however the stream is cut."""
    array = maps([None if row is None else list(row.items()) for row in rows])
    for part in (array, array[1:]):
        stream = encode(part, HSTORE)
        for chunk_bytes in (None, 1):
            assert decode(stream, HSTORE, chunk_bytes=chunk_bytes).to_pylist() == part.to_pylist()


@pytest.mark.parametrize(
    "arrow",
    [
        pa.map_(pa.large_string(), pa.string_view()),
        pa.map_(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())),
        pa.map_(pa.string(), pa.null()),
    ],
    ids=str,
)
def test_hstore_layouts(arrow: pa.DataType) -> None:
    """Keys and values may have any layout of text."""
    value = None if pa.types.is_null(arrow.item_type) else "v"
    if pa.types.is_dictionary(arrow.key_type):
        entries = [pa.array(["k", "l"]).cast(arrow.key_type), pa.array(["v", "v"]).cast(arrow.item_type)]
        array = pa.MapArray.from_arrays(pa.array([0, 0, 2], pa.int32()), *entries)
    else:
        array = maps([[], [("k", value), ("l", value)]], arrow)
    assert decode(encode(array, HSTORE), HSTORE).to_pylist() == [[], [("k", value), ("l", value)]]


@pytest.mark.parametrize("more", [0, 30])
def test_hstore_refuses_equal_keys(more: int) -> None:
    """A key that is there twice is refused, among few and among many."""
    many = [(f"key{i}", "") for i in range(more)]
    with pytest.raises(EncodeError, match=r'row 2, column "c": .* has a key twice, of which "public"."hstore"') as info:
        encode(maps([[("a", "1")], [("a", "1"), *many, ("a", "2")]]), HSTORE)
    assert (info.value.row, info.value.column) == (2, "c")


def test_hstore_refuses_null_keys_and_nul() -> None:
    """A NULL key is refused, and so is a NUL character."""
    # pyarrow makes none; in a dictionary's values it does not look
    keys = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None]))
    array = pa.MapArray.from_arrays(pa.array([0, 2], pa.int32()), keys, pa.array(["1", "2"]))
    with pytest.raises(EncodeError, match="a key that is NULL"):
        encode(array, HSTORE)
    with pytest.raises(EncodeError, match="NUL"):
        encode(maps([[("a\0", "")]]), HSTORE)


@pytest.mark.parametrize(
    "bad",
    ["", "000000", "ffffffff", "00000001", "00000001 ffffffff 00000000", "00000001 00000005 61 00000000",
     "00000001 00000001 61 fffffffe", "00000000 00", "7fffffff 00000000 00000000", "00000001 00000001 ff 00000000"],
)  # fmt: skip
def test_hstore_refuses_bad_bytes(bad: str) -> None:
    """Whatever is no hstore is a DecodeError with row and column."""
    with pytest.raises(DecodeError, match='row 1, column "c"'):
        decode(field_of(bytes.fromhex(bad)), HSTORE)


# --- vector, halfvec -----------------------------------------------------------------------------------------

FLOAT16 = st.floats(width=16, allow_nan=False, allow_infinity=False)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_vector_golden() -> None:
    """The bytes are those of vector_send and halfvec_send."""
    assert encode(pa.array([[1.0, -2.5]], pa.list_(pa.float32())), VECTOR) == field_of(
        bytes.fromhex("0002 0000 3f800000 c0200000")
    )
    assert encode(pa.array([[1.0, -2.5]], pa.list_(pa.float16(), 2)), HALFVEC) == field_of(
        bytes.fromhex("0002 0000 3c00 c100")
    )


@pytest.mark.parametrize("pg", [VECTOR, HALFVEC, replace(VECTOR, typmod=3), replace(HALFVEC, typmod=3)])
@given(data=st.data())
def test_vector_round_trip(pg: PgType, data: st.DataObject) -> None:
    """Any vectors come back bit for bit, with NULLs, from a slice, however the stream is cut."""
    element, floats = (pa.float32(), FLOAT32) if pg.codec == "vector" else (pa.float16(), FLOAT16)
    sizes = {"min_size": 3, "max_size": 3} if pg.typmod > 0 else {"min_size": 1, "max_size": 9}
    rows = data.draw(st.lists(st.none() | st.lists(floats, **sizes), max_size=9))
    layouts = [pa.list_(element), pa.large_list(element), pa.list_view(element), pa.large_list_view(element)]
    if pg.typmod > 0:
        layouts.append(pa.list_(element, 3))
    array = pa.array(rows, data.draw(st.sampled_from(layouts)))[data.draw(st.integers(0, 2)) :]
    stream = encode(array, pg)
    for chunk_bytes in (None, 1):
        back = decode(stream, pg, chunk_bytes=chunk_bytes)
        assert str(back.to_pylist()) == str(array.to_pylist())  # as text: -0.0 is not 0.0


def test_every_half_widens_exactly() -> None:
    """float16 goes into vector as the float32 of the same value: all 65,536 are tried, but for NaN and infinities."""
    halves = [struct.unpack("<e", struct.pack("<H", bits))[0] for bits in range(1 << 16)]
    finite = [x for x in halves if math.isfinite(x)]
    rows = [finite[i : i + 1000] for i in range(0, len(finite), 1000)]
    back = decode(encode(pa.array(rows, pa.list_(pa.float16())), VECTOR), VECTOR).to_pylist()
    assert str(back) == str(rows)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([1.0, None, 2.0], "an element that is NULL"),
        ([1.0, math.nan, 2.0], "a NaN or an infinity"),
        ([-math.inf, 1.0, 2.0], "a NaN or an infinity"),
        ([1.0, 2.0], "number of dimensions"),
        ([], "number of dimensions"),
    ],
)
@pytest.mark.parametrize("name", ["vector", "halfvec"])
@pytest.mark.parametrize("half", [True, False])
def test_vector_refusals(row: list[float | None], why: str, name: str, half: bool) -> None:
    """What pgvector does not take is refused with row and column."""
    pg = replace(VECTOR if name == "vector" else HALFVEC, typmod=3)
    element = pa.float16() if half or name == "halfvec" else pa.float32()
    with pytest.raises(EncodeError, match=rf'row 2, column "c": .*{why}.*"public"."{name}"\(3\)'):
        encode(pa.array([None, row], pa.list_(element)), pg)


def test_vector_of_too_many_dimensions() -> None:
    """16,000 elements go, one more does not; float32 does not go into halfvec at all."""
    encode(pa.array([[0.0] * 16000], pa.list_(pa.float32())), VECTOR)
    with pytest.raises(EncodeError, match="number of dimensions"):
        encode(pa.array([[0.0] * 16001], pa.list_(pa.float32())), VECTOR)
    assert cast_to_pg(pa.list_(pa.float32()), HALFVEC) is None
    assert cast_to_pg(pa.list_(pa.float64()), VECTOR) is None


@pytest.mark.parametrize(
    "bad",
    ["", "0003", "00030000", "0003 0000 3f800000", "0002 0000 3f800000 3f800000", "ffff 0000",
     "0003 0001 3f800000 3f800000 3f800000", "0003 0000 3f800000 3f800000 3f800000 00"],
)  # fmt: skip
def test_vector_refuses_bad_bytes(bad: str) -> None:
    """A wrong length, number of dimensions or a filled reserve is a DecodeError."""
    with pytest.raises(DecodeError, match='row 1, column "c"'):
        decode(field_of(bytes.fromhex(bad)), replace(VECTOR, typmod=3))


def test_null_vectors_end_a_batch() -> None:
    """A null of a wide vector takes its place in Arrow's memory, so it counts towards the batch's bytes."""
    stream = HEADER + (b"\0\1" + b"\xff" * 4) * 100 + TRAILER
    back = decode(stream, replace(VECTOR, typmod=16000), batch_bytes=1 << 20)
    assert len(back) == back.null_count == 100
    assert max(len(chunk) for chunk in back.chunks) <= 17


# --- geometry ------------------------------------------------------------------------------------------------


def point(*axes: float, code: int = 1, srid: int | None = None, order: str = "<") -> bytes:
    """Give the WKB of a point."""
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
        assert with_srid(wkb, 4326) == wanted
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
    whole = with_srid(collection(point(1, 2), line((1, 2), (3, 4)), POLYGON), 4326)
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


def test_a_batch_of_another_type_is_refused() -> None:
    """The elements' type is compared, too."""
    cast = cast_to_pg(pa.list_(pa.float32()), VECTOR)
    assert cast is not None
    with pytest.raises(SchemaError, match="Arrow format"):
        list(
            Encoder([Field("c", cast)]).encode(
                pa.record_batch([pa.array([[1.0]], pa.list_(pa.float16()))], names=["c"])
            )
        )
