// Products with weight matrices on CPUs with AVX-512 for bfloat16, by tiles where they have AMX, at the speed of their
// memory when rows are few.
//
// A weight [outputs, inputs] is kept as strips of 16 outputs; a strip is a run of tiles of 32 inputs, each laid out as
// the tile multiplier reads it, [16 pairs of inputs][16 outputs][2]: 16 vectors of 16 outputs. Sums are in float.

#include <algorithm>
#include <cstdint>
#include <memory>

#include "strips.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace {

using namespace strips;

constexpr int64_t DEPTH = 32, TILE = SIDE * DEPTH;

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

// So many interleaved rows of x times two strips, with all sums in registers; what lies `ahead` is fetched meanwhile.
template <int ROWS>
void multiply_vectors(const uint32_t* x, int64_t inputs, const uint16_t* strips, int64_t ahead, float (*sums)[256]) {
    const uint16_t* right = strips + inputs * SIDE;
    __m512 lefts[ROWS], rights[ROWS];
    for (int r = 0; r < ROWS; ++r) lefts[r] = rights[r] = _mm512_setzero_ps();
    for (int64_t k = 0; k < inputs; k += 2, x += ROWS) {
        prefetch(strips + k * SIDE + ahead);
        prefetch(right + k * SIDE + ahead);
        const __m512bh left = (__m512bh)_mm512_loadu_si512(strips + k * SIDE);
        const __m512bh other = (__m512bh)_mm512_loadu_si512(right + k * SIDE);
        for (int r = 0; r < ROWS; ++r) {
            const __m512bh pair = (__m512bh)_mm512_set1_epi32(int32_t(x[r]));
            lefts[r] = _mm512_dpbf16_ps(lefts[r], left, pair);
            rights[r] = _mm512_dpbf16_ps(rights[r], other, pair);
        }
    }
    for (int r = 0; r < ROWS; ++r) {
        _mm512_store_ps(sums[0] + r * SIDE, lefts[r]);
        _mm512_store_ps(sums[1] + r * SIDE, rights[r]);
    }
}

constexpr int64_t MOST_ROWS = 8;
constexpr decltype(&multiply_vectors<1>) VECTORS[MOST_ROWS] = {
    multiply_vectors<1>, multiply_vectors<2>, multiply_vectors<3>, multiply_vectors<4>,
    multiply_vectors<5>, multiply_vectors<6>, multiply_vectors<7>, multiply_vectors<8>,
};

void linear_by_vectors(const uint16_t* x, int64_t rows, int64_t inputs, const uint16_t* weight, const Output& output) {
    const int64_t blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
    const std::unique_ptr<uint32_t[]> interleaved(new uint32_t[rows * inputs / 2]);
#pragma omp parallel
    {
        alignas(64) float sums[2][256];
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t row = block * MOST_ROWS, count = std::min(rows - row, MOST_ROWS);
            interleave(x + row * inputs, count, inputs * 2, inputs * 2, interleaved.get() + row * inputs / 2, count);
        }
#pragma omp for schedule(static)
        for (int64_t pair = 0; pair < pairs_of(output.width); ++pair)
            for (int64_t row = 0; row < rows; row += MOST_ROWS) {
                const int64_t count = std::min(rows - row, MOST_ROWS), ahead = row == 0 ? 2 * SIDE * inputs : 0;
                const uint32_t* x_block = interleaved.get() + row * inputs / 2;
                VECTORS[count - 1](x_block, inputs, weight + pair * 2 * SIDE * inputs, ahead, sums);
                output.write(sums[0], count, row, pair * 2 * SIDE);
                output.write(sums[1], count, row, pair * 2 * SIDE + SIDE);
            }
    }
}

#if defined(__AMX_BF16__)
// Tiles 0 to 3 are sums, 4 and 5 rows of x, 6 and 7 weights.
void shape_tiles(int64_t above, int64_t below) {
    const uint8_t first = uint8_t(above), second = uint8_t(below ? below : 1);
    const uint8_t rows[8] = {first, first, second, second, first, second, SIDE, SIDE};
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) shapes.rows[tile] = rows[tile], shapes.row_bytes[tile] = 64;
    _tile_loadconfig(&shapes);
}

// 16 rows of x, or 32 with those below, times two strips.
void multiply_tiles(const uint16_t* x, bool below, int64_t inputs, const uint16_t* strips, float (*sums)[256]) {
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

void linear_by_tiles(const uint16_t* x, int64_t rows, int64_t inputs, const uint16_t* weight, const Output& output) {
    const int64_t tiles = inputs / DEPTH, pairs = pairs_of(output.width);
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
                multiply_tiles(x + row * inputs, below > 0, inputs, strips, sums);
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
#endif

}  // namespace

extern "C" bool multiplies_bfloat16() { return true; }

extern "C" void pack_bfloat16(const uint16_t* weight, int64_t outputs, int64_t inputs, uint16_t* packed) {
    const int64_t tiles = inputs / DEPTH, count = 2 * pairs_of(outputs);
    ask_for_large_pages(packed, count * SIDE * inputs * 2);
#pragma omp parallel for
    for (int64_t strip = 0; strip < count; ++strip)
        for (int64_t i = 0; i < inputs; ++i)
            for (int64_t j = 0; j < SIDE; ++j) {
                const int64_t output = strip * SIDE + j, tile = strip * tiles + i / DEPTH, within = i % DEPTH;
                packed[tile * TILE + within / 2 * DEPTH + j * 2 + within % 2] =
                    output < outputs ? weight[output * inputs + i] : 0;
            }
}

extern "C" void linear_bfloat16(const uint16_t* x, int64_t rows, int64_t inputs, const uint16_t* weight,
                                const float* bias, int64_t outputs, uint16_t* out) {
    const Output output{out, outputs, bias};
#if defined(__AMX_BF16__)
    if (may_use_tiles()) return linear_by_tiles(x, rows, inputs, weight, output);
#endif
    linear_by_vectors(x, rows, inputs, weight, output);
}
#else
extern "C" bool multiplies_bfloat16() { return false; }
#endif
