// Products of bfloat16 rows with int8 weights on CPUs with AVX-512 for integers, by tiles where they have AMX, in whole
// numbers.
//
// A row is split into two 8-bit digits (see split_rows in reference.py), each is multiplied exactly, and the sums are
// put together and scaled: rounding happens once, and what a row gives depends on no other. A weight [outputs, inputs]
// is kept as strips of 16 outputs; a strip is a run of tiles of 64 inputs, [16 times 4 inputs][16 outputs][4], the last
// filled up with zeros.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "strips.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#include <immintrin.h>

namespace {

using namespace strips;

constexpr int64_t DEPTH = 64, TILE = SIDE * DEPTH;

int64_t padded_inputs(int64_t inputs) { return (inputs + DEPTH - 1) / DEPTH * DEPTH; }

__m512 widened(const uint16_t* from, __mmask16 inside) {
    const __m512i bits = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(inside, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

__mmask16 inside(int64_t left) { return left < SIDE ? __mmask16((1 << left) - 1) : __mmask16(0xffff); }

// Returns the unit of the first digit; NaN and infinity make it so, and with it the row's products.
float split(const uint16_t* from, int64_t size, int64_t padded, int8_t* first, int8_t* second) {
    __m512i most = _mm512_setzero_si512();  // magnitudes are ordered as their bits are
    for (int64_t i = 0; i < size; i += SIDE) {
        const __m512 magnitudes = _mm512_abs_ps(widened(from + i, inside(size - i)));
        most = _mm512_max_epu32(most, _mm512_castps_si512(magnitudes));
    }
    const uint32_t bits = _mm512_reduce_max_epu32(most);
    float largest;
    std::memcpy(&largest, &bits, 4);
    const float unit = largest / 127.0f < 1e-30f ? 1e-30f : largest / 127.0f;
    for (int64_t i = 0; i < padded; i += SIDE) {
        const __mmask16 here = inside(size - i < 0 ? 0 : size - i);
        const __m512 exact = _mm512_div_ps(widened(from + i, here), _mm512_set1_ps(unit));
        const __m512i digit = _mm512_cvtps_epi32(exact);
        const __m512 rest = _mm512_mul_ps(_mm512_sub_ps(exact, _mm512_cvtepi32_ps(digit)), _mm512_set1_ps(254.0f));
        _mm_storeu_si128((__m128i*)(first + i), _mm512_cvtepi32_epi8(digit));
        _mm_storeu_si128((__m128i*)(second + i), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(rest)));
    }
    return unit;
}

struct Output {
    uint16_t* start;
    int64_t width;
    const float *scales, *bias;  // of each output; bias may be null

    // `sums` of the first digits with the left and right strip, then of the second digits.
    void write(const int32_t (*sums)[256], const float* units, int64_t rows, int64_t row, int64_t column) const {
        write_strip(sums[0], sums[2], units, rows, row, column);
        write_strip(sums[1], sums[3], units, rows, row, column + SIDE);
    }

    void write_strip(const int32_t* first, const int32_t* second, const float* units, int64_t rows, int64_t row,
                     int64_t column) const {
        const int64_t left = width - column;
        if (left <= 0) return;
        const __mmask16 here = inside(left);
        const __m512 scale = _mm512_maskz_loadu_ps(here, scales + column);
        const __m512 shift = bias ? _mm512_maskz_loadu_ps(here, bias + column) : _mm512_setzero_ps();
        for (int64_t r = 0; r < rows; ++r) {
            const __m512 high = _mm512_cvtepi32_ps(_mm512_load_si512(first + r * SIDE));
            const __m512 low = _mm512_cvtepi32_ps(_mm512_load_si512(second + r * SIDE));
            const __m512 sum = _mm512_fmadd_ps(low, _mm512_set1_ps(1.0f / 254.0f), high);
            const __m512 scaled = _mm512_mul_ps(scale, _mm512_set1_ps(units[row + r]));
            const __m512 value = _mm512_fmadd_ps(sum, scaled, shift);
            _mm256_mask_storeu_epi16(start + (row + r) * width + column, here, (__m256i)_mm512_cvtneps_pbh(value));
        }
    }
};

// Digits of rows, and the weight that they are multiplied with.
struct Factors {
    const int8_t *first, *second;  // digits [rows, padded]
    const float* units;
    int64_t rows, padded;
    const int8_t* weight;

    const int8_t* strips(int64_t pair) const { return weight + pair * 2 * SIDE * padded; }
};

// Both digits of so many rows, interleaved, times two strips, with all sums in registers; what lies `ahead` is fetched
// meanwhile. AVX-512 multiplies numbers without a sign by numbers with one, so digits come raised by 128, and sums start
// at what that adds to them, taken off.
template <int ROWS>
void multiply_vectors(const uint32_t* digits, int64_t padded, const int8_t* strips, const int32_t* offsets,
                      int64_t ahead, int32_t (*sums)[256]) {
    const int8_t* right = strips + SIDE * padded;
    __m512i lefts[2 * ROWS], rights[2 * ROWS];
    for (int r = 0; r < 2 * ROWS; ++r) {
        lefts[r] = _mm512_loadu_si512(offsets);
        rights[r] = _mm512_loadu_si512(offsets + SIDE);
    }
    for (int64_t k = 0; k < padded; k += 4, digits += 2 * ROWS) {
        prefetch(strips + k * SIDE + ahead);
        prefetch(right + k * SIDE + ahead);
        const __m512i left = _mm512_loadu_si512(strips + k * SIDE), other = _mm512_loadu_si512(right + k * SIDE);
        for (int r = 0; r < 2 * ROWS; ++r) {
            const __m512i four = _mm512_set1_epi32(int32_t(digits[r]));
            lefts[r] = _mm512_dpbusd_epi32(lefts[r], four, left);
            rights[r] = _mm512_dpbusd_epi32(rights[r], four, other);
        }
    }
    for (int r = 0; r < ROWS; ++r) {
        _mm512_store_si512(sums[0] + r * SIDE, lefts[r]);
        _mm512_store_si512(sums[1] + r * SIDE, rights[r]);
        _mm512_store_si512(sums[2] + r * SIDE, lefts[ROWS + r]);
        _mm512_store_si512(sums[3] + r * SIDE, rights[ROWS + r]);
    }
}

constexpr int64_t MOST_ROWS = 4;
constexpr decltype(&multiply_vectors<1>) VECTORS[MOST_ROWS] = {
    multiply_vectors<1>, multiply_vectors<2>, multiply_vectors<3>, multiply_vectors<4>};

// [padded / 4][first digits of so many rows, second digits], raised.
void interleave_digits(const Factors& of, int64_t row, int64_t count, uint32_t* to) {
    interleave(of.first + row * of.padded, count, of.padded, of.padded, to, 2 * count);
    interleave(of.second + row * of.padded, count, of.padded, of.padded, to + count, 2 * count);
    for (int64_t i = 0; i < count * of.padded / 2; ++i) to[i] ^= 0x80808080u;
}

void linear_by_vectors(const Factors& of, const int32_t* offsets, const Output& output) {
    const int64_t blocks = (of.rows + MOST_ROWS - 1) / MOST_ROWS;
    const std::unique_ptr<uint32_t[]> interleaved(new uint32_t[of.rows * of.padded / 2]);
#pragma omp parallel
    {
        alignas(64) int32_t sums[4][256];
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t row = block * MOST_ROWS, count = std::min(of.rows - row, MOST_ROWS);
            interleave_digits(of, row, count, interleaved.get() + row * of.padded / 2);
        }
#pragma omp for schedule(static)
        for (int64_t pair = 0; pair < pairs_of(output.width); ++pair)
            for (int64_t row = 0; row < of.rows; row += MOST_ROWS) {
                const int64_t count = std::min(of.rows - row, MOST_ROWS), ahead = row == 0 ? 2 * SIDE * of.padded : 0;
                const uint32_t* digits = interleaved.get() + row * of.padded / 2;
                VECTORS[count - 1](digits, of.padded, of.strips(pair), offsets + pair * 2 * SIDE, ahead, sums);
                output.write(sums, of.units, count, row, pair * 2 * SIDE);
            }
    }
}

#if defined(__AMX_INT8__)
// Tiles 0 to 3 are sums, 4 and 5 first and second digits of rows, 6 and 7 weights.
void shape_tiles(int64_t rows) {
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) shapes.rows[tile] = tile < 6 ? uint8_t(rows) : SIDE, shapes.row_bytes[tile] = 64;
    _tile_loadconfig(&shapes);
}

