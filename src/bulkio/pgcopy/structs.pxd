"""The bases of the encoders and decoders whose Arrow type is a struct."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t

from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder


cdef class StructEncoder(CellEncoder):
    cdef list names


cdef class StructDecoder(CellDecoder):
    cdef PyObject** fields  # the children, as the bare pointers that code without the GIL can follow
    cdef int32_t width  # how many
