"""bool, integers, floats, uuid: the types of fixed width.

Wire formats: src/backend/utils/adt/{bool,int,int8,float,uuid}.c, the `*send` functions.
"""

from libc.math cimport isfinite
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free

from bulkio.pgcopy.arrow cimport ArrowArray
from bulkio.pgcopy.cells cimport CellDecoder, give_array
from bulkio.pgcopy.fixed cimport FixedDecoder, FixedEncoder
from bulkio.pgcopy.floats cimport float_width, load_float, put_float
from bulkio.pgcopy.integers cimport IntKind, int_kind, load_int
from bulkio.pgcopy.wire cimport (
    Buf, Out, State, Status, append_bytes, get16, get32, get64, put32, put_bytes, put_integer, reserve, test_bit,
    wrong_length,
)


cdef class BoolEncoder(FixedEncoder):
    """bool -> bool: one byte, 0 or 1."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if reserve(out, 5):
            return Status.NO_MEMORY
        put32(out.pos, 1)
        out.pos[4] = test_bit(<const uint8_t*>self.values, self.offset + row)
        out.pos += 5
        return Status.OK


cdef class Bool8Encoder(FixedEncoder):
    """arrow.bool8 -> bool: a byte that is not 0 is true."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if reserve(out, 5):
            return Status.NO_MEMORY
        put32(out.pos, 1)
        out.pos[4] = (<const uint8_t*>self.values)[self.offset + row] != 0
        out.pos += 5
        return Status.OK


cdef class IntEncoder(FixedEncoder):
    """Any Arrow integer -> int2, int4, int8, oid, xid, xid8, with a range check wherever the target is narrower."""

    cdef IntKind kind
    cdef int width
    cdef bint past_int64  # the target holds what a uint64 has past 2**63
    cdef int64_t low, high

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

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t value = load_int(self.values, self.kind, self.offset + row)
        if value < self.low or value > self.high or (self.kind == IntKind.UINT64 and value < 0 and not self.past_int64):
            return Status.OUT_OF_RANGE
        return put_integer(out, value, self.width)


cdef class FloatEncoder(FixedEncoder):
    """float16, float32, float64 -> float4, float8; widening is exact, float64 -> float4 is the user's wish to round."""

    cdef int source, width

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.source = float_width(self.format)
        self.width = {"float4": 4, "float8": 8}[cast.pg.codec]

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if self.source == 4 and self.width == 4:  # as bits: a conversion would quieten a signalling NaN
            return put_integer(out, (<const uint32_t*>self.values)[self.offset + row], 4)
        cdef double value = load_float(self.values, self.source, self.offset + row)
        if self.width < self.source and isfinite(value) and not isfinite(<float>value):
            return Status.OUT_OF_RANGE
        return put_float(out, value, self.width)


cdef class IntToFloatEncoder(FixedEncoder):
    """Any Arrow integer -> float4, float8, only where the float is the very same number."""

    cdef IntKind kind
    cdef int width

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kind = int_kind(self.format)
        self.width = {"float4": 4, "float8": 8}[cast.pg.codec]

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


cdef class FloatToIntEncoder(FixedEncoder):
    """float16, float32, float64 -> int2, int4, int8, only for whole numbers in range."""

    cdef int source, width
    cdef double low, high

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.source = float_width(self.format)
        self.width = {"int2": 2, "int4": 4, "int8": 8}[cast.pg.codec]
        self.high = 2.0 ** (8 * self.width - 1)
        self.low = -self.high

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef double value = load_float(self.values, self.source, self.offset + row)
        cdef int64_t whole
        if not (self.low <= value < self.high):  # NaN fails here too
            return Status.OUT_OF_RANGE
        whole = <int64_t>value
        if <double>whole != value:
            return Status.WOULD_ROUND
        return put_integer(out, whole, self.width)


cdef class UuidEncoder(FixedEncoder):
    """arrow.uuid or fixed_size_binary[16] -> uuid."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        return put_bytes(out, <const uint8_t*>self.values + 16 * (self.offset + row), 16)


cdef class NumberDecoder(FixedDecoder):
    """Integers and floats: the wire's value in this machine's byte order."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int16_t v2
        cdef int32_t v4
        cdef int64_t v8
        if n != self.width:
            return wrong_length(state, self.width, n)
        if n == 8:
            v8 = get64(data)
            return append_bytes(&self.values, &v8, 8)
        if n == 4:
            v4 = get32(data)
            return append_bytes(&self.values, &v4, 4)
        v2 = get16(data)
        return append_bytes(&self.values, &v2, 2)


cdef class UuidDecoder(FixedDecoder):
    """uuid -> arrow.uuid (16 bytes, as they come)."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        if n != 16:
            return wrong_length(state, 16, n)
        return append_bytes(&self.values, data, 16)


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
    "int2": NumberDecoder,
    "int4": NumberDecoder,
    "int8": NumberDecoder,
    "uint4": NumberDecoder,
    "uint8": NumberDecoder,
    "float4": NumberDecoder,
    "float8": NumberDecoder,
    "uuid": UuidDecoder,
}
