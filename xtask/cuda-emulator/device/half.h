// f16 and bf16, alone and in pairs. Every operation is computed in f32 and rounded once, to nearest
// even: for two operands of these types that is the exact result, rounded.
#pragma once
#include "language.h"

// Rounds to f32 so that rounding the result again, to a narrower type, is as good as rounding once.
EMU float emu_round_to_odd(double v) {
    float f = float(v);
    if (double(f) == v || f != f) return f;
    unsigned u = emu_bits<unsigned>(f);
    if (u & 1) return f;
    bool grew = fabs(double(f)) > fabs(v);
    return emu_bits<float>(grew ? u - 1 : u + 1);
}

struct EmuF16 {
    static EMU unsigned short from(float v) {
        typedef float Four __attribute__((vector_size(16)));
        return (unsigned short)__builtin_ia32_vcvtps2ph(Four{v, 0, 0, 0}, 0)[0];
    }
    static EMU float to(unsigned short v) {
        typedef short Eight __attribute__((vector_size(16)));
        return __builtin_ia32_vcvtph2ps(Eight{short(v), 0, 0, 0, 0, 0, 0, 0})[0];
    }
};

struct EmuBf16 {
    static EMU unsigned short from(float v) {
        unsigned u = emu_bits<unsigned>(v);
        if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
        return (unsigned short)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
    }
    static EMU float to(unsigned short v) { return emu_bits<float>(unsigned(v) << 16); }
};

template <class F> struct EmuHalf {
    unsigned short bits;

    EmuHalf() = default;
    EMU EmuHalf(float v) : bits(F::from(v)) {}
    EMU EmuHalf(double v) : bits(F::from(emu_round_to_odd(v))) {}
    template <class T, class = typename std::enable_if<std::is_integral<T>::value>::type>
    EMU EmuHalf(T v) : bits(F::from(emu_round_to_odd(double(v)))) {}
    EMU operator float() const { return F::to(bits); }

    EMU EmuHalf& operator+=(EmuHalf b) { return *this = *this + b; }
    EMU EmuHalf& operator-=(EmuHalf b) { return *this = *this - b; }
    EMU EmuHalf& operator*=(EmuHalf b) { return *this = *this * b; }
    EMU EmuHalf& operator/=(EmuHalf b) { return *this = *this / b; }
    EMU EmuHalf operator-() const {
        EmuHalf negated;
        negated.bits = bits ^ 0x8000;
        return negated;
    }
    friend EMU EmuHalf operator+(EmuHalf a, EmuHalf b) { return EmuHalf(float(a) + float(b)); }
    friend EMU EmuHalf operator-(EmuHalf a, EmuHalf b) { return EmuHalf(float(a) - float(b)); }
    friend EMU EmuHalf operator*(EmuHalf a, EmuHalf b) { return EmuHalf(float(a) * float(b)); }
    friend EMU EmuHalf operator/(EmuHalf a, EmuHalf b) { return EmuHalf(float(a) / float(b)); }
    friend EMU bool operator==(EmuHalf a, EmuHalf b) { return float(a) == float(b); }
    friend EMU bool operator!=(EmuHalf a, EmuHalf b) { return float(a) != float(b); }
    friend EMU bool operator<(EmuHalf a, EmuHalf b) { return float(a) < float(b); }
    friend EMU bool operator>(EmuHalf a, EmuHalf b) { return float(a) > float(b); }
    friend EMU bool operator<=(EmuHalf a, EmuHalf b) { return float(a) <= float(b); }
    friend EMU bool operator>=(EmuHalf a, EmuHalf b) { return float(a) >= float(b); }
    friend EMU EmuHalf fma(EmuHalf a, EmuHalf b, EmuHalf c) {
        return EmuHalf(double(float(a)) * float(b) + float(c));
    }
    friend EMU EmuHalf __hfma(EmuHalf a, EmuHalf b, EmuHalf c) { return fma(a, b, c); }
    friend EMU EmuHalf __hmax(EmuHalf a, EmuHalf b) { return EmuHalf(fmaxf(a, b)); }
    friend EMU EmuHalf __hmin(EmuHalf a, EmuHalf b) { return EmuHalf(fminf(a, b)); }
    friend EMU bool __hisnan(EmuHalf a) { return float(a) != float(a); }
    friend EMU bool __hisinf(EmuHalf a) { return fabsf(a) == INFINITY; }

#define EMU_HALF(name, call)                                                                       \
    friend EMU EmuHalf name(EmuHalf v) { return EmuHalf(float(call(float(v)))); }
    EMU_HALF(hexp, expf)
    EMU_HALF(hlog, logf)
    EMU_HALF(hsin, sinf)
    EMU_HALF(hcos, cosf)
    EMU_HALF(hsqrt, sqrtf)
    EMU_HALF(hrsqrt, rsqrtf)
    EMU_HALF(hceil, ceilf)
    EMU_HALF(hfloor, floorf)
    EMU_HALF(htrunc, truncf)
    EMU_HALF(hrint, rintf)
    EMU_HALF(__habs, fabsf)
    EMU_HALF(abs, fabsf)
    EMU_HALF(htanh, tanhf)
    EMU_HALF(hrcp, __frcp_rn)
#undef EMU_HALF
};
using __half = EmuHalf<EmuF16>;
using __nv_bfloat16 = EmuHalf<EmuBf16>;
using half = __half;
using nv_bfloat16 = __nv_bfloat16;

