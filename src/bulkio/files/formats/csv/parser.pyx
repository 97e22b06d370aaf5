"""Parser: the UTF-8 bytes of a CSV in, Arrow batches of text columns out. Pieces may be cut anywhere.

The grammar is the part of RFC 4180 and of PostgreSQL's COPY (FORMAT csv) that everyone reads alike. A field is quoted
as a whole or not at all; in quotes, an escape counts before a quote or an escape alone; each record has as many fields
as the first; every line ends as the first one does. All else is an error, although some server would read it: `a"b"c`,
text after a closing quote, a blank line among several columns, a line of `\\.` alone. A field that is not quoted and
equals the null text is NULL; `""` is the empty string. Of one column, a blank line is such a field.

Rules of the state machine. There is no carry: what a piece cuts is in the state, and in the buffers of the columns, to
which each run of bytes is appended as it comes. A batch ends with a record only. After an error the parser is dead.

A tolerant parser passes over a record that is wrong and whose end is certain all the same: one of too few or too many
fields, a blank line, a line of `\\.` alone, a NUL byte in a field. A row of NULLs stands at its place, so that the rows
keep their numbers. Where the end is not certain, whatever follows might be read as other rows: that stays an error.

It writes Arrow's buffers itself. The checks need every byte and the end of every field, so that a library behind them
would only look for the same fields again. Measured on 1M rows of lineitem (125 MB) in processor time of one core:
pyarrow.csv into text columns 0.32 s, without any of these checks; this parser 0.20 s, with all of them.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memset

from bulkio.files.formats.csv.columns cimport Column, Room, append, export_column, make_rows

import pyarrow as pa

from bulkio.errors import CsvError
from bulkio.files.formats.csv.faults import OF_LINES, fault_text

cdef extern from "find.h" nogil:
    ctypedef struct special_bytes:
        uint8_t a, b, c, d
        uint8_t[256] table
    const uint8_t* find_special(const uint8_t* p, const uint8_t* end, const special_bytes* special)

cdef enum State:
    AT_FIELD
    IN_PLAIN
    IN_QUOTES
    AFTER_ESCAPE  # one that is not the quote
    AFTER_QUOTE  # a closing one, or the first of two
    AFTER_CR  # it ends a line, alone or with the \n that may follow
    IN_SKIPPED  # lines before the header
    AFTER_SKIPPED_CR
    AT_END
    DEAD

cdef enum LineEnd:
    UNKNOWN
    LF
    CRLF
    CR

cdef enum Stop:
    MORE = Room.ENOUGH  # bytes are needed
    NO_MEMORY = Room.NO_ROOM
    TOO_LONG = Room.TOO_MUCH
    RAGGED
    BLANK_LINE
    NEVER_CLOSED
    QUOTE_INSIDE
    TEXT_AFTER_QUOTE
    MIXED_ENDS
    NUL_BYTE
    END_MARK
    HEADER_READ  # here and below: no errors
    BATCH_FULL

cdef enum:
    BATCH_BYTES_MAX = 1 << 29  # with one field of FIELD_BYTES_MAX, still within Arrow's 32-bit offsets
    FIRST_ROWS = 256

_FAULTS = {
    Stop.RAGGED: "ragged",
    Stop.BLANK_LINE: "blank_line",
    Stop.NEVER_CLOSED: "never_closed",
    Stop.QUOTE_INSIDE: "quote_inside",
    Stop.TEXT_AFTER_QUOTE: "text_after_quote",
    Stop.MIXED_ENDS: "mixed_ends",
    Stop.NUL_BYTE: "nul_byte",
    Stop.END_MARK: "end_mark",
    Stop.TOO_LONG: "too_long",
}
_LINE_ENDS = {LineEnd.UNKNOWN: "", LineEnd.LF: "\n", LineEnd.CRLF: "\r\n", LineEnd.CR: "\r"}


cdef void mark(special_bytes* special, uint8_t a, uint8_t b) noexcept:
    """Set the bytes at which a run ends: these two, both of a line's end, and NUL."""
    special.a, special.b, special.c, special.d = a, b, c"\n", c"\r"
    special.table[0] = special.table[a] = special.table[b] = special.table[c"\n"] = special.table[c"\r"] = 1


