// Paged attention of prompt chunks, tested against reference.py. Sums are in float; what no token was written to is
// never read.
//
// Queries lie side by side in vectors, each in a column: scores are keys times queries, and sums are values, turned on
// their side, times weights. So a softmax needs no sum across a vector, and keys are multiplied as they lie in memory.

#include "numbers.h"

#include <algorithm>
#include <memory>
#include <vector>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

constexpr int64_t TILE = 64;       // context tokens at a time
constexpr int64_t COLUMNS = 32;    // queries at a time, two vectors
constexpr int64_t ROWS = 8;        // whose sums with all columns fit into registers
constexpr int64_t MOST_STRIPS = 3; // of so many columns, which share what is read of their context
constexpr int64_t MOST_QUERIES = MOST_STRIPS * COLUMNS;

// What is multiplied at once: a float of each side.
template <typename T>
struct Words {
    typedef float Word;
    static constexpr int64_t LENGTH = 1;

    static Vector add(Vector sum, Word a, const Word* b) { return sum + a * vector_of(b); }
    static void copy(const T* from, int64_t count, Word* to) {
        for (int64_t i = 0; i < count; ++i) to[i] = float(from[i]);
    }
    static void pair(const T* const* rows, int64_t count, Word* to) { copy(*rows, count, to); }
    static void round(const float* rows, Word* to) { std::copy_n(rows, COLUMNS, to); }
};

#if defined(__AVX512BF16__)
// Or two bfloat16 of each, whose products are added up.
template <>
struct Words<bfloat16> {
    typedef uint32_t Word;
    static constexpr int64_t LENGTH = 2;

    static Vector add(Vector sum, Word a, const Word* b) {
        const __m512i left = _mm512_set1_epi32(int(a)), right = _mm512_loadu_si512(b);
        return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
    }
    static void copy(const bfloat16* from, int64_t count, Word* to) { std::memcpy(to, from, count * sizeof *from); }
    static void pair(const bfloat16* const* rows, int64_t count, Word* to) {
        for (int64_t i = 0; i < count; ++i) to[i] = Word(rows[0][i].bits) | Word(rows[1][i].bits) << 16;
    }
    static void round(const float* rows, Word* to) {
        for (int64_t i = 0; i < COLUMNS; i += 16) {
            const __m512i first = bits_of(rows + i), second = bits_of(rows + COLUMNS + i);
            _mm512_storeu_si512(to + i, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
        }
    }
    static __m512i bits_of(const float* of) {
        return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)vector_of(of)));
    }
};
#endif

inline void store(Vector of, float* to) { *reinterpret_cast<Vector*>(to) = of; }

// `c [8, COLUMNS]` = or += `a [8, depth]` x `b [depth, COLUMNS]`; `a`'s rows and words are so far apart.
template <typename W, bool ADDS, int ROW, int WORD>
void product(const typename W::Word* a, const typename W::Word* b, int64_t depth, float* c) {
    Vector left[ROWS] = {}, right[ROWS] = {};
    if (ADDS)
        for (int r = 0; r < ROWS; ++r) left[r] = vector_of(c + r * COLUMNS), right[r] = vector_of(c + r * COLUMNS + 16);
    for (int64_t k = 0; k < depth; ++k)
        for (int r = 0; r < ROWS; ++r) {
            left[r] = W::add(left[r], a[r * ROW + k * WORD], b + k * COLUMNS);
            right[r] = W::add(right[r], a[r * ROW + k * WORD], b + k * COLUMNS + 16);
        }
    for (int r = 0; r < ROWS; ++r) store(left[r], c + r * COLUMNS), store(right[r], c + r * COLUMNS + 16);
}

// So many tokens of a prompt's chunk, at these positions, and the rows of the batch that they are.
struct Queries {
    int64_t row, position, count;
    const int32_t* table;
};

struct Limits {
    int64_t group;   // heads computed together, of one KV head
    int64_t window;  // how many of the last positions a token sees, or 0 for all
    float scale, cap;

    int64_t first_seen(int64_t position) const { return window > 0 && position >= window ? position - window + 1 : 0; }
};

// The memory of one thread. D is the head dim, rounded up; what lies beyond the head dim stays 0.
template <typename T, int D>
class Attention {
    typedef Words<T> W;
    typedef typename W::Word Word;
    static constexpr int64_t DEPTH = D / W::LENGTH;

    // Queries of one head group and their positions, which never descend.
    struct Strip {
        Word queries[DEPTH * COLUMNS];
        float sums[D * COLUMNS], most[COLUMNS], shares[COLUMNS];
        int32_t positions[COLUMNS];
    };

