"""The two base classes: one object for each node of a column's type, one call for each cell."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.wire cimport NULL_LENGTH, Buf, Out, State, Status, put32, reserve, test_bit


cdef class CellEncoder:
    # the Arrow format string this encoder was built for; a batch with another one is refused
    cdef readonly bytes format
    cdef readonly list children
    cdef bint not_null
    cdef bint indexed  # it reads a dictionary's indices, whose format is that of plain integers
    cdef const uint8_t* validity
    cdef int64_t offset
    cdef int64_t length

    cdef int bind(self, ArrowSchema* schema, ArrowArray* array) except -1
    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1
    cdef int write(self, Out* out, int64_t row) noexcept nogil


cdef inline int write_cell(CellEncoder cell, Out* out, int64_t row) noexcept nogil:
    """Append the cell's length and bytes, or the length -1 for a NULL. `row` counts within the bound array."""
    if cell.validity != NULL and not test_bit(cell.validity, cell.offset + row):
        if cell.not_null:
            return Status.NULL_REFUSED
        if reserve(out, 4):
            return Status.NO_MEMORY
        put32(out.pos, NULL_LENGTH)
        out.pos += 4
        return Status.OK
    return cell.write(out, row)


cdef class CellDecoder:
    cdef readonly list children
    cdef Buf validity
    cdef int64_t length
    cdef int64_t null_count
    # Arrow bytes that a null takes here and that nothing on the wire stood for
    cdef int64_t filler

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil
    cdef int blank(self) noexcept nogil
    cdef int export(self, ArrowArray* out) except -1
    cdef int begin(self) except -1


cdef int mark_null(CellDecoder cell) noexcept nogil
cdef int extend_validity(CellDecoder cell) noexcept nogil
cdef int give_array(CellDecoder cell, ArrowArray* out, Buf** buffers, int n_buffers) except -1
cdef object adopt_format(object arrow_type)


cdef inline int append_null(CellDecoder cell) noexcept nogil:
    cdef int status = mark_null(cell)
    if status == Status.OK:
        status = cell.blank()
    cell.length += 1
    return status


cdef inline int read_cell(CellDecoder cell, const uint8_t* data, int32_t n, State* state) noexcept nogil:
    """Append the cell in data[0:n], or a null where n is -1. The caller has checked that the bytes are there."""
    cdef int status
    if n == NULL_LENGTH:
        state.inflated += cell.filler
        return append_null(cell)
    if cell.validity.data != NULL and extend_validity(cell):
        return Status.NO_MEMORY
    status = cell.read(data, n, state)
    if status == Status.AS_NULL:
        state.inflated += cell.filler
        return append_null(cell)
    cell.length += 1
    return status
