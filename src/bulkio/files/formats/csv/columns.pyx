"""Columns of text, given to Arrow: whoever takes their memory over frees it. See the .pxd for how they grow."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport free

import pyarrow as pa


@cython.final
cdef class Memory:
    """A block of memory that lives as long as the Arrow buffer on it."""

    cdef void* data

    def __dealloc__(self):
        free(self.data)


cdef object as_buffer(void** data, size_t size):
    """Make an Arrow buffer of `data`, which is its from now on. Nothing is taken where there is nothing in it."""
    if size == 0:
        return pa.py_buffer(b"")
    cdef Memory memory = Memory.__new__(Memory)
    memory.data = data[0]
    data[0] = NULL
    return pa.foreign_buffer(<uintptr_t>memory.data, size, memory)


cdef object export_column(Column* column, int64_t rows):
    """Hand a column's buffers over to Arrow, and take as much memory anew."""
    cdef size_t size = column.size
    cdef int64_t nulls = column.nulls
    offsets = as_buffer(<void**>&column.offsets, (rows + 1) * sizeof(int32_t))
    valid = as_buffer(<void**>&column.valid, (rows + 7) // 8) if nulls else None
    data = as_buffer(<void**>&column.data, size)
    column.size = column.start = column.nulls = 0
    if size:
        column.capacity = 0
        grow(column, size + size // 8)
    return pa.StringArray.from_buffers(rows, offsets, data, valid, nulls)
