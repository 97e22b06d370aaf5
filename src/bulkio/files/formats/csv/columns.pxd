"""Columns of text that grow: Arrow's three buffers of a string array, written a run of bytes at a time."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

cdef enum Room:
    # what appending comes to
    ENOUGH = 0
    NO_ROOM = 1
    TOO_MUCH = 2

cdef enum:
    FIELD_BYTES_MAX = (1 << 30) - 1  # where PostgreSQL's values end
    STRIDE = 16  # bytes that are copied at once, whether the field has them all or not


cdef struct Column:
    uint8_t* data
    size_t size, capacity
    size_t start  # of the field that is being read
    int32_t* offsets
    uint8_t* valid
    int64_t nulls
    bint kept


cdef inline int resize(void** memory, size_t size) noexcept nogil:
    cdef void* data = realloc(memory[0], size)
    if data == NULL:
        return Room.NO_ROOM
    memory[0] = data
    return Room.ENOUGH


cdef inline int grow(Column* column, size_t n) noexcept nogil:
    cdef size_t capacity = max(2 * column.capacity, column.size + n + 4 * STRIDE)
    if resize(<void**>&column.data, capacity):
        return Room.NO_ROOM
    column.capacity = capacity
    return Room.ENOUGH


cdef inline int append(Column* column, const uint8_t* p, size_t n, const uint8_t* end) noexcept nogil:
    """Append a run of bytes to the field that is being read; memory up to `end` can be read."""
    if n > FIELD_BYTES_MAX - (column.size - column.start):
        return Room.TOO_MUCH
    if column.capacity - column.size < n + STRIDE and grow(column, n):
        return Room.NO_ROOM
    if n <= STRIDE and end - p >= STRIDE:
        memcpy(column.data + column.size, p, STRIDE)
    else:
        memcpy(column.data + column.size, p, n)
    column.size += n
    return Room.ENOUGH


cdef inline int make_rows(Column* column, int64_t known, int64_t capacity) noexcept nogil:
    """Make room for so many rows, none of them NULL; `known` is what there is room for already."""
    if column.offsets == NULL:
        known = 0
    if resize(<void**>&column.offsets, (capacity + 1) * sizeof(int32_t)):
        return Room.NO_ROOM
    if resize(<void**>&column.valid, (capacity + 7) // 8):
        return Room.NO_ROOM
    column.offsets[0] = 0
    memset(column.valid + (known + 7) // 8, 0xFF, (capacity + 7) // 8 - (known + 7) // 8)
    return Room.ENOUGH


cdef object export_column(Column* column, int64_t rows)
