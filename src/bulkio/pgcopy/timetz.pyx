"""timetz <-> string: ``12:34:56.789+02``, for Arrow has no time with a zone.

Wire format: src/backend/utils/adt/date.c, timetz_send: microseconds since midnight (64 bits; 24:00 included), then
seconds west of UTC (32 bits). Text as EncodeTimeOnly and EncodeTimezone of datetime.c write it in ISO style.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport is_digit, put_two, read_two
from bulkio.pgcopy.strings cimport BytesDecoder, BytesEncoder, append_value
from bulkio.pgcopy.units cimport grain_of
from bulkio.pgcopy.wire cimport Out, State, Status, get32, get64, put32, put64, reserve, wrong_length

cdef enum:
    SIZE = 12
    ZONE_END = 16 * 3600  # TZDISP_LIMIT, seconds: zones lie below, either way
    PLACES = 6
    # so much zero padding as the server's own parser has room for too
    TEXT_MAX = 64

cdef int64_t DAY_US = 86400000000


cdef int parse_fraction(const uint8_t** at, const uint8_t* end, int64_t* us, bint lossy) noexcept nogil:
    """Parse the digits behind the point: those past the sixth must be zeros, or are cut where the user allows that."""
    cdef const uint8_t* p = at[0]
    cdef int64_t worth = 100000
    if p == end or not is_digit(p[0]):
        return Status.BAD_SYNTAX
    while p < end and is_digit(p[0]):
        if worth == 0 and p[0] != c'0' and not lossy:
            return Status.WOULD_ROUND
        us[0] += worth * (p[0] - c'0')
        worth //= 10
        p += 1
    at[0] = p
    return Status.OK


cdef int parse_zone(const uint8_t* p, const uint8_t* end, int32_t* west) noexcept nogil:
    """Parse Z, or a sign and hh, hhmm, hh:mm or hh:mm:ss."""
    cdef int parts[3]
    cdef int i = 0
    cdef bint east
    west[0] = 0
    if end - p == 1 and (p[0] | 0x20) == c'z':
        return Status.OK
    if p == end or (p[0] != c'+' and p[0] != c'-'):
        return Status.BAD_SYNTAX
    east = p[0] == c'+'
    p += 1
    parts[0] = parts[1] = parts[2] = 0
    while i < 3:
        parts[i] = read_two(p, end)
        if parts[i] < 0 or parts[i] > (15 if i == 0 else 59):
            return Status.BAD_SYNTAX
        p += 2
        i += 1
        if p == end or i == 3:
            break
        if p[0] == c':':
            p += 1
        elif i != 1 or end - p != 2:  # hhmm
            return Status.BAD_SYNTAX
    if p != end:
        return Status.BAD_SYNTAX
    west[0] = 3600 * parts[0] + 60 * parts[1] + parts[2]
    if east:
        west[0] = -west[0]
    return Status.OK


cdef int parse_timetz(const uint8_t* p, int64_t n, int64_t* us, int32_t* west, bint lossy) noexcept nogil:
    """Parse hh:mm[:ss[.fraction]] and a zone."""
    cdef const uint8_t* end = p + n
    cdef int hours, minutes, seconds = 0
    cdef int status
    if n > TEXT_MAX:
        return Status.BAD_SYNTAX
    hours = read_two(p, end)
    if hours < 0 or end - p < 5 or p[2] != c':':
        return Status.BAD_SYNTAX
    minutes = read_two(p + 3, end)
    p += 5
    us[0] = 0
    if p < end and p[0] == c':':
        seconds = read_two(p + 1, end)
        if seconds < 0:
            return Status.BAD_SYNTAX
        p += 3
        if p < end and p[0] == c'.':
            p += 1
            status = parse_fraction(&p, end, us, lossy)
            if status:
                return status
    status = parse_zone(p, end, west)
    if status or minutes < 0 or minutes > 59 or seconds > 59:
        return Status.BAD_SYNTAX
    us[0] += 1000000 * (3600 * <int64_t>hours + 60 * minutes + seconds)
    return Status.OK if us[0] <= DAY_US else Status.BAD_SYNTAX


cdef class TimetzEncoder(BytesEncoder):
    """utf8 such as ``12:34:56.789+02``, ``12:34Z`` -> timetz; more places than the column keeps must be zeros."""

    cdef int64_t grain
    cdef bint lossy

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.grain = grain_of(cast)
        self.lossy = cast.policies.allow_lossy

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef int64_t us
        cdef int32_t west
        cdef int status = parse_timetz(data, n, &us, &west, self.lossy)
        if status:
            return status
        if self.grain != 1 and us % self.grain:
            return Status.WOULD_ROUND
        if reserve(out, 4 + SIZE):
            return Status.NO_MEMORY
        put32(out.pos, SIZE)
        put64(out.pos + 4, <uint64_t>us)
        put32(out.pos + 12, <uint32_t>west)
        out.pos += 4 + SIZE
        return Status.OK


cdef uint8_t* put_fraction(uint8_t* p, int us) noexcept nogil:
    """Write the point and the decimal places, without trailing zeros; nothing for a whole second."""
    cdef int i
    cdef int left = us
    if us == 0:
        return p
    p[0] = c'.'
    for i in range(PLACES, 0, -1):
        p[i] = <uint8_t>(c'0' + left % 10)
        left //= 10
    i = PLACES
    while p[i] == c'0':
        i -= 1
    return p + i + 1


cdef uint8_t* put_zone(uint8_t* p, int32_t west) noexcept nogil:
    """Write the sign, hours, and minutes and seconds where there are any."""
    cdef int seconds = west if west > 0 else -west
    p[0] = c'-' if west > 0 else c'+'
    p = put_two(p + 1, seconds // 3600)
    if seconds % 3600:
        p[0] = c':'
        p = put_two(p + 1, seconds // 60 % 60)
    if seconds % 60:
        p[0] = c':'
        p = put_two(p + 1, seconds % 60)
    return p


cdef class TimetzDecoder(BytesDecoder):
    """timetz -> string, as the server's own text; 24:00:00 too."""

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef uint8_t text[32]
        cdef uint8_t* p
        cdef int64_t us
        cdef int32_t west
        cdef int seconds
        if n != SIZE:
            return wrong_length(state, SIZE, n)
        us = get64(data)
        west = get32(data + 8)
        if not 0 <= us <= DAY_US or not -ZONE_END < west < ZONE_END:
            return Status.BAD_VALUE
        seconds = <int>(us // 1000000)
        p = put_two(text, seconds // 3600)
        p[0] = c':'
        p = put_two(p + 1, seconds // 60 % 60)
        p[0] = c':'
        p = put_two(p + 1, seconds % 60)
        p = put_fraction(p, <int>(us % 1000000))
        p = put_zone(p, west)
        return append_value(self, text, <int32_t>(p - text))


ENCODERS = {"timetz": TimetzEncoder}
DECODERS = {"timetz": TimetzDecoder}
