"""The bases of the string encoders and decoders, for other modules whose Arrow type is text."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from bulkio.pgcopy.bytesview cimport BytesView
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder
from bulkio.pgcopy.codepoints cimport CodePoints
from bulkio.pgcopy.wire cimport Buf, Out, Status, append_bytes


cdef enum:
    # Arrow's 32-bit offsets end here.
    OFFSET_MAX = 0x7FFFFFFF


cdef class BytesEncoder(CellEncoder):
    cdef BytesView view
    # of text, what the database's encoding does not keep; and the object that has the memory
    cdef CodePoints changed
    cdef bytes changed_codes


cdef class TextEncoder(BytesEncoder):
    cdef int64_t max_chars, max_bytes
    # of a name: the bytes that a character may have in the database's encoding; 0 where UTF-8 has as many
    cdef int64_t char_bytes
    # what stands in the place of a NUL, where the user allows that; `mends` tells whether
    cdef bytes instead
    cdef bint mends

    cdef bint is_too_long(self, const uint8_t* data, int64_t n) noexcept nogil
    cdef int write_mended(self, Out* out, const uint8_t* data, int64_t n) noexcept nogil


cdef class VersionedEncoder(BytesEncoder):
    # what the server makes of escapes is not looked at here
    cdef bint refuses_escapes


cdef class BytesDecoder(CellDecoder):
    cdef Buf offsets, data


cdef inline int end_value(BytesDecoder cell) noexcept nogil:
    """Append the offset where the value ends, after the leading zero."""
    cdef int32_t end = <int32_t>cell.data.size
    cdef int32_t zero = 0
    if cell.offsets.size == 0 and append_bytes(&cell.offsets, &zero, 4):
        return Status.NO_MEMORY
    return append_bytes(&cell.offsets, &end, 4)


cdef inline int append_value(BytesDecoder cell, const uint8_t* data, int32_t n) noexcept nogil:
    """Append one value of `n` bytes."""
    if <int64_t>cell.data.size + n > OFFSET_MAX:
        return Status.BATCH_TOO_BIG
    if append_bytes(&cell.data, data, n):
        return Status.NO_MEMORY
    return end_value(cell)
