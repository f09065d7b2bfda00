// The decoder's operations besides matrix products and attention, for one CPU: built by build.py when an engine first starts there.
//
// Shapes and meaning are those of reference.py, which these are tested against. Numbers are float or bfloat16; all
// arithmetic is in float. Strides count numbers, not bytes. Rows are independent, so results depend on no batch.

#include "numbers.h"

#include <cmath>

namespace {

template <typename T, typename W>
void normalize(const T* from, const W* weight, float eps, int64_t size, T* to) {
    float squares = 0;
    for (int64_t i = 0; i < size; ++i) squares += float(from[i]) * float(from[i]);
    float inverse = 1.0f / std::sqrt(squares / float(size) + eps);
    for (int64_t i = 0; i < size; ++i) to[i] = T(float(from[i]) * inverse * float(weight[i]));
}

template <typename T, typename W>
void add_rms_norm(const T* x, T* residual, const W* weight, float eps, int64_t rows, int64_t size, T* out) {
#pragma omp parallel for if (rows * size > 65536)
    for (int64_t row = 0; row < rows; ++row) {
        T* sum = residual + row * size;
        if (x)
            for (int64_t i = 0; i < size; ++i) sum[i] = T(float(sum[i]) + float(x[row * size + i]));
        normalize(sum, weight, eps, size, out + row * size);
    }
}

template <typename T>
void rotate(const T* from, const T* cos, const T* sin, int64_t half, int64_t dim, T* to) {
    for (int64_t i = 0; i < half; ++i) {
        float first = from[i], second = from[half + i];
        to[i] = T(first * float(cos[i]) - second * float(sin[i]));
        to[half + i] = T(second * float(cos[i]) + first * float(sin[i]));
    }
    for (int64_t i = 2 * half; i < dim; ++i) to[i] = from[i];
}

template <typename T, typename W>
void rope_and_write_kv(T* qkv, const T* cos, const T* sin, int64_t half, const Cache& cache, const int64_t* slots,
                       const W* query_weight, const W* key_weight, float eps, int64_t tokens, int64_t heads,
                       T* queries) {
    const int64_t dim = cache.dim, both = heads + cache.kv_heads, packed = both + cache.kv_heads;
#pragma omp parallel for if (tokens * packed * dim > 65536)
    for (int64_t token = 0; token < tokens; ++token) {
        T* row = qkv + token * packed * dim;
        T* keys = static_cast<T*>(cache.start) + slots[token] / cache.block_size * cache.block +
                  slots[token] % cache.block_size * dim;
        for (int64_t head = 0; head < both; ++head) {
            T* from = row + head * dim;
            if (query_weight) normalize(from, head < heads ? query_weight : key_weight, eps, dim, from);
            T* to = head < heads ? queries + (token * heads + head) * dim : keys + (head - heads) * cache.head;
            rotate(from, cos + token * half, sin + token * half, half, dim, to);
        }
        for (int64_t head = 0; head < cache.kv_heads; ++head)
            std::memcpy(keys + cache.values + head * cache.head, row + (both + head) * dim, dim * sizeof(T));
    }
}

template <typename T>
void gated(const T* gate_up, int64_t rows, int64_t size, bool gelu, T* out) {
#pragma omp parallel for if (rows * size > 16384)
    for (int64_t row = 0; row < rows; ++row) {
        const T *gate = gate_up + row * 2 * size, *up = gate + size;
        T* to = out + row * size;
        // Two loops, since one for both is not vectorized. (1 + tanh(x)) / 2 is 1 / (1 + e^-2x), which keeps small ones exact.
        if (gelu)
            for (int64_t i = 0; i < size; ++i) {
                float g = gate[i], twice = 1.5957691216f * (g + 0.044715f * g * g * g);
                to[i] = T(float(T(g / (1.0f + exponential(-twice)))) * float(up[i]));
            }
        else
            for (int64_t i = 0; i < size; ++i) {
                float g = gate[i];
                to[i] = T(float(T(g / (1.0f + exponential(-g)))) * float(up[i]));
            }
    }
}

}  // namespace

// What operations.py calls. The name of each ends with the type of its numbers, or of numbers and norm weights.
#define OPERATIONS(NAME, T)                                                                                           \
    extern "C" void gated_##NAME(const T* gate_up, int64_t rows, int64_t size, bool gelu, T* out) {                   \
        gated(gate_up, rows, size, gelu, out);                                                                        \
    }

#define NORMS(NAME, T, W)                                                                                             \
    extern "C" void add_rms_norm_##NAME(const T* x, T* residual, const W* weight, float eps, int64_t rows,            \
                                        int64_t size, T* out) {                                                       \
        add_rms_norm(x, residual, weight, eps, rows, size, out);                                                      \
    }                                                                                                                 \
    extern "C" void rope_and_write_kv_##NAME(T* qkv, const T* cos, const T* sin, int64_t half, const Cache* cache,    \
                                             const int64_t* slots, const W* query_weight, const W* key_weight,        \
                                             float eps, int64_t tokens, int64_t heads, T* queries) {                  \
        rope_and_write_kv(qkv, cos, sin, half, *cache, slots, query_weight, key_weight, eps, tokens, heads, queries); \
    }

OPERATIONS(float, float)
OPERATIONS(bfloat16, bfloat16)
NORMS(float_float, float, float)
NORMS(bfloat16_bfloat16, bfloat16, bfloat16)
NORMS(bfloat16_float, bfloat16, float)
