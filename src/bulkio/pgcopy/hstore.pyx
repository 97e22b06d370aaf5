"""hstore <-> map<string, string>.

Wire format: contrib/hstore/hstore_io.c, hstore_send: the number of pairs, then for each the key and the value as
fields; all integers have 32 bits.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, CellEncoder, read_cell, write_cell
from bulkio.pgcopy.keys cimport Key, have_equals
from bulkio.pgcopy.nested cimport ListDecoder
from bulkio.pgcopy.structs cimport StructDecoder
from bulkio.pgcopy.wire cimport FIELD_MAX, NULL_LENGTH, Out, State, Status, get32, put32, reserve, wrong_length

from bulkio.pgcopy.strings import DECODERS as TEXT_DECODERS


cdef class HstoreEncoder(CellEncoder):
    """map<text, text> -> hstore.

    Of equal keys hstore would keep one in silence: they are refused. That it orders the keys is its own nature.
    """

    cdef CellEncoder map_keys, map_values
    cdef const int32_t* ends
    cdef int64_t entries_offset, n_entries
    cdef Key* keys
    cdef int64_t room_for_keys

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.map_keys, self.map_values = children

    def __dealloc__(self):
        free(self.keys)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        cdef ArrowArray* entries = array.children[0]
        self.ends = <const int32_t*>array.buffers[1]
        self.entries_offset = entries.offset
        self.n_entries = entries.length
        self.map_keys.bind(schema.children[0].children[0], entries.children[0])
        self.map_values.bind(schema.children[0].children[1], entries.children[1])
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t first = self.ends[self.offset + row]
        cdef int64_t end = self.ends[self.offset + row + 1]
        cdef int64_t i
        cdef size_t start, at, n
        cdef int status
        if not 0 <= first <= end <= self.n_entries:
            return Status.DAMAGED
        if end - first > FIELD_MAX // 8:  # each pair needs eight bytes at least
            return Status.FIELD_TOO_BIG
        if self.make_room_for_keys(end - first) or reserve(out, 8):
            return Status.NO_MEMORY
        start = out.pos - out.start
        put32(out.pos + 4, <uint32_t>(end - first))
        out.pos += 8
        for i in range(first, end):
            at = out.pos - out.start
            status = write_cell(self.map_keys, out, self.entries_offset + i)
            if status:
                return status
            if get32(out.start + at) == NULL_LENGTH:
                return Status.NULL_KEY
            # an offset for now: the buffer may still move
            self.keys[i - first] = Key(<const uint8_t*>(at + 4), get32(out.start + at))
            status = write_cell(self.map_values, out, self.entries_offset + i)
            if status:
                return status
            n = out.pos - out.start - start - 4
            if n > FIELD_MAX:
                return Status.FIELD_TOO_BIG
        put32(out.start + start, <uint32_t>(out.pos - out.start - start - 4))
        return self.refuse_equal_keys(out.start, end - first)

    cdef int make_room_for_keys(self, int64_t n) noexcept nogil:
        cdef Key* moved
        if n > self.room_for_keys:
            moved = <Key*>realloc(self.keys, 2 * n * sizeof(Key))
            if moved == NULL:
                return Status.NO_MEMORY
            self.keys = moved
            self.room_for_keys = 2 * n
        return Status.OK

    cdef int refuse_equal_keys(self, const uint8_t* base, int64_t n) noexcept nogil:
        cdef int64_t i
        for i in range(n):
            self.keys[i].data = base + <size_t>self.keys[i].data
        return Status.DUPLICATE_KEY if have_equals(self.keys, n) else Status.OK


cdef class HstoreDecoder(ListDecoder):
    """hstore -> map<string, string>: a list of entries, which are structs of a key and a value."""

    cdef CellDecoder keys, values

    def __init__(self, cast, list children):
        self.keys = TEXT_DECODERS["text"](cast, [])
        self.values = TEXT_DECODERS["text"](cast, [])
        super().__init__(cast, [StructDecoder(cast, [self.keys, self.values])])

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef const uint8_t* end = data + n
        cdef int32_t count, _i
        cdef int status
        if n < 4:
            return wrong_length(state, 4, n)
        count = get32(data)
        if count < 0:
            return Status.BAD_VALUE
        data += 4
        for _i in range(count):
            if end - data >= 4 and get32(data) == NULL_LENGTH:  # a key is never NULL
                return Status.BAD_VALUE
            status = self.read_part(self.keys, &data, end, state)
            if status == Status.OK:
                status = self.read_part(self.values, &data, end, state)
            if status:
                return status
            self.elements.length += 1
        if data != end:
            return wrong_length(state, 0, end - data)
        return self.blank()

    cdef int read_part(
        self, CellDecoder part, const uint8_t** data, const uint8_t* end, State* state
    ) noexcept nogil:
        cdef int32_t size
        cdef int status
        if end - data[0] < 4:
            return wrong_length(state, 4, end - data[0])
        size = get32(data[0])
        data[0] += 4
        if size < NULL_LENGTH or size > end - data[0]:
            return wrong_length(state, size, end - data[0])
        status = read_cell(part, data[0], size, state)
        if size > 0:
            data[0] += size
        return status


ENCODERS = {"hstore": HstoreEncoder}
DECODERS = {"hstore": HstoreDecoder}
