// Paged attention of decodes, tested against reference.py. Sums are in float; what no token was written to is never read.

#include "numbers.h"

#include <algorithm>
#include <atomic>
#include <memory>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

constexpr int64_t SIDE = 16;       // numbers of a Vector, and tokens whose scores are computed together
constexpr int64_t MOST_HEADS = 4;  // query heads whose sums, with 64 columns, fit into registers

// Sums of the products of two rows, not added up yet.
inline Vector products(const float* a, const float* b, int64_t dim) {
    Vector sums = {};
    int64_t i = 0;
    for (; i + SIDE <= dim; i += SIDE) sums += vector_of(a + i) * vector_of(b + i);
    for (; i < dim; ++i) sums[0] += a[i] * b[i];
    return sums;
}

inline Vector products(const bfloat16* a, const bfloat16* b, int64_t dim) {
    Vector sums = {};
    int64_t i = 0;
#if defined(__AVX512BF16__)
    for (; i + 2 * SIDE <= dim; i += 2 * SIDE) {
        const __m512i left = _mm512_loadu_si512(a + i), right = _mm512_loadu_si512(b + i);
        sums = (Vector)_mm512_dpbf16_ps((__m512)sums, (__m512bh)left, (__m512bh)right);
    }
#endif
    for (; i + SIDE <= dim; i += SIDE) sums += vector_of(a + i) * vector_of(b + i);
    for (; i < dim; ++i) sums[0] += float(a[i]) * float(b[i]);
    return sums;
}

typedef int32_t Lanes __attribute__((vector_size(64)));
constexpr Lanes LANES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Lanes that lie `apart` are added: of `a` where that bit of the lane is 0, of `b` where it is 1.
template <int apart>
Vector fold(Vector a, Vector b) {
    const Lanes of_b = (LANES & apart) != 0;
    const Vector kept = of_b ? b : a, crossed = of_b ? a : b;
    return kept + __builtin_shuffle(crossed, LANES ^ apart);
}

// Each of 16 vectors added up, in a lane of its own.
Vector sums_of(const Vector (&of)[SIDE]) {
    Vector pairs[8], fours[4];
    for (int i = 0; i < 8; ++i) pairs[i] = fold<1>(of[2 * i], of[2 * i + 1]);
    for (int i = 0; i < 4; ++i) fours[i] = fold<2>(pairs[2 * i], pairs[2 * i + 1]);
    return fold<8>(fold<4>(fours[0], fours[1]), fold<4>(fours[2], fours[3]));
}

// `sums [HEADS, 16 x COLUMNS]` += `weights [HEADS, count]` x `values [count, 16 x COLUMNS]`, rows so far apart.
template <typename T, int HEADS, int COLUMNS>
void add_values(const float* weights, int64_t stride, const T* values, int64_t count, int64_t dim, float* sums) {
    Vector kept[HEADS][COLUMNS];
    for (int h = 0; h < HEADS; ++h)
        for (int c = 0; c < COLUMNS; ++c) kept[h][c] = vector_of(sums + h * dim + c * SIDE);
    for (int64_t slot = 0; slot < count; ++slot)
        for (int c = 0; c < COLUMNS; ++c) {
            const Vector value = vector_of(values + slot * dim + c * SIDE);
            for (int h = 0; h < HEADS; ++h) kept[h][c] += weights[h * stride + slot] * value;
        }
    for (int h = 0; h < HEADS; ++h)
        for (int c = 0; c < COLUMNS; ++c) *reinterpret_cast<Vector*>(sums + h * dim + c * SIDE) = kept[h][c];
}

// Tokens of one KV head that follow each other in memory.
template <typename T>
struct Slots {
    const T *keys, *values;
    int64_t count;
};

// What the query heads of one KV head of one sequence attend to.
template <typename T>
struct Context {
    const T* queries;
    T* out;
    const Cache* cache;
    const int32_t* table;
    int64_t head, first, length;

    // From this position on, as far as its block goes.
    Slots<T> block_at(int64_t position) const {
        const int64_t size = cache->block_size, block = position / size;
        const T* keys = static_cast<const T*>(cache->start) + table[block] * cache->block + head * cache->head +
                        position % size * cache->dim;
        return {keys, keys + cache->values, std::min(length, (block + 1) * size) - position};
    }
};

// The query heads that share a KV head, over one sequence: scores of a block at a time with a running softmax.
template <typename T>
class Heads {
    const int64_t group, dim, stride;
    const float scale, cap;
    const std::unique_ptr<float[]> memory;
    float *const sums, *const scores, *const most, *const shares;

  public:
    Heads(int64_t group, const Cache& cache, float scale, float cap)
        : group(group),
          dim(cache.dim),
          stride((cache.block_size + SIDE - 1) / SIDE * SIDE),
          scale(scale),
          cap(cap),
          memory(new float[group * (dim + stride + 2)]),
          sums(memory.get()),
          scores(sums + group * dim),
          most(scores + group * stride),
          shares(most + group) {}

