// The decoder's operations besides matrix products, for one CPU: built by build.py when an engine first starts there.
//
// Shapes and meaning are those of reference.py, which these are tested against. Numbers are float or bfloat16; all
// arithmetic is in float. Strides count numbers, not bytes. Rows are independent, so results depend on no batch.

#ifdef __AVX512F__
#pragma GCC target("prefer-vector-width=512")  // the compiler itself would take 256, a quarter slower here
#endif

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace {

struct bfloat16 {
    uint16_t bits;

    operator float() const {
        uint32_t wide = uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &wide, 4);
        return value;
    }

    bfloat16() = default;

    // Round to nearest, ties to even; NaN stays NaN.
    bfloat16(float value) {
        uint32_t wide;
        std::memcpy(&wide, &value, 4);
        uint32_t rounded = (wide + 0x7fff + (wide >> 16 & 1)) >> 16;
        bits = uint16_t(value == value ? rounded : 0x7fc0);
    }
};

// e^x within 2 units in the last place. Unlike std::exp it can be vectorized. Below -87 it is about 1e-38.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float whole = __builtin_rintf(x * 1.44269504f);
    float rest = __builtin_fmaf(whole, 2.12194440e-4f, __builtin_fmaf(whole, -0.693359375f, x));
    float power = 1.9875691500e-4f;
    power = power * rest + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
    int32_t exponent = (int32_t(whole) + 127) << 23;
    float scale;
    std::memcpy(&scale, &exponent, 4);
    return power * scale;
}

inline float tanh_(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

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

struct Cache {
    void* start;
    int64_t values;  // from a key to its value
    int64_t block, head;
    int64_t block_size, kv_heads, dim;
};

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

// The queries of one KV head over one sequence, a block at a time with a running softmax. D is the head dim if it is
// known when this is compiled, and 0 otherwise.
template <typename T, int D>
void attend(const T* queries, int64_t group, const Cache& cache, int64_t head, const int32_t* table, int64_t first,
            int64_t length, float scale, float cap, float* scratch, T* out) {
    const int64_t dim = D ? D : cache.dim, size = cache.block_size;
    float *wide = scratch, *sums = wide + group * dim, *scores = sums + group * dim, *most = scores + group * size,
          *shares = most + group;
    for (int64_t i = 0; i < group * dim; ++i) wide[i] = float(queries[i]) * scale, sums[i] = 0;
    for (int64_t q = 0; q < group; ++q) most[q] = -std::numeric_limits<float>::infinity(), shares[q] = 0;

    for (int64_t begin = first; begin < length;) {
        const int64_t block = begin / size, end = length < (block + 1) * size ? length : (block + 1) * size;
        const T* keys = static_cast<const T*>(cache.start) + table[block] * cache.block + head * cache.head +
                        begin % size * dim;
        const T* values = keys + cache.values;
        const int64_t count = end - begin;
        for (int64_t slot = 0; slot < count; ++slot)
            for (int64_t q = 0; q < group; ++q) {
                float dot = 0;
                for (int64_t i = 0; i < dim; ++i) dot += wide[q * dim + i] * float(keys[slot * dim + i]);
                scores[q * size + slot] = cap > 0 ? cap * tanh_(dot / cap) : dot;
            }
        for (int64_t q = 0; q < group; ++q) {
            float* row = scores + q * size;
            float high = most[q];
            for (int64_t slot = 0; slot < count; ++slot) high = row[slot] > high ? row[slot] : high;
            float fade = exponential(most[q] - high), total = 0;
            for (int64_t slot = 0; slot < count; ++slot) total += row[slot] = exponential(row[slot] - high);
            most[q] = high;
            shares[q] = shares[q] * fade + total;
            float* sum = sums + q * dim;
            for (int64_t i = 0; i < dim; ++i) sum[i] *= fade;
        }
        for (int64_t slot = 0; slot < count; ++slot)
            for (int64_t q = 0; q < group; ++q) {
                const float share = scores[q * size + slot];
                for (int64_t i = 0; i < dim; ++i) sums[q * dim + i] += share * float(values[slot * dim + i]);
            }
        begin = end;
    }
    for (int64_t q = 0; q < group; ++q)
        for (int64_t i = 0; i < dim; ++i) out[q * dim + i] = T(sums[q * dim + i] / shares[q]);
}

template <typename T>
void decode_attention(const T* queries, const Cache& cache, const int32_t* tables, int64_t width,
                      const int64_t* lengths, int64_t rows, int64_t heads, int64_t window, float scale, float cap,
                      T* out) {
    const int64_t group = heads / cache.kv_heads, dim = cache.dim;
    const int64_t floats = group * (2 * dim + cache.block_size + 2);
#pragma omp parallel
    {
        float* scratch = new float[floats];
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t row = 0; row < rows; ++row)
            for (int64_t head = 0; head < cache.kv_heads; ++head) {
                const int64_t at = (row * heads + head * group) * dim, length = lengths[row];
                const int64_t first = window > 0 && length > window ? length - window : 0;
                auto attend_ = dim == 64 ? attend<T, 64> : dim == 128 ? attend<T, 128> : attend<T, 0>;
                attend_(queries + at, group, cache, head, tables + row * width, first, length, scale, cap, scratch,
                        out + at);
            }
        delete[] scratch;
    }
}

template <typename T>
void gated(const T* gate_up, int64_t rows, int64_t size, bool gelu, T* out) {
#pragma omp parallel for if (rows * size > 16384)
    for (int64_t row = 0; row < rows; ++row) {
        const T *gate = gate_up + row * 2 * size, *up = gate + size;
        T* to = out + row * size;
        if (gelu)
            for (int64_t i = 0; i < size; ++i) {
                float g = gate[i], inner = 0.7978845608f * (g + 0.044715f * g * g * g);
                to[i] = T(float(T(0.5f * g * (1.0f + tanh_(inner)))) * float(up[i]));
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
    extern "C" void decode_attention_##NAME(const T* queries, const Cache* cache, const int32_t* tables, int64_t width, \
                                            const int64_t* lengths, int64_t rows, int64_t heads, int64_t window,      \
                                            float scale, float cap, T* out) {                                         \
        decode_attention(queries, *cache, tables, width, lengths, rows, heads, window, scale, cap, out);              \
    }                                                                                                                 \
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
