"""Decoder: pieces of COPY BINARY in, Arrow record batches out. Pieces may be cut anywhere.

Rules of the state machine. The stream is a header, rows, a trailer. The smallest unit that is read at once is an
*item*: the header, a row's field count, or one field with its length. An item that a piece cuts is completed in
`carry`. Nothing is read before its length was checked. After an error the decoder is dead.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from bulkio.pgcopy.arrow cimport ArrowArray
from bulkio.pgcopy.cells cimport CellDecoder, read_cell
from bulkio.pgcopy.wire cimport NULL_LENGTH, Buf, State, Status, append_bytes, get16, get32

from bulkio.errors import DecodeError
from bulkio.pgcopy.messages import refusal
from bulkio.pgcopy.registry import build_decoder

cdef enum Stage:
    AT_HEADER
    AT_ROW
    AT_FIELD
    AT_END
    DEAD

cdef enum:
    SIGNATURE_SIZE = 11
    HEADER_SIZE = 19  # signature, flags, length of the header extension
    ROW_SIZE = 2
    LENGTH_SIZE = 4
    BATCH_BYTES_MAX = 1 << 30
    CRITICAL_FLAGS = 0x7FFF0000  # bits 16-31 are critical; 16 was the oids of old, which we do not read either

cdef bytes SIGNATURE = b"PGCOPY\n\xff\r\n\x00"


cdef void free_array_capsule(object capsule) noexcept:
    cdef ArrowArray* array = <ArrowArray*>PyCapsule_GetPointer(capsule, b"arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)


cdef void release_batch(ArrowArray* array) noexcept nogil:
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i] != NULL:
            if array.children[i].release != NULL:
                array.children[i].release(array.children[i])
            free(array.children[i])
    free(array.children)
    free(array.buffers)
    array.release = NULL


class Batch:
    """One decoded batch; pyarrow.record_batch(batch), and any consumer of `__arrow_c_array__`, takes it over once."""

    __slots__ = ("_array", "_schema", "rows")

    def __init__(self, schema, array, rows):
        self._schema = schema
        self._array = array
        self.rows = rows

    def __arrow_c_array__(self, requested_schema=None):
        return self._schema.__arrow_c_schema__(), self._array


cdef class Decoder:
    """Decode one COPY BINARY stream into record batches.

    `fields` are `Field`s in the order of the stream's columns, `schema` (with `__arrow_c_schema__`) is the batches'. A
    batch ends with `batch_rows` rows, or with the row that reaches `batch_bytes` bytes (1 GiB at the most: two of
    Arrow's end the 32-bit offsets of its strings).
    """

    cdef readonly tuple fields
    # rows decoded so far, and the position in the stream
    cdef readonly int64_t rows
    cdef readonly int64_t offset
    cdef object schema
    cdef list cells, done
    cdef PyObject** raw_cells
    cdef int width, column
    cdef int64_t batch_rows, batch_bytes, rows_before_batch, offset_before_batch
    cdef Stage stage
    cdef Buf carry
    cdef State state

    def __init__(self, fields, schema, *, int64_t batch_rows=16384, int64_t batch_bytes=16 << 20):
        self.fields = tuple(fields)
        self.schema = schema
        self.cells = [build_decoder(field.cast) for field in self.fields]
        self.done = []
        self.width = len(self.cells)
        self.raw_cells = <PyObject**>calloc(self.width + 1, sizeof(PyObject*))
        if self.raw_cells == NULL:
            raise MemoryError
        for i, cell in enumerate(self.cells):
            self.raw_cells[i] = <PyObject*>cell
        self.batch_rows = batch_rows
        self.batch_bytes = min(batch_bytes, BATCH_BYTES_MAX)
        self.stage = Stage.AT_HEADER

    def __dealloc__(self):
        free(self.raw_cells)
        free(self.carry.data)

    def feed(self, piece):
        """Decode the next piece (bytes, or any contiguous buffer) of the stream.

        Raises DecodeError, with the offset and where known the row and column, for anything that is not this stream.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(piece, &view, PyBUF_SIMPLE)
        try:
            self.feed_bytes(<const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int feed_bytes(self, const uint8_t* data, size_t left) except -1:
        cdef size_t used
        while left:
            if self.carry.size:
                used = self.complete_item(data, left)
            else:
                used = self.decode(data, left)
                if used == 0:  # an item that is cut
                    self.keep(data, left)
                    return 0
            data += used
            left -= used
        return 0

    def batches(self):
        """Return the batches completed so far; each is given once."""
        done = self.done
        self.done = []
        return done

    def finish(self):
        """Return the last batches. Raises DecodeError where the stream had not come to its end."""
        if self.stage == Stage.DEAD:
            raise DecodeError("this decoder has met an error before", offset=self.offset)
        if self.stage != Stage.AT_END or self.carry.size:
            raise self.error(
                f"the stream ends early, after {self.rows} rows: the trailer is missing", self.carry.size
            )
        if self.rows > self.rows_before_batch:
            self.end_batch()
        return self.batches()

    cdef int keep(self, const uint8_t* data, size_t n) except -1:
        """Append bytes of a cut item to `carry`."""
        if append_bytes(&self.carry, data, n):
            raise self.no_memory()
        return 0

    cdef size_t complete_item(self, const uint8_t* data, size_t left) except? 0:
        """Move bytes to `carry` until its item is whole, then decode that; gives the number of bytes moved."""
        cdef size_t used = 0, needed, more
        while True:
            needed = self.item_size(self.carry.data, self.carry.size)
            if needed <= self.carry.size:
                break
            more = min(needed - self.carry.size, left - used)
            if more == 0:
                return used
            self.keep(data + used, more)
            used += more
        self.decode(self.carry.data, self.carry.size)
        self.carry.size = 0
        return used

    cdef size_t item_size(self, const uint8_t* data, size_t n) noexcept nogil:
        """The size of the item that starts at `data`, as far as its first `n` bytes tell."""
        cdef int64_t extra = 0
        if self.stage == Stage.AT_ROW:
            return ROW_SIZE
        if self.stage == Stage.AT_FIELD:
            if n >= LENGTH_SIZE:
                extra = get32(data)
            return LENGTH_SIZE + (extra if extra > 0 else 0)
        if self.stage == Stage.AT_HEADER:
            if n >= HEADER_SIZE:
                extra = get32(data + HEADER_SIZE - LENGTH_SIZE)
            return HEADER_SIZE + (extra if extra > 0 else 0)
        return 1

    cdef size_t decode(self, const uint8_t* data, size_t n) except? 0:
        """Decode as many whole items as there are; gives the number of bytes used."""
        cdef size_t used = 0, step
        cdef int status = Status.OK
        if self.stage == Stage.DEAD:
            raise DecodeError("this decoder has met an error before", offset=self.offset)
        if self.stage == Stage.AT_HEADER:
            used = self.read_header(data, n)
        while used < n and self.stage != Stage.AT_HEADER:
            if self.stage == Stage.AT_END:
                raise self.error("there are bytes after the stream's trailer", 0)
            with nogil:
                status = self.decode_rows(data + used, n - used, &step)
            used += step
            self.offset += step
            if status:
                raise self.cell_error(status)
            if self.batch_is_full():
                self.end_batch()
            elif step == 0:
                break
        return used

    cdef size_t read_header(self, const uint8_t* data, size_t n) except? 0:
        cdef size_t known = min(n, <size_t>SIGNATURE_SIZE)
        if memcmp(data, <const uint8_t*>SIGNATURE, known) != 0:
            raise self.error("the stream does not begin with COPY BINARY's signature", 0)
        if n < HEADER_SIZE:
            return 0
        if get32(data + SIGNATURE_SIZE) & CRITICAL_FLAGS:
            raise self.error(f"the header has unknown critical flags: {get32(data + SIGNATURE_SIZE):#x}", 0)
        if get32(data + HEADER_SIZE - LENGTH_SIZE) < 0:
            raise self.error("the header extension's length is negative", 0)
        if self.item_size(data, n) > n:
            return 0
        self.stage = Stage.AT_ROW
        cdef size_t used = HEADER_SIZE + get32(data + HEADER_SIZE - LENGTH_SIZE)
        self.offset += used
        return used

    cdef bint batch_is_full(self) noexcept nogil:
        return self.stage == Stage.AT_ROW and self.rows > self.rows_before_batch and (
            self.rows - self.rows_before_batch >= self.batch_rows
            or self.offset - self.offset_before_batch + self.state.inflated >= self.batch_bytes
        )

    cdef int decode_rows(self, const uint8_t* data, size_t n, size_t* used) noexcept nogil:
        """Decode items until one is cut, the batch is full, or the trailer comes."""
        cdef size_t at = 0
        cdef int32_t size
        cdef int16_t count
        cdef int status
        cdef int64_t full_at = self.offset_before_batch + self.batch_bytes - self.offset
        used[0] = 0
        while True:
            if self.stage == Stage.AT_ROW:
                if n - at < ROW_SIZE:
                    break
                count = get16(data + at)
                if count == -1:
                    at += ROW_SIZE
                    self.stage = Stage.AT_END
                    break
                if count != self.width:
                    self.state.expected = self.width
                    self.state.found = count
                    used[0] = at
                    self.column = -1
                    return Status.BAD_LENGTH
                at += ROW_SIZE
                self.column = 0
                self.stage = Stage.AT_FIELD
            while self.column < self.width:
                if n - at < LENGTH_SIZE:
                    used[0] = at
                    return Status.OK
                size = get32(data + at)
                if size > 0:
                    if n - at - LENGTH_SIZE < <size_t>size:
                        used[0] = at
                        return Status.OK
                elif size < NULL_LENGTH:
                    used[0] = at
                    self.state.expected = 0
                    self.state.found = size
                    return Status.BAD_LENGTH
                status = read_cell(<CellDecoder>self.raw_cells[self.column], data + at + LENGTH_SIZE, size, &self.state)
                if status:
                    used[0] = at
                    return status
                at += LENGTH_SIZE + (size if size > 0 else 0)
                self.column += 1
            self.rows += 1
            self.stage = Stage.AT_ROW
            if (
                self.rows - self.rows_before_batch >= self.batch_rows
                or <int64_t>at + self.state.inflated >= full_at
            ):
                break
        used[0] = at
        return Status.OK

    cdef int end_batch(self) except -1:
        """Take the cells' arrays together as one batch."""
        cdef ArrowArray* array = <ArrowArray*>calloc(1, sizeof(ArrowArray))
        cdef Stage stage = self.stage
        cdef int i
        if array == NULL:
            raise self.no_memory()
        self.stage = Stage.DEAD  # as long as some cells have given their arrays away and others not
        array.release = release_batch
        capsule = PyCapsule_New(array, b"arrow_array", free_array_capsule)
        array.length = self.rows - self.rows_before_batch
        array.n_buffers = 1
        array.buffers = <const void**>calloc(1, sizeof(void*))
        array.children = <ArrowArray**>calloc(self.width + 1, sizeof(ArrowArray*))
        if array.buffers == NULL or array.children == NULL:
            raise MemoryError
        for i in range(self.width):
            array.children[i] = <ArrowArray*>calloc(1, sizeof(ArrowArray))
            if array.children[i] == NULL:
                raise MemoryError
            array.n_children = i + 1
            (<CellDecoder>self.cells[i]).export(array.children[i])
        self.done.append(Batch(self.schema, capsule, array.length))
        self.rows_before_batch = self.rows
        self.offset_before_batch = self.offset
        self.state.inflated = 0
        self.stage = stage
        return 0

    cdef error(self, str message, size_t further):
        self.stage = Stage.DEAD
        return DecodeError(f"at byte {self.offset + further}: {message}", offset=self.offset + further)

    cdef no_memory(self):
        self.stage = Stage.DEAD
        return MemoryError("no memory for a batch")

    cdef cell_error(self, int status):
        self.stage = Stage.DEAD
        if status == Status.NO_MEMORY:
            return self.no_memory()
        if self.column < 0:
            return self.error(
                f"row {self.rows + 1} has {self.state.found} fields, expected {self.state.expected}", 0
            )
        field = self.fields[self.column]
        message = refusal(status, field.cast, self.state.expected, self.state.found)
        return DecodeError(message, offset=self.offset, column=field.name, row=self.rows + 1)
