"""Encoder: Arrow record batches in, blocks of COPY BINARY out.

Stream format: the PostgreSQL manual, COPY, "Binary Format": a signature, flags, a header extension's length, then
tuples (a 16-bit field count, then fields), then the count -1.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, strcmp

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellEncoder, write_cell
from bulkio.pgcopy.wire cimport Out, Status, put16, reserve

from dataclasses import replace

from bulkio.errors import EncodeError, SchemaError
from bulkio.pgcopy.messages import encode_message
from bulkio.pgcopy.registry import build_encoder
from bulkio.show import show_option
from bulkio.types import with_policies


def goes_lossy(field, batch, int column, int64_t row):
    """Tell by trying whether a value would go with `allow_lossy`: not every codec that refuses to round can."""
    policies = replace(field.cast.policies, allow_lossy=True)
    lossy = replace(field, cast=with_policies(field.cast, policies))
    try:
        list(Encoder([lossy]).encode(batch.select([column]).slice(row, 1)))
    except (EncodeError, AttributeError, TypeError):  # a batch of another producer cannot be cut
        return False
    return True


#: statuses that are about no value of one row
IS_DAMAGE = frozenset((Status.NO_MEMORY, Status.DAMAGED, Status.BAD_VALUE))

SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
HEADER = SIGNATURE + bytes(8)  # no flags, no header extension
TRAILER = b"\xff\xff"

cdef enum:
    # Blocks kept for reuse: fresh pages cost more than encoding into them.
    SPARE_BLOCKS = 8


cdef class BlockPool:
    """Memory of blocks that nobody reads any more, to be written again."""

    cdef uint8_t* spare[SPARE_BLOCKS]
    cdef size_t sizes[SPARE_BLOCKS]
    cdef int count

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            free(self.spare[i])

    cdef int take(self, Out* out, size_t size) except -1:
        """Let a block have memory of at least `size` bytes."""
        if self.count and self.sizes[self.count - 1] >= size:
            self.count -= 1
            out.start = self.spare[self.count]
            size = self.sizes[self.count]
        else:
            out.start = <uint8_t*>malloc(size)
            if out.start == NULL:
                raise MemoryError
        out.pos = out.start
        out.end = out.start + size
        return 0

    cdef void give_back(self, uint8_t* data, size_t size, size_t usual) noexcept:
        if self.count < SPARE_BLOCKS and size <= 2 * usual:
            self.spare[self.count] = data
            self.sizes[self.count] = size
            self.count += 1
        else:
            free(data)


@cython.no_gc  # it holds no cycle, and its pool must live until __dealloc__ gives the memory back
cdef class Block:
    """Encoded bytes, to be sent at once. Has the buffer protocol; its memory is reused when the last reference goes."""

    cdef uint8_t* data
    cdef Py_ssize_t size
    cdef size_t capacity, usual
    cdef BlockPool pool
    # how many rows end in this block
    cdef readonly int64_t rows

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 1, flags)

    def __dealloc__(self):
        if self.data != NULL:
            self.pool.give_back(self.data, self.capacity, self.usual)


cdef class Encoder:
    """Encode record batches as one COPY BINARY stream.

    `fields` are `Field`s, one for each column of the batches, in order. Blocks have about `block_bytes` bytes each (a
    single larger row makes a larger block). `first_row` is what messages count rows from: where in its source the
    stream begins. With `refuse`, a function, a row that has a value which cannot go is left out, and its EncodeError
    given to that function.
    """

    cdef readonly tuple fields
    # rows encoded so far, and rows left out
    cdef readonly int64_t rows
    cdef int64_t left_out, first_row
    cdef object refuse
    cdef list cells
    cdef PyObject** raw_cells
    cdef int width
    cdef size_t block_bytes
    cdef Out out
    cdef int64_t rows_before_block
    cdef BlockPool pool
    # where the row that is being encoded begins in the block, and what of it cannot go
    cdef size_t row_start
    cdef int bad_column
    # a batch is not encoded to its end: its generator is suspended, was dropped, or met an error
    cdef bint unfinished

    def __cinit__(self):
        self.pool = BlockPool()

    def __init__(self, fields, *, size_t block_bytes=1 << 20, int64_t first_row=1, refuse=None):
        self.first_row = first_row
        self.refuse = refuse
        self.fields = tuple(fields)
        self.cells = []
        for field in self.fields:
            cell = build_encoder(field.cast)
            if not field.nullable:
                cell.refuse_null()
            self.cells.append(cell)
        self.width = len(self.cells)
        self.raw_cells = <PyObject**>calloc(self.width + 1, sizeof(PyObject*))
        if self.raw_cells == NULL:
            raise MemoryError
        for i, cell in enumerate(self.cells):
            self.raw_cells[i] = <PyObject*>cell
        self.block_bytes = block_bytes
        self.start_block()
        self.put_bytes(HEADER)

    def __dealloc__(self):
        free(self.raw_cells)
        free(self.out.start)

    cdef int start_block(self) except -1:
        # a row that crosses the mark rarely needs more than the extra eighth
        self.pool.take(&self.out, self.block_bytes + self.block_bytes // 8)
        self.rows_before_block = self.rows
        return 0

    cdef int put_bytes(self, bytes data) except -1:
        if reserve(&self.out, len(data)):
            raise MemoryError
        memcpy(self.out.pos, <const uint8_t*>data, len(data))
        self.out.pos += len(data)
        return 0

    cdef Block take_block(self):
        cdef Block block = Block.__new__(Block)
        cdef Out full = self.out
        cdef int64_t rows = self.rows - self.rows_before_block
        self.start_block()  # first: what is encoded stays where it is if there is no memory
        block.data = full.start
        block.size = full.pos - full.start
        block.capacity = full.end - full.start
        block.usual = self.block_bytes + self.block_bytes // 8
        block.pool = self.pool
        block.rows = rows
        return block

    def encode(self, batch):
        """Yield the blocks that `batch` completes; what is left over waits for the next batch.

        `batch` is any object with `__arrow_c_array__` and the columns of `fields`, such as a pyarrow.RecordBatch.
        Raises EncodeError with the column and the row (counted from `first_row`, over all batches) for a value that
        cannot go, unless it is to `refuse`; the stream is then unusable. What is damaged is never left out. Raises
        SchemaError where the batch's layout is not the planned one.
        """
        self.refuse_unfinished()
        schema_capsule, array_capsule = batch.__arrow_c_array__()
        cdef ArrowSchema* schema = <ArrowSchema*>PyCapsule_GetPointer(schema_capsule, b"arrow_schema")
        cdef ArrowArray* array = <ArrowArray*>PyCapsule_GetPointer(array_capsule, b"arrow_array")
        cdef int64_t row = 0
        cdef int64_t i
        cdef int status
        if strcmp(schema.format, b"+s") != 0:
            raise SchemaError(f"this is no record batch: its Arrow format is {(<bytes>schema.format).decode()!r}")
        if array.n_buffers > 0 and array.buffers[0] != NULL and array.null_count != 0:
            raise SchemaError("this is a struct array with null rows, no record batch")
        if schema.n_children != self.width or array.n_children != self.width:
            raise SchemaError(f"the batch has {schema.n_children} columns, the plan {self.width}")
        for i in range(self.width):
            (<CellEncoder>self.cells[i]).bind(schema.children[i], array.children[i])
        self.unfinished = True
        while row < array.length:
            with nogil:
                status = self.encode_rows(array.offset, &row, array.length)
            if status:
                self.leave_out(self.error(batch, row, status), status)
                row += 1
            if self.out.pos - self.out.start >= <Py_ssize_t>self.block_bytes:
                yield self.take_block()
        self.unfinished = False

    @property
    def next_row(self):
        """The row that comes next, counted from `first_row`."""
        return self.first_row + self.rows + self.left_out

    def skip(self, int64_t rows):
        """Count rows that are not given to `encode`, so that those after them have their numbers."""
        self.left_out += rows

    cdef int leave_out(self, error, int status) except -1:
        """Take back what is encoded of a row, or raise the error about it."""
        if self.refuse is None or not isinstance(error, EncodeError) or status in IS_DAMAGE:
            raise error
        self.refuse(error)
        self.out.pos = self.out.start + self.row_start
        self.left_out += 1
        return 0

    cdef int refuse_unfinished(self) except -1:
        if self.unfinished:
            raise EncodeError("an earlier batch was not encoded to its end: this stream cannot go on")
        return 0

    cdef int encode_rows(self, int64_t offset, int64_t* row, int64_t end) noexcept nogil:
        """Encode rows until the block is full. On an error `row` and `bad_column` tell where."""
        cdef int i, status
        while row[0] < end:
            if reserve(&self.out, 2):
                return Status.NO_MEMORY
            self.row_start = self.out.pos - self.out.start
            put16(self.out.pos, <uint16_t>self.width)
            self.out.pos += 2
            for i in range(self.width):
                status = write_cell(<CellEncoder>self.raw_cells[i], &self.out, offset + row[0])
                if status:
                    self.bad_column = i
                    return status
            row[0] += 1
            self.rows += 1
            if self.out.pos - self.out.start >= <Py_ssize_t>self.block_bytes:
                break
        return Status.OK

    cdef error(self, batch, int64_t row, int status):
        if status == Status.NO_MEMORY:
            return MemoryError("no memory for a block of COPY data")
        field = self.fields[self.bad_column]
        message = encode_message(status, field, batch, self.bad_column, row)
        if status == Status.WOULD_ROUND and not field.cast.policies.allow_lossy:
            allowed = goes_lossy(field, batch, self.bad_column, row)
            allow = f"allow that ({show_option('allow_lossy', value=True)}), or " if allowed else ""
            message += f": {allow}round it in the source"
        return EncodeError(message, column=field.name, row=self.next_row)

    def finish(self):
        """Return the last block, which ends with the stream's trailer."""
        self.refuse_unfinished()
        self.put_bytes(TRAILER)
        return self.take_block()
