// Products of bfloat16 rows with weights in bfloat16 or int8 on CPUs with AVX-512 for bfloat16, by tiles where they have
// AMX, at the speed of their memory when rows are few. Sums are in float; what a row gives depends on no other.
//
// A weight [outputs, inputs] is kept as strips of 16 outputs. In bfloat16 a strip is [pairs of inputs][16 outputs][2], as
// vectors and tiles read it; in int8 it is [fours of inputs][16 outputs][4], and widened just before it is multiplied.

#include <algorithm>
#include <cstdint>
#include <memory>

#include <omp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace {

constexpr int64_t SIDE = 16;    // outputs of a strip; two strips are multiplied together
constexpr int64_t DEPTH = 32;   // inputs of a tile
constexpr int64_t PAIR = 2 * SIDE;
constexpr int64_t VECTOR_BYTES = 64;
constexpr float WIDENED = 1 << 24;  // how much larger int8 weights are when they are multiplied

int64_t pairs_of(int64_t outputs) { return (outputs + PAIR - 1) / PAIR; }

// Large pages, where the system grants them: small ones cost up to half of the speed.
void ask_for_large_pages(void* packed, int64_t bytes) {
    const uintptr_t page = 4096, first = uintptr_t(packed), start = (first + page - 1) & ~(page - 1);
    if (first + bytes > start) madvise(reinterpret_cast<void*>(start), first + bytes - start, MADV_HUGEPAGE);
}

struct Rows {
    const uint16_t* x;
    int64_t count, inputs;
};

struct Output {
    uint16_t* start;
    int64_t width;
    const float *scales, *bias;  // of each output; scales if the weight is int8, bias or null

    // Of so many rows from `row` on, the sums of the strip that begins with this column.
    void write(const float* sums, int64_t rows, int64_t row, int64_t column) const {
        const int64_t left = width - column;
        if (left <= 0) return;
        const __mmask16 here = left < SIDE ? __mmask16((1 << left) - 1) : __mmask16(0xffff);
        __m512 scale = _mm512_set1_ps(1.0f);
        if (scales) scale = _mm512_mul_ps(_mm512_maskz_loadu_ps(here, scales + column), _mm512_set1_ps(1.0f / WIDENED));
        const __m512 shift = bias ? _mm512_maskz_loadu_ps(here, bias + column) : _mm512_setzero_ps();
        for (int64_t r = 0; r < rows; ++r) {
            const __m512 value = _mm512_fmadd_ps(_mm512_load_ps(sums + r * SIDE), scale, shift);
            _mm256_mask_storeu_epi16(start + (row + r) * width + column, here, (__m256i)_mm512_cvtneps_pbh(value));
        }
    }
};

// Lines of memory to fetch for each step through the inputs of two strips, from two places on.
struct Ahead {
    const void *one, *other;

    template <int LINES>
    void fetch(int64_t step) const {
        for (int64_t line = LINES * step; line < LINES * (step + 1); ++line) {
            __builtin_prefetch(static_cast<const char*>(one) + line * VECTOR_BYTES, 0, 2);
            __builtin_prefetch(static_cast<const char*>(other) + line * VECTOR_BYTES, 0, 2);
        }
    }
};

// Two strips; `read` gives four inputs of each, as two pairs in bfloat16.
struct Bfloat16 {
    static constexpr int LINES = 2;
    const uint16_t *left, *right;

    Bfloat16(const uint16_t* packed, int64_t inputs, int64_t pair)
        : left(packed + pair * PAIR * inputs), right(left + SIDE * inputs) {}

    void read(int64_t step, __m512bh (&lefts)[2], __m512bh (&rights)[2]) const {
        for (int i = 0; i < 2; ++i) {
            lefts[i] = (__m512bh)_mm512_loadu_si512(left + (2 * step + i) * PAIR);
            rights[i] = (__m512bh)_mm512_loadu_si512(right + (2 * step + i) * PAIR);
        }
    }
};

// Four numbers of int8 for each output to two pairs in bfloat16, WIDENED times as large, which is exact.
inline void widen(__m512i fours, __m512bh (&pairs)[2]) {
    const auto top = [&](int byte) {  // of the four, as the highest byte of a word
        const __m512i moved = _mm512_slli_epi32(fours, 24 - 8 * byte);
        return _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_and_si512(moved, _mm512_set1_epi32(int32_t(0xff000000)))));
    };
    for (int i = 0; i < 2; ++i) {
        const __m512i first = _mm512_srli_epi32(top(2 * i), 16), second = top(2 * i + 1);
        pairs[i] = (__m512bh)_mm512_mask_blend_epi16(0xaaaaaaaa, first, second);
    }
}

struct Int8 {
    static constexpr int LINES = 1;
    const int8_t *left, *right;

