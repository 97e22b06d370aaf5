"""geometry and geography of PostGIS <-> (E)WKB.

Wire format: PostGIS's liblwgeom/lwin_wkb.c, lwgeom_from_wkb_state (https://libgeos.org/specifications/wkb/ tells the
same in prose).
"""

from libc.math cimport isnan
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.strings cimport BytesDecoder, BytesEncoder, append_value
from bulkio.pgcopy.wire cimport FIELD_MAX, Out, State, Status, get32, get64, put32, put_bytes, reserve, wrong_length

from bulkio.types.geo import fixed_srid, holds_points_only

cdef enum:
    WKB_HEADER = 5  # byte order, type
    # the flags of EWKB's type; ISO's WKB adds 1000 for Z and 2000 for M
    WKB_Z = 0x80000000
    WKB_M = 0x40000000
    WKB_SRID = 0x20000000
    WKB_FLAGS = 0xF0000000
    SRID_MAX = 999999
    # geometries inside each other; PostGIS's LW_PARSER_MAX_DEPTH is one more, and is not reached
    WKB_MAX_DEPTH = 199

cdef enum WkbType:
    POINT = 1
    LINESTRING = 2
    POLYGON = 3
    MULTIPOINT = 4
    GEOMETRYCOLLECTION = 7
    CIRCULARSTRING = 8
    COMPOUNDCURVE = 9
    MULTISURFACE = 12
    POLYHEDRALSURFACE = 15
    TIN = 16
    TRIANGLE = 17


cdef struct Wkb:
    # What is left to read, and what is wanted and found.
    uint8_t* pos
    uint8_t* end
    bint geodetic  # coordinates are degrees: PostGIS moves others into range, with no more than a notice
    bint to_iso  # rewrite EWKB's type codes as ISO's, in place
    bint strict  # refuse what PostGIS refuses of WKB, though not of its hexadecimal digits
    bint points_only  # no multipoint: of an empty one PostGIS would make a point
    int32_t srid  # of the outermost geometry, 0 where it has none


cdef inline uint32_t wkb_int(const uint8_t* p, bint little) noexcept nogil:
    cdef uint32_t value
    if not little:
        return <uint32_t>get32(p)
    memcpy(&value, p, 4)
    return value


cdef inline double wkb_double(const uint8_t* p, bint little) noexcept nogil:
    cdef int64_t bits
    cdef double value
    if little:
        memcpy(&value, p, 8)
    else:
        bits = get64(p)
        memcpy(&value, &bits, 8)
    return value


cdef inline void put_wkb_int(uint8_t* p, uint32_t value, bint little) noexcept nogil:
    if little:
        memcpy(p, &value, 4)
    else:
        put32(p, value)


cdef int walk_points(Wkb* wkb, uint64_t count, int axes, bint little) noexcept nogil:
    """Pass over points; Status.OUT_OF_RANGE where PostGIS would move one of them."""
    cdef double x, y
    cdef uint64_t i
    if count > <uint64_t>(wkb.end - wkb.pos) // (8 * axes):
        return Status.BAD_SYNTAX
    if wkb.geodetic:
        for i in range(count):
            x = wkb_double(wkb.pos + 8 * axes * i, little)
            y = wkb_double(wkb.pos + 8 * axes * i + 8, little)
            if x < -180 or x > 180 or y < -90 or y > 90:
                return Status.OUT_OF_RANGE
    wkb.pos += 8 * axes * count
    return Status.OK


cdef int walk_point(Wkb* wkb, int axes, bint little) noexcept nogil:
    """Pass over one point. One whose x and y are NaN is the empty point, which has no other coordinates either."""
    cdef const uint8_t* point = wkb.pos
    cdef int i
    cdef int status = walk_points(wkb, 1, axes, little)
    if status == Status.OK and isnan(wkb_double(point, little)) and isnan(wkb_double(point + 8, little)):
        for i in range(2, axes):
            if not isnan(wkb_double(point + 8 * i, little)):
                return Status.BAD_SYNTAX
    return status


