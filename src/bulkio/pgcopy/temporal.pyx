"""date, time, timestamp, timestamptz.

Wire formats: src/backend/utils/adt/{date,timestamp}.c. PostgreSQL counts days and microseconds from 2000-01-01, Arrow
from 1970-01-01; the extreme integers stand for -infinity and infinity. The ranges are those of
src/include/datatype/timestamp.h. Arrow has no infinity; DuckDB, too, means the extreme integers so (its negative ones
are the greatest integer's), in any unit. So they go as infinity under the policy sentinel, and are refused without: an
instant of 294247 was never meant.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from bulkio.pgcopy.fixed cimport FixedDecoder, FixedEncoder
from bulkio.pgcopy.units cimport IS_NULL, IS_SENTINEL, Infinity, Unit, grain_of, infinity_of, to_us, unit_of
from bulkio.pgcopy.wire cimport Out, State, Status, append_bytes, get32, get64, put_integer, wrong_length

cdef enum:
    EPOCH_DAYS = 10957  # 1970-01-01 to 2000-01-01
    DATE_MIN = -2451545  # 4714-11-24 BC, days from 2000-01-01
    DATE_END = 2145031949  # 5874898-01-01
    DATE_INFINITY = 0x7FFFFFFF

cdef int64_t DAY_US = 86400000000
# 24:00:00, which Arrow does not have, under the policy sentinel: the last time that it has
cdef int64_t TIME_SENTINEL = DAY_US - 1
cdef int64_t DAY_MS = 86400000
cdef int64_t EPOCH_US = 946684800000000  # 1970-01-01 to 2000-01-01
cdef int64_t TIMESTAMP_MIN = -211813488000000000  # 4714-11-24 BC
cdef int64_t TIMESTAMP_END = 9223371331200000000  # 294277-01-01
cdef int64_t INT64_MAX = 0x7FFFFFFFFFFFFFFF
cdef int64_t INT64_MIN = -INT64_MAX - 1


cdef extern from *:
    bint __builtin_mul_overflow(int64_t a, int64_t b, int64_t* result) nogil
    bint __builtin_sub_overflow(int64_t a, int64_t b, int64_t* result) nogil
    bint __builtin_add_overflow(int64_t a, int64_t b, int64_t* result) nogil


cdef class TemporalEncoder(FixedEncoder):
    """The base: values of 32 or 64 bits."""

    cdef bint narrow, sentinels

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.sentinels = cast.policies.infinity == "sentinel"
        self.narrow = self.format in (b"tdD", b"tts", b"ttm")

    cdef inline int64_t load(self, int64_t row) noexcept nogil:
        if self.narrow:
            return (<const int32_t*>self.values)[self.offset + row]
        return (<const int64_t*>self.values)[self.offset + row]

    cdef inline bint is_extreme(self, int64_t value) noexcept nogil:
        """Whether others mean infinity by this."""
        if self.narrow:
            return value == DATE_INFINITY or value <= -DATE_INFINITY
        return value == INT64_MAX or value <= -INT64_MAX

    cdef int write_extreme(self, Out* out, int64_t value, int width) noexcept nogil:
        """Append infinity, where the user allows that."""
        if not self.sentinels:
            return Status.MEANS_INFINITY
        if width == 4:
            return put_integer(out, DATE_INFINITY if value > 0 else -DATE_INFINITY - 1, 4)
        return put_integer(out, INT64_MAX if value > 0 else INT64_MIN, 8)


cdef class DateEncoder(TemporalEncoder):
    """date32, or date64 holding whole days -> date."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t days = self.load(row)
        if self.is_extreme(days):
            return self.write_extreme(out, days, 4)
        if not self.narrow:
            if days % DAY_MS:
                return Status.WOULD_ROUND
            days //= DAY_MS
        days -= EPOCH_DAYS
        if not DATE_MIN <= days < DATE_END:
            return Status.OUT_OF_RANGE
        return put_integer(out, days, 4)