    Int8(const int8_t* packed, int64_t inputs, int64_t pair)
        : left(packed + pair * PAIR * inputs), right(left + SIDE * inputs) {}

    void read(int64_t step, __m512bh (&lefts)[2], __m512bh (&rights)[2]) const {
        widen(_mm512_loadu_si512(left + step * VECTOR_BYTES), lefts);
        widen(_mm512_loadu_si512(right + step * VECTOR_BYTES), rights);
    }
};

// So many rows of x, read as pairs of inputs, times two strips, with all sums in registers.
template <int ROWS, typename Strips>
void multiply_vectors(const uint32_t* x, int64_t pairs, const Strips& strips, const Ahead& ahead, float (*sums)[256]) {
    __m512 lefts[ROWS], rights[ROWS];
    for (int r = 0; r < ROWS; ++r) lefts[r] = rights[r] = _mm512_setzero_ps();
    for (int64_t step = 0; step < pairs / 2; ++step) {
        ahead.fetch<Strips::LINES>(step);
        __m512bh left[2], right[2];
        strips.read(step, left, right);
        for (int i = 0; i < 2; ++i)
            for (int r = 0; r < ROWS; ++r) {
                const __m512bh pair = (__m512bh)_mm512_set1_epi32(int32_t(x[r * pairs + 2 * step + i]));
                lefts[r] = _mm512_dpbf16_ps(lefts[r], left[i], pair);
                rights[r] = _mm512_dpbf16_ps(rights[r], right[i], pair);
            }
    }
    for (int r = 0; r < ROWS; ++r) {
        _mm512_store_ps(sums[0] + r * SIDE, lefts[r]);
        _mm512_store_ps(sums[1] + r * SIDE, rights[r]);
    }
}

constexpr int64_t MOST_ROWS = 12;
template <typename Strips>
constexpr decltype(&multiply_vectors<1, Strips>) VECTORS[MOST_ROWS] = {
    multiply_vectors<1, Strips>, multiply_vectors<2, Strips>,  multiply_vectors<3, Strips>,  multiply_vectors<4, Strips>,
    multiply_vectors<5, Strips>, multiply_vectors<6, Strips>,  multiply_vectors<7, Strips>,  multiply_vectors<8, Strips>,
    multiply_vectors<9, Strips>, multiply_vectors<10, Strips>, multiply_vectors<11, Strips>, multiply_vectors<12, Strips>,
};

// Strips that follow each other and are multiplied by one thread, which fetches none that another will.
struct Share {
    int64_t first, end;
};

// In as few passes over two strips as registers allow, of about as many rows each. The next two strips are fetched
// evenly, so that memory is never idle: one in the first pass and one in the second, if there are two.
template <typename Strips, typename T>
void by_vectors(const Rows& of, const T* packed, const Share& share, const Output& output) {
    alignas(64) float sums[2][256];
    const int64_t passes = std::max<int64_t>((of.count + MOST_ROWS - 1) / MOST_ROWS, 1);
    const int64_t most = (of.count + passes - 1) / passes;
    for (int64_t pair = share.first; pair < share.end; ++pair) {
        const Strips strips(packed, of.inputs, pair), next(packed, of.inputs, pair + 1 < share.end ? pair + 1 : pair);
        for (int64_t row = 0; row < of.count; row += most) {
            const int64_t count = std::min(of.count - row, most);
            const bool first = row == 0, second = row == (passes > 1 ? most : 0);
            const Ahead ahead{first ? next.left : strips.left, second ? next.right : strips.right};
            const auto* x = reinterpret_cast<const uint32_t*>(of.x + row * of.inputs);
            VECTORS<Strips>[count - 1](x, of.inputs / 2, strips, ahead, sums);
            output.write(sums[0], count, row, pair * PAIR);
            output.write(sums[1], count, row, pair * PAIR + SIDE);
        }
    }
}

#if defined(__AMX_BF16__)
struct alignas(64) TileShapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// Whether this process may use the tile multiplier; asks the system for it.
bool may_use_tiles() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    static const bool granted = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return granted;
}

// Tiles 0 to 3 are sums, 4 and 5 rows of x, 6 and 7 weights.
void shape_tiles(int64_t above, int64_t below) {
    const uint8_t first = uint8_t(above), second = uint8_t(below ? below : 1);
    const uint8_t rows[8] = {first, first, second, second, first, second, SIDE, SIDE};
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) shapes.rows[tile] = rows[tile], shapes.row_bytes[tile] = 64;
    _tile_loadconfig(&shapes);
}