@cython.final
cdef class Parser:
    """Parse one CSV, or a range of one that begins and ends with whole records.

    `name` is what errors call the source. `header` tells whether the first record holds the columns' names. `width` is
    the number of columns, 0 to take the first record's. `keep` are the numbers (from 0) of the columns wanted, all by
    default, in the order wanted; the others are checked and forgotten. A batch ends with `batch_rows` rows, or with the
    record that reaches `batch_bytes` bytes of input. `names` are the columns' for batches and errors, where no header
    tells them. `first_row`, `first_line` and `line_ends` tell where a range begins. A `tolerant` one passes over bad
    records of data whose end is known, and puts what is wrong with them into `faults`, if that is a list.

    Its bytes must be valid UTF-8 (see `decoding`), without a byte order mark.
    """

    cdef readonly str name
    #: the names in the header, None where there is none or it was not read yet
    cdef readonly tuple header
    #: whether all of the header's one field stood without quotes
    cdef readonly bint header_is_plain
    #: number of columns, 0 as long as it is not known
    cdef readonly int64_t width
    #: whole rows of data so far, bytes taken so far, and the number of the line that is being read
    cdef readonly int64_t rows, offset, line
    #: where the data begins: bytes before it, and its first line
    cdef readonly int64_t data_start, data_line
    #: whether a quoted field held a line's end, so that rows and lines are out of step
    cdef readonly bint broken_lines
    #: rows of a batch, at most; it may change while no row waits to be taken
    cdef public int64_t batch_rows
    #: records that were passed over, each as (row, name of the column, message); None where nobody wants to know
    cdef public list faults
    #: what is wrong with bytes for which the decoding has put NULs, by their places in all that is fed
    cdef public dict bad_bytes
    cdef tuple names, keep
    cdef bint in_header
    cdef Column* columns
    cdef Column surplus  # takes the fields that a record has too many
    cdef Column* column
    cdef int64_t allocated, rows_capacity, batch_bytes
    cdef int64_t row, batch_start, record_line, quote_line, field, found, skip
    cdef uint8_t delimiter, quote, escape
    cdef special_bytes plain, in_quotes
    cdef bytes null
    cdef const uint8_t* null_text
    cdef size_t null_size
    cdef bint quoted, after_cr, tolerant, is_bad
    cdef State state
    cdef LineEnd line_end
    cdef int stop
    cdef const uint8_t* piece

    def __init__(
        self, str name, *, bytes delimiter=b",", bytes quote=b'"', bytes escape=b'"', bytes null=b"", bint header=True,
        int64_t width=0, int64_t skip_lines=0, names=None, keep=None, int64_t batch_rows=16384,
        int64_t batch_bytes=4 << 20, int64_t first_row=1, int64_t first_line=1, str line_ends="", bint tolerant=False,
    ):
        self.name = name
        self.tolerant = tolerant
        self.bad_bytes = {}
        self.delimiter, self.quote, self.escape = delimiter[0], quote[0], escape[0]
        mark(&self.plain, self.delimiter, self.quote)
        mark(&self.in_quotes, self.escape, self.quote)
        self.null, self.null_text, self.null_size = null, null, len(null)
        self.in_header = header
        self.names = None if names is None else tuple(names)
        self.keep = None if keep is None else tuple(keep)
        self.batch_rows = max(batch_rows, 1)
        self.batch_bytes = batch_bytes if self.keep == () else min(batch_bytes, BATCH_BYTES_MAX)
        self.rows = first_row - 1
        self.line = self.record_line = self.data_line = first_line
        self.line_end = {text: end for end, text in _LINE_ENDS.items()}[line_ends]
        self.skip = skip_lines
        self.state = State.IN_SKIPPED if skip_lines else State.AT_FIELD
        self.width = width
        if self.allocate(max(width, 16)):
            raise MemoryError
        if not header:
            self.choose()
        if self.reserve_rows():
            raise MemoryError
        self.column = self.columns

    def __dealloc__(self):
        cdef int64_t i
        for i in range(self.allocated):
            free(self.columns[i].data)
            free(self.columns[i].offsets)
            free(self.columns[i].valid)
        free(self.columns)
        free(self.surplus.data)

    # --- what the caller does -----------------------------------------------------------------------

    @property
    def full(self):
        """Tell whether a batch is complete and waits to be taken."""
        return self.stop == Stop.BATCH_FULL

    @property
    def line_ends(self):
        """What ends a line, empty as long as none has ended."""
        return _LINE_ENDS[self.line_end]

    def feed(self, piece):
        """Parse the next bytes (any contiguous buffer); give how many were taken.

        All are, unless the header or a batch is complete: then take the batch, and feed the rest. Raises CsvError.
        """
        cdef Py_buffer view
        cdef const uint8_t* p
        cdef const uint8_t* end
        self.need(self.state < State.AT_END and self.stop != Stop.BATCH_FULL)
        PyObject_GetBuffer(piece, &view, PyBUF_SIMPLE)
        try:
            self.piece = p = <const uint8_t*>view.buf
            end = p + view.len
            with nogil:
                self.stop = self.scan(&p, end)
            while self.may_pass():
                self.note_fault(self.offset + (p - self.piece))
                with nogil:
                    self.stop = self.pass_over(&p, end)
            taken = p - self.piece
        finally:
            PyBuffer_Release(&view)
        self.offset += taken
        self.settle()
        return taken

    def finish(self):
        """End the input; its last line may lack a line's end. Raises CsvError where a quote is still open."""
        self.need(self.state < State.AT_END and self.stop != Stop.BATCH_FULL)
        cdef const uint8_t* p = NULL
        self.piece = NULL
        self.stop = self.end_input()
        while self.may_pass():
            self.note_fault(self.offset)
            self.stop = self.pass_over(&p, NULL)
        self.settle()
        self.state = State.AT_END

    def take(self):
        """Return the batch of the rows since the last one, or None where there are none."""
        self.need(self.state == State.AT_END or self.stop == Stop.BATCH_FULL)
        self.stop = Stop.MORE
        rows, self.row = self.row, 0
        self.batch_start = self.offset
        if not rows:
            return None
        order = range(self.width) if self.keep is None else self.keep
        arrays = [export_column(&self.columns[i], rows) for i in order]
        if self.reserve_rows():
            raise MemoryError
        names = [self.column_name(i) or f"column{i + 1}" for i in order]
        return pa.RecordBatch.from_arrays(arrays, names) if arrays else None

    def fault(self, str message):
        """Return the error `message` about the field that is being read; nothing can be fed any more."""
        self.state = State.DEAD
        return self.error(message, self.line, self.field)

    cdef int need(self, bint condition) except -1:
        if not condition:
            raise RuntimeError("the parser is dead, at its end, or its batch waits to be taken")
        return 0

    # --- the machine: each method takes what its state can take -------------------------------------

    cdef int scan(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        """Parse until the bytes end, the header or a batch does, or an error is met, at which `p` then points."""
        cdef int stop = Stop.MORE
        while stop == Stop.MORE and p[0] < end:
            if self.state == State.AT_FIELD:
                self.begin_field(p)
            if self.state == State.IN_PLAIN:
                stop = self.read_plain(p, end)
            elif self.state == State.IN_QUOTES:
                stop = self.read_quoted(p, end)
            elif self.state == State.AFTER_QUOTE:
                stop = self.end_quotes(p, end)
            elif self.state == State.AFTER_ESCAPE:
                stop = self.read_escaped(p, end)
            elif self.state == State.AFTER_CR:
                stop = self.end_line(p)
            else:
                self.skip_line(p, end)
        return stop

    cdef inline void begin_field(self, const uint8_t** p) noexcept nogil:
        self.state = State.IN_PLAIN
        if p[0][0] == self.quote:
            self.state = State.IN_QUOTES
            self.quoted = True
            self.after_cr = False
            self.quote_line = self.line
            p[0] += 1

    cdef inline int read_plain(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        cdef const uint8_t* run = p[0]
        p[0] = find_special(run, end, &self.plain)
        cdef int stop = append(self.column, run, p[0] - run, end)
        if stop or p[0] == end:
            return stop
        if p[0][0] == self.quote:
            return Stop.QUOTE_INSIDE
        return self.read_separator(p)

    cdef inline int read_separator(self, const uint8_t** p) noexcept nogil:
        """Take the byte after a field: a delimiter, or a line's end or its beginning."""
        cdef uint8_t c = p[0][0]
        if c == self.delimiter:
            p[0] += 1
            return self.next_field()
        if c == c"\n" and self.line_end <= LineEnd.LF:
            self.line_end = LineEnd.LF
            p[0] += 1
            return self.end_record(p[0])
        if c == c"\r" and self.line_end != LineEnd.LF:
            p[0] += 1
            self.state = State.AFTER_CR
            return self.end_record(p[0]) if self.line_end == LineEnd.CR else Stop.MORE
        return Stop.NUL_BYTE if c == 0 else Stop.MIXED_ENDS

    cdef int end_line(self, const uint8_t** p) noexcept nogil:
        """Tell a carriage return that ends a line from one that a newline follows."""
        if p[0][0] == c"\n":
            self.line_end = LineEnd.CRLF
            p[0] += 1
        elif self.line_end == LineEnd.CRLF:
            return Stop.MIXED_ENDS
        else:
            self.line_end = LineEnd.CR
        return self.end_record(p[0])

    cdef int read_quoted(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        cdef const uint8_t* run = p[0]
        cdef const uint8_t* q = find_special(run, end, &self.in_quotes)
        while q < end and (q[0] == c"\n" or q[0] == c"\r"):
            self.broken_lines = True
            if q > run:
                self.after_cr = (q - 1)[0] == c"\r"
            self.line += not (q[0] == c"\n" and self.after_cr)
            self.after_cr = q[0] == c"\r"
            q = find_special(q + 1, end, &self.in_quotes)
        if q > run:
            self.after_cr = (q - 1)[0] == c"\r"
        p[0] = q
        cdef int stop = append(self.column, run, q - run, end)
        if stop or q == end:
            return stop
        if q[0] == 0:
            return Stop.NUL_BYTE
        self.state = State.AFTER_QUOTE if q[0] == self.quote else State.AFTER_ESCAPE
        p[0] += 1
        return Stop.MORE

    cdef inline int end_quotes(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        """After a quote: another one where quotes are escaped by themselves, or the field's end."""
        cdef uint8_t c = p[0][0]
        if c == self.quote and self.escape == self.quote:
            return self.read_escaped(p, end)
        if c == self.delimiter or c == c"\n" or c == c"\r":
            return self.read_separator(p)
        return Stop.TEXT_AFTER_QUOTE

    cdef int read_escaped(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        """After an escape: a quote or an escape, else the escape stood for itself."""
        cdef const uint8_t* c = &self.escape
        self.state = State.IN_QUOTES
        self.after_cr = False
        if p[0][0] == self.quote or p[0][0] == self.escape:
            c = p[0]
            p[0] += 1
        return append(self.column, c, 1, c)

    cdef void skip_line(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        """Skip bytes before the header, up to the end of a line; its end may be of another kind."""
        if self.state == State.AFTER_SKIPPED_CR:
            if p[0][0] == c"\n":
                p[0] += 1
        else:
            while p[0] < end and p[0][0] != c"\n" and p[0][0] != c"\r":
                p[0] += 1
            if p[0] == end:
                return
            self.skip -= 1
            self.line += 1
            p[0] += 1
            if (p[0] - 1)[0] == c"\r":
                self.state = State.AFTER_SKIPPED_CR
                return
        self.record_line = self.data_line = self.line
        self.batch_start = self.data_start = self.offset + (p[0] - self.piece)
        self.state = State.IN_SKIPPED if self.skip else State.AT_FIELD

    cdef int end_input(self) noexcept nogil:
        if self.state == State.IN_QUOTES or self.state == State.AFTER_ESCAPE:
            return Stop.NEVER_CLOSED
        if self.state == State.AFTER_CR and self.line_end == LineEnd.CRLF:
            return Stop.MIXED_ENDS
        if self.state >= State.IN_SKIPPED or (self.state == State.AT_FIELD and self.field == 0):
            return Stop.MORE
        if self.state == State.AFTER_CR:
            self.line_end = LineEnd.CR
        return self.end_record(NULL)

    # --- fields and records -------------------------------------------------------------------------

    cdef inline void end_field(self) noexcept nogil:
        cdef Column* column = self.column
        cdef size_t n = column.size - column.start
        if not column.kept:
            column.size = 0
            self.quoted = False
            return
        if n == self.null_size and not self.quoted and not self.in_header and (
            n == 0 or memcmp(column.data + column.start, self.null_text, n) == 0
        ):
            column.size = column.start
            column.valid[self.row >> 3] &= ~(1 << (self.row & 7))
            column.nulls += 1
        column.start = column.size
        column.offsets[self.row + 1] = <int32_t>column.size
        self.quoted = False

    cdef inline int next_field(self) noexcept nogil:
        self.end_field()
        self.field += 1
        self.state = State.AT_FIELD
        if self.width == 0:
            if self.field == self.allocated and (self.allocate(2 * self.allocated) or self.reserve_rows()):
                return Stop.NO_MEMORY
        elif self.field >= self.width:
            self.column = &self.surplus
            return Stop.MORE
        self.column = self.columns + self.field
        return Stop.MORE

    cdef inline int end_record(self, const uint8_t* p) noexcept nogil:
        cdef int stop
        if self.is_bad:
            self.blank_record()
        else:
            stop = self.check_record()
            if stop:
                return stop
            self.end_field()
        self.field = 0
        self.column = self.columns
        self.state = State.AT_FIELD
        self.line += 1
        self.record_line = self.line
        if self.in_header:
            return Stop.HEADER_READ
        self.row += 1
        self.rows += 1
        if self.row == self.batch_rows or self.offset + (p - self.piece) - self.batch_start >= self.batch_bytes:
            return Stop.BATCH_FULL if p != NULL else Stop.MORE
        return self.reserve_rows() if self.row == self.rows_capacity else <int>Stop.MORE

    cdef inline int check_record(self) noexcept nogil:
        """Check what can be told at a record's end alone."""
        cdef size_t n = self.column.size - self.column.start
        cdef bint is_plain = self.field == 0 and not self.quoted
        if is_plain and n == 2 and memcmp(self.column.data + self.column.start, b"\\.", 2) == 0:
            return Stop.END_MARK
        if self.field + 1 != self.width:
            if self.width:
                return Stop.BLANK_LINE if is_plain and n == 0 else Stop.RAGGED
            self.width = self.field + 1
        if self.in_header and self.field == 0:
            self.header_is_plain = is_plain
            if is_plain and n == 0:
                return Stop.BLANK_LINE
        return Stop.MORE

    # --- what a tolerant parser does with a bad record ------------------------------------------------

    cdef bint may_pass(self) noexcept:
        """Tell whether the machine has stopped for a fault after which it can go on."""
        if not self.tolerant or self.in_header or self.width == 0:
            return False
        return self.stop in (Stop.RAGGED, Stop.BLANK_LINE, Stop.END_MARK, Stop.NUL_BYTE)

    cdef int pass_over(self, const uint8_t** p, const uint8_t* end) noexcept nogil:
        """Go on behind a fault: within the field where it is a byte, else behind the record, which has ended."""
        cdef int stop = Stop.MORE
        self.is_bad = True
        if self.stop == Stop.NUL_BYTE:
            while p[0] < end and p[0][0] == 0:
                p[0] += 1
        else:
            stop = self.end_record(p[0])
        return self.scan(p, end) if stop == Stop.MORE else stop

    cdef void blank_record(self) noexcept nogil:
        """Make the record that ends here a row of NULLs, whatever was read of it."""
        cdef int64_t i
        cdef int32_t start
        cdef uint8_t bit = 1 << (self.row & 7)
        cdef Column* column
        for i in range(self.width):
            column = self.columns + i
            if not column.kept:
                column.size = 0
                continue
            start = column.offsets[self.row]
            column.size = column.start = start
            column.offsets[self.row + 1] = start
            column.nulls += (column.valid[self.row >> 3] & bit) != 0
            column.valid[self.row >> 3] &= ~bit
        self.surplus.size = 0
        self.quoted = self.is_bad = False

    cdef int note_fault(self, int64_t place) except -1:
        """Note the first fault of a record."""
        if self.faults is None or self.is_bad:
            return 0
        column = None if _FAULTS[self.stop] in OF_LINES else self.column_name(self.field)
        self.faults.append((self.rows + 1, column, self.message(place)))
        return 0

    # --- memory -------------------------------------------------------------------------------------

    cdef int allocate(self, int64_t n) noexcept nogil:
        """Make room for `n` columns."""
        cdef int64_t i
        cdef Column* columns = <Column*>realloc(self.columns, n * sizeof(Column))
        if columns == NULL:
            return Stop.NO_MEMORY
        memset(columns + self.allocated, 0, (n - self.allocated) * sizeof(Column))
        self.columns = columns
        for i in range(self.allocated, n):
            columns[i].kept = True
        self.allocated = n
        return Stop.MORE

    cdef int reserve_rows(self) noexcept nogil:
        """Make room for another row in each kept column, with as many rows as the batch before at least."""
        cdef int64_t i, capacity = max(<int64_t>FIRST_ROWS, self.rows_capacity)
        cdef Column* column
        if self.row == capacity:
            capacity = min(2 * capacity, max(self.batch_rows, capacity + 1))
        for i in range(self.allocated):
            column = self.columns + i
            if not column.kept:
                continue
            if make_rows(column, self.rows_capacity, capacity):
                return Stop.NO_MEMORY
        self.rows_capacity = capacity
        return Stop.MORE

    # --- names and errors ---------------------------------------------------------------------------

    cdef int settle(self) except -1:
        """Do what the machine stopped for, other than for a batch."""
        if self.stop == Stop.HEADER_READ:
            return self.take_header()
        if self.stop == Stop.MORE or self.stop == Stop.BATCH_FULL:
            return 0
        self.state = State.DEAD
        if self.stop == Stop.NO_MEMORY:
            raise MemoryError(f"{self.name}: no memory for a batch")
        what = _FAULTS[self.stop]
        is_open = self.stop == Stop.NEVER_CLOSED or (self.stop == Stop.TOO_LONG and self.quoted)
        line = self.quote_line if is_open else self.line
        of_line = what in OF_LINES
        raise self.error(
            self.message(self.offset),
            self.record_line if of_line else line,
            -1 if of_line else self.field,
        )

    cdef int take_header(self) except -1:
        """Keep the names, forget their bytes, and choose the columns."""
        cdef int64_t i
        cdef Column* column
        names = []
        for i in range(self.width):
            column = self.columns + i
            names.append(column.data[column.offsets[0]:column.offsets[1]].decode() if column.size else "")
            column.size = column.start = 0
        self.header = tuple(names)
        self.in_header = False
        self.stop = Stop.MORE
        self.batch_start = self.data_start = self.offset
        self.data_line = self.line
        self.choose()
        return 0

    cdef void choose(self) noexcept:
        cdef int64_t i
        for i in range(self.allocated):
            self.columns[i].kept = self.keep is None or i in self.keep

    cdef object column_name(self, int64_t number):
        names = self.names or self.header
        if names is None or number >= len(names):
            return None
        return names[number]

    cdef object message(self, int64_t place):
        """Tell what the machine has stopped for, at this place."""
        if self.stop == Stop.NUL_BYTE and place in self.bad_bytes:
            return self.bad_bytes[place]
        return fault_text(_FAULTS[self.stop], self.field + 1, self.width, self.line_ends)

    cdef object error(self, str message, int64_t line, int64_t field):
        return CsvError(
            message,
            path=self.name,
            line=line,
            row=None if self.in_header else self.rows + 1,
            number=None if field < 0 else field + 1,
            column=None if field < 0 or self.in_header else self.column_name(field),
        )
