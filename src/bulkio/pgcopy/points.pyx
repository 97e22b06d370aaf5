"""point <-> struct<x, y>.

Wire format: src/backend/utils/adt/geo_ops.c, point_send: two float8.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, read_cell
from bulkio.pgcopy.members cimport Member, bind_member, member_is_null
from bulkio.pgcopy.structs cimport StructDecoder, StructEncoder
from bulkio.pgcopy.wire cimport Out, State, Status, put32, put64, reserve, wrong_length

from bulkio.pgcopy.scalars import DECODERS as SCALAR_DECODERS
from bulkio.types import Cast, base_type

cdef enum:
    SIZE = 16


cdef class PointEncoder(StructEncoder):
    """struct<x: float64, y: float64> -> point; NaN and infinity go as they are, a null x or y is an error."""

    cdef Member x, y

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        StructEncoder.attach(self, schema, array)
        bind_member(&self.x, schema.children[0], array.children[0], b"g")
        bind_member(&self.y, schema.children[1], array.children[1], b"g")
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t i = self.offset + row
        if member_is_null(&self.x, i) or member_is_null(&self.y, i):
            return Status.NULL_MEMBER
        if reserve(out, 4 + SIZE):
            return Status.NO_MEMORY
        put32(out.pos, SIZE)
        # as bits: so a NaN keeps its own
        put64(out.pos + 4, (<const uint64_t*>self.x.values)[self.x.offset + i])
        put64(out.pos + 12, (<const uint64_t*>self.y.values)[self.y.offset + i])
        out.pos += 4 + SIZE
        return Status.OK


cdef class PointDecoder(StructDecoder):
    """point -> struct<x: float64, y: float64>."""

    cdef CellDecoder x, y

    def __init__(self, cast, list children):
        child = Cast("float8", cast.arrow.field(0).type, base_type("float8"))
        self.x, self.y = SCALAR_DECODERS["float8"](child, []), SCALAR_DECODERS["float8"](child, [])
        super().__init__(cast, [self.x, self.y])

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        if n != SIZE:
            return wrong_length(state, SIZE, n)
        if read_cell(self.x, data, 8, state) or read_cell(self.y, data + 8, 8, state):
            return Status.NO_MEMORY
        return Status.OK


ENCODERS = {"point": PointEncoder}
DECODERS = {"point": PointDecoder}
