// What products with packed weights share: strips of 16 outputs, two of which are computed together.

#pragma once

#include <cstdint>
#include <cstring>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace strips {

constexpr int64_t SIDE = 16;

inline int64_t pairs_of(int64_t outputs) { return (outputs + 2 * SIDE - 1) / (2 * SIDE); }

// Large pages, where the system grants them: small ones cost up to half of the speed.
inline void ask_for_large_pages(void* packed, int64_t bytes) {
    const uintptr_t page = 4096, first = uintptr_t(packed), start = (first + page - 1) & ~(page - 1);
    if (first + bytes > start) madvise(reinterpret_cast<void*>(start), first + bytes - start, MADV_HUGEPAGE);
}

// Four bytes of each of so many rows, `stride` bytes apart, side by side: [size / 4][rows], as vectors read them.
inline void interleave(const void* rows_of_x, int64_t rows, int64_t stride, int64_t size, uint32_t* to, int64_t step) {
    const char* from = static_cast<const char*>(rows_of_x);
    for (int64_t k = 0; k < size / 4; ++k)
        for (int64_t r = 0; r < rows; ++r) std::memcpy(to + k * step + r, from + r * stride + 4 * k, 4);
}

// Of what is needed soon; beyond the end of a weight it does nothing.
inline void prefetch(const void* line) { __builtin_prefetch(line, 0, 2); }

struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// Whether this process may use the tile multiplier; asks the system for it.
inline bool may_use_tiles() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    static const bool granted = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return granted;
}

}  // namespace strips
