"""Enums: text that is one of the labels; on export a dictionary of them all, in their order.

Wire format: src/backend/utils/adt/enum.c, enum_send: the label.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from bulkio.pgcopy.arrow cimport ArrowArray
from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.fixed cimport FixedDecoder
from bulkio.pgcopy.strings cimport BytesDecoder, BytesEncoder, append_value
from bulkio.pgcopy.wire cimport Out, State, Status, append_bytes, put_bytes

from bulkio.pgcopy.strings import DECODERS as STRING_DECODERS


cdef class Labels:
    """An enum's labels as Arrow's buffers of strings, and a hash table from a label to its place in their order."""

    cdef int32_t count
    cdef int32_t* offsets
    cdef uint8_t* data
    cdef int32_t* slots  # place + 1, 0 where it is free; a power of two of them, at most half of them taken
    cdef uint64_t mask

    def __init__(self, labels):
        encoded = [label.encode() for label in labels]
        cdef bytes joined = b"".join(encoded)
        cdef uint64_t size = 4
        cdef uint64_t slot
        cdef int32_t i
        self.count = len(encoded)
        while size < 2 * <uint64_t>self.count:
            size *= 2
        self.mask = size - 1
        self.offsets = <int32_t*>calloc(self.count + 1, sizeof(int32_t))
        self.data = <uint8_t*>calloc(len(joined) + 1, 1)
        self.slots = <int32_t*>calloc(size, sizeof(int32_t))
        if self.offsets == NULL or self.data == NULL or self.slots == NULL:
            raise MemoryError
        memcpy(self.data, <const uint8_t*>joined, len(joined))
        for i in range(self.count):
            self.offsets[i + 1] = self.offsets[i] + <int32_t>len(encoded[i])
            slot = self.slot(self.data + self.offsets[i], len(encoded[i]))
            self.slots[slot] = i + 1

    def __dealloc__(self):
        free(self.offsets)
        free(self.data)
        free(self.slots)

    cdef uint64_t slot(self, const uint8_t* label, int64_t n) noexcept nogil:
        """Where the label is in `slots`, or the free slot where it would be."""
        cdef uint64_t hashed = <uint64_t>0xCBF29CE484222325ULL  # FNV-1a, 64 bits
        cdef int64_t i
        cdef int32_t place
        for i in range(n):
            hashed = (hashed ^ label[i]) * 0x100000001B3ULL
        hashed ^= hashed >> 32
        while True:
            hashed &= self.mask
            place = self.slots[hashed] - 1
            if place < 0 or (
                self.offsets[place + 1] - self.offsets[place] == n
                and memcmp(self.data + self.offsets[place], label, n) == 0
            ):
                return hashed
            hashed += 1

    cdef int32_t find(self, const uint8_t* label, int64_t n) noexcept nogil:
        """The label's place in their order, -1 for what is none."""
        if n > self.offsets[self.count]:  # longer than all of them together
            return -1
        return self.slots[self.slot(label, n)] - 1

    cdef int export(self, ArrowArray* out) except -1:
        """Return all labels as an array of strings, with buffers of its own."""
        cdef BytesDecoder strings = STRING_DECODERS["text"](None, [])
        cdef int32_t i
        for i in range(self.count):
            if append_value(strings, self.data + self.offsets[i], self.offsets[i + 1] - self.offsets[i]):
                raise MemoryError
            strings.length += 1
        return strings.export(out)


cdef class EnumEncoder(BytesEncoder):
    """utf8 in any layout -> an enum; what is not one of its labels is refused."""

    cdef Labels labels

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.labels = Labels(cast.pg.labels)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        if self.labels.find(data, n) < 0:
            return Status.NOT_A_LABEL
        return put_bytes(out, data, n)


cdef class EnumDecoder(FixedDecoder):
    """An enum -> dictionary<int32, string> that has all the labels, in their order."""

    cdef Labels labels

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.labels = Labels(cast.pg.labels)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int32_t place = self.labels.find(data, n)
        if place < 0:
            return Status.UNKNOWN_LABEL
        return append_bytes(&self.values, &place, 4)

    cdef int export(self, ArrowArray* out) except -1:
        FixedDecoder.export(self, out)
        out.dictionary = <ArrowArray*>calloc(1, sizeof(ArrowArray))
        if out.dictionary == NULL:
            raise MemoryError
        return self.labels.export(out.dictionary)


ENCODERS = {"enum": EnumEncoder}
DECODERS = {"enum": EnumDecoder}