// Up to 16 rows of both digits times two strips.
void multiply_tiles(const Factors& of, int64_t row, int64_t pair, int32_t (*sums)[256]) {
    const int8_t *left = of.strips(pair), *right = left + SIDE * of.padded;
    const int8_t *first = of.first + row * of.padded, *second = of.second + row * of.padded;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < of.padded / DEPTH; ++k) {
        _tile_loadd(4, first + k * DEPTH, of.padded);
        _tile_loadd(6, left + k * TILE, 64);
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(7, right + k * TILE, 64);
        _tile_dpbssd(1, 4, 7);
        _tile_loadd(5, second + k * DEPTH, of.padded);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
}

void linear_by_tiles(const Factors& of, const Output& output) {
#pragma omp parallel
    {
        alignas(64) int32_t sums[4][256];
        int64_t shaped = -1;
#pragma omp for schedule(static)
        for (int64_t pair = 0; pair < pairs_of(output.width); ++pair)
            for (int64_t row = 0; row < of.rows; row += SIDE) {
                const int64_t count = of.rows - row < SIDE ? of.rows - row : SIDE;
                if (shaped != count) shape_tiles(count), shaped = count;
                multiply_tiles(of, row, pair, sums);
                output.write(sums, of.units, count, row, pair * 2 * SIDE);
            }
        _tile_release();
    }
}
#endif

}  // namespace

