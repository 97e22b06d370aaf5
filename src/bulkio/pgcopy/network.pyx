"""inet, cidr, macaddr, macaddr8 <-> string.

Wire formats: src/backend/utils/adt/{network,mac,mac8}.c. An address is: family (2 for IPv4, 3 for IPv6), bits of the
netmask, 1 for cidr, number of bytes, the bytes. The text is the server's own (src/port/inet_net_ntop.c).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from bulkio.pgcopy.bytesview cimport load_bytes
from bulkio.pgcopy.chars cimport hex_digit, is_digit, put_decimal, put_hex
from bulkio.pgcopy.strings cimport BytesDecoder, BytesEncoder, append_value
from bulkio.pgcopy.wire cimport Out, State, Status, put32, put_bytes, reserve, wrong_length

cdef enum:
    FAMILY_IPV4 = 2  # PGSQL_AF_INET, whatever the platform's own numbers
    FAMILY_IPV6 = 3
    HEADER = 4  # family, bits, is_cidr, number of bytes
    GROUPS = 8  # of an IPv6 address
    # "ffff:" seven times, "ffff" or a dotted IPv4 behind six groups, "/128"
    TEXT_MAX = 64


cdef struct Network:
    # An address with its netmask; `size` is 4 or 16 bytes.
    uint8_t data[16]
    int size
    int bits


# --- text -> address --------------------------------------------------------------------------------------------


cdef int parse_bits(const uint8_t* p, const uint8_t* end, int most) noexcept nogil:
    """The number in [p, end), -1 where it is none or larger than `most`."""
    cdef int value = 0
    if p == end:
        return -1
    while p < end:
        if not is_digit(p[0]):
            return -1
        value = 10 * value + p[0] - c'0'
        if value > most:
            return -1
        p += 1
    return value


cdef int parse_ipv4(uint8_t* data, const uint8_t* p, const uint8_t* end, bint leading_zeros) noexcept nogil:
    """Parse exactly four numbers with dots between."""
    cdef const uint8_t* start
    cdef int i, value
    for i in range(4):
        if i:
            if p == end or p[0] != c'.':
                return Status.BAD_SYNTAX
            p += 1
        start = p
        while p < end and is_digit(p[0]):
            p += 1
        value = parse_bits(start, p, 255)
        if value < 0 or (not leading_zeros and start[0] == c'0' and p - start > 1):
            return Status.BAD_SYNTAX
        data[i] = <uint8_t>value
    return Status.OK if p == end else Status.BAD_SYNTAX


cdef int parse_ipv6(uint8_t* data, const uint8_t* p, const uint8_t* end) noexcept nogil:
    """Parse eight groups, of which one run of zeros may be ``::``; the last two may be a dotted IPv4."""
    cdef const uint8_t* start
    cdef int used = 0, gap = -1, digits, value
    if end - p >= 2 and p[0] == c':' and p[1] == c':':
        gap = 0
        p += 2
    while p < end:
        start = p
        digits = 0
        value = 0
        while p < end and hex_digit(p[0]) >= 0:
            value = (value << 4) | hex_digit(p[0])
            p += 1
            digits += 1
            if digits > 4:
                return Status.BAD_SYNTAX
        if p < end and p[0] == c'.':
            if used > 12 or parse_ipv4(data + used, start, end, False):
                return Status.BAD_SYNTAX
            used += 4
            p = end
            break
        if digits == 0 or used > 14:
            return Status.BAD_SYNTAX
        data[used] = <uint8_t>(value >> 8)
        data[used + 1] = <uint8_t>value
        used += 2
        if p == end:
            break
        if p[0] != c':':
            return Status.BAD_SYNTAX
        p += 1
        if p == end:
            return Status.BAD_SYNTAX
        if p[0] == c':':
            if gap >= 0:
                return Status.BAD_SYNTAX
            gap = used
            p += 1
    if gap < 0:
        return Status.OK if used == 16 else Status.BAD_SYNTAX
    if used == 16:
        return Status.BAD_SYNTAX
    open_gap(data, gap, used)
    return Status.OK


cdef void open_gap(uint8_t* data, int gap, int used) noexcept nogil:
    """Move what stands behind ``::`` to the end, zeros before it."""
    cdef int i
    for i in range(used - gap):
        data[15 - i] = data[used - 1 - i]
    memset(data + gap, 0, 16 - used)


cdef int parse_network(Network* network, const uint8_t* p, int64_t n) noexcept nogil:
    """Parse a whole address with an optional ``/bits``."""
    cdef const uint8_t* end = p + n
    cdef const uint8_t* slash = p
    cdef bint ipv6 = False
    cdef int status
    if n > TEXT_MAX:
        return Status.BAD_SYNTAX
    while slash < end and slash[0] != c'/':
        ipv6 = ipv6 or slash[0] == c':'
        slash += 1
    network.size = 16 if ipv6 else 4
    status = parse_ipv6(network.data, p, slash) if ipv6 else parse_ipv4(network.data, p, slash, True)
    network.bits = 8 * network.size
    if status or slash == end:
        return status
    if ipv6 and end - slash > 2 and slash[1] == c'0':  # as the server: no leading zeros here
        return Status.BAD_SYNTAX
    network.bits = parse_bits(slash + 1, end, network.bits)
    return Status.OK if network.bits >= 0 else Status.BAD_SYNTAX


cdef bint has_host_bits(const Network* network) noexcept nogil:
    """Whether a bit is set right of the netmask, which cidr forbids."""
    cdef int byte = network.bits // 8
    cdef int i
    if byte < network.size and network.data[byte] & (0xFF >> (network.bits % 8)):
        return True
    for i in range(byte + 1, network.size):
        if network.data[i]:
            return True
    return False


cdef class InetEncoder(BytesEncoder):
    """utf8 -> inet, cidr: a whole address with an optional ``/bits``; abbreviated ones are refused."""

    cdef bint is_cidr

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.is_cidr = cast.pg.base_name == "cidr"

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef Network network
        cdef int status = parse_network(&network, data, n)
        if status:
            return status
        if self.is_cidr and has_host_bits(&network):
            return Status.BAD_SYNTAX
        if reserve(out, 4 + HEADER + 16):
            return Status.NO_MEMORY
        put32(out.pos, HEADER + network.size)
        out.pos[4] = FAMILY_IPV4 if network.size == 4 else FAMILY_IPV6
        out.pos[5] = <uint8_t>network.bits
        out.pos[6] = self.is_cidr
        out.pos[7] = <uint8_t>network.size
        memcpy(out.pos + 4 + HEADER, network.data, network.size)
        out.pos += 4 + HEADER + network.size
        return Status.OK


# --- address -> text --------------------------------------------------------------------------------------------


cdef uint8_t* put_ipv4(uint8_t* p, const uint8_t* data) noexcept nogil:
    cdef int i
    for i in range(4):
        if i:
            p[0] = c'.'
            p += 1
        p = put_decimal(p, data[i])
    return p


cdef void longest_zeros(const int* words, int* base, int* length) noexcept nogil:
    """The first longest run of zero groups; length 0 where none has two."""
    cdef int i, run = 0
    base[0] = -1
    length[0] = 0
    for i in range(GROUPS):
        run = run + 1 if words[i] == 0 else 0
        if run > length[0]:
            length[0] = run
            base[0] = i + 1 - run
    if length[0] < 2:
        base[0] = -1
        length[0] = 0


cdef uint8_t* put_ipv6(uint8_t* p, const uint8_t* data) noexcept nogil:
    cdef int words[GROUPS]
    cdef int base, length, i
    for i in range(GROUPS):
        words[i] = data[2 * i] << 8 | data[2 * i + 1]
    longest_zeros(words, &base, &length)
    i = 0
    while i < GROUPS:
        if i == base:
            p[0] = c':'
            p += 1
            i += length
            if i == GROUPS:
                p[0] = c':'
                return p + 1
        if i:
            p[0] = c':'
            p += 1
        if i == 6 and base == 0 and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
            return put_ipv4(p, data + 12)  # IPv4-compatible, IPv4-mapped
        p = put_hex(p, words[i], False)
        i += 1
    return p


cdef class InetDecoder(BytesDecoder):
    """inet, cidr -> string, as the server's own text: an inet's full netmask is left out, a cidr's never."""

    cdef bint is_cidr

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.is_cidr = cast.pg.base_name == "cidr"

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef uint8_t text[TEXT_MAX]
        cdef uint8_t* p
        cdef int size
        if n < HEADER:
            return wrong_length(state, HEADER, n)
        size = 4 if data[0] == FAMILY_IPV4 else 16
        if n != HEADER + size:
            return wrong_length(state, HEADER + size, n)
        if (size == 16 and data[0] != FAMILY_IPV6) or data[1] > 8 * size or data[2] != self.is_cidr or data[3] != size:
            return Status.BAD_VALUE
        p = put_ipv4(text, data + HEADER) if size == 4 else put_ipv6(text, data + HEADER)
        if self.is_cidr or data[1] != 8 * size:
            p[0] = c'/'
            p = put_decimal(p + 1, data[1])
        return append_value(self, text, <int32_t>(p - text))


