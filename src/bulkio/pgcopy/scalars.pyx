"""bool, integers, floats, uuid: the types of fixed width.

Wire formats: src/backend/utils/adt/{bool,int,int8,float,uuid}.c, the `*send` functions.
"""

from libc.math cimport isfinite
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array
from bulkio.pgcopy.floats cimport float_width, load_float
from bulkio.pgcopy.integers cimport IntKind, int_kind, load_int
from bulkio.pgcopy.wire cimport (
    Buf, State, Out, Status, append_bytes, get16, get32, get64, put16, put32, put64, reserve, room, test_bit,
    wrong_length,
)


cdef class BoolEncoder(CellEncoder):
    """bool -> bool: one byte, 0 or 1."""

    cdef const uint8_t* bits

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.bits = <const uint8_t*>array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if reserve(out, 5):
            return Status.NO_MEMORY
        put32(out.pos, 1)
        out.pos[4] = test_bit(self.bits, self.offset + row)
        out.pos += 5
        return Status.OK


cdef class Bool8Encoder(CellEncoder):
    """arrow.bool8 -> bool: a byte that is not 0 is true."""

    cdef const uint8_t* values

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = <const uint8_t*>array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if reserve(out, 5):
            return Status.NO_MEMORY
        put32(out.pos, 1)
        out.pos[4] = self.values[self.offset + row] != 0
        out.pos += 5
        return Status.OK


cdef class IntEncoder(CellEncoder):
    """Any Arrow integer -> int2, int4, int8, oid, xid, xid8, with a range check wherever the target is narrower."""

    cdef IntKind kind
    cdef int width
    cdef bint past_int64  # the target holds what a uint64 has past 2**63
    cdef int64_t low, high
    cdef const void* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kind = int_kind(self.format)
        self.width = {"int2": 2, "int4": 4, "int8": 8, "uint4": 4, "uint8": 8}[cast.pg.codec]
        self.high = (<int64_t>1 << (8 * self.width - 2)) - 1 + (<int64_t>1 << (8 * self.width - 2))
        self.low = -self.high - 1
        self.past_int64 = cast.pg.codec == "uint8"
        if cast.pg.codec == "uint4":
            self.low, self.high = 0, 0xFFFFFFFF
        elif self.past_int64:
            # of a uint64, every pattern of bits is a value
            self.low = self.low if self.kind == IntKind.UINT64 else 0

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t value = load_int(self.values, self.kind, self.offset + row)
        if value < self.low or value > self.high or (self.kind == IntKind.UINT64 and value < 0 and not self.past_int64):
            return Status.OUT_OF_RANGE
        if reserve(out, 12):
            return Status.NO_MEMORY
        put32(out.pos, self.width)
        if self.width == 8:
            put64(out.pos + 4, value)
        elif self.width == 4:
            put32(out.pos + 4, <uint32_t>value)
        else:
            put16(out.pos + 4, <uint16_t>value)
        out.pos += 4 + self.width
        return Status.OK


cdef inline int put_float(Out* out, double value, int width) noexcept nogil:
    """Append a float4 or float8 field; `value` must be exact in `width` bytes."""
    cdef uint32_t narrow_bits
    cdef uint64_t bits
    cdef float narrow
    if reserve(out, 12):
        return Status.NO_MEMORY
    put32(out.pos, width)
    if width == 8:
        memcpy(&bits, &value, 8)
        put64(out.pos + 4, bits)
    else:
        narrow = <float>value
        memcpy(&narrow_bits, &narrow, 4)
        put32(out.pos + 4, narrow_bits)
    out.pos += 4 + width
    return Status.OK


cdef class FloatEncoder(CellEncoder):
    """float16, float32, float64 -> float4, float8; widening is exact, float64 -> float4 is the user's wish to round."""

    cdef int source, width
    cdef const void* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.source = float_width(self.format)
        self.width = {"float4": 4, "float8": 8}[cast.pg.codec]

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if self.source == 4 and self.width == 4:  # as bits: a conversion would quieten a signalling NaN
            if reserve(out, 8):
                return Status.NO_MEMORY
            put32(out.pos, 4)
            put32(out.pos + 4, (<const uint32_t*>self.values)[self.offset + row])
            out.pos += 8
            return Status.OK
        cdef double value = load_float(self.values, self.source, self.offset + row)
        if self.width < self.source and isfinite(value) and not isfinite(<float>value):
            return Status.OUT_OF_RANGE
        return put_float(out, value, self.width)


cdef class IntToFloatEncoder(CellEncoder):
    """Any Arrow integer -> float4, float8, only where the float is the very same number."""

    cdef IntKind kind
    cdef int width
    cdef const void* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kind = int_kind(self.format)
        self.width = {"float4": 4, "float8": 8}[cast.pg.codec]

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t value = load_int(self.values, self.kind, self.offset + row)
        cdef int64_t limit = <int64_t>1 << (24 if self.width == 4 else 53)
        cdef uint64_t magnitude = <uint64_t>value
        if self.kind == IntKind.UINT64:
            pass
        elif value < 0:
            magnitude = 0 - magnitude
        # exact as long as the significant bits fit the significand
        while magnitude and not magnitude & 1:
            magnitude >>= 1
        if magnitude > <uint64_t>limit:
            return Status.WOULD_ROUND
        if self.kind == IntKind.UINT64:
            return put_float(out, <double><uint64_t>value, self.width)
        return put_float(out, <double>value, self.width)


