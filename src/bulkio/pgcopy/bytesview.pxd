"""Reading strings and binaries from all of Arrow's layouts: 32- and 64-bit offsets, fixed size, views."""

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


cdef struct BytesView:
    BytesLayout layout
    int64_t width
    const void* slots
    const uint8_t* data
    const void** buffers


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
    view.slots = array.buffers[1]
    view.data = NULL
    view.buffers = array.buffers + 2
    if view.layout == BytesLayout.OFFSETS32 or view.layout == BytesLayout.OFFSETS64:
        view.data = <const uint8_t*>array.buffers[2]


cdef inline int64_t load_bytes(const BytesView* view, int64_t i, const uint8_t** data) noexcept nogil:
    """Point `data` at value `i` and give its length in bytes."""
    cdef const int32_t* narrow
    cdef const int64_t* wide
    cdef const uint8_t* slot
    cdef const int32_t* words
    if view.layout == BytesLayout.OFFSETS32:
        narrow = <const int32_t*>view.slots
        data[0] = view.data + narrow[i]
        return narrow[i + 1] - narrow[i]
    if view.layout == BytesLayout.OFFSETS64:
        wide = <const int64_t*>view.slots
        data[0] = view.data + wide[i]
        return wide[i + 1] - wide[i]
    if view.layout == BytesLayout.FIXED:
        data[0] = <const uint8_t*>view.slots + i * view.width
        return view.width
    slot = <const uint8_t*>view.slots + VIEW_SIZE * i
    words = <const int32_t*>slot  # length, then 12 inline bytes or: prefix, buffer's index, offset
    if words[0] <= INLINE_MAX:
        data[0] = slot + 4
    else:
        data[0] = <const uint8_t*>view.buffers[words[2]] + words[3]
    return words[0]
