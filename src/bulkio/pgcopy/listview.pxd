"""Reading lists from all of Arrow's layouts: 32- and 64-bit offsets, fixed size, views.

A list that does not lie within the elements is damaged, and is not followed.
"""

from libc.stdint cimport int32_t, int64_t

from bulkio.pgcopy.arrow cimport ArrowArray
from bulkio.pgcopy.wire cimport Status


cdef struct ListView:
    bint wide  # 64-bit offsets
    bint views  # each list has its own offset and size
    int64_t fixed_size  # -1 where the lists have offsets
    const void* offsets
    const void* sizes
    int64_t n_elements


cdef inline int list_layout(ListView* view, bytes format) except -1:
    """Choose the layout from the Arrow format string: +l +L +vl +vL +w:N."""
    view.wide = format in (b"+L", b"+vL")
    view.views = format.startswith(b"+v")
    view.fixed_size = int(format[3:]) if format.startswith(b"+w:") else -1
    return 0


cdef inline void bind_lists(ListView* view, ArrowArray* array) noexcept nogil:
    view.n_elements = array.children[0].length
    if view.fixed_size < 0:
        view.offsets = array.buffers[1]
        view.sizes = array.buffers[2] if view.views else NULL


cdef inline int list_span(const ListView* view, int64_t i, int64_t* first, int64_t* end) noexcept nogil:
    """Tell where list `i` lies in the elements; DAMAGED where it does not."""
    if view.fixed_size >= 0:
        first[0] = i * view.fixed_size
        end[0] = first[0] + view.fixed_size
    elif view.wide:
        first[0] = (<const int64_t*>view.offsets)[i]
        end[0] = first[0] + (<const int64_t*>view.sizes)[i] if view.views else (<const int64_t*>view.offsets)[i + 1]
    else:
        first[0] = (<const int32_t*>view.offsets)[i]
        end[0] = first[0] + (<const int32_t*>view.sizes)[i] if view.views else (<const int32_t*>view.offsets)[i + 1]
    return Status.OK if 0 <= first[0] <= end[0] <= view.n_elements else Status.DAMAGED
