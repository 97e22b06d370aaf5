"""Text that the server's own input functions will parse: checked for what they would round or drop in silence.

The server decides what is valid. These checks only read the text, so they err on the safe side: what might lose
something is refused, even where a closer look would show that nothing is lost. What the input functions do in
silence (src/backend/utils/adt): they round to the column's decimal places or to a float, leave out a zone, a date or a
time of day that the type has no room for, cut, and merge what is there twice.

A text of several parts is taken apart (`nestedtext`), and each part is checked by what would encode it as a column of
its own: the children of the cast.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellEncoder
from bulkio.pgcopy.floattext cimport DOUBLE, HALF, SINGLE, check_floats
from bulkio.pgcopy.roundtext cimport check_fields, check_interval, check_money, check_places
from bulkio.pgcopy.stamptext cimport Kind, check_stamp
from bulkio.pgcopy.strings cimport TextEncoder
from bulkio.pgcopy.wire cimport Out, Status

from bulkio.pgcopy.geotext import geometry_rule
from bulkio.pgcopy.nestedtext import splitter
from bulkio.pgcopy.textparts import RefusedError
from bulkio.pgcopy.textrules import rule_for
from bulkio.types import SERVER_TEXT

cdef enum:
    # of an interval's typmod
    FIELDS = 0x7FFF
    SECONDS = 1 << 12  # among the fields: none is left out
    FULL_PRECISION = 0xFFFF
    MICROSECONDS = 6  # decimal places

cdef enum Numbers:
    UNCHECKED = 0
    OF_TIMES = 1
    OF_INTERVALS = 2
    OF_MONEY = 3
    FLOATS = 4


cdef struct Rules:
    # What a simple type's texts are checked for, without Python.
    Numbers numbers
    int places  # decimal places that are kept
    int width  # bytes of a float
    Kind kind
    int kept  # of an interval of which only some fields are kept: which; else 0


_STAMPS = {"date": Kind.DATE, "time": Kind.TIME, "timestamp": Kind.TIMESTAMP, "timestamptz": Kind.INSTANT}
_FLOATS = {"point": DOUBLE, "vector": SINGLE, "halfvec": HALF}
# of pg_catalog, all with float8 inside
_SHAPES = ("box", "circle", "line", "lseg", "path", "polygon")


cdef Rules rules_for(pg) except *:
    cdef Rules rules = Rules(Numbers.UNCHECKED, 0, 0, Kind.OTHER, 0)
    precision = pg.typmod & FULL_PRECISION if pg.typmod >= 0 else FULL_PRECISION
    rules.places = min(precision, MICROSECONDS)
    rules.kind = _STAMPS.get(pg.codec, Kind.OTHER)
    rules.width = _FLOATS.get(pg.codec, 0)
    if pg.codec == SERVER_TEXT and pg.base.schema == "pg_catalog" and pg.base_name in _SHAPES:
        rules.width = DOUBLE
    if rules.width:
        rules.numbers = Numbers.FLOATS
    elif pg.codec in ("time", "timestamp", "timestamptz"):
        rules.numbers = Numbers.OF_TIMES
    elif pg.codec == "interval":
        rules.numbers = Numbers.OF_INTERVALS
        rules.kept = pg.typmod >> 16 & FIELDS if pg.typmod >= 0 and not pg.typmod >> 16 & SECONDS else 0
    elif pg.codec == "money":
        rules.numbers = Numbers.OF_MONEY
        rules.places = pg.money_scale
    return rules


cdef int check_numbers(const Rules* rules, const uint8_t* p, const uint8_t* end) noexcept nogil:
    if rules.numbers == Numbers.OF_TIMES:
        return check_places(p, end, rules.places)
    if rules.numbers == Numbers.OF_INTERVALS:
        return check_interval(p, end, rules.places)
    if rules.numbers == Numbers.OF_MONEY:
        return check_money(p, end, rules.places)
    if rules.numbers == Numbers.FLOATS:
        return check_floats(p, end, rules.width)
    return Status.OK


cdef class ServerTextEncoder(TextEncoder):
    """utf8 -> the same text, for a column of any type that the server will parse it into."""

    cdef Rules rules
    cdef object take_apart  # None where there is nothing to look for that way
    cdef Out scratch  # what the children write: only whether they can is wanted

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.rules = rules_for(cast.pg)
        if cast.policies.allow_lossy:
            self.rules.numbers = Numbers.UNCHECKED
        self.take_apart = splitter(cast.pg) or geometry_rule(cast.pg) or rule_for(cast.pg, cast.policies)

    def __dealloc__(self):
        free(self.scratch.start)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t start = out.pos - out.start
        cdef int status = TextEncoder.write(self, out, row)
        if status:
            return status
        # as it will be sent: the user may have NULs taken out
        return self.check(out.start + start + 4, out.pos)

    cdef int check(self, const uint8_t* p, const uint8_t* end) noexcept nogil:
        cdef int status = check_numbers(&self.rules, p, end)
        if status == Status.OK and self.rules.kept:
            return check_fields(p, end, self.rules.kept)
        if status == Status.OK and self.rules.kind != Kind.OTHER:
            status = check_stamp(self.rules.kind, p, end)
        if status == Status.OK and self.take_apart is not None:
            with gil:
                status = self.check_parts(p[: end - p])
        return status

    cdef int check_parts(self, bytes text) noexcept:
        """Let the children look at the parts. It is called without a way for exceptions: each becomes a status."""
        cdef int status
        try:
            for number, part in self.take_apart(text.decode()):
                status = self.check_part(self.children[number], part if type(part) is bytes else part.encode())
                if status:
                    return status
        except RefusedError as refused:
            return refused.status
        except MemoryError:
            return Status.NO_MEMORY
        except BaseException:  # a cell raises nothing; but what was not looked at to its end does not go
            return Status.BAD_SYNTAX
        return Status.OK

    cdef int check_part(self, CellEncoder child, bytes text) except -1:
        """Let a child encode this one text."""
        cdef ArrowSchema schema
        cdef ArrowArray array
        cdef const void* buffers[3]
        cdef int64_t offsets[2]
        offsets[0] = 0
        offsets[1] = len(text)
        buffers[0] = NULL  # no NULLs
        buffers[1] = offsets
        buffers[2] = <const char*>text
        schema.format = child.format
        schema.dictionary = NULL
        array.length = 1
        array.null_count = 0
        array.offset = 0
        array.n_buffers = 3
        array.buffers = buffers
        child.bind(&schema, &array)
        self.scratch.pos = self.scratch.start
        return child.write(&self.scratch, 0)


ENCODERS = {"server_text": ServerTextEncoder}
DECODERS = {}
