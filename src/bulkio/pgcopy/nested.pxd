"""The list decoder's base, for other modules that produce lists."""

from libc.stdint cimport int32_t, uint8_t

from bulkio.pgcopy.cells cimport CellDecoder
from bulkio.pgcopy.wire cimport Buf, State


cdef class ListDecoder(CellDecoder):
    cdef Buf offsets
    cdef CellDecoder elements

    cdef int read_elements(self, const uint8_t* data, int32_t n, int32_t count, State* state) noexcept nogil
