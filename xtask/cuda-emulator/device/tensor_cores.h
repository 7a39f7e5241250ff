// Products of small matrices by a whole warp: mma.sync with its loads and stores, and mma.h.
#pragma once
#include "half.h"
#include "warp.h"

// mma.sync. Registers hold what the PTX manual says; `get` gives a register's values as f32.

struct EmuRegTf32 {
    static constexpr int per = 1;
    static EMU float get(unsigned reg, int) { return emu_bits<float>(reg & ~0x1fffu); }
};
struct EmuRegF16 {
    static constexpr int per = 2;
    static EMU float get(unsigned reg, int i) {
        return EmuF16::to((unsigned short)(reg >> 16 * i));
    }
};
struct EmuRegBf16 {
    static constexpr int per = 2;
    static EMU float get(unsigned reg, int i) {
        return EmuBf16::to((unsigned short)(reg >> 16 * i));
    }
};
struct EmuRegI8 {
    static constexpr int per = 4;
    static EMU float get(unsigned reg, int i) { return float((signed char)(reg >> 8 * i)); }
};
struct EmuRegU8 {
    static constexpr int per = 4;
    static EMU float get(unsigned reg, int i) { return float((unsigned char)(reg >> 8 * i)); }
};

// d = a b + c, with a of 16 x K, b of K x 8.
template <int K, class TA, class TB, int NA, int NB, class CD>
inline void emu_mma(const unsigned (&a)[NA], const unsigned (&b)[NB], const CD (&c)[4], CD (&d)[4],
                    const void* site) {
    EmuThread& me = *emu_rt->current;
    EmuWarp& warp = *me.warp;
    const int group = me.lane >> 2, in_group = me.lane & 3;
    unsigned half = warp.phase & 1;
    for (int r = 0; r < NA; r++)
        for (int i = 0; i < TA::per; i++) {
            int row = group + 8 * (r & 1);
            int column = in_group * TA::per + i + 4 * TA::per * (r >> 1);
            warp.a[half][row * K + column] = TA::get(a[r], i);
        }
    for (int r = 0; r < NB; r++)
        for (int i = 0; i < TB::per; i++) {
            int row = in_group * TB::per + i + 4 * TB::per * r;
            warp.b[half][group * K + row] = TB::get(b[r], i);
        }
    half = emu_rt->sync_warp(site);
    for (int i = 0; i < 4; i++) {
        const float* row = warp.a[half] + (group + 8 * (i >> 1)) * K;
        const float* column = warp.b[half] + (2 * in_group + (i & 1)) * K;
        CD sum = c[i];
        for (int k = 0; k < K; k++) sum += CD(row[k] * column[k]);
        d[i] = sum;
    }
}

// The two halves of a register of ldmatrix or stmatrix: row and column in an 8 x 8 matrix.
template <bool TRANSPOSED> EMU int emu_matrix_row(int lane, int i) {
    return TRANSPOSED ? 2 * (lane & 3) + i : lane >> 2;
}
template <bool TRANSPOSED> EMU int emu_matrix_column(int lane, int i) {
    return TRANSPOSED ? lane >> 2 : 2 * (lane & 3) + i;
}

// Every lane names a row's address; the others read it from there.
EMU unsigned emu_exchange_rows(const void* address, const void* site) {
    EmuThread& me = *emu_rt->current;
    memcpy(me.warp->slot[me.warp->phase & 1][me.lane], &address, sizeof address);
    return emu_rt->sync_warp(site);
}
EMU unsigned short* emu_row(unsigned half, int lane) {
    unsigned short* at;
    memcpy(&at, emu_rt->current->warp->slot[half][lane], sizeof at);
    return at;
}

template <int N, bool TRANSPOSED>
inline void emu_ldmatrix(unsigned (&out)[N], const void* address, const void* site) {
    if ((uintptr_t)address % 16) emu_rt->misaligned("ldmatrix: a row is not aligned to 16 bytes");
    const int lane = EMU_LANE;
    unsigned half = emu_exchange_rows(address, site);
    for (int m = 0; m < N; m++) {
        unsigned short two[2];
        for (int i = 0; i < 2; i++) {
            const unsigned short* row = emu_row(half, 8 * m + emu_matrix_row<TRANSPOSED>(lane, i));
            two[i] = row[emu_matrix_column<TRANSPOSED>(lane, i)];
        }
        out[m] = two[0] | unsigned(two[1]) << 16;
    }
    emu_rt->sync_warp(site);
}

template <int N, bool TRANSPOSED>
inline void emu_stmatrix(const unsigned (&in)[N], void* address, const void* site) {
    if ((uintptr_t)address % 16) emu_rt->misaligned("stmatrix: a row is not aligned to 16 bytes");
    const int lane = EMU_LANE;
    unsigned half = emu_exchange_rows(address, site);
    for (int m = 0; m < N; m++)
        for (int i = 0; i < 2; i++) {
            unsigned short* row = emu_row(half, 8 * m + emu_matrix_row<TRANSPOSED>(lane, i));
            row[emu_matrix_column<TRANSPOSED>(lane, i)] = (unsigned short)(in[m] >> 16 * i);
        }
    emu_rt->sync_warp(site);
}