cdef int walk_line(Wkb* wkb, uint32_t kind, int axes, bint little) noexcept nogil:
    """Pass over a line, a curve, or a ring of a polygon or triangle, with the points that PostGIS asks of each."""
    cdef uint32_t count
    cdef const uint8_t* first
    cdef int status = take_count(wkb, &count, little)
    if status:
        return status
    first = wkb.pos
    status = walk_points(wkb, count, axes, little)
    if status or not wkb.strict:
        return status
    if kind == WkbType.LINESTRING:
        return Status.BAD_SYNTAX if count == 1 else Status.OK
    if kind == WkbType.CIRCULARSTRING:
        return Status.BAD_SYNTAX if count and (count < 3 or count % 2 == 0) else Status.OK
    if count < 4 or (kind == WkbType.POLYGON and memcmp(first, wkb.pos - 8 * axes, 16) != 0):  # not closed
        return Status.BAD_SYNTAX
    return Status.OK


cdef inline int take_count(Wkb* wkb, uint32_t* count, bint little) noexcept nogil:
    if wkb.end - wkb.pos < 4:
        return Status.BAD_SYNTAX
    count[0] = wkb_int(wkb.pos, little)
    wkb.pos += 4
    return Status.OK


cdef int walk_parts(Wkb* wkb, uint32_t kind, uint32_t zm, int depth, bint little) noexcept nogil:
    """Pass over what follows a geometry's header. `zm` is 1 for Z, 2 for M, 3 for both."""
    cdef uint32_t count, _i
    cdef int status
    cdef int axes = 2 + (zm & 1) + (zm >> 1)
    if kind == WkbType.POINT:
        return walk_point(wkb, axes, little)
    if kind == WkbType.LINESTRING or kind == WkbType.CIRCULARSTRING:
        return walk_line(wkb, kind, axes, little)
    status = take_count(wkb, &count, little)
    if status:
        return status
    for _i in range(count):
        if kind == WkbType.POLYGON or kind == WkbType.TRIANGLE:
            status = walk_line(wkb, kind, axes, little)
        else:
            status = walk_geometry(wkb, <int>zm, depth + 1)
        if status:
            return status
    return Status.OK


cdef int walk_geometry(Wkb* wkb, int wanted_zm, int depth) noexcept nogil:
    """Pass over one geometry. A part must have its whole's axes (`wanted_zm`; -1 for the outermost) and SRID.

    PostGIS drops another SRID of a part in silence.
    """
    cdef uint8_t* header = wkb.pos
    cdef uint32_t code, kind, zm
    cdef int32_t srid = 0
    cdef bint little
    if depth >= WKB_MAX_DEPTH or wkb.end - wkb.pos < WKB_HEADER or header[0] > 1:
        return Status.BAD_SYNTAX
    little = header[0] == 1
    code = wkb_int(header + 1, little)
    wkb.pos += WKB_HEADER
    if code & WKB_SRID:
        if wkb.end - wkb.pos < 4:
            return Status.BAD_SYNTAX
        srid = <int32_t>wkb_int(wkb.pos, little)
        wkb.pos += 4
        if not 0 <= srid <= SRID_MAX:
            return Status.BAD_SYNTAX
    if depth == 0:
        wkb.srid = srid
    elif code & WKB_SRID and srid != wkb.srid:
        return Status.WRONG_SRID
    zm = (1 if code & WKB_Z else 0) | (2 if code & WKB_M else 0)
    kind = code & ~<uint32_t>(WKB_Z | WKB_M | WKB_SRID)
    if kind >= 4000:
        return Status.BAD_SYNTAX
    zm |= kind // 1000
    kind %= 1000
    if (
        not WkbType.POINT <= kind <= WkbType.MULTISURFACE
        and not WkbType.POLYHEDRALSURFACE <= kind <= WkbType.TRIANGLE
    ):
        return Status.BAD_SYNTAX
    if wanted_zm >= 0 and zm != <uint32_t>wanted_zm:
        return Status.BAD_SYNTAX
    if wkb.points_only and depth == 0 and kind == WkbType.MULTIPOINT:
        return Status.BAD_SYNTAX
    if wkb.to_iso:  # where the outermost has an SRID still, it keeps that flag
        put_wkb_int(header + 1, kind + 1000 * zm, little)
    return walk_parts(wkb, kind, zm, depth, little)


