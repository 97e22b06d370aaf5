"""Types that extensions bring: hstore, pgvector's vector and halfvec, PostGIS's geometry and geography.

Wire formats: contrib/hstore/hstore_io.c, hstore_send; pgvector's src/{vector,halfvec}.c, the `*_send` functions; PostGIS's
liblwgeom/lwin_wkb.c, lwgeom_from_wkb_state (https://libgeos.org/specifications/wkb/ tells the same in prose).
"""

from libc.math cimport isnan
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.bytesview cimport BytesView, bind_bytes, bytes_layout, load_bytes
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array, read_cell, write_cell
from bulkio.pgcopy.strings cimport BytesDecoder, append_value, end_value
from bulkio.pgcopy.wire cimport (
    FIELD_MAX, NULL_LENGTH, Buf, Out, State, Status, append_bytes, get16, get32, get64, put16, put32, reserve, room,
    wrong_length,
)

from bulkio.pgcopy.strings import DECODERS as TEXT_DECODERS
from bulkio.types.geo import fixed_srid


cdef inline int append_end(Buf* offsets, int64_t length) noexcept nogil:
    """Append where a list or map ends, after the leading zero."""
    cdef int32_t end = <int32_t>length
    cdef int32_t zero = 0
    if length > 0x7FFFFFFF:
        return Status.BATCH_TOO_BIG
    if offsets.size == 0 and append_bytes(offsets, &zero, 4):
        return Status.NO_MEMORY
    return append_bytes(offsets, &end, 4)


# --- hstore: a count, then for each pair the key and the value as fields; 32 bits each -----------------------

cdef struct Key:
    const uint8_t* data
    int64_t size


cdef int compare_keys(const void* a, const void* b) noexcept nogil:
    """Order keys as hstore itself does: the shorter one first."""
    cdef const Key* x = <const Key*>a
    cdef const Key* y = <const Key*>b
    if x.size != y.size:
        return -1 if x.size < y.size else 1
    return memcmp(x.data, y.data, x.size)


cdef enum:
    # up to so many keys, comparing each with each is quicker than sorting
    FEW_KEYS = 12


cdef class HstoreEncoder(CellEncoder):
    """map<text, text> -> hstore.

    Of equal keys hstore would keep one in silence: they are refused. That it orders the keys is its own nature.
    """

    cdef CellEncoder map_keys, map_values
    cdef const int32_t* ends
    cdef int64_t entries_offset
    cdef Key* keys
    cdef int64_t room_for_keys

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.map_keys, self.map_values = children

    def __dealloc__(self):
        free(self.keys)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        cdef ArrowArray* entries = array.children[0]
        self.ends = <const int32_t*>array.buffers[1]
        self.entries_offset = entries.offset
        self.map_keys.bind(schema.children[0].children[0], entries.children[0])
        self.map_values.bind(schema.children[0].children[1], entries.children[1])
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t first = self.ends[self.offset + row]
        cdef int64_t end = self.ends[self.offset + row + 1]
        cdef int64_t i
        cdef size_t start, at, n
        cdef int status
        if self.make_room_for_keys(end - first) or reserve(out, 8):
            return Status.NO_MEMORY
        start = out.pos - out.start
        put32(out.pos + 4, <uint32_t>(end - first))
        out.pos += 8
        for i in range(first, end):
            at = out.pos - out.start
            status = write_cell(self.map_keys, out, self.entries_offset + i)
            if status:
                return status
            if get32(out.start + at) == NULL_LENGTH:
                return Status.NULL_KEY
            # an offset for now: the buffer may still move
            self.keys[i - first] = Key(<const uint8_t*>(at + 4), get32(out.start + at))
            status = write_cell(self.map_values, out, self.entries_offset + i)
            if status:
                return status
            n = out.pos - out.start - start - 4
            if n > FIELD_MAX:
                return Status.FIELD_TOO_BIG
        put32(out.start + start, <uint32_t>(out.pos - out.start - start - 4))
        return self.refuse_equal_keys(out.start, end - first)

    cdef int make_room_for_keys(self, int64_t n) noexcept nogil:
        cdef Key* moved
        if n > self.room_for_keys:
            moved = <Key*>realloc(self.keys, 2 * n * sizeof(Key))
            if moved == NULL:
                return Status.NO_MEMORY
            self.keys = moved
            self.room_for_keys = 2 * n
        return Status.OK

    cdef int refuse_equal_keys(self, const uint8_t* base, int64_t n) noexcept nogil:
        cdef int64_t i, j
        for i in range(n):
            self.keys[i].data = base + <size_t>self.keys[i].data
        if n > FEW_KEYS:
            qsort(self.keys, n, sizeof(Key), compare_keys)
            for i in range(1, n):
                if compare_keys(&self.keys[i - 1], &self.keys[i]) == 0:
                    return Status.DUPLICATE_KEY
            return Status.OK
        for i in range(1, n):
            for j in range(i):
                if compare_keys(&self.keys[i], &self.keys[j]) == 0:
                    return Status.DUPLICATE_KEY
        return Status.OK


