"""The bases of the encoders and decoders whose Arrow values all have one width."""

from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder
from bulkio.pgcopy.wire cimport Buf


cdef class FixedEncoder(CellEncoder):
    cdef const void* values


cdef class FixedDecoder(CellDecoder):
    cdef Buf values
    cdef int width  # bytes