cdef class GeometryEncoder(BytesEncoder):
    """WKB or EWKB in any layout of binaries -> geometry, geography, with the column's SRID where it has one.

    PostGIS ignores what follows the geometry, so this looks at every byte.
    """

    cdef int32_t srid
    cdef bint geodetic, points_only

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.points_only = holds_points_only(cast.pg)
        self.geodetic = cast.pg.codec == "geography"
        # in a geography without typmod, any SRID of degrees may be
        self.srid = (fixed_srid(cast.pg) or 0) if cast.pg.typmod >= 0 else 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef Wkb wkb = Wkb(<uint8_t*>data, <uint8_t*>data + n, self.geodetic, False, True, self.points_only, 0)
        cdef int status
        if n > FIELD_MAX - 4:
            return Status.FIELD_TOO_BIG
        status = walk_geometry(&wkb, -1, 0)
        if status:
            return status
        if wkb.pos != wkb.end:
            return Status.BAD_SYNTAX
        if self.srid and wkb.srid and wkb.srid != self.srid:
            return Status.WRONG_SRID
        return self.put_with_srid(out, data, n) if self.srid and wkb.srid == 0 else put_bytes(out, data, n)

    cdef int put_with_srid(self, Out* out, const uint8_t* data, int64_t n) noexcept nogil:
        """Append the geometry with the column's SRID behind its header, in place of a zero that it may have there."""
        cdef bint little = data[0] == 1
        cdef uint32_t code = wkb_int(data + 1, little)
        cdef int64_t skip = WKB_HEADER + (4 if code & WKB_SRID else 0)
        if reserve(out, 8 + n):
            return Status.NO_MEMORY
        put32(out.pos, <uint32_t>(WKB_HEADER + 4 + n - skip))
        out.pos[4] = data[0]
        put_wkb_int(out.pos + 5, code | <uint32_t>WKB_SRID, little)
        put_wkb_int(out.pos + 9, <uint32_t>self.srid, little)
        memcpy(out.pos + 13, data + skip, n - skip)
        out.pos += 13 + n - skip
        return Status.OK


cdef class GeometryDecoder(BytesDecoder):
    """geometry, geography -> ISO WKB where the column's type fixes the SRID, which goes into metadata; else EWKB."""

    cdef int32_t srid

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.srid = fixed_srid(cast.pg) or 0

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef size_t start = self.data.size
        cdef int32_t skip = 0
        cdef Wkb wkb
        cdef int status
        if self.srid == 0:
            return append_value(self, data, n)
        if n < WKB_HEADER:
            return wrong_length(state, WKB_HEADER, n)
        if wkb_int(data + 1, data[0] == 1) & WKB_SRID:
            skip = 4
        if n < WKB_HEADER + skip:
            return wrong_length(state, WKB_HEADER + skip, n)
        state.expected = self.srid
        state.found = <int32_t>wkb_int(data + WKB_HEADER, data[0] == 1) if skip else 0
        if state.found != self.srid:
            return Status.WRONG_SRID
        status = append_value(self, data, n - skip)
        if status:
            return status
        wkb = Wkb(self.data.data + start, self.data.data + self.data.size, False, True, False, False, 0)
        memcpy(wkb.pos + WKB_HEADER, data + WKB_HEADER + skip, n - WKB_HEADER - skip)
        put_wkb_int(wkb.pos + 1, wkb_int(data + 1, data[0] == 1) & ~<uint32_t>WKB_SRID, data[0] == 1)
        status = walk_geometry(&wkb, -1, 0)
        return Status.BAD_VALUE if status or wkb.pos != wkb.end else Status.OK


ENCODERS = {"geometry": GeometryEncoder}
DECODERS = {"geometry": GeometryDecoder}
