"""The C level's common words: big-endian stores and loads, status codes, the two growing buffers."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy


cdef extern from "wire.h" nogil:
    void put16(uint8_t* p, uint16_t v)
    void put32(uint8_t* p, uint32_t v)
    void put64(uint8_t* p, uint64_t v)
    int16_t get16(const uint8_t* p)
    int32_t get32(const uint8_t* p)
    int64_t get64(const uint8_t* p)
    int test_bit(const uint8_t* bits, int64_t i)
    int check_text(const uint8_t* p, size_t n)
    int64_t count_chars(const uint8_t* p, size_t n)
    int TEXT_OK, TEXT_HAS_NUL, TEXT_NOT_UTF8
    int SPARE_ROOM


# What a cell's encoder or decoder answers. `messages.py` holds the text for each, under the same names.
cdef enum Status:
    OK = 0
    NO_MEMORY = 1
    # encoding
    NULL_REFUSED = 2
    OUT_OF_RANGE = 3
    WOULD_ROUND = 4
    TOO_LONG = 5
    HAS_NUL = 6
    NOT_UTF8 = 7
    BAD_SYNTAX = 8
    FIELD_TOO_BIG = 9
    DAMAGED = 10
    # decoding
    BAD_LENGTH = 20
    BAD_VALUE = 21
    BAD_DIMENSIONS = 22
    BAD_LOWER_BOUND = 23
    BAD_ELEMENT_TYPE = 24
    IS_INFINITE = 25
    NOT_IN_ARROW = 26
    BATCH_TOO_BIG = 27
    IS_DAYS_END = 28
    # encoding what is made of other types
    NOT_A_LABEL = 40
    NULL_IN_RANGE = 41
    EMPTY_WITH_BOUNDS = 42
    RAGGED = 43
    EMPTY_INNER = 44
    NULL_INNER = 45
    # decoding it
    NOT_AS_DECLARED = 46
    BAD_FIELD_COUNT = 47
    BAD_FIELD_TYPE = 48
    UNKNOWN_LABEL = 49
    # extensions' types, either way
    DUPLICATE_KEY = 50
    NULL_KEY = 51
    NULL_ELEMENT = 52
    NOT_FINITE = 53
    WRONG_DIMENSIONS = 54
    WRONG_SRID = 55
    # not a fault: a policy wants a null here
    AS_NULL = 60
    # encoding scalars
    WRONG_BITS = 70
    NULL_MEMBER = 71
    WOULD_DROP = 72
    NOT_ABSOLUTE = 73
    SIGNED_ZERO = 74
    MEANS_INFINITY = 75
    CHANGED_CHAR = 76


cdef enum:
    NULL_LENGTH = -1
    # MaxAllocSize of the server (src/include/utils/memutils.h): no field, and no row, may be larger.
    FIELD_MAX = 0x3FFFFFFF


cdef struct Out:
    # Bytes being encoded: [start, pos) is written, [pos, end) is free.
    uint8_t* start
    uint8_t* pos
    uint8_t* end


cdef inline int grow_out(Out* out, size_t n) noexcept nogil:
    cdef size_t used = out.pos - out.start
    cdef size_t size = 2 * <size_t>(out.end - out.start)
    if size < used + n or not SPARE_ROOM:
        size = used + n
    cdef uint8_t* moved = <uint8_t*>realloc(out.start, size)
    if moved == NULL:
        return Status.NO_MEMORY
    out.start = moved
    out.pos = moved + used
    out.end = moved + size
    return Status.OK


cdef inline int reserve(Out* out, size_t n) noexcept nogil:
    """Make room for `n` bytes at out.pos. Pointers into the buffer are stale afterwards."""
    if <size_t>(out.end - out.pos) >= n:
        return Status.OK
    return grow_out(out, n)


cdef inline int put_integer(Out* out, int64_t value, int width) noexcept nogil:
    """Append a field of 2, 4 or 8 bytes."""
    if reserve(out, 12):
        return Status.NO_MEMORY
    put32(out.pos, width)
    if width == 8:
        put64(out.pos + 4, <uint64_t>value)
    elif width == 4:
        put32(out.pos + 4, <uint32_t>value)
    else:
        put16(out.pos + 4, <uint16_t>value)
    out.pos += 4 + width
    return Status.OK


cdef inline int put_bytes(Out* out, const void* data, size_t n) noexcept nogil:
    """Append a field of these bytes."""
    if reserve(out, 4 + n):
        return Status.NO_MEMORY
    put32(out.pos, <uint32_t>n)
    memcpy(out.pos + 4, data, n)
    out.pos += 4 + n
    return Status.OK


cdef struct Buf:
    # One growing Arrow buffer. `size` and `capacity` are in bytes.
    uint8_t* data
    size_t size
    size_t capacity


cdef inline int grow_buf(Buf* buf, size_t n) noexcept nogil:
    cdef size_t capacity = 2 * buf.capacity if buf.capacity else 1024
    if capacity < buf.size + n or not SPARE_ROOM:
        capacity = buf.size + n
    cdef uint8_t* moved = <uint8_t*>realloc(buf.data, capacity)
    if moved == NULL:
        return Status.NO_MEMORY
    buf.data = moved
    buf.capacity = capacity
    return Status.OK


cdef inline int room(Buf* buf, size_t n) noexcept nogil:
    """Make room for `n` more bytes at buf.data + buf.size."""
    if buf.capacity - buf.size >= n:
        return Status.OK
    return grow_buf(buf, n)


cdef inline int append_bytes(Buf* buf, const void* data, size_t n) noexcept nogil:
    if room(buf, n):
        return Status.NO_MEMORY
    memcpy(buf.data + buf.size, data, n)
    buf.size += n
    return Status.OK


cdef struct State:
    # What a decoder met, for the message of a DecodeError, and the Arrow bytes it made beyond what the wire held.
    int64_t expected
    int64_t found
    int64_t inflated


cdef inline int wrong_length(State* state, int64_t expected, int64_t found) noexcept nogil:
    state.expected = expected
    state.found = found
    return Status.BAD_LENGTH
