"""Reading strings and binaries from all of Arrow's layouts: 32- and 64-bit offsets, fixed size, views.

No offset is followed that leads out of what the array says of itself: offsets lie between its first and its last one, a
view within its buffer. How long the buffer behind the offsets is Arrow's C interface does not say: the last offset is
the producer's word.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from bulkio.pgcopy.arrow cimport ArrowArray


cdef enum BytesLayout:
    OFFSETS32 = 1
    OFFSETS64 = 2
    FIXED = 3
    VIEWS = 4


cdef enum:
    # A view up to this size holds its bytes itself (Arrow columnar format, variable-size binary view layout).
    VIEW_SIZE = 16
    INLINE_MAX = 12
    # buffers of an array of views that hold no values: validity, views; and the last, the sizes of the others
    VIEW_BUFFERS = 3
    # what `load_bytes` gives for the length of a value that lies outside its buffer
    DAMAGED_VALUE = -1


cdef struct BytesView:
    BytesLayout layout
    int64_t width
    const void* slots
    const uint8_t* data
    const void** buffers
    # first and last offset of the array
    int64_t low, high
    # the buffers that views point into, and their sizes
    int64_t n_buffers
    const int64_t* sizes


cdef inline int bytes_layout(BytesView* view, bytes format) except -1:
    """Choose the layout from the Arrow format string: u z U Z vu vz w:N."""
    view.width = 0
    if format in (b"u", b"z"):
        view.layout = BytesLayout.OFFSETS32
    elif format in (b"U", b"Z"):
        view.layout = BytesLayout.OFFSETS64
    elif format in (b"vu", b"vz"):
        view.layout = BytesLayout.VIEWS
    else:
        view.layout = BytesLayout.FIXED
        view.width = int(format[2:])
    return 0


cdef inline void bind_bytes(BytesView* view, ArrowArray* array) noexcept nogil:
    cdef int64_t end = array.offset + array.length
    view.slots = array.buffers[1]
    view.data = NULL
    view.low = view.high = 0
    view.buffers = array.buffers + 2
    if view.layout == BytesLayout.VIEWS:
        view.n_buffers = array.n_buffers - VIEW_BUFFERS
        view.sizes = <const int64_t*>array.buffers[array.n_buffers - 1]
    elif view.layout != BytesLayout.FIXED:
        view.data = <const uint8_t*>array.buffers[2]
        if array.length == 0:  # then there may be no offsets
            return
        if view.layout == BytesLayout.OFFSETS32:
            view.low = (<const int32_t*>view.slots)[array.offset]
            view.high = (<const int32_t*>view.slots)[end]
        else:
            view.low = (<const int64_t*>view.slots)[array.offset]
            view.high = (<const int64_t*>view.slots)[end]
        view.low = max(view.low, 0)


cdef inline int64_t load_bytes(const BytesView* view, int64_t i, const uint8_t** data) noexcept nogil:
    """Point `data` at value `i` and give its length in bytes, or DAMAGED_VALUE."""
    cdef int64_t first, end
    cdef const uint8_t* slot
    cdef const int32_t* words
    if view.layout == BytesLayout.OFFSETS32 or view.layout == BytesLayout.OFFSETS64:
        if view.layout == BytesLayout.OFFSETS32:
            first = (<const int32_t*>view.slots)[i]
            end = (<const int32_t*>view.slots)[i + 1]
        else:
            first = (<const int64_t*>view.slots)[i]
            end = (<const int64_t*>view.slots)[i + 1]
        if not view.low <= first <= end <= view.high:
            return DAMAGED_VALUE
        data[0] = view.data + first
        return end - first
    if view.layout == BytesLayout.FIXED:
        data[0] = <const uint8_t*>view.slots + i * view.width
        return view.width
    slot = <const uint8_t*>view.slots + VIEW_SIZE * i
    words = <const int32_t*>slot  # length, then 12 inline bytes or: prefix, buffer's index, offset
    if words[0] <= INLINE_MAX:
        data[0] = slot + 4
        return words[0] if words[0] >= 0 else DAMAGED_VALUE
    if not 0 <= words[2] < view.n_buffers or words[3] < 0 or words[3] > view.sizes[words[2]] - words[0]:
        return DAMAGED_VALUE
    data[0] = <const uint8_t*>view.buffers[words[2]] + words[3]
    return words[0]