cdef class EntriesDecoder(CellDecoder):
    """The struct of keys and values inside a map; `HstoreDecoder` fills its children."""

    cdef int export(self, ArrowArray* out) except -1:
        return give_array(self, out, NULL, 0)


cdef class HstoreDecoder(CellDecoder):
    """hstore -> map<string, string>."""

    cdef Buf offsets
    cdef CellDecoder entries, keys, values

    def __init__(self, cast, list children):
        self.keys = TEXT_DECODERS["text"](cast, [])
        self.values = TEXT_DECODERS["text"](cast, [])
        self.entries = EntriesDecoder(cast, [self.keys, self.values])
        super().__init__(cast, [self.entries])

    def __dealloc__(self):
        free(self.offsets.data)

    cdef int blank(self) noexcept nogil:
        return append_end(&self.offsets, self.entries.length)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef const uint8_t* end = data + n
        cdef int32_t count, i
        cdef int status
        if n < 4:
            return wrong_length(state, 4, n)
        count = get32(data)
        if count < 0:
            return Status.BAD_VALUE
        data += 4
        for i in range(count):
            if end - data >= 4 and get32(data) == NULL_LENGTH:  # a key is never NULL
                return Status.BAD_VALUE
            status = self.read_part(self.keys, &data, end, state)
            if status == Status.OK:
                status = self.read_part(self.values, &data, end, state)
            if status:
                return status
            self.entries.length += 1
        if data != end:
            return wrong_length(state, 0, end - data)
        return self.blank()

    cdef int read_part(
        self, CellDecoder part, const uint8_t** data, const uint8_t* end, State* state
    ) noexcept nogil:
        cdef int32_t size
        cdef int status
        if end - data[0] < 4:
            return wrong_length(state, 4, end - data[0])
        size = get32(data[0])
        data[0] += 4
        if size < NULL_LENGTH or size > end - data[0]:
            return wrong_length(state, size, end - data[0])
        status = read_cell(part, data[0], size, state)
        if size > 0:
            data[0] += size
        return status

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.offsets
        return give_array(self, out, buffers, 1)


# --- vector, halfvec: the dimensions and an unused zero, 16 bits each, then the elements ---------------------

cdef enum:
    VECTOR_HEADER = 4
    VECTOR_MAX_DIM = 16000
    # the exponents of infinities and NaNs
    FLOAT_SPECIAL = 0x7F800000
    HALF_SPECIAL = 0x7C00


cdef inline uint32_t widen_half(uint16_t bits) noexcept nogil:
    """Give the bits of the binary32 that equals a finite binary16."""
    cdef uint32_t sign = <uint32_t>(bits & 0x8000) << 16
    cdef uint32_t exponent = (bits >> 10) & 0x1F
    cdef uint32_t fraction = bits & 0x3FF
    if exponent == 0:
        if fraction == 0:
            return sign
        exponent = 1
        while not fraction & 0x400:  # a subnormal one is a normal binary32
            fraction <<= 1
            exponent -= 1  # below zero: it wraps around, and back below
        fraction &= 0x3FF
    return sign | ((exponent + 112) << 23) | (fraction << 13)