# --- macaddr ----------------------------------------------------------------------------------------------------


cdef int parse_mac(uint8_t* data, int size, const uint8_t* p, int64_t n) noexcept nogil:
    """Parse `size` bytes of two hex digits, in equal groups with one kind of separator between, or in one run.

    What the server takes too: groups of 1 byte (``:`` or ``-``), 2 (``.`` or ``-``), or half of them (``:`` or ``-``).
    """
    cdef int digits = 2 * size
    cdef int group, i, high, low
    cdef uint8_t separator = 0
    if n == digits:
        group = size
    elif n == digits + 1:
        group = size // 2
    elif n == digits + size // 2 - 1:
        group = 2
    elif n == digits + size - 1:
        group = 1
    else:
        return Status.BAD_SYNTAX
    if group != size:
        separator = p[2 * group]
        if separator != c'-' and separator != (c'.' if group == 2 else c':'):
            return Status.BAD_SYNTAX
    for i in range(size):
        if i and i % group == 0:
            if p[0] != separator:
                return Status.BAD_SYNTAX
            p += 1
        high, low = hex_digit(p[0]), hex_digit(p[1])
        if high < 0 or low < 0:
            return Status.BAD_SYNTAX
        data[i] = <uint8_t>(high << 4 | low)
        p += 2
    return Status.OK


