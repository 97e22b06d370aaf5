"""vector and halfvec of pgvector <-> lists of float32 and float16.

Wire formats: pgvector's src/{vector,halfvec}.c, the `*_send` functions: the dimensions and an unused zero, 16 bits each,
then the elements.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array
from bulkio.pgcopy.nested cimport end_list
from bulkio.pgcopy.wire cimport Buf, Out, State, Status, get16, get32, put16, put32, reserve, room, wrong_length

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

    cdef int end_vector(self) noexcept nogil:
        return Status.OK if self.fixed_size >= 0 else end_list(&self.offsets, self.elements.length)

    cdef int blank(self) noexcept nogil:
        cdef size_t n
        if self.fixed_size >= 0:  # such a list is as long where it is null
            n = self.fixed_size * self.width
            if room(&self.elements.values, n):
                return Status.NO_MEMORY
            memset(self.elements.values.data + self.elements.values.size, 0, n)
            self.elements.values.size += n
            self.elements.length += self.fixed_size
        return self.end_vector()

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
        return self.end_vector()

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.offsets
        return give_array(self, out, buffers, 0 if self.fixed_size >= 0 else 1)


ENCODERS = {"vector": VectorEncoder, "halfvec": VectorEncoder}
DECODERS = {"vector": VectorDecoder, "halfvec": VectorDecoder}
