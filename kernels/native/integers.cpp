// Products of bfloat16 rows with int8 weights on CPUs with AMX, in whole numbers.
//
// A row is split into two 8-bit digits (see split_rows in reference.py), each is multiplied exactly, and the sums are
// put together and scaled: rounding happens once, and what a row gives depends on no other. A weight [outputs, inputs]
// is kept as strips of 16 outputs; a strip is a run of tiles of 64 inputs, [16 times 4 inputs][16 outputs][4], the last
// filled up with zeros.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>

#include <sys/mman.h>

#if defined(__AMX_INT8__) && defined(__AVX512BF16__)
#include <immintrin.h>

namespace {

constexpr int64_t SIDE = 16, DEPTH = 64, TILE = SIDE * DEPTH;

int64_t tiles_of(int64_t inputs) { return (inputs + DEPTH - 1) / DEPTH; }

struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// Tiles 0 to 3 are sums, 4 and 5 first and second digits of rows, 6 and 7 weights.
void shape_tiles(int64_t rows) {
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) shapes.rows[tile] = tile < 6 ? uint8_t(rows) : SIDE, shapes.row_bytes[tile] = 64;
    _tile_loadconfig(&shapes);
}

uint32_t wide(uint16_t bits) { return uint32_t(bits) << 16; }

float as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Returns the unit of the first digit.
float split(const uint16_t* from, int64_t size, int64_t padded, int8_t* first, int8_t* second) {
    uint32_t most = 0;  // magnitudes are ordered as their bits are
    for (int64_t i = 0; i < size; ++i) most = (wide(from[i]) & 0x7fffffff) > most ? wide(from[i]) & 0x7fffffff : most;
    const float largest = as_float(most) / 127.0f, unit = largest > 1e-30f ? largest : 1e-30f;
    for (int64_t i = 0; i < size; ++i) {
        const float exact = as_float(wide(from[i])) / unit, digit = __builtin_rintf(exact);
        first[i] = int8_t(int32_t(digit));
        second[i] = int8_t(int32_t(__builtin_rintf((exact - digit) * 254.0f)));
    }
    std::memset(first + size, 0, padded - size);
    std::memset(second + size, 0, padded - size);
    return unit;
}

// Up to 16 rows of both digits times two strips.
void multiply(const int8_t* first, const int8_t* second, int64_t tiles, const int8_t* strips, int32_t (*sums)[256]) {
    const int8_t* right = strips + tiles * TILE;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < tiles; ++k) {
        _tile_loadd(4, first + k * DEPTH, tiles * DEPTH);
        _tile_loadd(6, strips + k * TILE, 64);
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(7, right + k * TILE, 64);
        _tile_dpbssd(1, 4, 7);
        _tile_loadd(5, second + k * DEPTH, tiles * DEPTH);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
}

struct Output {
    uint16_t* start;
    int64_t width;
    const float *scales, *bias;  // of each output; bias may be null

    void write(const int32_t* first, const int32_t* second, const float* units, int64_t rows, int64_t row,
               int64_t column) const {
        const int64_t left = width - column;
        if (left <= 0) return;
        const __mmask16 inside = left < SIDE ? __mmask16((1 << left) - 1) : __mmask16(0xffff);
        const __m512 scale = _mm512_maskz_loadu_ps(inside, scales + column);
        const __m512 shift = bias ? _mm512_maskz_loadu_ps(inside, bias + column) : _mm512_setzero_ps();
        for (int64_t r = 0; r < rows; ++r) {
            const __m512 high = _mm512_cvtepi32_ps(_mm512_load_si512(first + r * SIDE));
            const __m512 low = _mm512_cvtepi32_ps(_mm512_load_si512(second + r * SIDE));
            const __m512 sum = _mm512_fmadd_ps(low, _mm512_set1_ps(1.0f / 254.0f), high);
            const __m512 scaled = _mm512_mul_ps(scale, _mm512_set1_ps(units[row + r]));
            const __m512 value = _mm512_fmadd_ps(sum, scaled, shift);
            _mm256_mask_storeu_epi16(start + (row + r) * width + column, inside, (__m256i)_mm512_cvtneps_pbh(value));
        }
    }
};

void multiply_rows(const int8_t* digits, const float* units, int64_t rows, int64_t tiles, const int8_t* weight,
                   const Output& output) {
    const int64_t pairs = (output.width + 2 * SIDE - 1) / (2 * SIDE), padded = tiles * DEPTH;
#pragma omp parallel
    {
        alignas(64) int32_t sums[4][256];
        int64_t shaped = -1;
#pragma omp for schedule(static)
        for (int64_t pair = 0; pair < pairs; ++pair)
            for (int64_t row = 0; row < rows; row += SIDE) {
                const int64_t count = rows - row < SIDE ? rows - row : SIDE, column = pair * 2 * SIDE;
                const int8_t* first = digits + row * padded;
                if (shaped != count) shape_tiles(count), shaped = count;
                multiply(first, first + rows * padded, tiles, weight + pair * 2 * tiles * TILE, sums);
                output.write(sums[0], sums[2], units, count, row, column);
                output.write(sums[1], sums[3], units, count, row, column + SIDE);
            }
        _tile_release();
    }
}

}  // namespace

extern "C" void pack_int8(const int8_t* weight, int64_t outputs, int64_t inputs, int8_t* packed) {
    const int64_t tiles = tiles_of(inputs), strips = (outputs + 2 * SIDE - 1) / (2 * SIDE) * 2;
    // Large pages, where the system grants them, as for bfloat16 weights.
    const uintptr_t page = 4096, start = (uintptr_t(packed) + page - 1) & ~(page - 1);
    const uintptr_t end = uintptr_t(packed + strips * tiles * TILE);
    if (end > start) madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
#pragma omp parallel for
    for (int64_t strip = 0; strip < strips; ++strip)
        for (int64_t i = 0; i < tiles * DEPTH; ++i)
            for (int64_t j = 0; j < SIDE; ++j) {
                const int64_t output = strip * SIDE + j, tile = strip * tiles + i / DEPTH, within = i % DEPTH;
                packed[tile * TILE + within / 4 * DEPTH + j * 4 + within % 4] =
                    output < outputs && i < inputs ? weight[output * inputs + i] : 0;
            }
}

extern "C" void scaled_linear_int8(const uint16_t* x, int64_t rows, int64_t inputs, const int8_t* weight,
                                   const float* scales, const float* bias, int64_t outputs, uint16_t* out) {
    const int64_t padded = tiles_of(inputs) * DEPTH;
    const std::unique_ptr<int8_t[]> digits(new int8_t[2 * rows * padded]);
    const std::unique_ptr<float[]> units(new float[rows]);
#pragma omp parallel for if (rows * inputs > 65536)
    for (int64_t row = 0; row < rows; ++row) {
        int8_t* first = digits.get() + row * padded;
        units[row] = split(x + row * inputs, inputs, padded, first, first + rows * padded);
    }
    multiply_rows(digits.get(), units.get(), rows, tiles_of(inputs), weight, Output{out, outputs, scales, bias});
}
#endif