cdef class VectorEncoder(CellEncoder):
    """A list of float16 or float32, of any layout -> vector(n), halfvec(n). The server refuses NULL, NaN and infinity."""

    cdef CellEncoder elements
    cdef const void* values
    cdef const void* offsets
    cdef const void* sizes
    cdef bint wide, views, from_half, to_half
    cdef int64_t fixed_size, dimensions

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.elements = children[0]
        self.from_half = self.elements.format == b"e"
        self.to_half = cast.pg.codec == "halfvec"
        if self.to_half and not self.from_half:
            raise ValueError(f"{cast.arrow} does not go into halfvec unchanged")
        self.dimensions = cast.pg.typmod
        self.wide = self.format in (b"+L", b"+vL")
        self.views = self.format.startswith(b"+v")
        self.fixed_size = int(self.format[3:]) if self.format.startswith(b"+w:") else -1

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        if self.fixed_size < 0:
            self.offsets = array.buffers[1]
            self.sizes = array.buffers[2] if self.views else NULL
        self.values = array.children[0].buffers[1]
        return self.elements.bind(schema.children[0], array.children[0])

    cdef inline void span(self, int64_t i, int64_t* first, int64_t* size) noexcept nogil:
        """Where list `i` begins in the elements, and how long it is."""
        if self.fixed_size >= 0:
            first[0] = i * self.fixed_size
            size[0] = self.fixed_size
        elif self.wide:
            first[0] = (<const int64_t*>self.offsets)[i]
            size[0] = (<const int64_t*>self.sizes)[i] if self.views else (<const int64_t*>self.offsets)[i + 1] - first[0]
        else:
            first[0] = (<const int32_t*>self.offsets)[i]
            size[0] = (<const int32_t*>self.sizes)[i] if self.views else (<const int32_t*>self.offsets)[i + 1] - first[0]

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t first, size, i
        cdef int status
        cdef int width = 2 if self.to_half else 4
        self.span(self.offset + row, &first, &size)
        if not 1 <= size <= VECTOR_MAX_DIM or (self.dimensions > 0 and size != self.dimensions):
            return Status.WRONG_DIMENSIONS
        if self.elements.validity != NULL:
            for i in range(first, first + size):
                if not (self.elements.validity[(self.elements.offset + i) >> 3] >> ((self.elements.offset + i) & 7)) & 1:
                    return Status.NULL_ELEMENT
        if reserve(out, 4 + VECTOR_HEADER + width * size):
            return Status.NO_MEMORY
        put32(out.pos, <uint32_t>(VECTOR_HEADER + width * size))
        put16(out.pos + 4, <uint16_t>size)
        put16(out.pos + 6, 0)
        if self.from_half:
            status = self.put_halves(out.pos + 8, self.elements.offset + first, size)
        else:
            status = self.put_floats(out.pos + 8, self.elements.offset + first, size)
        if status == Status.OK:
            out.pos += 4 + VECTOR_HEADER + width * size
        return status

    cdef int put_floats(self, uint8_t* at, int64_t first, int64_t size) noexcept nogil:
        cdef const uint32_t* bits = <const uint32_t*>self.values + first
        cdef int special = 0
        cdef int64_t i
        for i in range(size):
            special |= (bits[i] & FLOAT_SPECIAL) == FLOAT_SPECIAL
            put32(at + 4 * i, bits[i])
        return Status.NOT_FINITE if special else Status.OK

    cdef int put_halves(self, uint8_t* at, int64_t first, int64_t size) noexcept nogil:
        cdef const uint16_t* bits = <const uint16_t*>self.values + first
        cdef int64_t i
        for i in range(size):
            if (bits[i] & HALF_SPECIAL) == HALF_SPECIAL:
                return Status.NOT_FINITE
            if self.to_half:
                put16(at + 2 * i, bits[i])
            else:
                put32(at + 4 * i, widen_half(bits[i]))
        return Status.OK


cdef class ElementsDecoder(CellDecoder):
    """The floats inside a list; `VectorDecoder` fills it."""

    cdef Buf values

    def __dealloc__(self):
        free(self.values.data)

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.values
        return give_array(self, out, buffers, 1)


cdef class VectorDecoder(CellDecoder):
    """vector(n), halfvec(n) -> fixed_size_list of float32, float16; without n a list."""

    cdef ElementsDecoder elements
    cdef Buf offsets
    cdef int64_t fixed_size
    cdef int width

    def __init__(self, cast, list children):
        self.elements = ElementsDecoder(cast, [])
        super().__init__(cast, [self.elements])
        self.width = {"vector": 4, "halfvec": 2}[cast.pg.codec]
        self.fixed_size = cast.pg.typmod if cast.pg.typmod > 0 else -1
        self.filler = max(self.fixed_size * self.width, 0)

    def __dealloc__(self):
        free(self.offsets.data)

    cdef int end_list(self) noexcept nogil:
        return Status.OK if self.fixed_size >= 0 else append_end(&self.offsets, self.elements.length)

    cdef int blank(self) noexcept nogil:
        cdef size_t n
        if self.fixed_size >= 0:  # such a list is as long where it is null
            n = self.fixed_size * self.width
            if room(&self.elements.values, n):
                return Status.NO_MEMORY
            memset(self.elements.values.data + self.elements.values.size, 0, n)
            self.elements.values.size += n
            self.elements.length += self.fixed_size
        return self.end_list()

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t size, i
        cdef uint8_t* at
        cdef uint16_t half
        cdef uint32_t single
        if n < VECTOR_HEADER:
            return wrong_length(state, VECTOR_HEADER, n)
        size = get16(data)
        if size < 0 or (self.fixed_size >= 0 and size != self.fixed_size):
            state.expected = self.fixed_size
            state.found = size
            return Status.WRONG_DIMENSIONS
        if n != VECTOR_HEADER + self.width * size:
            return wrong_length(state, VECTOR_HEADER + self.width * size, n)
        if get16(data + 2) != 0:
            return Status.BAD_VALUE
        if room(&self.elements.values, self.width * size):
            return Status.NO_MEMORY
        at = self.elements.values.data + self.elements.values.size
        data += VECTOR_HEADER
        if self.width == 4:
            for i in range(size):
                single = <uint32_t>get32(data + 4 * i)
                memcpy(at + 4 * i, &single, 4)
        else:
            for i in range(size):
                half = <uint16_t>get16(data + 2 * i)
                memcpy(at + 2 * i, &half, 2)
        self.elements.values.size += self.width * size
        self.elements.length += size
        return self.end_list()

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.offsets
        return give_array(self, out, buffers, 0 if self.fixed_size >= 0 else 1)