// 16 rows of x, or 32 with those below, times two strips.
void multiply_tiles(const uint16_t* x, bool below, int64_t inputs, const Bfloat16& of, float (*sums)[256]) {
    const int64_t row_bytes = inputs * 2;
    const uint16_t* lower = x + (below ? SIDE * inputs : 0);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < inputs; k += DEPTH) {
        _tile_loadd(4, x + k, row_bytes);
        _tile_loadd(6, of.left + k * SIDE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, of.right + k * SIDE, 64);
        _tile_dpbf16ps(1, 4, 7);
        if (below) {
            _tile_loadd(5, lower + k, row_bytes);
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

// The two strips as tiles read them; int8 is widened into `memory`.
Bfloat16 tiled(const Bfloat16& strips, int64_t, uint16_t*) { return strips; }

Bfloat16 tiled(const Int8& strips, int64_t inputs, uint16_t* memory) {
    const Bfloat16 wide(memory, inputs, 0);
    for (int64_t step = 0; step < inputs / 4; ++step) {
        __m512bh left[2], right[2];
        strips.read(step, left, right);
        for (int i = 0; i < 2; ++i) {
            _mm512_storeu_si512(memory + (2 * step + i) * PAIR, (__m512i)left[i]);
            _mm512_storeu_si512(memory + SIDE * inputs + (2 * step + i) * PAIR, (__m512i)right[i]);
        }
    }
    return wide;
}

template <typename Strips, typename T>
void by_tiles(const Rows& of, const T* packed, const Share& share, const Output& output) {
    const std::unique_ptr<uint16_t[]> memory(new uint16_t[PAIR * of.inputs]);
    alignas(64) float sums[4][256];
    int64_t shaped = -1;
    for (int64_t pair = share.first; pair < share.end; ++pair) {
        const Bfloat16 strips = tiled(Strips(packed, of.inputs, pair), of.inputs, memory.get());
        const int64_t column = pair * PAIR;
        for (int64_t row = 0; row < of.count; row += 2 * SIDE) {
            const int64_t left = of.count - row, above = std::min(left, SIDE), below = std::min(left - above, SIDE);
            if (shaped != above + below) shape_tiles(above, below), shaped = above + below;
            multiply_tiles(of.x + row * of.inputs, below > 0, of.inputs, strips, sums);
            output.write(sums[0], above, row, column);
            output.write(sums[1], above, row, column + SIDE);
            output.write(sums[2], below, row + SIDE, column);
            output.write(sums[3], below, row + SIDE, column + SIDE);
        }
    }
    _tile_release();
}
#endif

template <typename Strips, typename T>
void linear(const Rows& rows, const T* packed, const Output& output) {
#pragma omp parallel
    {
        const int64_t pairs = pairs_of(output.width), threads = omp_get_num_threads(), thread = omp_get_thread_num();
        const Share share{pairs * thread / threads, pairs * (thread + 1) / threads};
#if defined(__AMX_BF16__)
        may_use_tiles() ? by_tiles<Strips>(rows, packed, share, output) : by_vectors<Strips>(rows, packed, share, output);
#else
        by_vectors<Strips>(rows, packed, share, output);
#endif
    }
}

// Strips of `together` inputs side by side, the last filled up with zeros.
template <typename T>
void pack(const T* weight, int64_t outputs, int64_t inputs, int64_t together, T* packed) {
    const int64_t strips = 2 * pairs_of(outputs);
    ask_for_large_pages(packed, strips * SIDE * inputs * int64_t(sizeof(T)));
#pragma omp parallel for
    for (int64_t strip = 0; strip < strips; ++strip)
        for (int64_t i = 0; i < inputs; ++i)
            for (int64_t j = 0; j < SIDE; ++j) {
                const int64_t output = strip * SIDE + j, group = strip * SIDE * inputs + i / together * together * SIDE;
                packed[group + j * together + i % together] = output < outputs ? weight[output * inputs + i] : T(0);
            }
}

}  // namespace

extern "C" bool multiplies_bfloat16() { return true; }

extern "C" void pack_bfloat16(const uint16_t* weight, int64_t outputs, int64_t inputs, uint16_t* packed) {
    pack(weight, outputs, inputs, 2, packed);
}

extern "C" void pack_int8(const int8_t* weight, int64_t outputs, int64_t inputs, int8_t* packed) {
    pack(weight, outputs, inputs, 4, packed);
}

extern "C" void linear_bfloat16(const uint16_t* x, int64_t rows, int64_t inputs, const uint16_t* packed,
                                const float* bias, int64_t outputs, uint16_t* out) {
    linear<Bfloat16>({x, rows, inputs}, packed, {out, outputs, nullptr, bias});
}

extern "C" void linear_int8(const uint16_t* x, int64_t rows, int64_t inputs, const int8_t* packed, const float* scales,
                            const float* bias, int64_t outputs, uint16_t* out) {
    linear<Int8>({x, rows, inputs}, packed, {out, outputs, scales, bias});
}
#else
extern "C" bool multiplies_bfloat16() { return false; }
#endif
