"""Types made of other types: arrays and dictionaries; and the Arrow type null.

Wire format of arrays: src/backend/utils/adt/arrayfuncs.c, array_send: ndim, flags (1: has NULLs), element oid, for each
dimension its size and lower bound, then the elements as fields; 32 bits each.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array, read_cell, write_cell
from bulkio.pgcopy.integers cimport IntKind, int_kind, load_int
from bulkio.pgcopy.wire cimport (
    FIELD_MAX, NULL_LENGTH, Buf, Out, State, Status, append_bytes, get32, put32, reserve, wrong_length,
)

cdef enum:
    ARRAY_HEADER = 12  # ndim, flags, element oid
    DIMENSION = 8  # size, lower bound
    HAS_NULLS = 1


cdef class NullEncoder(CellEncoder):
    """null -> any type: every cell is NULL."""

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        if self.not_null:
            return Status.NULL_REFUSED
        if reserve(out, 4):
            return Status.NO_MEMORY
        put32(out.pos, NULL_LENGTH)
        out.pos += 4
        return Status.OK


cdef class DictionaryEncoder(CellEncoder):
    """dictionary -> whatever its values go to."""

    cdef IntKind kind
    cdef const void* indices
    cdef CellEncoder values

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.indexed = True
        self.kind = int_kind(self.format)
        self.values = children[0]

    def refuse_null(self):
        self.not_null = True
        self.values.refuse_null()

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.indices = array.buffers[1]
        return self.values.bind(schema.dictionary, array.dictionary)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t index = load_int(self.indices, self.kind, self.offset + row)
        if not 0 <= index < self.values.length:
            return Status.BAD_VALUE
        return write_cell(self.values, out, index)


cdef class ArrayEncoder(CellEncoder):
    """list, large_list, fixed_size_list, list_view -> a one-dimensional array."""

    cdef int32_t element_oid
    cdef bint wide, views
    cdef int64_t fixed_size
    cdef const void* offsets
    cdef const void* sizes
    cdef CellEncoder elements

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.elements = children[0]
        self.element_oid = cast.pg.element.oid
        self.wide = self.format in (b"+L", b"+vL")
        self.views = self.format.startswith(b"+v")
        self.fixed_size = int(self.format[3:]) if self.format.startswith(b"+w:") else -1

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        if self.fixed_size < 0:
            self.offsets = array.buffers[1]
            self.sizes = array.buffers[2] if self.views else NULL
        return self.elements.bind(schema.children[0], array.children[0])

    cdef inline void span(self, int64_t i, int64_t* first, int64_t* end) noexcept nogil:
        """Where list `i` lies in the elements."""
        if self.fixed_size >= 0:
            first[0] = i * self.fixed_size
            end[0] = first[0] + self.fixed_size
        elif self.wide:
            first[0] = (<const int64_t*>self.offsets)[i]
            end[0] = first[0] + (<const int64_t*>self.sizes)[i] if self.views else (<const int64_t*>self.offsets)[i + 1]
        else:
            first[0] = (<const int32_t*>self.offsets)[i]
            end[0] = first[0] + (<const int32_t*>self.sizes)[i] if self.views else (<const int32_t*>self.offsets)[i + 1]

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t first, end, i
        cdef size_t start, element, n
        cdef int status
        cdef int32_t flags = 0
        self.span(self.offset + row, &first, &end)
        if end - first > FIELD_MAX // 4:  # each element needs four bytes at least
            return Status.FIELD_TOO_BIG
        if reserve(out, 4 + ARRAY_HEADER + DIMENSION):
            return Status.NO_MEMORY
        start = out.pos - out.start
        put32(out.pos + 4, 0 if first == end else 1)
        put32(out.pos + 12, self.element_oid)
        out.pos += 4 + ARRAY_HEADER
        if first != end:
            put32(out.pos, <int32_t>(end - first))
            put32(out.pos + 4, 1)
            out.pos += DIMENSION
        for i in range(first, end):
            element = out.pos - out.start
            status = write_cell(self.elements, out, i)
            if status:
                return status
            if get32(out.start + element) == NULL_LENGTH:
                flags = HAS_NULLS
            n = out.pos - out.start - start - 4
            if n > FIELD_MAX:  # before it is all in memory
                return Status.FIELD_TOO_BIG
        n = out.pos - out.start - start - 4
        put32(out.start + start, <int32_t>n)
        put32(out.start + start + 8, flags)
        return Status.OK


cdef class ArrayDecoder(CellDecoder):
    """A one-dimensional array with lower bound 1 -> list."""

    cdef int32_t element_oid
    cdef Buf offsets
    cdef CellDecoder elements

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.elements = children[0]
        self.element_oid = cast.pg.element.oid

    def __dealloc__(self):
        free(self.offsets.data)

    cdef int blank(self) noexcept nogil:
        cdef int32_t end = <int32_t>self.elements.length
        cdef int32_t zero = 0
        if self.elements.length > 0x7FFFFFFF:
            return Status.BATCH_TOO_BIG
        if self.offsets.size == 0 and append_bytes(&self.offsets, &zero, 4):
            return Status.NO_MEMORY
        return append_bytes(&self.offsets, &end, 4)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int32_t dimensions, count = 0
        cdef int status
        if n < ARRAY_HEADER:
            return wrong_length(state, ARRAY_HEADER, n)
        dimensions = get32(data)
        if dimensions < 0 or dimensions > 1:
            state.found = dimensions
            return Status.BAD_DIMENSIONS
        if get32(data + 8) != self.element_oid:
            state.expected = self.element_oid
            state.found = get32(data + 8)
            return Status.BAD_ELEMENT_TYPE
        data += ARRAY_HEADER
        n -= ARRAY_HEADER
        if dimensions == 1:
            if n < DIMENSION:
                return wrong_length(state, ARRAY_HEADER + DIMENSION, ARRAY_HEADER + n)
            count = get32(data)
            if get32(data + 4) != 1:
                state.found = get32(data + 4)
                return Status.BAD_LOWER_BOUND
            data += DIMENSION
            n -= DIMENSION
        status = self.read_elements(data, n, count, state)
        if status:
            return status
        return self.blank()

    cdef int read_elements(self, const uint8_t* data, int32_t n, int32_t count, State* state) noexcept nogil:
        cdef int32_t i, size
        cdef int status
        for i in range(count):
            if n < 4:
                return wrong_length(state, 4, n)
            size = get32(data)
            data += 4
            n -= 4
            if size < NULL_LENGTH or size > n:
                return wrong_length(state, size, n)
            status = read_cell(self.elements, data, size, state)
            if status:
                return status
            if size > 0:
                data += size
                n -= size
        if n != 0 or count < 0:
            return wrong_length(state, 0, n)
        return Status.OK

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.offsets
        return give_array(self, out, buffers, 1)


ENCODERS = {"null": NullEncoder, "dictionary": DictionaryEncoder, "array": ArrayEncoder}
DECODERS = {"array": ArrayDecoder}