cdef class DateToTimestampEncoder(TemporalEncoder):
    """date32, or date64 holding whole days -> timestamp at midnight."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t days = self.load(row), us
        if self.is_extreme(days):
            return self.write_extreme(out, days, 8)
        if not self.narrow:
            if days % DAY_MS:
                return Status.WOULD_ROUND
            days //= DAY_MS
        if __builtin_mul_overflow(days - EPOCH_DAYS, DAY_US, &us) or not TIMESTAMP_MIN <= us < TIMESTAMP_END:
            return Status.OUT_OF_RANGE
        return put_integer(out, us, 8)


cdef class ClockEncoder(TemporalEncoder):
    """The base: values in a unit of time, and the places that the column keeps."""

    cdef Unit unit
    cdef int64_t grain

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.unit = unit_of(self.format, cast.policies.allow_lossy)
        self.grain = grain_of(cast)


cdef class TimeEncoder(ClockEncoder):
    """time32, time64 -> time; nanoseconds only where exact."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t us
        cdef int status = to_us(self.load(row), &self.unit, &us)
        if status:
            return status
        if not 0 <= us < DAY_US:
            return Status.OUT_OF_RANGE
        if self.sentinels and us == TIME_SENTINEL:
            return put_integer(out, DAY_US, 8)
        if self.grain != 1 and us % self.grain:
            return Status.WOULD_ROUND
        return put_integer(out, us, 8)


cdef class TimestampEncoder(ClockEncoder):
    """timestamp of any unit -> timestamp, timestamptz; nanoseconds only where exact."""

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef int64_t us = self.load(row)
        cdef int status
        if self.is_extreme(us):
            return self.write_extreme(out, us, 8)
        status = to_us(us, &self.unit, &us)
        if status:
            return status
        if __builtin_sub_overflow(us, EPOCH_US, &us) or not TIMESTAMP_MIN <= us < TIMESTAMP_END:
            return Status.OUT_OF_RANGE
        if self.grain != 1 and us % self.grain:
            return Status.WOULD_ROUND
        return put_integer(out, us, 8)


cdef class TemporalDecoder(FixedDecoder):
    """The base: what becomes of infinity."""

    cdef Infinity infinity

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.infinity = infinity_of(cast)


cdef class DateDecoder(TemporalDecoder):
    """date -> date32."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int32_t days
        if n != 4:
            return wrong_length(state, 4, n)
        days = get32(data)
        if days == DATE_INFINITY or days == -DATE_INFINITY - 1:
            if self.infinity != IS_SENTINEL:
                return Status.AS_NULL if self.infinity == IS_NULL else Status.IS_INFINITE
        elif days >= DATE_INFINITY - EPOCH_DAYS:  # past every date that PostgreSQL has
            return Status.BAD_VALUE
        else:
            days += EPOCH_DAYS
        return append_bytes(&self.values, &days, 4)


cdef class TimeDecoder(TemporalDecoder):
    """time -> time64[us]. 24:00:00, which Arrow does not have, goes the way of an infinity."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t us
        if n != 8:
            return wrong_length(state, 8, n)
        us = get64(data)
        if us == DAY_US:
            if self.infinity != IS_SENTINEL:
                return Status.AS_NULL if self.infinity == IS_NULL else Status.IS_DAYS_END
            us = TIME_SENTINEL
        elif us == TIME_SENTINEL and self.infinity == IS_SENTINEL:
            return Status.NOT_IN_ARROW  # the one time that the sentinel takes
        elif not 0 <= us < DAY_US:
            return Status.BAD_VALUE
        return append_bytes(&self.values, &us, 8)


cdef class TimestampDecoder(TemporalDecoder):
    """timestamp, timestamptz -> timestamp[us]; the last that Arrow holds is 294247-01-10."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef int64_t us
        if n != 8:
            return wrong_length(state, 8, n)
        us = get64(data)
        if us == INT64_MAX or us == INT64_MIN:
            if self.infinity != IS_SENTINEL:
                return Status.AS_NULL if self.infinity == IS_NULL else Status.IS_INFINITE
        elif __builtin_add_overflow(us, EPOCH_US, &us):
            return Status.NOT_IN_ARROW
        elif us == INT64_MAX:
            return Status.NOT_IN_ARROW  # the one instant that others, and a load, take for infinity
        return append_bytes(&self.values, &us, 8)


ENCODERS = {
    "date": DateEncoder,
    "date_to_timestamp": DateToTimestampEncoder,
    "time": TimeEncoder,
    "timestamp": TimestampEncoder,
}

DECODERS = {
    "date": DateDecoder,
    "time": TimeDecoder,
    "timestamp": TimestampDecoder,
}