template <class H> struct __align__(4) EmuHalf2 {
    H x, y;

    EmuHalf2() = default;
    EMU EmuHalf2(H a, H b) : x(a), y(b) {}
    EMU explicit EmuHalf2(H a) : x(a), y(a) {}
    EMU EmuHalf2(float a) : x(a), y(a) {}

    friend EMU EmuHalf2 operator+(EmuHalf2 a, EmuHalf2 b) { return {a.x + b.x, a.y + b.y}; }
    friend EMU EmuHalf2 operator-(EmuHalf2 a, EmuHalf2 b) { return {a.x - b.x, a.y - b.y}; }
    friend EMU EmuHalf2 operator*(EmuHalf2 a, EmuHalf2 b) { return {a.x * b.x, a.y * b.y}; }
    friend EMU EmuHalf2 operator/(EmuHalf2 a, EmuHalf2 b) { return {a.x / b.x, a.y / b.y}; }
    EMU EmuHalf2 operator-() const { return {-x, -y}; }
    EMU EmuHalf2& operator+=(EmuHalf2 b) { return *this = *this + b; }
    EMU EmuHalf2& operator-=(EmuHalf2 b) { return *this = *this - b; }
    EMU EmuHalf2& operator*=(EmuHalf2 b) { return *this = *this * b; }
    EMU EmuHalf2& operator/=(EmuHalf2 b) { return *this = *this / b; }
    friend EMU EmuHalf2 fma(EmuHalf2 a, EmuHalf2 b, EmuHalf2 c) {
        return {fma(a.x, b.x, c.x), fma(a.y, b.y, c.y)};
    }
    friend EMU EmuHalf2 __hfma2(EmuHalf2 a, EmuHalf2 b, EmuHalf2 c) { return fma(a, b, c); }
    friend EMU EmuHalf2 __hmax2(EmuHalf2 a, EmuHalf2 b) {
        return {__hmax(a.x, b.x), __hmax(a.y, b.y)};
    }
    friend EMU EmuHalf2 __hmin2(EmuHalf2 a, EmuHalf2 b) {
        return {__hmin(a.x, b.x), __hmin(a.y, b.y)};
    }

#define EMU_HALF2(name, call)                                                                      \
    friend EMU EmuHalf2 name(EmuHalf2 v) { return {call(v.x), call(v.y)}; }
    EMU_HALF2(h2exp, hexp)
    EMU_HALF2(h2log, hlog)
    EMU_HALF2(h2sin, hsin)
    EMU_HALF2(h2cos, hcos)
    EMU_HALF2(h2sqrt, hsqrt)
    EMU_HALF2(h2rsqrt, hrsqrt)
    EMU_HALF2(h2ceil, hceil)
    EMU_HALF2(h2floor, hfloor)
    EMU_HALF2(h2trunc, htrunc)
    EMU_HALF2(h2rint, hrint)
    EMU_HALF2(h2tanh, htanh)
    EMU_HALF2(h2rcp, hrcp)
    EMU_HALF2(__habs2, __habs)
#undef EMU_HALF2
};
using __half2 = EmuHalf2<__half>;
using __nv_bfloat162 = EmuHalf2<__nv_bfloat16>;

EMU __half __float2half(float v) { return __half(v); }
EMU float __half2float(__half v) { return float(v); }
EMU __nv_bfloat16 __float2bfloat16(float v) { return __nv_bfloat16(v); }
EMU float __bfloat162float(__nv_bfloat16 v) { return float(v); }
EMU __half __ushort_as_half(unsigned short v) { return emu_bits<__half>(v); }
EMU __nv_bfloat16 __ushort_as_bfloat16(unsigned short v) { return emu_bits<__nv_bfloat16>(v); }

// FP8: only the types that hold it. A kernel that converts does not compile.
typedef unsigned char __nv_fp8_storage_t;
typedef unsigned short __nv_fp8x2_storage_t;
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
