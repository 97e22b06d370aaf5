"""Loading any Arrow integer as int64 (a uint64 past 2**63 keeps its bits: look at the kind)."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t


cdef enum IntKind:
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8


cdef inline IntKind int_kind(bytes format) except *:
    """The kind behind an Arrow format string such as ``l``."""
    # order of the C Data Interface's letters: c s i l are signed, C S I L unsigned, 1 2 4 8 bytes
    return <IntKind>(b" csilCSIL".index(format))


cdef inline int64_t load_int(const void* values, IntKind kind, int64_t i) noexcept nogil:
    if kind == IntKind.INT64 or kind == IntKind.UINT64:
        return (<const int64_t*>values)[i]
    if kind == IntKind.INT32:
        return (<const int32_t*>values)[i]
    if kind == IntKind.INT16:
        return (<const int16_t*>values)[i]
    if kind == IntKind.INT8:
        return (<const int8_t*>values)[i]
    if kind == IntKind.UINT32:
        return (<const uint32_t*>values)[i]
    if kind == IntKind.UINT16:
        return (<const uint16_t*>values)[i]
    return (<const uint8_t*>values)[i]
