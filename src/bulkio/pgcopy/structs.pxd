"""The base of the decoders whose Arrow type is a struct."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t

from bulkio.pgcopy.cells cimport CellDecoder


cdef class StructDecoder(CellDecoder):
    cdef PyObject** fields  # the children, as the bare pointers that code without the GIL can follow
    cdef int32_t width  # how many
