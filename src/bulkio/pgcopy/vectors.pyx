"""vector and halfvec of pgvector <-> lists of float32 and float16.

Wire formats: pgvector's src/{vector,halfvec}.c, the `*_send` functions: the dimensions and an unused zero, 16 bits
each, then the elements.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellEncoder, give_array
from bulkio.pgcopy.fixed cimport FixedDecoder
from bulkio.pgcopy.listview cimport ListView, bind_lists, list_layout, list_span
from bulkio.pgcopy.nested cimport ListDecoder
from bulkio.pgcopy.wire cimport (
    Buf, Out, State, Status, get16, get32, put16, put32, reserve, room, test_bit, wrong_length,
)

from bulkio.types import Cast

cdef enum:
    VECTOR_HEADER = 4
    VECTOR_MAX_DIM = 16000
    # the exponents of infinities and NaNs
    FLOAT_SPECIAL = 0x7F800000
    HALF_SPECIAL = 0x7C00


cdef inline uint32_t widen_half(uint16_t bits) noexcept nogil:
    """Return the bits of the binary32 that equals a finite binary16."""
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
    """A list of float16 or float32, of any layout -> vector(n), halfvec(n). The server refuses NULL, NaN, infinity."""

    cdef ListView lists
    cdef CellEncoder elements
    cdef const void* values
    cdef bint from_half, to_half
    cdef int64_t dimensions

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.elements = children[0]
        self.from_half = self.elements.format == b"e"
        self.to_half = cast.pg.codec == "halfvec"
        if self.to_half and not self.from_half:
            raise ValueError(f"{cast.arrow} does not go into halfvec unchanged")
        self.dimensions = cast.pg.typmod
        list_layout(&self.lists, self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_lists(&self.lists, array)
        self.values = array.children[0].buffers[1]
        return self.elements.bind(schema.children[0], array.children[0])

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t first, end, size, i
        cdef int status
        cdef int width = 2 if self.to_half else 4
        if list_span(&self.lists, self.offset + row, &first, &end):
            return Status.DAMAGED
        size = end - first
        if not 1 <= size <= VECTOR_MAX_DIM or (self.dimensions > 0 and size != self.dimensions):
            return Status.WRONG_DIMENSIONS
        if self.elements.validity != NULL:
            for i in range(first, end):
                if not test_bit(self.elements.validity, self.elements.offset + i):
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


cdef class VectorDecoder(ListDecoder):
    """vector(n), halfvec(n) -> fixed_size_list of float32, float16; without n a list."""

    cdef FixedDecoder floats
    cdef int64_t fixed_size

    def __init__(self, cast, list children):
        self.floats = FixedDecoder(Cast(cast.codec, cast.arrow.value_type, cast.pg), [])
        super().__init__(cast, [self.floats])
        self.fixed_size = cast.pg.typmod if cast.pg.typmod > 0 else -1
        self.filler = max(self.fixed_size * self.floats.width, 0)

    cdef int blank(self) noexcept nogil:
        cdef Buf* values = &self.floats.values
        cdef size_t n
        if self.fixed_size < 0:
            return ListDecoder.blank(self)
        n = self.fixed_size * self.floats.width  # such a list is as long where it is null
        if room(values, n):
            return Status.NO_MEMORY
        memset(values.data + values.size, 0, n)
        values.size += n
        self.floats.length += self.fixed_size
        return Status.OK

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int width = self.floats.width
        cdef Buf* values = &self.floats.values
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
        if n != VECTOR_HEADER + width * size:
            return wrong_length(state, VECTOR_HEADER + width * size, n)
        if get16(data + 2) != 0:
            return Status.BAD_VALUE
        if room(values, width * size):
            return Status.NO_MEMORY
        at = values.data + values.size
        data += VECTOR_HEADER
        if width == 4:
            for i in range(size):
                single = <uint32_t>get32(data + 4 * i)
                memcpy(at + 4 * i, &single, 4)
        else:
            for i in range(size):
                half = <uint16_t>get16(data + 2 * i)
                memcpy(at + 2 * i, &half, 2)
        values.size += width * size
        self.floats.length += size
        return Status.OK if self.fixed_size >= 0 else ListDecoder.blank(self)

    cdef int export(self, ArrowArray* out) except -1:
        return give_array(self, out, NULL, 0) if self.fixed_size >= 0 else ListDecoder.export(self, out)


ENCODERS = {"vector": VectorEncoder, "halfvec": VectorEncoder}
DECODERS = {"vector": VectorDecoder, "halfvec": VectorDecoder}
