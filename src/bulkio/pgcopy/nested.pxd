"""The list decoders' base, for other modules that produce lists."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from bulkio.pgcopy.cells cimport CellDecoder
from bulkio.pgcopy.strings cimport OFFSET_MAX
from bulkio.pgcopy.wire cimport Buf, State, Status, append_bytes


cdef class ListDecoder(CellDecoder):
    cdef Buf offsets
    cdef CellDecoder elements

    cdef int read_elements(self, const uint8_t* data, int32_t n, int32_t count, State* state) noexcept nogil


cdef inline int end_list(Buf* offsets, int64_t end) noexcept nogil:
    """Append where a list ends in its elements, after the leading zero."""
    cdef int32_t narrow = <int32_t>end
    cdef int32_t zero = 0
    if end > OFFSET_MAX:
        return Status.BATCH_TOO_BIG
    if offsets.size == 0 and append_bytes(offsets, &zero, 4):
        return Status.NO_MEMORY
    return append_bytes(offsets, &narrow, 4)
