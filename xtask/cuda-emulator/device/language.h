// The words that CUDA C++ adds to C++, its vector types, and its functions on single values.
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>
#include <utility>

#include "../runtime.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __align__(n) __attribute__((aligned(n)))
#define EMU __attribute__((always_inline)) inline

extern "C" __attribute__((visibility("hidden"))) EmuRuntime* emu_rt;
#define threadIdx (emu_rt->current->tid)
#define blockIdx (emu_rt->block)
#define blockDim (emu_rt->block_dim)
#define gridDim (emu_rt->grid_dim)
constexpr int warpSize = kEmuWarp;

// Tells one collective of the text from another.
#define EMU_SITE ((const void*)(uintptr_t)(__COUNTER__ + 1))
#define __syncthreads() emu_rt->sync_block(EMU_SITE)
#define __syncwarp(...) ((void)emu_rt->sync_warp(EMU_SITE))
EMU void __threadfence() {}
EMU void __threadfence_block() {}
EMU void __nanosleep(unsigned) { emu_rt->poll(); }

#define EMU_VECTORS(name, type)                                                                    \
    struct name##1 { type x; };                                                                    \
    struct __align__(2 * sizeof(type)) name##2 { type x, y; };                                     \
    struct name##3 { type x, y, z; };                                                              \
    struct __align__(sizeof(type) == 8 ? 16 : 4 * sizeof(type)) name##4 { type x, y, z, w; };      \
    EMU name##2 make_##name##2(type x, type y) { return {x, y}; }                                  \
    EMU name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                       \
    EMU name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMU_VECTORS(char, signed char)
EMU_VECTORS(uchar, unsigned char)
EMU_VECTORS(short, short)
EMU_VECTORS(ushort, unsigned short)
EMU_VECTORS(int, int)
EMU_VECTORS(uint, unsigned)
EMU_VECTORS(long, long)
EMU_VECTORS(ulong, unsigned long)
EMU_VECTORS(longlong, long long)
EMU_VECTORS(ulonglong, unsigned long long)
EMU_VECTORS(float, float)
EMU_VECTORS(double, double)
#undef EMU_VECTORS
using dim3 = EmuDim;

// Bits

template <class To, class From> EMU To emu_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}
EMU float __int_as_float(int v) { return emu_bits<float>(v); }
EMU float __uint_as_float(unsigned v) { return emu_bits<float>(v); }
EMU int __float_as_int(float v) { return emu_bits<int>(v); }
EMU unsigned __float_as_uint(float v) { return emu_bits<unsigned>(v); }
EMU double __longlong_as_double(long long v) { return emu_bits<double>(v); }
EMU long long __double_as_longlong(double v) { return emu_bits<long long>(v); }
EMU int __ffs(int v) { return __builtin_ffs(v); }
EMU int __ffsll(long long v) { return __builtin_ffsll(v); }
EMU int __clz(int v) { return v ? __builtin_clz(unsigned(v)) : 32; }
EMU int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
EMU int __popc(unsigned v) { return __builtin_popcount(v); }
EMU int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
EMU unsigned __brev(unsigned v) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= ((v >> i) & 1) << (31 - i);
    return reversed;
}
EMU unsigned long long __brevll(unsigned long long v) {
    return (unsigned long long)__brev(unsigned(v)) << 32 | __brev(unsigned(v >> 32));
}
EMU int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
EMU unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
EMU long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
EMU unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

// Numbers. Integers wrap around as on the device because kernels are compiled with -fwrapv.

#define EMU_MIN_MAX(type)                                                                          \
    EMU type min(type a, type b) { return b < a ? b : a; }                                         \
    EMU type max(type a, type b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX
EMU float min(float a, float b) { return a != a ? b : b < a ? b : a; }
EMU float max(float a, float b) { return a != a ? b : a < b ? b : a; }
EMU double min(double a, double b) { return fmin(a, b); }
EMU double max(double a, double b) { return fmax(a, b); }
EMU unsigned min(int a, unsigned b) { return min(unsigned(a), b); }
EMU unsigned min(unsigned a, int b) { return min(a, unsigned(b)); }
EMU unsigned max(int a, unsigned b) { return max(unsigned(a), b); }
EMU unsigned max(unsigned a, int b) { return max(a, unsigned(b)); }

// A device approximates these; here they are as exact as the host's library.
EMU float __expf(float v) { return expf(v); }
EMU float __exp10f(float v) { return exp10f(v); }
EMU float __logf(float v) { return logf(v); }
EMU float __log2f(float v) { return log2f(v); }
EMU float __sinf(float v) { return sinf(v); }
EMU float __cosf(float v) { return cosf(v); }
EMU float __tanhf(float v) { return tanhf(v); }
EMU float __powf(float a, float b) { return exp2f(b * log2f(a)); }
EMU float __fdividef(float a, float b) { return a / b; }
EMU float __fsqrt_rn(float v) { return sqrtf(v); }
EMU float __frsqrt_rn(float v) { return 1.0f / sqrtf(v); }
EMU float __frcp_rn(float v) { return 1.0f / v; }
EMU float rsqrtf(float v) { return 1.0f / sqrtf(v); }
EMU float rsqrt(float v) { return 1.0f / sqrtf(v); }
EMU double rsqrt(double v) { return 1.0 / sqrt(v); }
EMU float rhypotf(float a, float b) { return 1.0f / hypotf(a, b); }
EMU double rhypot(double a, double b) { return 1.0 / hypot(a, b); }
