"""The string decoder's base, for other modules that produce text."""

from libc.stdint cimport int32_t, uint8_t

from bulkio.pgcopy.cells cimport CellDecoder
from bulkio.pgcopy.wire cimport Buf, State


cdef class BytesDecoder(CellDecoder):
    cdef Buf offsets, data

    cdef int end_cell(self) noexcept nogil
    cdef int append(self, const uint8_t* data, int32_t n) noexcept nogil