    Strip strips[MOST_STRIPS];
    Word keys[TILE * DEPTH], values[TILE * D / W::LENGTH], weights[TILE * COLUMNS / W::LENGTH];
    float scores[TILE * COLUMNS];

  public:
    // A group of heads over its context, a tile at a time with a running softmax.
    void attend(const Queries& of, const Limits& limits, const T* from, int64_t stride, const Cache& cache,
                int64_t head, T* out) {
        const int64_t count = of.count * limits.group, end = of.position + of.count;
        for (int64_t column = 0; column < count; column += COLUMNS) load(column, of, limits, from, stride, cache.dim);
        for (int64_t begin = limits.first_seen(of.position); begin < end; begin += TILE) {
            read(cache, head, of.table, begin, std::min(begin + TILE, end));
            for (int64_t column = 0; column < count; column += COLUMNS)
                add(strips[column / COLUMNS], begin, limits, cache.dim);
        }
        for (int64_t column = 0; column < count; ++column)
            save(column, out + column / limits.group * stride + column % limits.group * cache.dim, cache.dim);
    }

  private:
    // A strip from this query on; its last columns repeat the last query where there are no more.
    void load(int64_t first, const Queries& of, const Limits& limits, const T* from, int64_t stride, int64_t dim) {
        Strip& strip = strips[first / COLUMNS];
        Word words[DEPTH] = {};
        for (int64_t column = 0; column < COLUMNS; ++column) {
            const int64_t query = std::min(first + column, of.count * limits.group - 1), token = query / limits.group;
            W::copy(from + token * stride + query % limits.group * dim, dim, words);
            for (int64_t k = 0; k < DEPTH; ++k) strip.queries[k * COLUMNS + column] = words[k];
            strip.positions[column] = int32_t(of.position + token);
        }
        std::fill_n(strip.sums, D * COLUMNS, 0.0f);
        std::fill_n(strip.most, COLUMNS, NONE);
        std::fill_n(strip.shares, COLUMNS, 0.0f);
    }

    // Keys and values of a tile of context; values of 0 where it ends early.
    void read(const Cache& cache, int64_t head, const int32_t* table, int64_t begin, int64_t end) {
        static const T nothing[D] = {};
        const T* rows[TILE];
        for (int64_t at = begin; at < end; ++at) {
            const T* key = static_cast<const T*>(cache.start) + table[at / cache.block_size] * cache.block +
                           head * cache.head + at % cache.block_size * cache.dim;
            W::copy(key, cache.dim, keys + (at - begin) * DEPTH);
            rows[at - begin] = key + cache.values;
        }
        std::fill(rows + (end - begin), rows + TILE, nothing);
        for (int64_t slot = 0; slot < TILE; slot += W::LENGTH)
            W::pair(rows + slot, cache.dim, values + slot / W::LENGTH * D);
    }

    // What a strip sees of the tile.
    void add(Strip& strip, int64_t begin, const Limits& limits, int64_t dim) {
        if (begin > strip.positions[COLUMNS - 1]) return;
        const int64_t depth = (dim + W::LENGTH - 1) / W::LENGTH;
        for (int64_t slot = 0; slot < TILE; slot += ROWS)
            product<W, false, DEPTH, 1>(keys + slot * DEPTH, strip.queries, depth, scores + slot * COLUMNS);
        soften(strip, begin, limits);
        for (int64_t slot = 0; slot < TILE; slot += W::LENGTH)
            W::round(scores + slot * COLUMNS, weights + slot / W::LENGTH * COLUMNS);
        for (int64_t i = 0; i < dim; i += ROWS)
            product<W, true, 1, D>(values + i, weights, TILE / W::LENGTH, strip.sums + i * COLUMNS);
    }

    // Scores to the weights of values; those of positions that a query does not see to 0.
    void soften(Strip& strip, int64_t begin, const Limits& limits) {
        for (float& score : scores) score *= limits.scale;
        if (limits.cap > 0)
            for (float& score : scores) score = limits.cap * tanh_(score / limits.cap);
        if (begin + TILE > strip.positions[0] + 1 || begin < limits.first_seen(strip.positions[COLUMNS - 1]))
            hide(strip, begin, limits);
        float high[COLUMNS], fade[COLUMNS];
        for (int64_t i = 0; i < COLUMNS; i += 16) {
            Vector most = vector_of(strip.most + i);
            for (int64_t slot = 0; slot < TILE; ++slot) {
                const Vector score = vector_of(scores + slot * COLUMNS + i);
                most = score > most ? score : most;
            }
            store(most, high + i);
        }
        for (int64_t i = 0; i < COLUMNS; ++i) {
            const float base = high[i] == NONE ? 0.0f : high[i];  // a query that sees nothing yet
            fade[i] = exponential(strip.most[i] - base);
            strip.most[i] = high[i];
            high[i] = base;
            strip.shares[i] *= fade[i];
        }
        for (int64_t slot = 0; slot < TILE; ++slot)
            for (int64_t i = 0; i < COLUMNS; ++i) {
                float& score = scores[slot * COLUMNS + i];
                score = score == NONE ? 0.0f : exponential(score - high[i]);
            }
        for (int64_t i = 0; i < COLUMNS; i += 16) {
            Vector total = vector_of(strip.shares + i);
            for (int64_t slot = 0; slot < TILE; ++slot) total += vector_of(scores + slot * COLUMNS + i);
            store(total, strip.shares + i);
        }
        for (int64_t row = 0; row < D; ++row)
            for (int64_t i = 0; i < COLUMNS; ++i) strip.sums[row * COLUMNS + i] *= fade[i];
    }