cdef class FloatToIntEncoder(CellEncoder):
    """float16, float32, float64 -> int2, int4, int8, only for whole numbers in range."""

    cdef int source, width
    cdef double low, high
    cdef const void* values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.source = float_width(self.format)
        self.width = {"int2": 2, "int4": 4, "int8": 8}[cast.pg.codec]
        self.high = 2.0 ** (8 * self.width - 1)
        self.low = -self.high

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef double value = load_float(self.values, self.source, self.offset + row)
        cdef int64_t whole
        if not (self.low <= value < self.high):  # NaN fails here too
            return Status.OUT_OF_RANGE
        whole = <int64_t>value
        if <double>whole != value:
            return Status.WOULD_ROUND
        if reserve(out, 12):
            return Status.NO_MEMORY
        put32(out.pos, self.width)
        if self.width == 8:
            put64(out.pos + 4, whole)
        elif self.width == 4:
            put32(out.pos + 4, <uint32_t>whole)
        else:
            put16(out.pos + 4, <uint16_t>whole)
        out.pos += 4 + self.width
        return Status.OK


cdef class UuidEncoder(CellEncoder):
    """arrow.uuid or fixed_size_binary[16] -> uuid."""

    cdef const uint8_t* values

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = <const uint8_t*>array.buffers[1]
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if reserve(out, 20):
            return Status.NO_MEMORY
        put32(out.pos, 16)
        memcpy(out.pos + 4, self.values + 16 * (self.offset + row), 16)
        out.pos += 20
        return Status.OK


cdef class FixedDecoder(CellDecoder):
    """A type whose Arrow value is the wire's value in this machine's byte order; `width` bytes on both sides."""

    cdef int width
    cdef Buf values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = {"int2": 2, "int4": 4, "int8": 8, "uint4": 4, "uint8": 8, "float4": 4, "float8": 8}[cast.codec]

    def __dealloc__(self):
        free(self.values.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int16_t v2
        cdef int32_t v4
        cdef int64_t v8
        if n != self.width:
            return wrong_length(state, self.width, n)
        if room(&self.values, 8):
            return Status.NO_MEMORY
        if n == 8:
            v8 = get64(data)
            memcpy(self.values.data + self.values.size, &v8, 8)
        elif n == 4:
            v4 = get32(data)
            memcpy(self.values.data + self.values.size, &v4, 4)
        else:
            v2 = get16(data)
            memcpy(self.values.data + self.values.size, &v2, 2)
        self.values.size += n
        return Status.OK

    cdef int blank(self) noexcept nogil:
        if room(&self.values, 8):
            return Status.NO_MEMORY
        memset(self.values.data + self.values.size, 0, 8)
        self.values.size += self.width
        return Status.OK

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.values
        return give_array(self, out, buffers, 1)


cdef class UuidDecoder(CellDecoder):
    """uuid -> arrow.uuid (16 bytes, as they come)."""

    cdef Buf values

    def __dealloc__(self):
        free(self.values.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        if n != 16:
            return wrong_length(state, 16, n)
        return append_bytes(&self.values, data, 16)

    cdef int blank(self) noexcept nogil:
        if room(&self.values, 16):
            return Status.NO_MEMORY
        memset(self.values.data + self.values.size, 0, 16)
        self.values.size += 16
        return Status.OK

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.values
        return give_array(self, out, buffers, 1)


cdef class BoolDecoder(CellDecoder):
    """bool -> bool; any byte but 0 and 1 is an error."""

    cdef Buf bits

    def __dealloc__(self):
        free(self.bits.data)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        if n != 1:
            return wrong_length(state, 1, n)
        if data[0] > 1:
            return Status.BAD_VALUE
        if self.blank():
            return Status.NO_MEMORY
        self.bits.data[self.length >> 3] |= <uint8_t>(data[0] << (self.length & 7))
        return Status.OK

    cdef int blank(self) noexcept nogil:
        cdef uint8_t zero = 0
        if (self.length & 7) == 0:
            return append_bytes(&self.bits, &zero, 1)
        return Status.OK

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.bits
        return give_array(self, out, buffers, 1)


ENCODERS = {
    "bool": BoolEncoder,
    "bool8": Bool8Encoder,
    "int": IntEncoder,
    "float": FloatEncoder,
    "int_to_float": IntToFloatEncoder,
    "float_to_int": FloatToIntEncoder,
    "uuid": UuidEncoder,
}

DECODERS = {
    "bool": BoolDecoder,
    "int2": FixedDecoder,
    "int4": FixedDecoder,
    "int8": FixedDecoder,
    "uint4": FixedDecoder,
    "uint8": FixedDecoder,
    "float4": FixedDecoder,
    "float8": FixedDecoder,
    "uuid": UuidDecoder,
}
