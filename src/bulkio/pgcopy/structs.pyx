"""What the decoders of structs share: the fields, and the nulls that all of them get under a null."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free

from bulkio.pgcopy.arrow cimport ArrowArray
from bulkio.pgcopy.cells cimport CellDecoder, append_null, give_array
from bulkio.pgcopy.wire cimport Status

cdef enum:
    # what a null takes in a field, but for the fields that say more: most have no more than eight bytes
    FIELD_FILLER = 8


cdef class StructDecoder(CellDecoder):
    """Decode into the fields' own arrays; a subclass's `read` appends one value to each of them."""

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = len(children)
        self.fields = <PyObject**>calloc(self.width + 1, sizeof(PyObject*))
        if self.fields == NULL:
            raise MemoryError
        for i, child in enumerate(children):
            self.fields[i] = <PyObject*>child
            self.filler += FIELD_FILLER + (<CellDecoder>child).filler

    def __dealloc__(self):
        free(self.fields)

    cdef int blank(self) noexcept nogil:
        cdef int32_t i
        cdef int status
        for i in range(self.width):
            status = append_null(<CellDecoder>self.fields[i])
            if status:
                return status
        return Status.OK

    cdef int export(self, ArrowArray* out) except -1:
        return give_array(self, out, NULL, 0)
