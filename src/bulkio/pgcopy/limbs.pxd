"""Unsigned 256-bit integers, for decimals wider than a machine word."""

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "limbs.h" nogil:
    ctypedef struct Wide:
        uint64_t limb[4]

    uint64_t power_of_ten(int n)
    int wide_fits64(const Wide* w)
    uint64_t wide_mul_add(Wide* w, uint64_t factor, uint64_t addend)
    uint64_t wide_div(Wide* w, uint64_t divisor)
    int wide_less(const Wide* a, const Wide* b)
    void wide_negate(Wide* w)
    int wide_load(Wide* w, const uint8_t* p, int width)
