"""What every cell encoder and decoder shares: binding to Arrow buffers, validity bitmaps, handing arrays over.

An encoder is bound to an Arrow array's buffers and appends one cell at a time to the output. A decoder appends one cell
at a time to growing buffers and gives them away as an Arrow array. Neither raises for a cell: it answers a status code.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strcmp

from bulkio.pgcopy.wire cimport Buf, Out, State, Status, room

from bulkio.errors import SchemaError


cdef class CellEncoder:
    """Encode the cells of one Arrow array (one node of a column's type) as fields of COPY BINARY."""

    def __init__(self, cast, list children):
        self.format = adopt_format(cast.arrow)
        self.children = children
        self.not_null = False
        self.indexed = False

    def refuse_null(self):
        """Make every NULL of this array an error."""
        self.not_null = True

    cdef int bind(self, ArrowSchema* schema, ArrowArray* array) except -1:
        """Point at the array's buffers. They must stay alive while cells are written."""
        if strcmp(schema.format, self.format) != 0:
            raise SchemaError(
                f"the batch's Arrow format is {(<bytes>schema.format).decode()!r},"
                f" the plan was made for {self.format.decode()!r}"
            )
        if (schema.dictionary != NULL) != self.indexed:
            raise SchemaError("the batch and the plan differ in whether the column is a dictionary")
        self.validity = NULL
        if array.n_buffers > 0 and array.null_count != 0:
            self.validity = <const uint8_t*>array.buffers[0]
        self.offset = array.offset
        self.length = array.length
        return self.attach(schema, array)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        """Take the buffers after the validity bitmap; for the subclasses."""
        raise NotImplementedError

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        """Append the length and the bytes of a cell that is not NULL."""
        return Status.BAD_VALUE


cdef class CellDecoder:
    """Collect cells of COPY BINARY, one node of a column's type, into the buffers of one Arrow array."""

    def __init__(self, cast, list children):
        self.children = children
        self.filler = 0
        self.begin()

    def __dealloc__(self):
        free(self.validity.data)

    cdef int begin(self) except -1:
        """Start an empty array."""
        self.validity = Buf(NULL, 0, 0)
        self.length = 0
        self.null_count = 0
        return 0

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        """Append the value in data[0:n]."""
        return Status.BAD_VALUE

    cdef int blank(self) noexcept nogil:
        """Append the filler that Arrow keeps under a null."""
        return Status.BAD_VALUE

    cdef int export(self, ArrowArray* out) except -1:
        """Hand the collected array over and start a new one."""
        raise NotImplementedError


cdef int extend_validity(CellDecoder cell) noexcept nogil:
    """Append a valid bit to a bitmap that exists. Its bytes are all ones until a null clears a bit."""
    cdef size_t needed = <size_t>(cell.length >> 3) + 1
    if needed > cell.validity.size:
        if room(&cell.validity, 1):
            return Status.NO_MEMORY
        cell.validity.data[cell.validity.size] = 0xFF
        cell.validity.size += 1
    return Status.OK


cdef int mark_null(CellDecoder cell) noexcept nogil:
    """Append a null bit; the bitmap is made when the first null comes."""
    cdef size_t needed = <size_t>(cell.length >> 3) + 1
    if needed > cell.validity.size:
        if room(&cell.validity, needed - cell.validity.size):
            return Status.NO_MEMORY
        memset(cell.validity.data + cell.validity.size, 0xFF, needed - cell.validity.size)
        cell.validity.size = needed
    cell.validity.data[cell.length >> 3] &= <uint8_t>~(1 << (cell.length & 7))
    cell.null_count += 1
    return Status.OK


cdef void release_array(ArrowArray* array) noexcept nogil:
    """Free an array that `give_array` made: the consumer calls it, from any thread."""
    cdef int64_t i
    for i in range(array.n_buffers):
        free(<void*>array.buffers[i])
    for i in range(array.n_children):
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
        free(array.children[i])
    if array.dictionary != NULL:
        if array.dictionary.release != NULL:
            array.dictionary.release(array.dictionary)
        free(array.dictionary)
    free(array.buffers)
    free(array.children)
    array.release = NULL


cdef int give_array(CellDecoder cell, ArrowArray* out, Buf** buffers, int n_buffers) except -1:
    """Fill `out` with the validity bitmap, `buffers`, and the children; ownership goes with it."""
    cdef int i
    cdef int n_children = len(cell.children)
    out.length = cell.length
    out.null_count = cell.null_count
    out.offset = 0
    out.n_buffers = 1 + n_buffers
    out.n_children = 0
    out.dictionary = NULL
    out.private_data = NULL
    out.buffers = <const void**>calloc(out.n_buffers, sizeof(void*))
    out.children = <ArrowArray**>calloc(n_children + 1, sizeof(ArrowArray*))
    if out.buffers == NULL or out.children == NULL:
        free(out.buffers)
        free(out.children)
        raise MemoryError  # nothing is given: the cell keeps its buffers
    out.release = release_array
    out.buffers[0] = cell.validity.data
    for i in range(n_buffers):
        if buffers[i].data == NULL:  # Arrow wants a buffer, even where it is empty
            buffers[i].data = <uint8_t*>calloc(1, 64)
        out.buffers[i + 1] = buffers[i].data
        buffers[i][0] = Buf(NULL, 0, 0)
    cell.validity = Buf(NULL, 0, 0)
    for i in range(n_children):
        out.children[i] = <ArrowArray*>calloc(1, sizeof(ArrowArray))
        if out.children[i] == NULL:
            raise MemoryError
        out.n_children = i + 1
        (<CellDecoder>cell.children[i]).export(out.children[i])
    cell.begin()
    return 0


cdef object adopt_format(object arrow_type):
    """Return the Arrow C Data Interface's format string of a type."""
    capsule = arrow_type.__arrow_c_schema__()
    cdef ArrowSchema* schema = <ArrowSchema*>PyCapsule_GetPointer(capsule, b"arrow_schema")
    return <bytes>schema.format
