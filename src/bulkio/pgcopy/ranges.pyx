"""Ranges: structs of two bounds and three flags in Arrow; multiranges: lists of these.

Wire formats: src/backend/utils/adt/{rangetypes,multirangetypes}.c, range_send: one byte of flags, then a field for each
bound that there is; multirange_send: the number of ranges in 32 bits, then a field for each.

What PostgreSQL makes canonical is the same set of values, and its own to decide: int4range [1,5] is kept as [1,6),
an infinite bound is never inclusive, [1,1) is empty, a multirange's ranges are sorted and merged, empty ones left out.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport strcmp

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, append_null, read_cell, write_cell
from bulkio.pgcopy.listview cimport ListView, bind_lists, list_layout, list_span
from bulkio.pgcopy.nested cimport ListDecoder
from bulkio.pgcopy.structs cimport StructDecoder, StructEncoder
from bulkio.pgcopy.wire cimport (
    FIELD_MAX, NULL_LENGTH, Out, State, Status, get32, put32, reserve, test_bit, wrong_length,
)

from bulkio.errors import SchemaError
from bulkio.pgcopy.scalars import DECODERS as SCALAR_DECODERS

cdef enum:
    COUNT_SIZE = 4  # of ranges
    FLAGS_SIZE = 1
    # src/include/utils/rangetypes.h
    RANGE_EMPTY = 0x01
    LOWER_INCLUSIVE = 0x02
    UPPER_INCLUSIVE = 0x04
    LOWER_INFINITE = 0x08
    UPPER_INFINITE = 0x10
    KNOWN_FLAGS = 0x1F


cdef struct Flag:
    # A bool child of a range's struct.
    const uint8_t* validity
    const uint8_t* bits
    int64_t offset


cdef int bind_flag(Flag* flag, ArrowSchema* schema, ArrowArray* array) except -1:
    if strcmp(schema.format, b"b") != 0:
        raise SchemaError(f"a range's field has Arrow format {(<bytes>schema.format).decode()!r}, expected 'b', bool")
    flag.validity = <const uint8_t*>array.buffers[0] if array.null_count != 0 else NULL
    flag.bits = <const uint8_t*>array.buffers[1]
    flag.offset = array.offset
    return 0


cdef inline bint is_null(const Flag* flag, int64_t row) noexcept nogil:
    return flag.validity != NULL and not test_bit(flag.validity, flag.offset + row)


cdef class RangeEncoder(StructEncoder):
    """struct<lower, upper, lower_inc, upper_inc, empty> -> a range; a bound that is null is infinite."""

    cdef CellEncoder lower, upper
    cdef Flag lower_inc, upper_inc, empty

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.lower = children[0]
        self.upper = children[1]

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        StructEncoder.attach(self, schema, array)
        self.lower.bind(schema.children[0], array.children[0])
        self.upper.bind(schema.children[1], array.children[1])
        bind_flag(&self.lower_inc, schema.children[2], array.children[2])
        bind_flag(&self.upper_inc, schema.children[3], array.children[3])
        bind_flag(&self.empty, schema.children[4], array.children[4])
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef size_t start = out.pos - out.start
        cdef uint8_t flags = 0
        cdef int status
        row += self.offset
        if is_null(&self.lower_inc, row) or is_null(&self.upper_inc, row) or is_null(&self.empty, row):
            return Status.NULL_IN_RANGE
        if reserve(out, 4 + FLAGS_SIZE):
            return Status.NO_MEMORY
        out.pos += 4 + FLAGS_SIZE
        status = write_bound(self.lower, out, row, &self.lower_inc, LOWER_INCLUSIVE, LOWER_INFINITE, &flags)
        if status:
            return status
        status = write_bound(self.upper, out, row, &self.upper_inc, UPPER_INCLUSIVE, UPPER_INFINITE, &flags)
        if status:
            return status
        if test_bit(self.empty.bits, self.empty.offset + row):
            if not flags & LOWER_INFINITE or not flags & UPPER_INFINITE:
                return Status.EMPTY_WITH_BOUNDS
            flags = RANGE_EMPTY
        if out.pos - out.start - start - 4 > FIELD_MAX:
            return Status.FIELD_TOO_BIG
        put32(out.start + start, <int32_t>(out.pos - out.start - start - 4))
        out.start[start + 4] = flags
        return Status.OK


cdef int write_bound(
    CellEncoder bound, Out* out, int64_t row, const Flag* inclusive, uint8_t is_inclusive, uint8_t is_infinite,
    uint8_t* flags,
) noexcept nogil:
    """Append a bound and its flag; for a null only the flag that says so."""
    cdef size_t start = out.pos - out.start
    cdef int status = write_cell(bound, out, row)
    if status:
        return status
    if get32(out.start + start) == NULL_LENGTH:
        out.pos = out.start + start
        flags[0] |= is_infinite
    elif test_bit(inclusive.bits, inclusive.offset + row):
        flags[0] |= is_inclusive
    return Status.OK


cdef class RangeDecoder(StructDecoder):
    """A range -> struct<lower, upper, lower_inc, upper_inc, empty>."""

    cdef CellDecoder lower, upper, lower_inc, upper_inc, empty

    def __init__(self, cast, list children):
        flags = [SCALAR_DECODERS["bool"](cast, []) for _ in range(3)]
        super().__init__(cast, children + flags)
        self.lower, self.upper = children
        self.lower_inc, self.upper_inc, self.empty = flags

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef uint8_t flags
        cdef int status
        if n < FLAGS_SIZE:
            return wrong_length(state, FLAGS_SIZE, n)
        flags = data[0]
        if flags & ~KNOWN_FLAGS or (flags & RANGE_EMPTY and flags != RANGE_EMPTY):
            return Status.BAD_VALUE
        if flags & LOWER_INCLUSIVE and flags & LOWER_INFINITE or flags & UPPER_INCLUSIVE and flags & UPPER_INFINITE:
            return Status.BAD_VALUE
        data += FLAGS_SIZE
        n -= FLAGS_SIZE
        status = read_bound(self.lower, &data, &n, flags & (RANGE_EMPTY | LOWER_INFINITE), state)
        if status == Status.OK:
            status = read_bound(self.upper, &data, &n, flags & (RANGE_EMPTY | UPPER_INFINITE), state)
        if status == Status.OK:
            status = read_flag(self.lower_inc, flags & LOWER_INCLUSIVE, state)
        if status == Status.OK:
            status = read_flag(self.upper_inc, flags & UPPER_INCLUSIVE, state)
        if status == Status.OK:
            status = read_flag(self.empty, flags & RANGE_EMPTY, state)
        if status == Status.OK and n != 0:
            return wrong_length(state, 0, n)
        return status


cdef int read_flag(CellDecoder cell, uint8_t flag, State* state) noexcept nogil:
    cdef uint8_t value = flag != 0
    return read_cell(cell, &value, 1, state)


cdef int read_bound(
    CellDecoder cell, const uint8_t** data, int32_t* n, uint8_t is_absent, State* state
) noexcept nogil:
    """Append a bound and step over it; a null for one that is not there."""
    cdef int32_t size
    cdef int64_t nulls = cell.null_count
    cdef int status
    if is_absent:
        return append_null(cell)
    if n[0] < 4:
        return wrong_length(state, 4, n[0])
    size = get32(data[0])
    if size < 0 or size > n[0] - 4:
        return wrong_length(state, size, n[0] - 4)
    status = read_cell(cell, data[0] + 4, size, state)
    data[0] += 4 + size
    n[0] -= 4 + size
    if status == Status.OK and cell.null_count != nulls:
        # a policy would have made it null, which is no bound: another range
        return Status.IS_INFINITE
    return status


cdef class MultirangeEncoder(CellEncoder):
    """A list, in any layout, of ranges -> a multirange."""

    cdef ListView lists
    cdef CellEncoder ranges

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.ranges = children[0]
        list_layout(&self.lists, self.format)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        bind_lists(&self.lists, array)
        return self.ranges.bind(schema.children[0], array.children[0])

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef size_t start = out.pos - out.start
        cdef size_t item
        cdef int64_t first, end, i
        cdef int status
        if list_span(&self.lists, self.offset + row, &first, &end):
            return Status.DAMAGED
        if end - first > FIELD_MAX // 4:  # each range needs four bytes at least
            return Status.FIELD_TOO_BIG
        if reserve(out, 4 + COUNT_SIZE):
            return Status.NO_MEMORY
        put32(out.pos + 4, <int32_t>(end - first))
        out.pos += 4 + COUNT_SIZE
        for i in range(first, end):
            item = out.pos - out.start
            status = write_cell(self.ranges, out, i)
            if status:
                return status
            if get32(out.start + item) == NULL_LENGTH:
                return Status.NULL_IN_RANGE
            if out.pos - out.start - start - 4 > FIELD_MAX:  # before it is all in memory
                return Status.FIELD_TOO_BIG
        put32(out.start + start, <int32_t>(out.pos - out.start - start - 4))
        return Status.OK


cdef class MultirangeDecoder(ListDecoder):
    """A multirange -> list of ranges."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t nulls = self.elements.null_count
        cdef int status
        if n < COUNT_SIZE:
            return wrong_length(state, COUNT_SIZE, n)
        status = self.read_elements(data + COUNT_SIZE, n - COUNT_SIZE, get32(data), state)
        if status:
            return status
        if self.elements.null_count != nulls:
            return Status.BAD_VALUE
        return self.blank()


ENCODERS = {"range": RangeEncoder, "multirange": MultirangeEncoder}
DECODERS = {"range": RangeDecoder, "multirange": MultirangeDecoder}
