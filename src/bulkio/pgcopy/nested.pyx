"""Types made of other types: arrays and dictionaries; and the Arrow type null.

Wire format of arrays: src/backend/utils/adt/arrayfuncs.c, array_send: ndim, flags (1: has NULLs), element oid, for each
dimension its size and lower bound, then the elements as fields; 32 bits each.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array, read_cell, write_cell
from bulkio.pgcopy.integers cimport IntKind, int_kind, load_int
from bulkio.pgcopy.listview cimport ListView, bind_lists, list_layout, list_span
from bulkio.pgcopy.strings cimport OFFSET_MAX
from bulkio.pgcopy.wire cimport (
    FIELD_MAX, NULL_LENGTH, Buf, Out, State, Status, get32, put32, reserve, test_bit, wrong_length,
)

from bulkio.errors import SchemaError

cdef enum:
    ARRAY_HEADER = 12  # ndim, flags, element oid
    DIMENSION = 8  # size, lower bound
    HAS_NULLS = 1
    MAX_DIMENSIONS = 6  # MAXDIM of src/include/utils/array.h


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
    """list, large_list, fixed_size_list, list_view -> an array; lists in lists -> an array of declared dimensions.

    The encoder of the outermost lists writes the whole array; those below it only tell where their lists lie. All the
    lists of a level must be as long as the first one.
    """

    cdef int32_t element_oid
    cdef int32_t dimensions  # from this level down
    cdef ListView lists
    cdef CellEncoder elements

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.elements = children[0]
        self.element_oid = <int32_t><uint32_t>cast.pg.element.oid
        self.dimensions = cast.pg.dimensions
        if not 1 <= self.dimensions <= MAX_DIMENSIONS:
            raise SchemaError(f"an array has 1 to {MAX_DIMENSIONS} dimensions, not {self.dimensions}")
        list_layout(&self.lists, self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_lists(&self.lists, array)
        return self.elements.bind(schema.children[0], array.children[0])

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t first, end
        cdef int32_t sizes[MAX_DIMENSIONS]
        cdef int32_t flags = 0
        cdef int32_t i
        cdef size_t start
        cdef int status
        if list_span(&self.lists, self.offset + row, &first, &end):
            return Status.DAMAGED
        if self.dimensions == 1 and end - first <= FIELD_MAX // 4:
            sizes[0] = <int32_t>(end - first)
        elif first != end:
            status = self.measure(row, sizes)
            if status:
                return status
        if reserve(out, 4 + ARRAY_HEADER + DIMENSION * MAX_DIMENSIONS):
            return Status.NO_MEMORY
        start = out.pos - out.start
        put32(out.pos + 4, 0 if first == end else self.dimensions)
        put32(out.pos + 12, self.element_oid)
        out.pos += 4 + ARRAY_HEADER
        if first != end:
            for i in range(self.dimensions):
                put32(out.pos, sizes[i])
                put32(out.pos + 4, 1)
                out.pos += DIMENSION
        status = self.write_items(out, first, end, start, sizes, &flags)
        if status:
            return status
        put32(out.start + start, <int32_t>(out.pos - out.start - start - 4))
        put32(out.start + start + 8, flags)
        return Status.OK

    cdef int measure(self, int64_t row, int32_t* sizes) noexcept nogil:
        """Take the size of this dimension and of those below from the first list of each."""
        cdef int64_t first, end
        if self.validity != NULL and not test_bit(self.validity, self.offset + row):
            return Status.NULL_INNER
        if list_span(&self.lists, self.offset + row, &first, &end):
            return Status.DAMAGED
        if first == end:
            return Status.EMPTY_INNER
        if end - first > FIELD_MAX // 4:  # each element needs four bytes at least
            return Status.FIELD_TOO_BIG
        sizes[0] = <int32_t>(end - first)
        if self.dimensions == 1:
            return Status.OK
        return (<ArrayEncoder>self.elements).measure(first, sizes + 1)

    cdef int write_items(
        self, Out* out, int64_t first, int64_t end, size_t start, int32_t* sizes, int32_t* flags
    ) noexcept nogil:
        """Append the elements `first` to `end` of this level, of the array whose bytes begin at `start`."""
        cdef int64_t i
        cdef size_t element
        cdef int status
        if self.dimensions > 1:
            for i in range(first, end):
                status = (<ArrayEncoder>self.elements).write_inner(out, i, start, sizes + 1, flags)
                if status:
                    return status
            return Status.OK
        for i in range(first, end):
            element = out.pos - out.start
            status = write_cell(self.elements, out, i)
            if status:
                return status
            if get32(out.start + element) == NULL_LENGTH:
                flags[0] = HAS_NULLS
            if out.pos - out.start - start - 4 > FIELD_MAX:  # before it is all in memory
                return Status.FIELD_TOO_BIG
        return Status.OK

    cdef int write_inner(
        self, Out* out, int64_t row, size_t start, int32_t* sizes, int32_t* flags
    ) noexcept nogil:
        """Append the elements of list `row`, which stands inside another list."""
        cdef int64_t first, end
        if self.validity != NULL and not test_bit(self.validity, self.offset + row):
            return Status.NULL_INNER
        if list_span(&self.lists, self.offset + row, &first, &end):
            return Status.DAMAGED
        if end - first != sizes[0]:
            return Status.EMPTY_INNER if first == end else Status.RAGGED
        return self.write_items(out, first, end, start, sizes, flags)


cdef class ListDecoder(CellDecoder):
    """What arrives as a number of fields -> list."""

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.elements = children[0]

    def __dealloc__(self):
        free(self.offsets.data)

    cdef int blank(self) noexcept nogil:
        return end_list(&self.offsets, self.elements.length)

    cdef int read_elements(self, const uint8_t* data, int32_t n, int32_t count, State* state) noexcept nogil:
        """Append `count` fields, which must be all of data[0:n]."""
        return read_fields(self.elements, data, n, count, state)

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.offsets
        return give_array(self, out, buffers, 1)


cdef int read_fields(CellDecoder cell, const uint8_t* data, int32_t n, int32_t count, State* state) noexcept nogil:
    cdef int32_t _i, size
    cdef int status
    for _i in range(count):
        if n < 4:
            return wrong_length(state, 4, n)
        size = get32(data)
        data += 4
        n -= 4
        if size < NULL_LENGTH or size > n:
            return wrong_length(state, size, n)
        status = read_cell(cell, data, size, state)
        if status:
            return status
        if size > 0:
            data += size
            n -= size
    if n != 0 or count < 0:
        return wrong_length(state, 0, n)
    return Status.OK


cdef class ArrayDecoder(ListDecoder):
    """An array of the declared number of dimensions -> list, or lists in lists; a lower bound must be 1, or be dropped.

    The decoder of the outermost lists reads the whole array, and ends the lists of those below it.
    """

    cdef int32_t element_oid
    cdef int32_t dimensions  # from this level down
    cdef bint drops_bounds

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.element_oid = <int32_t><uint32_t>cast.pg.element.oid
        self.dimensions = cast.pg.dimensions
        self.drops_bounds = cast.policies.bounds == "drop"

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int32_t dimensions, header, i, size
        cdef int64_t count = 0
        cdef int status
        if n < ARRAY_HEADER:
            return wrong_length(state, ARRAY_HEADER, n)
        dimensions = get32(data)
        if dimensions != 0 and dimensions != self.dimensions:
            state.expected = self.dimensions
            state.found = dimensions
            return Status.BAD_DIMENSIONS if self.dimensions == 1 else Status.NOT_AS_DECLARED
        if get32(data + 8) != self.element_oid:
            # an oid has 32 bits, unsigned
            state.expected = <uint32_t>self.element_oid
            state.found = <uint32_t>get32(data + 8)
            return Status.BAD_ELEMENT_TYPE
        header = ARRAY_HEADER + DIMENSION * dimensions
        if n < header:
            return wrong_length(state, header, n)
        for i in range(dimensions):
            size = get32(data + ARRAY_HEADER + DIMENSION * i)
            if get32(data + ARRAY_HEADER + DIMENSION * i + 4) != 1 and not self.drops_bounds:
                state.found = get32(data + ARRAY_HEADER + DIMENSION * i + 4)
                return Status.BAD_LOWER_BOUND
            count = size if i == 0 else count * size
            if size < 0 or count > n // 4 or (size == 0 and self.dimensions > 1):  # four bytes an element
                return wrong_length(state, 4 * count, n - header)
        status = self.read_elements(data + header, n - header, <int32_t>count, state)
        if status == Status.OK and dimensions > 1:
            status = self.end_inner(data + ARRAY_HEADER, 1, state)
        return self.blank() if status == Status.OK else status

    cdef int read_elements(self, const uint8_t* data, int32_t n, int32_t count, State* state) noexcept nogil:
        if self.dimensions > 1:
            return (<ArrayDecoder>self.elements).read_elements(data, n, count, state)
        return read_fields(self.elements, data, n, count, state)

    cdef int end_inner(self, const uint8_t* sizes, int64_t lists, State* state) noexcept nogil:
        """End the lists below this level, all of one size; `lists` is how many lists of this level the array has."""
        lists *= get32(sizes)
        return (<ArrayDecoder>self.elements).end_lists(sizes + DIMENSION, lists, state)

    cdef int end_lists(self, const uint8_t* sizes, int64_t lists, State* state) noexcept nogil:
        """End `lists` lists of this level, after those of the levels below."""
        cdef int64_t _i
        cdef int64_t end = self.elements.length
        cdef int32_t size = get32(sizes)
        cdef int status
        if self.dimensions > 1:
            # the level below does not grow before its own lists are ended
            status = self.end_inner(sizes, lists, state)
            if status:
                return status
        else:
            end -= lists * size
        if end + lists * size > OFFSET_MAX:
            return Status.BATCH_TOO_BIG
        state.inflated += 4 * lists
        for _i in range(lists):
            end += size
            if end_list(&self.offsets, end):
                return Status.NO_MEMORY
        self.length += lists
        return Status.OK


ENCODERS = {"null": NullEncoder, "dictionary": DictionaryEncoder, "array": ArrayEncoder}
DECODERS = {"array": ArrayDecoder}