cdef class MacEncoder(BytesEncoder):
    """utf8 -> macaddr, macaddr8. Six bytes for a macaddr8 are refused: the server would make eight of them."""

    cdef int size

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.size = 8 if cast.pg.codec == "macaddr8" else 6

    cdef int write(self, Out* out, int64_t row) noexcept nogil:
        cdef const uint8_t* data
        cdef int64_t n = load_bytes(&self.view, self.offset + row, &data)
        if n < 0:
            return Status.DAMAGED
        cdef uint8_t address[8]
        cdef int status = parse_mac(address, self.size, data, n)
        return status or put_bytes(out, address, self.size)


cdef class MacDecoder(BytesDecoder):
    """macaddr, macaddr8 -> string: ``08:00:2b:01:02:03``."""

    cdef int size

    def __init__(self, cast, list children):
        super().__init__(cast, children)
        self.size = 8 if cast.pg.codec == "macaddr8" else 6

    cdef int read(self, const uint8_t* data, int32_t n, State* state) noexcept nogil:
        cdef uint8_t text[24]
        cdef int i
        if n != self.size:
            return wrong_length(state, self.size, n)
        for i in range(n):
            put_hex(text + 3 * i, data[i] >> 4, False)
            put_hex(text + 3 * i + 1, data[i] & 15, False)
            text[3 * i + 2] = c':'
        return append_value(self, text, 3 * n - 1)


ENCODERS = {"inet": InetEncoder, "macaddr": MacEncoder}
DECODERS = {"inet": InetDecoder, "macaddr": MacDecoder}
