"""Composites: structs in Arrow.

Wire format: src/backend/utils/adt/rowtypes.c, record_send: the number of columns, dropped ones left out; for each the
oid of its declared type (a domain's own), then a field. All integers have 32 bits.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, read_cell, write_cell
from bulkio.pgcopy.structs cimport StructDecoder, StructEncoder
from bulkio.pgcopy.wire cimport FIELD_MAX, NULL_LENGTH, Out, State, Status, get32, put32, reserve, wrong_length

cdef enum:
    COUNT_SIZE = 4  # of columns
    FIELD_HEADER = 8  # oid, length


cdef class CompositeEncoder(StructEncoder):
    """struct -> a composite; its columns are found by name, and those that the struct does not have are NULL."""

    cdef list places  # for each column of the composite its field in the struct, -1 for none
    cdef PyObject** columns
    cdef int32_t* oids
    cdef int32_t width

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = len(children)
        self.places = [cast.arrow.get_field_index(name) for name, _ in cast.pg.fields]
        self.columns = <PyObject**>calloc(self.width + 1, sizeof(PyObject*))
        self.oids = <int32_t*>calloc(self.width + 1, sizeof(int32_t))
        if self.columns == NULL or self.oids == NULL:
            raise MemoryError
        for i, child in enumerate(children):
            self.columns[i] = <PyObject*>child
            self.oids[i] = <int32_t><uint32_t>cast.pg.fields[i][1].oid

    def __dealloc__(self):
        free(self.columns)
        free(self.oids)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        StructEncoder.attach(self, schema, array)
        for child, place in zip(self.children, self.places):
            if place >= 0:
                (<CellEncoder>child).bind(schema.children[<int64_t>place], array.children[<int64_t>place])
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef size_t start = out.pos - out.start
        cdef int32_t i
        cdef int status
        if reserve(out, 4 + COUNT_SIZE):
            return Status.NO_MEMORY
        put32(out.pos + 4, self.width)
        out.pos += 4 + COUNT_SIZE
        for i in range(self.width):
            if reserve(out, 4):
                return Status.NO_MEMORY
            put32(out.pos, self.oids[i])
            out.pos += 4
            # a struct's offset is its children's too
            status = write_cell(<CellEncoder>self.columns[i], out, self.offset + row)
            if status:
                return status
            if out.pos - out.start - start - 4 > FIELD_MAX:  # before it is all in memory
                return Status.FIELD_TOO_BIG
        put32(out.start + start, <int32_t>(out.pos - out.start - start - 4))
        return Status.OK


cdef class CompositeDecoder(StructDecoder):
    """A composite -> struct."""

    cdef int32_t* oids

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.oids = <int32_t*>calloc(self.width + 1, sizeof(int32_t))
        if self.oids == NULL:
            raise MemoryError
        for i, (_, field) in enumerate(cast.pg.fields):
            self.oids[i] = <int32_t><uint32_t>field.oid

    def __dealloc__(self):
        free(self.oids)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int32_t i, size
        cdef int status
        if n < COUNT_SIZE:
            return wrong_length(state, COUNT_SIZE, n)
        if get32(data) != self.width:
            state.expected = self.width
            state.found = get32(data)
            return Status.BAD_FIELD_COUNT
        data += COUNT_SIZE
        n -= COUNT_SIZE
        for i in range(self.width):
            if n < FIELD_HEADER:
                return wrong_length(state, FIELD_HEADER, n)
            if get32(data) != self.oids[i]:
                state.expected = <uint32_t>self.oids[i]
                state.found = <uint32_t>get32(data)
                return Status.BAD_FIELD_TYPE
            size = get32(data + 4)
            data += FIELD_HEADER
            n -= FIELD_HEADER
            if size < NULL_LENGTH or size > n:
                return wrong_length(state, size, n)
            status = read_cell(<CellDecoder>self.fields[i], data, size, state)
            if status:
                return status
            if size > 0:
                data += size
                n -= size
        return Status.OK if n == 0 else wrong_length(state, 0, n)


ENCODERS = {"composite": CompositeEncoder}
DECODERS = {"composite": CompositeDecoder}