# --- geometry, geography: EWKB -------------------------------------------------------------------------------

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


cdef inline int take_count(Wkb* wkb, uint32_t* count, bint little) noexcept nogil:
    if wkb.end - wkb.pos < 4:
        return Status.BAD_SYNTAX
    count[0] = wkb_int(wkb.pos, little)
    wkb.pos += 4
    return Status.OK


cdef int walk_parts(Wkb* wkb, uint32_t kind, uint32_t zm, int depth, bint little) noexcept nogil:
    """Pass over what follows a geometry's header. `zm` is 1 for Z, 2 for M, 3 for both."""
    cdef uint32_t count, points, i
    cdef int status
    cdef int axes = 2 + (zm & 1) + (zm >> 1)
    if kind == WkbType.POINT:
        return walk_point(wkb, axes, little)
    status = take_count(wkb, &count, little)
    if status:
        return status
    if kind == WkbType.LINESTRING or kind == WkbType.CIRCULARSTRING:
        return walk_points(wkb, count, axes, little)
    for i in range(count):
        if kind == WkbType.POLYGON or kind == WkbType.TRIANGLE:
            status = take_count(wkb, &points, little)
            if status == Status.OK:
                status = walk_points(wkb, points, axes, little)
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
    if wkb.to_iso:  # where the outermost has an SRID still, it keeps that flag
        put_wkb_int(header + 1, kind + 1000 * zm, little)
    return walk_parts(wkb, kind, zm, depth, little)


cdef class GeometryEncoder(CellEncoder):
    """WKB or EWKB in any layout of binaries -> geometry, geography, with the column's SRID where it has one.

    PostGIS ignores what follows the geometry, so this looks at every byte.
    """

    cdef BytesView view
    cdef int32_t srid
    cdef bint geodetic

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        bytes_layout(&self.view, self.format)
        self.geodetic = cast.pg.codec == "geography"
        # in a geography without typmod, any SRID of degrees may be
        self.srid = (fixed_srid(cast.pg) or 0) if cast.pg.typmod >= 0 else 0

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_bytes(&self.view, array)
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        cdef Wkb wkb = Wkb(<uint8_t*>data, <uint8_t*>data + n, self.geodetic, False, 0)
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
        if reserve(out, 8 + n):
            return Status.NO_MEMORY
        if self.srid and wkb.srid == 0:
            self.put_with_srid(out, data, n)
        else:
            put32(out.pos, <uint32_t>n)
            memcpy(out.pos + 4, data, n)
            out.pos += 4 + n
        return Status.OK

    cdef void put_with_srid(self, Out* out, const uint8_t* data, int64_t n) noexcept nogil:
        """Append the geometry with the column's SRID behind its header, in place of a zero that it may have there."""
        cdef bint little = data[0] == 1
        cdef uint32_t code = wkb_int(data + 1, little)
        cdef int64_t skip = WKB_HEADER + (4 if code & WKB_SRID else 0)
        put32(out.pos, <uint32_t>(WKB_HEADER + 4 + n - skip))
        out.pos[4] = data[0]
        put_wkb_int(out.pos + 5, code | <uint32_t>WKB_SRID, little)
        put_wkb_int(out.pos + 9, <uint32_t>self.srid, little)
        memcpy(out.pos + 13, data + skip, n - skip)
        out.pos += 13 + n - skip


cdef class GeometryDecoder(BytesDecoder):
    """geometry, geography -> ISO WKB where the column's type fixes the SRID, which goes into metadata; else EWKB as sent."""

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
        wkb = Wkb(self.data.data + start, self.data.data + self.data.size, False, True, 0)
        memcpy(wkb.pos + WKB_HEADER, data + WKB_HEADER + skip, n - WKB_HEADER - skip)
        put_wkb_int(wkb.pos + 1, wkb_int(data + 1, data[0] == 1) & ~<uint32_t>WKB_SRID, data[0] == 1)
        status = walk_geometry(&wkb, -1, 0)
        return Status.BAD_VALUE if status or wkb.pos != wkb.end else Status.OK


ENCODERS = {
    "hstore": HstoreEncoder,
    "vector": VectorEncoder,
    "halfvec": VectorEncoder,
    "geometry": GeometryEncoder,
}
DECODERS = {
    "hstore": HstoreDecoder,
    "vector": VectorDecoder,
    "halfvec": VectorDecoder,
    "geometry": GeometryDecoder,
}
