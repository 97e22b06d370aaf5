"""The children of a struct that has fixed members, such as a point's x and y: bound, and checked for nulls."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport strcmp

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.wire cimport test_bit


cdef struct Member:
    const uint8_t* validity
    const void* values
    int64_t offset


cdef inline int bind_member(Member* member, ArrowSchema* schema, ArrowArray* array, const char* format) except -1:
    """Point at the buffers of an array of fixed width. Raises SchemaError where it has another format."""
    from bulkio.errors import SchemaError

    if strcmp(schema.format, format) != 0 or schema.dictionary != NULL:
        raise SchemaError(
            f"a member's Arrow format is {(<bytes>schema.format).decode()!r},"
            f" the plan was made for {(<bytes>format).decode()!r}"
        )
    member.validity = <const uint8_t*>array.buffers[0] if array.null_count != 0 else NULL
    member.values = array.buffers[1]
    member.offset = array.offset
    return 0


cdef inline bint member_is_null(const Member* member, int64_t i) noexcept nogil:
    return member.validity != NULL and not test_bit(member.validity, member.offset + i)