extern "C" bool multiplies_int8() { return true; }

// Fills `packed`, and `offsets [outputs, rounded up to whole pairs of strips]`.
extern "C" void pack_int8(const int8_t* weight, int64_t outputs, int64_t inputs, int8_t* packed, int32_t* offsets) {
    const int64_t padded = padded_inputs(inputs), count = 2 * pairs_of(outputs);
    ask_for_large_pages(packed, count * SIDE * padded);
    std::memset(packed, 0, count * SIDE * padded);
    std::memset(offsets, 0, count * SIDE * 4);
#pragma omp parallel for
    for (int64_t output = 0; output < outputs; ++output)
        for (int64_t i = 0; i < inputs; ++i) {
            const int8_t value = weight[output * inputs + i];
            const int64_t tile = (output / SIDE * padded + i / DEPTH * DEPTH) * SIDE, within = i % DEPTH;
            packed[tile + within / 4 * DEPTH + output % SIDE * 4 + within % 4] = value;
            offsets[output] -= 128 * value;
        }
}

extern "C" void scaled_linear_int8(const uint16_t* x, int64_t rows, int64_t inputs, const int8_t* weight,
                                   const int32_t* offsets, const float* scales, const float* bias, int64_t outputs,
                                   uint16_t* out) {
    const int64_t padded = padded_inputs(inputs);
    const std::unique_ptr<int8_t[]> digits(new int8_t[2 * rows * padded]);
    const std::unique_ptr<float[]> units(new float[rows]);
    int8_t *first = digits.get(), *second = first + rows * padded;
#pragma omp parallel for if (rows * inputs > 8192)
    for (int64_t row = 0; row < rows; ++row)
        units[row] = split(x + row * inputs, inputs, padded, first + row * padded, second + row * padded);
    const Factors of{first, second, units.get(), rows, padded, weight};
    const Output output{out, outputs, scales, bias};
#if defined(__AMX_INT8__)
    if (may_use_tiles()) return linear_by_tiles(of, output);
#endif
    linear_by_vectors(of, offsets, output);
}
#else
extern "C" bool multiplies_int8() { return false; }
#endif
