"""Keys of one object or map, of which none may be there twice: PostgreSQL would keep one of them in silence."""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp


cdef struct Key:
    const uint8_t* data
    int64_t size


cdef enum:
    # up to so many keys, comparing each with each is quicker than sorting
    FEW_KEYS = 12


cdef inline int compare_keys(const void* a, const void* b) noexcept nogil:
    """Order keys as hstore and jsonb themselves do: the shorter one first."""
    cdef const Key* x = <const Key*>a
    cdef const Key* y = <const Key*>b
    if x.size != y.size:
        return -1 if x.size < y.size else 1
    return memcmp(x.data, y.data, x.size)


cdef inline bint have_equals(Key* keys, int64_t n) noexcept nogil:
    """Whether two keys are equal; many are sorted for that."""
    cdef int64_t i, j
    if n > FEW_KEYS:
        qsort(keys, n, sizeof(Key), compare_keys)
        for i in range(1, n):
            if compare_keys(&keys[i - 1], &keys[i]) == 0:
                return True
        return False
    for i in range(1, n):
        for j in range(i):
            if compare_keys(&keys[i], &keys[j]) == 0:
                return True
    return False
