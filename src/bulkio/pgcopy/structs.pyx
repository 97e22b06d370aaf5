"""What encoders and decoders of structs share: fields by name; on the way out the nulls that all get under a null."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, append_null, give_array
from bulkio.pgcopy.wire cimport Status

from bulkio.errors import SchemaError

cdef enum:
    # what a null takes in a field, but for the fields that say more: most have no more than eight bytes
    FIELD_FILLER = 8


cdef bytes name_of(ArrowSchema* field):
    return <bytes>field.name if field.name != NULL else b""


cdef class StructEncoder(CellEncoder):
    """Encode from structs with the fields that the plan knows, in its order: the format string does not tell them."""

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.names = [field.name.encode() for field in cast.arrow]

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        found = [name_of(schema.children[i]) for i in range(schema.n_children)]
        if found != self.names or array.n_children != schema.n_children:
            raise SchemaError(f"the batch's struct has the fields {found}, the plan was made for {self.names}")
        return 0


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
