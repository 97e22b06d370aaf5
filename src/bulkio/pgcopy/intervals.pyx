"""interval <-> month_day_nano, and the struct that it is in Parquet; year_month, day_time and duration -> interval.

Wire format: src/backend/utils/adt/timestamp.c, interval_send: microseconds (64 bits), days, months (32 bits each).
Since PostgreSQL 17 all three at their extremes are -infinity and infinity; as a sentinel that is what Arrow gets too. A
column's typmod (`interval(3)`, `interval day to hour`) holds the fields it keeps and the decimal places; the server
drops the rest in silence.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from bulkio.pgcopy.arrow cimport ArrowArray, ArrowSchema
from bulkio.pgcopy.cells cimport CellDecoder, read_cell
from bulkio.pgcopy.fixed cimport FixedDecoder, FixedEncoder
from bulkio.pgcopy.members cimport Member, bind_member, member_is_null
from bulkio.pgcopy.structs cimport StructDecoder, StructEncoder
from bulkio.pgcopy.units cimport IS_NULL, IS_SENTINEL, Infinity, Unit, infinity_of, to_us, unit_of
from bulkio.pgcopy.wire cimport Out, State, Status, append_bytes, get32, get64, put32, put64, reserve, wrong_length

from bulkio.pgcopy.scalars import DECODERS as SCALAR_DECODERS
from bulkio.types import Cast, base_type

cdef extern from *:
    bint __builtin_mul_overflow(int64_t a, int64_t b, int64_t* result) nogil

cdef enum:
    SIZE = 16
    NANOSECONDS = 1000  # in a microsecond
    # INTERVAL_MASK of the fields, src/include/utils/datetime.h
    MONTH = 1 << 1
    YEAR = 1 << 2
    DAY = 1 << 3
    HOUR = 1 << 10
    MINUTE = 1 << 11
    SECOND = 1 << 12
    FULL_RANGE = 0x7FFF
    FULL_PRECISION = 0xFFFF
    INT32_MAX = 0x7FFFFFFF

cdef int64_t INT64_MAX = 0x7FFFFFFFFFFFFFFF


cdef struct Span:
    # An interval as PostgreSQL has it.
    int64_t us
    int32_t days
    int32_t months


cdef inline bint is_infinite(const Span* span) noexcept nogil:
    if span.months == INT32_MAX and span.days == INT32_MAX:
        return span.us == INT64_MAX
    return span.months == -INT32_MAX - 1 and span.days == -INT32_MAX - 1 and span.us == -INT64_MAX - 1


# --- encoding ---------------------------------------------------------------------------------------------------


cdef struct Kept:
    # What a column keeps: multiples of `months` and of `us`, where these are not 0, and days if `days`.
    int32_t months
    bint days
    int64_t us
    bint infinities  # the extremes stand for infinity


cdef Kept kept_by(cast) except *:
    """The fields and the precision in an interval's typmod (AdjustIntervalForTypmod); all where some may be lost."""
    cdef Kept kept
    typmod = -1 if cast.policies.allow_lossy else cast.pg.typmod
    fields = (typmod >> 16) & FULL_RANGE if typmod >= 0 else FULL_RANGE
    places = typmod & FULL_PRECISION if typmod >= 0 else FULL_PRECISION
    kept.infinities = cast.policies.infinity == "sentinel"
    kept.months = 1 if fields & ~YEAR else 12
    kept.days = bool(fields & (DAY | HOUR | MINUTE | SECOND))
    if fields & SECOND:
        kept.us = 10 ** (6 - places) if places <= 6 else 1
    elif fields & MINUTE:
        kept.us = 60 * 10 ** 6
    elif fields & HOUR:
        kept.us = 3600 * 10 ** 6
    else:
        kept.us = 0
    return kept


cdef inline int put_span(Out* out, const Span* span, const Kept* kept) noexcept nogil:
    """Append an interval field, unless the server would drop a part of it, or take it for an infinity."""
    if is_infinite(span):
        return put_fields(out, span) if kept.infinities else Status.OUT_OF_RANGE
    if span.months % kept.months or (span.days and not kept.days):
        return Status.WOULD_ROUND
    if kept.us != 1 and span.us and (kept.us == 0 or span.us % kept.us):
        return Status.WOULD_ROUND
    return put_fields(out, span)


cdef inline int put_fields(Out* out, const Span* span) noexcept nogil:
    if reserve(out, 4 + SIZE):
        return Status.NO_MEMORY
    put32(out.pos, SIZE)
    put64(out.pos + 4, <uint64_t>span.us)
    put32(out.pos + 12, <uint32_t>span.days)
    put32(out.pos + 16, <uint32_t>span.months)
    out.pos += 4 + SIZE
    return Status.OK


cdef class SpanEncoder(FixedEncoder):
    """The base: one buffer of values, and what the column keeps."""

    cdef Kept kept

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kept = kept_by(cast)


