// Numbers of 16 bits, vectors and functions of floats, and how KV memory is laid out.

#pragma once

#ifdef __AVX512F__
#pragma GCC target("prefer-vector-width=512")  // the compiler itself would take 256, a quarter slower here
#endif

#include <cstdint>
#include <cstring>
#include <limits>

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

// 16 floats, or as many as the compiler has to take at a time.
typedef float Vector __attribute__((vector_size(64), aligned(4)));

inline Vector vector_of(const float* of) { return *reinterpret_cast<const Vector*>(of); }

inline Vector vector_of(const bfloat16* of) {
    typedef uint16_t Halves __attribute__((vector_size(32), aligned(2)));
    typedef uint32_t Words __attribute__((vector_size(64)));
    return (Vector)(__builtin_convertvector(*reinterpret_cast<const Halves*>(of), Words) << 16);
}

constexpr float NONE = -std::numeric_limits<float>::infinity();  // the score of what is not seen

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

struct Cache {
    void* start;
    int64_t values;  // from a key to its value
    int64_t block, head;
    int64_t block_size, kv_heads, dim;
};