// mma.h. Which lane holds which value of a fragment is not said there; here it is every 32nd.

namespace nvcuda {
namespace wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision {
struct tf32 {};
} // namespace precision
enum layout_t { mem_row_major, mem_col_major };

template <class T> struct Stored {
    using type = T;
};
template <> struct Stored<precision::tf32> {
    using type = float;
};
template <class Use, int M, int N, int K> struct Extent;
template <int M, int N, int K> struct Extent<matrix_a, M, N, K> {
    static constexpr int rows = M, columns = K;
};
template <int M, int N, int K> struct Extent<matrix_b, M, N, K> {
    static constexpr int rows = K, columns = N;
};
template <int M, int N, int K> struct Extent<accumulator, M, N, K> {
    static constexpr int rows = M, columns = N;
};

template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
    using E = Extent<Use, M, N, K>;
    using element_type = typename Stored<T>::type;
    static constexpr int num_elements = E::rows * E::columns / 32;
    element_type x[num_elements];
};

template <class F, class V> EMU void fill_fragment(F& f, V v) {
    for (auto& x : f.x) x = typename F::element_type(v);
}

template <class F, class P> EMU void emu_load(F& f, const P* from, unsigned stride, bool by_rows) {
    if ((uintptr_t)from % 16) emu_rt->misaligned("load_matrix_sync: not aligned to 16 bytes");
    const int lane = EMU_LANE;
    for (int i = 0; i < F::num_elements; i++) {
        int at = lane + 32 * i, row = at / F::E::columns, column = at % F::E::columns;
        f.x[i] = by_rows ? from[row * stride + column] : from[column * stride + row];
    }
}
template <class U, int M, int N, int K, class T, class P>
EMU void emu_load_matrix(fragment<U, M, N, K, T, row_major>& f, const P* from, unsigned stride) {
    emu_load(f, from, stride, true);
}
template <class U, int M, int N, int K, class T, class P>
EMU void emu_load_matrix(fragment<U, M, N, K, T, col_major>& f, const P* from, unsigned stride) {
    emu_load(f, from, stride, false);
}
template <class U, int M, int N, int K, class T, class P>
EMU void emu_load_matrix(fragment<U, M, N, K, T>& f, const P* from, unsigned stride,
                         layout_t layout) {
    emu_load(f, from, stride, layout == mem_row_major);
}

template <class F, class P>
EMU void emu_store_matrix(P* to, const F& f, unsigned stride, layout_t layout) {
    if ((uintptr_t)to % 16) emu_rt->misaligned("store_matrix_sync: not aligned to 16 bytes");
    const int lane = EMU_LANE;
    for (int i = 0; i < F::num_elements; i++) {
        int at = lane + 32 * i, row = at / F::E::columns, column = at % F::E::columns;
        to[layout == mem_row_major ? row * stride + column : column * stride + row] = f.x[i];
    }
}

template <int M, int N, int K, class TA, class LA, class TB, class LB, class TC, class TD>
inline void emu_mma_sync(fragment<accumulator, M, N, K, TD>& d,
                         const fragment<matrix_a, M, N, K, TA, LA>& a,
                         const fragment<matrix_b, M, N, K, TB, LB>& b,
                         const fragment<accumulator, M, N, K, TC>& c, const void* site) {
    constexpr bool tf32 = std::is_same<TA, precision::tf32>::value;
    EmuThread& me = *emu_rt->current;
    EmuWarp& warp = *me.warp;
    unsigned half = warp.phase & 1;
    auto factor = [](float v) { return tf32 ? EmuRegTf32::get(emu_bits<unsigned>(v), 0) : v; };
    for (int i = 0; i < a.num_elements; i++) warp.a[half][me.lane + 32 * i] = factor(float(a.x[i]));
    for (int i = 0; i < b.num_elements; i++) warp.b[half][me.lane + 32 * i] = factor(float(b.x[i]));
    half = emu_rt->sync_warp(site);
    using Sum = typename std::conditional<std::is_same<TC, int>::value, int, float>::type;
    for (int i = 0; i < d.num_elements; i++) {
        int at = me.lane + 32 * i, row = at / N, column = at % N;
        Sum sum = Sum(c.x[i]);
        for (int k = 0; k < K; k++)
            sum += Sum(warp.a[half][row * K + k] * warp.b[half][k * N + column]);
        d.x[i] = TD(sum);
    }
}

EMU float __float_to_tf32(float v) {
    return emu_bits<float>((emu_bits<unsigned>(v) + 0x1000) & ~0x1fffu);
}
} // namespace wmma
} // namespace nvcuda

// The text's calls are rewritten to these, which know where they stand. A store is followed by a
// meeting too: cubek's kernels read what other lanes stored without a __syncwarp.
#define emu_wmma_load(...) (emu_rt->sync_warp(EMU_SITE), nvcuda::wmma::emu_load_matrix(__VA_ARGS__))
#define emu_wmma_store(...)                                                                        \
    (emu_rt->sync_warp(EMU_SITE), nvcuda::wmma::emu_store_matrix(__VA_ARGS__),                     \
     (void)emu_rt->sync_warp(EMU_SITE))
#define emu_wmma_mma(...) nvcuda::wmma::emu_mma_sync(__VA_ARGS__, EMU_SITE)