cdef class IntervalEncoder(SpanEncoder):
    """month_day_nano, year_month, day_time -> interval; nanoseconds only where they are whole microseconds."""

    cdef char unit
    cdef bint lossy

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.lossy = cast.policies.allow_lossy
        self.unit = self.format[2]  # tiM: months; tiD: days, milliseconds; tin: months, days, nanoseconds

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Span span = Span(0, 0, 0)
        cdef int64_t i = self.offset + row
        cdef const int32_t* words = <const int32_t*>self.values
        cdef int64_t nanoseconds
        if self.unit == c'M':
            span.months = words[i]
        elif self.unit == c'D':
            span.days = words[2 * i]
            span.us = <int64_t>words[2 * i + 1] * 1000
        else:
            span.months = words[4 * i]
            span.days = words[4 * i + 1]
            nanoseconds = (<const int64_t*>self.values)[2 * i + 1]
            span.us = nanoseconds
            if is_infinite(&span) and self.kept.infinities:
                return put_fields(out, &span)
            span.us //= NANOSECONDS
            if nanoseconds % NANOSECONDS:
                if not self.lossy:
                    return Status.WOULD_ROUND
                span.us -= nanoseconds < 0  # division rounds towards zero
        return put_span(out, &span, &self.kept)


cdef class DurationEncoder(SpanEncoder):
    """duration of any unit -> interval of microseconds only: no days are made of hours."""

    cdef Unit unit

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.unit = unit_of(self.format, cast.policies.allow_lossy)

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Span span = Span(0, 0, 0)
        cdef int status = to_us((<const int64_t*>self.values)[self.offset + row], &self.unit, &span.us)
        if status:
            return status
        return put_span(out, &span, &self.kept)


cdef class IntervalStructEncoder(StructEncoder):
    """struct<months, days, microseconds> -> interval; a null among them is an error."""

    cdef Kept kept
    cdef Member months, days, us

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.kept = kept_by(cast)

    cdef int attach(self, ArrowSchema* schema, ArrowArray* array) except -1:
        StructEncoder.attach(self, schema, array)
        bind_member(&self.months, schema.children[0], array.children[0], b"i")
        bind_member(&self.days, schema.children[1], array.children[1], b"i")
        bind_member(&self.us, schema.children[2], array.children[2], b"l")
        return 0

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef Span span
        cdef int64_t i = self.offset + row
        if member_is_null(&self.months, i) or member_is_null(&self.days, i) or member_is_null(&self.us, i):
            return Status.NULL_MEMBER
        span.months = (<const int32_t*>self.months.values)[self.months.offset + i]
        span.days = (<const int32_t*>self.days.values)[self.days.offset + i]
        span.us = (<const int64_t*>self.us.values)[self.us.offset + i]
        return put_span(out, &span, &self.kept)


# --- decoding ---------------------------------------------------------------------------------------------------


cdef inline int read_span(
    Span* span, const uint8_t* data, int32_t n, State* state, Infinity infinity
) noexcept nogil:
    if n != SIZE:
        return wrong_length(state, SIZE, n)
    span.us = get64(data)
    span.days = get32(data + 8)
    span.months = get32(data + 12)
    if infinity == IS_SENTINEL or not is_infinite(span):
        return Status.OK
    return Status.AS_NULL if infinity == IS_NULL else Status.IS_INFINITE


cdef class IntervalDecoder(FixedDecoder):
    """interval -> month_day_nano, whose 64-bit nanoseconds end at some 292 years."""

    cdef Infinity infinity

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.infinity = infinity_of(cast)

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef Span span
        cdef int status = read_span(&span, data, n, state, self.infinity)
        if status:
            return status
        if not is_infinite(&span) and __builtin_mul_overflow(span.us, NANOSECONDS, &span.us):
            return Status.NOT_IN_ARROW
        if append_bytes(&self.values, &span.months, 4) or append_bytes(&self.values, &span.days, 4):
            return Status.NO_MEMORY
        return append_bytes(&self.values, &span.us, 8)


cdef class IntervalStructDecoder(StructDecoder):
    """interval -> struct<months, days, microseconds>."""

    cdef CellDecoder months, days, us
    cdef Infinity infinity

    def __init__(self, cast, list children):
        self.infinity = infinity_of(cast)
        narrow = Cast("int4", cast.arrow.field(0).type, base_type("int4"))
        wide = Cast("int8", cast.arrow.field(2).type, base_type("int8"))
        self.months, self.days = SCALAR_DECODERS["int4"](narrow, []), SCALAR_DECODERS["int4"](narrow, [])
        self.us = SCALAR_DECODERS["int8"](wide, [])
        super().__init__(cast, [self.months, self.days, self.us])

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef Span span
        cdef int status = read_span(&span, data, n, state, self.infinity)
        if status:
            return status
        if (
            read_cell(self.months, data + 12, 4, state)
            or read_cell(self.days, data + 8, 4, state)
            or read_cell(self.us, data, 8, state)
        ):
            return Status.NO_MEMORY
        return Status.OK


ENCODERS = {"interval": IntervalEncoder, "interval_struct": IntervalStructEncoder, "duration": DurationEncoder}
DECODERS = {"interval": IntervalDecoder, "interval_struct": IntervalStructDecoder}
