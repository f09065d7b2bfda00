// Paged attention of prompt chunks, tested against reference.py. Arithmetic is in float; what no token was written to is
// never read.

#include "numbers.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace {

constexpr int64_t TILE = 64;  // context tokens at a time
constexpr int64_t ROWS = 8;   // whose sums with 32 columns fit into registers
constexpr int64_t MOST_ROWS = 96;  // queries of one KV head that share what is read of its context

// `c [8, 32]` += `a [8, depth]` x `b [depth, 32]`, rows so far apart.
template <int A, int B, int C>
void add_product(const float* a, const float* b, int64_t depth, float* c) {
    Vector left[ROWS], right[ROWS];
    for (int r = 0; r < ROWS; ++r) {
        left[r] = *reinterpret_cast<const Vector*>(c + r * C);
        right[r] = *reinterpret_cast<const Vector*>(c + r * C + 16);
    }
    for (int64_t k = 0; k < depth; ++k) {
        const Vector first = *reinterpret_cast<const Vector*>(b + k * B);
        const Vector second = *reinterpret_cast<const Vector*>(b + k * B + 16);
        for (int r = 0; r < ROWS; ++r) {
            left[r] += a[r * A + k] * first;
            right[r] += a[r * A + k] * second;
        }
    }
    for (int r = 0; r < ROWS; ++r) {
        *reinterpret_cast<Vector*>(c + r * C) = left[r];
        *reinterpret_cast<Vector*>(c + r * C + 16) = right[r];
    }
}

// So many tokens of a prompt's chunk, at these positions, and the rows of the batch that they are.
struct Queries {
    int64_t row, position, count;
    const int32_t* table;
};

struct Limits {
    int64_t group, window;  // heads computed together, of one KV head; how many of the last positions a token sees, or 0 for all
    float scale, cap;

    int64_t first_seen(int64_t position) const { return window > 0 && position >= window ? position - window + 1 : 0; }
};

// The memory of one thread. D is the head dim, rounded up.
template <typename T, int D>
struct Attention {
    float queries[MOST_ROWS * D], sums[MOST_ROWS * D], keys[D * TILE], values[TILE * D], scores[MOST_ROWS * TILE];
    float most[MOST_ROWS], shares[MOST_ROWS];

    // A group of heads over its context, a tile at a time with a running softmax.
    void attend(const Queries& of, const Limits& limits, const T* from, int64_t stride, const Cache& cache, int64_t head,
                T* out) {
        const int64_t rows = of.count * limits.group, padded = (rows + ROWS - 1) / ROWS * ROWS;
        load(of, limits, from, stride, cache.dim, padded);
        const int64_t end = of.position + of.count;
        for (int64_t begin = limits.first_seen(of.position); begin < end; begin += TILE) {
            read(cache, head, of.table, begin, std::min(begin + TILE, end));
            std::fill_n(scores, padded * TILE, 0.0f);
            for (int64_t row = 0; row < padded; row += ROWS)
                for (int64_t slot = 0; slot < TILE; slot += 32)
                    add_product<D, TILE, TILE>(queries + row * D, keys + slot, cache.dim, scores + row * TILE + slot);
            for (int64_t row = 0; row < rows; ++row) soften(row, of.position + row / limits.group, begin, limits);
            for (int64_t row = 0; row < padded; row += ROWS)
                for (int64_t i = 0; i < cache.dim; i += 32)
                    add_product<TILE, D, D>(scores + row * TILE, values + i, TILE, sums + row * D + i);
        }
        for (int64_t row = 0; row < rows; ++row)
            for (int64_t i = 0; i < cache.dim; ++i)
                out[row / limits.group * stride + row % limits.group * cache.dim + i] = T(sums[row * D + i] / shares[row]);
    }

    void load(const Queries& of, const Limits& limits, const T* from, int64_t stride, int64_t dim, int64_t padded) {
        std::fill_n(queries, padded * D, 0.0f);
        std::fill_n(sums, padded * D, 0.0f);
        for (int64_t row = 0; row < of.count * limits.group; ++row) {
            const T* query = from + row / limits.group * stride + row % limits.group * dim;
            for (int64_t i = 0; i < dim; ++i) queries[row * D + i] = float(query[i]) * limits.scale;
            most[row] = NONE, shares[row] = 0;
        }
    }

    // Keys of a tile of context, a column each, and values, a row each; zeros where it ends early.
    void read(const Cache& cache, int64_t head, const int32_t* table, int64_t begin, int64_t end) {
        if (end - begin < TILE) std::fill_n(keys, D * TILE, 0.0f), std::fill_n(values, TILE * D, 0.0f);
        for (int64_t at = begin; at < end; ++at) {
            const T* key = static_cast<const T*>(cache.start) + table[at / cache.block_size] * cache.block +
                           head * cache.head + at % cache.block_size * cache.dim;
            const T* value = key + cache.values;
            for (int64_t i = 0; i < cache.dim; ++i) keys[i * TILE + at - begin] = float(key[i]);
            for (int64_t i = 0; i < cache.dim; ++i) values[(at - begin) * D + i] = float(value[i]);
        }
    }

    // Scores of a row to the weights of its values; those of positions that it does not see to 0.
    void soften(int64_t row, int64_t position, int64_t begin, const Limits& limits) {
        float* score = scores + row * TILE;
        const int64_t from = limits.first_seen(position) - begin, to = position + 1 - begin;
        if (limits.cap > 0)
            for (int64_t slot = 0; slot < TILE; ++slot) score[slot] = limits.cap * tanh_(score[slot] / limits.cap);
        float high = most[row], total = 0;
        for (int64_t slot = 0; slot < TILE; ++slot) {
            score[slot] = slot >= from && slot < to ? score[slot] : NONE;
            high = score[slot] > high ? score[slot] : high;
        }
        if (high == NONE) return void(std::fill_n(score, TILE, 0.0f));  // it sees nothing yet
        const float fade = exponential(most[row] - high);
        for (int64_t slot = 0; slot < TILE; ++slot) {
            const float weight = exponential(score[slot] - high);
            total += score[slot] = score[slot] == NONE ? 0.0f : weight;
        }
        most[row] = high;
        shares[row] = shares[row] * fade + total;
        for (int64_t i = 0; i < D; ++i) sums[row * D + i] *= fade;
    }
};

// `chunks [count, 3]`: first row, first position, tokens.
template <typename T, int D>
void attend_chunks(const T* queries, const Cache& cache, const int32_t* tables, int64_t width, const int64_t* chunks,
                   int64_t count, int64_t heads, const Limits& limits, T* out) {
    const int64_t tokens = MOST_ROWS / limits.group, stride = heads * cache.dim, shared = heads / cache.kv_heads;
    std::vector<Queries> parts;
    for (int64_t chunk = 0; chunk < count; ++chunk) {
        const int64_t *of = chunks + 3 * chunk, rest = of[2];
        for (int64_t done = 0; done < rest; done += tokens)
            parts.push_back({of[0] + done, of[1] + done, std::min(tokens, rest - done), tables + chunk * width});
    }
#pragma omp parallel
    {
        const std::unique_ptr<Attention<T, D>> memory(new Attention<T, D>);
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
    while (shared % parts || shared / parts > MOST_ROWS) ++parts;
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