    // What comes `next` is fetched from memory meanwhile, bit by bit: a burst of requests would hold up what is computed.
    void attend(const Context<T>& of, const Context<T>& next) {
        std::fill_n(sums, group * dim, 0.0f);
        std::fill_n(most, group, NONE);
        std::fill_n(shares, group, 0.0f);
        for (int64_t begin = of.first, end; begin < of.length; begin = end) {
            const Slots<T> slots = of.block_at(begin);
            end = begin + slots.count;
            const Slots<T> ahead = end < of.length ? of.block_at(end) : next.block_at(next.first);
            auto score_ = dim == 64 ? &Heads::score<64> : dim == 128 ? &Heads::score<128> : &Heads::score<0>;
            (this->*score_)(of.queries, slots, ahead);
            for (int64_t h = 0; h < group; ++h) {
                const int64_t from = ahead.count * h / group, to = ahead.count * (h + 1) / group;
                fetch(ahead.values + from * dim, to - from);
                soften(h, slots.count);
            }
            for (int64_t h = 0; h < group; h += MOST_HEADS) add(h, std::min(MOST_HEADS, group - h), slots);
        }
        for (int64_t h = 0; h < group; ++h)
            for (int64_t i = 0; i < dim; ++i) of.out[h * dim + i] = T(sums[h * dim + i] / shares[h]);
    }

  private:
    void fetch(const T* rows, int64_t count) const {
        const char *line = reinterpret_cast<const char*>(rows), *end = line + count * dim * int64_t(sizeof(T));
        for (; line < end; line += 64) __builtin_prefetch(line);
    }

    // D is the head dim if it is known when this is compiled, and 0 otherwise.
    template <int D>
    void score(const T* queries, const Slots<T>& slots, const Slots<T>& ahead) {
        const int64_t width = D ? D : dim, count = slots.count;
        for (int64_t slot = 0; slot < count; slot += SIDE) {
            fetch(ahead.keys + slot * width, std::min(SIDE, ahead.count - slot));
            for (int64_t h = 0; h < group; ++h) {
                Vector parts[SIDE];
                for (int64_t i = 0; i < SIDE; ++i)  // the last key again where there are no more
                    parts[i] = products(queries + h * width, slots.keys + std::min(slot + i, count - 1) * width, width);
                *reinterpret_cast<Vector*>(scores + h * stride + slot) = sums_of(parts) * scale;
            }
        }
    }

    // Scores of a head to the weights of its values.
    void soften(int64_t h, int64_t count) {
        float *row = scores + h * stride, high = most[h], total = 0;
        if (cap > 0)
            for (int64_t slot = 0; slot < count; ++slot) row[slot] = cap * tanh_(row[slot] / cap);
        for (int64_t slot = 0; slot < count; ++slot) high = row[slot] > high ? row[slot] : high;
        const float fade = exponential(most[h] - high);
        for (int64_t slot = 0; slot < count; ++slot) total += row[slot] = exponential(row[slot] - high);
        most[h] = high;
        shares[h] = shares[h] * fade + total;
        for (int64_t i = 0; i < dim; ++i) sums[h * dim + i] *= fade;
    }

    // Values of `heads` heads from `h` on.
    void add(int64_t h, int64_t heads, const Slots<T>& slots) {
        constexpr decltype(&add_values<T, 1, 1>) NARROW[] = {
            add_values<T, 1, 1>, add_values<T, 2, 1>, add_values<T, 3, 1>, add_values<T, 4, 1>};
        constexpr decltype(&add_values<T, 1, 4>) WIDE[] = {
            add_values<T, 1, 4>, add_values<T, 2, 4>, add_values<T, 3, 4>, add_values<T, 4, 4>};
        const T* values = slots.values;
        const int64_t count = slots.count;
        const float* weights = scores + h * stride;
        float* to = sums + h * dim;
        int64_t i = 0;
        for (; i + 4 * SIDE <= dim; i += 4 * SIDE) WIDE[heads - 1](weights, stride, values + i, count, dim, to + i);
        for (; i + SIDE <= dim; i += SIDE) NARROW[heads - 1](weights, stride, values + i, count, dim, to + i);
        for (; i < dim; ++i)
            for (int64_t of = 0; of < heads; ++of)
                for (int64_t slot = 0; slot < count; ++slot)
                    to[of * dim + i] += weights[of * stride + slot] * float(values[slot * dim + i]);
    }
};

template <typename T>
void decode_attention(const T* queries, const Cache& cache, const int32_t* tables, int64_t width,
                      const int64_t* lengths, int64_t rows, int64_t heads, int64_t window, float scale, float cap,
                      T* out) {
    const int64_t group = heads / cache.kv_heads, count = rows * cache.kv_heads;
    const auto context = [&](int64_t number) -> Context<T> {
        const int64_t row = number / cache.kv_heads, head = number % cache.kv_heads, length = lengths[row];
        const int64_t at = (row * heads + head * group) * cache.dim;
        const int64_t first = window > 0 && length > window ? length - window : 0;
        return {queries + at, out + at, &cache, tables + row * width, head, first, length};
    };
    std::atomic<int64_t> taken{0};
#pragma omp parallel
    {
        Heads<T> of(group, cache, scale, cap);
        for (int64_t number = taken++, next; number < count; number = next) {
            next = taken++;
            of.attend(context(number), context(next < count ? next : number));
        }
    }
}

}  // namespace

// What operations.py calls. The name of each ends with the type of its numbers.
#define DECODE_ATTENTION(NAME, T)                                                                                     \
    extern "C" void decode_attention_##NAME(const T* queries, const Cache* cache, const int32_t* tables, int64_t width, \
                                            const int64_t* lengths, int64_t rows, int64_t heads, int64_t window,      \
                                            float scale, float cap, T* out) {                                         \
        decode_attention(queries, *cache, tables, width, lengths, rows, heads, window, scale, cap, out);              \
    }

DECODE_ATTENTION(float, float)
DECODE_ATTENTION(bfloat16, bfloat16)