    void hide(const Strip& strip, int64_t begin, const Limits& limits) {
        for (int64_t slot = 0; slot < TILE; ++slot)
            for (int64_t i = 0; i < COLUMNS; ++i) {
                const int32_t ahead = strip.positions[i] - int32_t(begin + slot);
                const bool seen = ahead >= 0 && (limits.window == 0 || ahead < limits.window);
                scores[slot * COLUMNS + i] = seen ? scores[slot * COLUMNS + i] : NONE;
            }
    }

    void save(int64_t column, T* out, int64_t dim) const {
        const Strip& strip = strips[column / COLUMNS];
        column %= COLUMNS;
        const float share = 1.0f / strip.shares[column];
        float row[D];  // first taken out and then rounded, in vectors
        for (int64_t i = 0; i < D; ++i) row[i] = strip.sums[i * COLUMNS + column];
        for (int64_t i = 0; i < dim; ++i) out[i] = T(row[i] * share);
    }
};

// `chunks [count, 3]`: first row, first position, tokens.
template <typename T, int D>
void attend_chunks(const T* queries, const Cache& cache, const int32_t* tables, int64_t width, const int64_t* chunks,
                   int64_t count, int64_t heads, const Limits& limits, T* out) {
    const int64_t tokens = MOST_QUERIES / limits.group, stride = heads * cache.dim, shared = heads / cache.kv_heads;
    std::vector<Queries> parts;
    for (int64_t chunk = 0; chunk < count; ++chunk) {
        const int64_t *of = chunks + 3 * chunk, rest = of[2];
        for (int64_t done = 0; done < rest; done += tokens)
            parts.push_back({of[0] + done, of[1] + done, std::min(tokens, rest - done), tables + chunk * width});
    }
#pragma omp parallel
    {
        const std::unique_ptr<Attention<T, D>> memory(new Attention<T, D>());
#pragma omp for collapse(2) schedule(dynamic)
        for (size_t part = 0; part < parts.size(); ++part)
            for (int64_t head = 0; head < heads; head += limits.group) {
                const int64_t at = parts[part].row * stride + head * cache.dim;
                memory->attend(parts[part], limits, queries + at, stride, cache, head / shared, out + at);
            }
    }
}

// Heads that are computed together: all that share a KV head, or as large a part of them as there is room for.
int64_t together(int64_t shared) {
    int64_t parts = 1;
    while (shared % parts || shared / parts > MOST_QUERIES) ++parts;
    return shared / parts;
}

template <typename T>
void prefill_attention(const T* queries, const Cache& cache, const int32_t* tables, int64_t width,
                       const int64_t* chunks, int64_t count, int64_t heads, int64_t window, float scale, float cap,
                       T* out) {
    const Limits limits{together(heads / cache.kv_heads), window, scale, cap};
    auto attend_ = cache.dim <= 64    ? attend_chunks<T, 64>
                   : cache.dim <= 128 ? attend_chunks<T, 128>
                   : cache.dim <= 256 ? attend_chunks<T, 256>
                                      : attend_chunks<T, 512>;
    attend_(queries, cache, tables, width, chunks, count, heads, limits, out);
}

}  // namespace

// What operations.py calls. The name of each ends with the type of its numbers.
#define PREFILL_ATTENTION(NAME, T)                                                                                    \
    extern "C" void prefill_attention_##NAME(const T* queries, const Cache* cache, const int32_t* tables,             \
                                             int64_t width, const int64_t* chunks, int64_t count, int64_t heads,      \
                                             int64_t window, float scale, float cap, T* out) {                        \
        prefill_attention(queries, *cache, tables, width, chunks, count, heads, window, scale, cap, out);             \
    }

PREFILL_ATTENTION(float, float)
PREFILL_ATTENTION(bfloat16, bfloat16)
