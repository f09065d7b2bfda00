// Products with weight matrices on CPUs with AMX, at the speed of their memory when rows are few.
//
// A weight [outputs, inputs] is kept as strips of 16 outputs; a strip is a run of tiles of 32 inputs, each laid out as
// the tile multiplier reads it, [16 pairs of inputs][16 outputs][2]. Sums are in float.

#include <cstdint>
#include <cstring>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include <immintrin.h>

namespace {

constexpr int64_t SIDE = 16, DEPTH = 32, TILE = SIDE * DEPTH;

struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// Tiles 0 to 3 are sums, 4 and 5 rows of x, 6 and 7 weights.
void shape_tiles(int64_t above, int64_t below) {
    const uint8_t first = uint8_t(above), second = uint8_t(below ? below : 1);
    const uint8_t rows[8] = {first, first, second, second, first, second, SIDE, SIDE};
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) shapes.rows[tile] = rows[tile], shapes.row_bytes[tile] = 64;
    _tile_loadconfig(&shapes);
}

struct Output {
    uint16_t* start;
    int64_t width;
    const float* bias;  // of each output, or null

    void write(const float* sums, int64_t rows, int64_t row, int64_t column) const {
        const int64_t left = width - column;
        if (left <= 0) return;
        const __mmask16 inside = left < SIDE ? __mmask16((1 << left) - 1) : __mmask16(0xffff);
        const __m512 shift = bias ? _mm512_maskz_loadu_ps(inside, bias + column) : _mm512_setzero_ps();
        for (int64_t r = 0; r < rows; ++r) {
            const __m512 value = _mm512_add_ps(_mm512_load_ps(sums + r * SIDE), shift);
            _mm256_mask_storeu_epi16(start + (row + r) * width + column, inside, (__m256i)_mm512_cvtneps_pbh(value));
        }
    }
};

// 16 rows of x, or 32 with those below, times two strips.
void multiply(const uint16_t* x, bool below, int64_t inputs, const uint16_t* strips, float (*sums)[256]) {
    const int64_t tiles = inputs / DEPTH, row_bytes = inputs * 2;
    const uint16_t *lower = x + (below ? SIDE * inputs : 0), *right = strips + tiles * TILE;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < tiles; ++k) {
        _tile_loadd(4, x + k * DEPTH, row_bytes);
        _tile_loadd(6, strips + k * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right + k * TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        if (below) {
            _tile_loadd(5, lower + k * DEPTH, row_bytes);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    if (below) {
        _tile_stored(2, sums[2], 64);
        _tile_stored(3, sums[3], 64);
    }
}

void linear(const uint16_t* x, int64_t rows, int64_t inputs, const uint16_t* weight, const Output& output) {
    const int64_t tiles = inputs / DEPTH, pairs = (output.width + 2 * SIDE - 1) / (2 * SIDE);
#pragma omp parallel
    {
        alignas(64) float sums[4][256];
        int64_t shaped = -1;
#pragma omp for schedule(static)
        for (int64_t pair = 0; pair < pairs; ++pair) {
            const uint16_t* strips = weight + pair * 2 * tiles * TILE;
            for (int64_t row = 0; row < rows; row += 2 * SIDE) {
                const int64_t left = rows - row, above = left < SIDE ? left : SIDE;
                const int64_t below = left <= SIDE ? 0 : left < 2 * SIDE ? left - SIDE : SIDE;
                if (shaped != above + below) shape_tiles(above, below), shaped = above + below;
                multiply(x + row * inputs, below > 0, inputs, strips, sums);
                const int64_t column = pair * 2 * SIDE;
                output.write(sums[0], above, row, column);
                output.write(sums[1], above, row, column + SIDE);
                output.write(sums[2], below, row + SIDE, column);
                output.write(sums[3], below, row + SIDE, column + SIDE);
            }
        }
        _tile_release();
    }
}

}  // namespace

// Whether this process may use the tile multiplier; asks the system for it.
extern "C" bool amx_available() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

extern "C" void pack_bfloat16(const uint16_t* weight, int64_t outputs, int64_t inputs, uint16_t* packed) {
    const int64_t tiles = inputs / DEPTH, strips = (outputs + 2 * SIDE - 1) / (2 * SIDE) * 2;
    // Large pages, where the system grants them: small ones cost up to half of the speed.
    const uintptr_t page = 4096, start = (uintptr_t(packed) + page - 1) & ~(page - 1);
    const uintptr_t end = uintptr_t(packed + strips * SIDE * inputs);
    if (end > start) madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
#pragma omp parallel for
    for (int64_t strip = 0; strip < strips; ++strip)
        for (int64_t i = 0; i < inputs; ++i)
            for (int64_t j = 0; j < SIDE; ++j) {
                const int64_t output = strip * SIDE + j, tile = strip * tiles + i / DEPTH, within = i % DEPTH;
                packed[tile * TILE + within / 2 * DEPTH + j * 2 + within % 2] =
                    output < outputs ? weight[output * inputs + i] : 0;
            }
}

extern "C" void linear_bfloat16(const uint16_t* x, int64_t rows, int64_t inputs, const uint16_t* weight,
                                const float* bias, int64_t outputs, uint16_t* out) {
    linear(x, rows, inputs, weight, Output{out, outputs, bias});
}
#else
extern "C" bool amx_available() { return false; }
#endif
