"""What encoders and decoders of fixed width share: the one buffer of values. A subclass is its `write` or `read`."""

from libc.stdlib cimport free
from libc.string cimport memset

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, give_array
from bulkio.pgcopy.wire cimport Buf, Status, room

cdef enum:
    WIDEST = 32  # bytes of a decimal256


cdef class FixedEncoder(CellEncoder):
    """Encode from one buffer of values; the first of this array is number `offset`."""

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        self.values = array.buffers[1]
        return 0


cdef class FixedDecoder(CellDecoder):
    """Decode into one buffer of values, of the width that the Arrow type has (a dictionary: its indices)."""

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.width = cast.arrow.bit_width // 8

    def __dealloc__(self):
        free(self.values.data)

    cdef int blank(self) noexcept nogil:
        if room(&self.values, WIDEST):
            return Status.NO_MEMORY
        # more than is wanted, but of a size that the compiler knows: nulls can be most of a column
        memset(self.values.data + self.values.size, 0, WIDEST)
        self.values.size += self.width
        return Status.OK

    cdef int export(self, ArrowArray* out) except -1:
        cdef Buf* buffers[1]
        buffers[0] = &self.values
        return give_array(self, out, buffers, 1)
