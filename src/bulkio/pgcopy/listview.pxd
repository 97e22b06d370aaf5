"""Reading lists from all of Arrow's layouts: 32- and 64-bit offsets, fixed size, views."""

from libc.stdint cimport int32_t, int64_t

from bulkio.pgcopy.arrow cimport ArrowArray


cdef struct ListView:
    bint wide  # 64-bit offsets
    bint views  # each list has its own offset and size
    int64_t fixed_size  # -1 where the lists have offsets
    const void* offsets
    const void* sizes


cdef inline int list_layout(ListView* view, bytes format) except -1:
    """Choose the layout from the Arrow format string: +l +L +vl +vL +w:N."""
    view.wide = format in (b"+L", b"+vL")
    view.views = format.startswith(b"+v")
    view.fixed_size = int(format[3:]) if format.startswith(b"+w:") else -1
    return 0


cdef inline void bind_lists(ListView* view, ArrowArray* array) noexcept nogil:
    if view.fixed_size < 0:
        view.offsets = array.buffers[1]
        view.sizes = array.buffers[2] if view.views else NULL


cdef inline void list_span(const ListView* view, int64_t i, int64_t* first, int64_t* end) noexcept nogil:
    """Where list `i` lies in the elements."""
    if view.fixed_size >= 0:
        first[0] = i * view.fixed_size
        end[0] = first[0] + view.fixed_size
    elif view.wide:
        first[0] = (<const int64_t*>view.offsets)[i]
        end[0] = first[0] + (<const int64_t*>view.sizes)[i] if view.views else (<const int64_t*>view.offsets)[i + 1]
    else:
        first[0] = (<const int32_t*>view.offsets)[i]
        end[0] = first[0] + (<const int32_t*>view.sizes)[i] if view.views else (<const int32_t*>view.offsets)[i + 1]
