// Kernels, in CubeCL's dialect, whose results are known.
#include <algorithm>
#include <cmath>
#include <random>

#include "harness.h"

namespace {

// f16 and bf16 as bits, for values that they hold exactly.
uint16_t f16(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    const int exponent = int(bits >> 23 & 0xff) - 127 + 15;
    const uint32_t sign = bits >> 16 & 0x8000;
    return v == 0 ? uint16_t(sign)
                  : uint16_t(sign | uint32_t(exponent) << 10 | (bits >> 13 & 0x3ff));
}
uint16_t bf16(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    return uint16_t(bits >> 16);
}
float f16_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double value =
        exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    return float(bits & 0x8000 ? -value : value);
}

// Small integers, so that every product and sum is exact in every type.
std::vector<int> integers(size_t count, int most, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> draw(-most, most);
    std::vector<int> values(count);
    for (int& value : values) value = draw(random);
    return values;
}
template <class T, class F> std::vector<T> each(const std::vector<int>& values, F convert) {
    std::vector<T> converted;
    for (int value : values) converted.push_back(T(convert(float(value))));
    return converted;
}
float same(float v) { return v; }

// a of m x k by rows, b of k x n by rows.
std::vector<float> product(const std::vector<int>& a, const std::vector<int>& b, size_t m, size_t n,
                           size_t k) {
    std::vector<float> result(m * n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            int sum = 0;
            for (size_t l = 0; l < k; l++) sum += a[i * k + l] * b[l * n + j];
            result[i * n + j] = float(sum);
        }
    return result;
}

template <class T> void expect_same(const std::vector<T>& found, const std::vector<T>& expected) {
    EXPECT(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); i++)
        EXPECT(found[i] == expected[i], "at %zu: %g, expected %g", i, double(found[i]),
               double(expected[i]));
}

// Shuffles within warps, shared memory between them, an early return.
void block_sum() {
    use_device();
    void* stream = make_stream();
    const auto x = integers(4 * 256, 8, 1);
    const std::string source =
        kernel("total", 256, "const float* __restrict__ buffer_0, float* buffer_1", R"(
    extern __shared__ __align__(4) uint8 dynamic_shared_mem[];
    float* shared = reinterpret_cast<float*>(&dynamic_shared_mem[0]);
    float v = buffer_0[blockIdx.x * blockDim.x + threadIdx.x];
    for (uint offset = 1; offset < 32; offset *= 2) v += __shfl_xor_sync(-1, v, offset);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    v = threadIdx.x < 8 ? shared[threadIdx.x] : 0.0f;
    for (uint offset = 16; offset > 0; offset /= 2) v += __shfl_down_sync(-1, v, offset);
    if (threadIdx.x == 0) buffer_1[blockIdx.x] = v;)");
    const Shape shape = {.grid = 4, .block = 256, .shared = 32};
    const auto found =
        run<float>(source, "total", shape, {upload(each<float>(x, same), stream)}, 4, stream);
    std::vector<float> expected(4);
    for (size_t i = 0; i < x.size(); i++) expected[i / 256] += float(x[i]);
    expect_same(found, expected);
}

// A prefix sum by shuffles from below, and a broadcast.
void prefix_sum() {
    use_device();
    void* stream = make_stream();
    const auto found = run<float>(kernel("prefix", 32, "float* buffer_0", R"(
    float v = float(threadIdx.x + 1);
    for (uint offset = 1; offset < 32; offset *= 2) {
        float below = __shfl_up_sync(-1, v, offset);
        if (threadIdx.x >= offset) v += below;
    }
    buffer_0[threadIdx.x] = v + 1000.0f * __shfl_sync(-1, v, 2);)"),
                                  "prefix", {}, {}, 32, stream);
    std::vector<float> expected;
    for (int i = 1; i <= 32; i++) expected.push_back(float(i * (i + 1) / 2 + 6000));
    expect_same(found, expected);
}

// Votes of all lanes, and of those that did not return before.
void votes() {
    use_device();
    void* stream = make_stream();
    const auto found = run<unsigned>(kernel("votes", 32, "uint32* buffer_0", R"(
    uint32 lane = threadIdx.x;
    uint32 odd = __ballot_sync(-1, lane % 2 == 1);
    uint32 all = __all_sync(-1, lane < 32), any = __any_sync(-1, lane > 31);
    uint32 pred = 0;
    if (lane >= 8) return;
    uint32 few = __ballot_sync(-1, true), none = __any_sync(-1, lane >= 8);
    asm volatile(
        "{\n"
        "     .reg .pred %%px;\n"
        "     elect.sync _|%%px, 0xffffffff;\n"
        "     selp.b32 %0, 1, 0, %%px;\n"
        "}\n"
        : "+r"(pred));
    if (pred) { buffer_0[0] = odd; buffer_0[1] = all; buffer_0[2] = any; buffer_0[3] = few;
                buffer_0[4] = none; buffer_0[5] = lane; })"),
                                     "votes", {}, {}, 6, stream);
    expect_same<unsigned>(found, {0xaaaaaaaa, 1, 0, 0xff, 0, 0});
}

void atomics() {
    use_device();
    void* stream = make_stream();
    const auto found = run<int>(kernel("count", 64, "int32* buffer_0", R"(
    int32 me = int32(blockIdx.x * 64 + threadIdx.x);
    atomicAdd(&buffer_0[0], me);
    atomicMax(&buffer_0[1], me);
    atomicMin(&buffer_0[2], -me);
    atomicOr(&buffer_0[3], 1 << (me % 16));
    int32 seen = buffer_0[4], last;
    do { last = seen; seen = atomicCAS(&buffer_0[4], last, last + me); } while (seen != last);)"),
                                "count", {.grid = 2, .block = 64}, {}, 5, stream);
    expect_same<int>(found, {127 * 64, 127, -127, 0xffff, 127 * 64});
}

// mma.h

void wmma(const char* types, const char* element, int m, int n, int k, std::vector<Buffer> inputs,
          const std::vector<float>& expected, void* stream) {
    char body[1200];
    std::snprintf(body, sizeof body, R"(
    using namespace nvcuda;
    wmma::fragment<wmma::matrix_a, %d, %d, %d, %s, wmma::row_major> a;
    wmma::fragment<wmma::matrix_b, %d, %d, %d, %s, wmma::col_major> b;
    wmma::fragment<wmma::accumulator, %d, %d, %d, float> c;
    nvcuda::wmma::fill_fragment(c, float(0.0));
    nvcuda::wmma::load_matrix_sync(a, buffer_0 + 0, %d);
    nvcuda::wmma::load_matrix_sync(b, buffer_1 + 0, %d);
    nvcuda::wmma::mma_sync(c, a, b, c);
    nvcuda::wmma::store_matrix_sync(buffer_2 + 0, c, %d, nvcuda::wmma::mem_row_major);)",
                  m, n, k, element, m, n, k, element, m, n, k, k, k, n);
    const std::string parameters = std::string("const ") + types +
                                   "* __restrict__ buffer_0, const " + types +
                                   "* __restrict__ buffer_1, float* buffer_2";
    const std::string source = kernel("product", 32, parameters.c_str(), body);
    expect_same(run<float>(source, "product", {}, inputs, size_t(m * n), stream), expected);
}

std::vector<int> transposed(const std::vector<int>& matrix, size_t rows, size_t columns) {
    std::vector<int> result(matrix.size());
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j];
    return result;
}

void wmma_of_all_types() {
    use_device();
    void* stream = make_stream();
    const auto a = integers(256, 4, 2), b = integers(256, 4, 3), b_t = transposed(b, 16, 16);
    const auto expected = product(a, b, 16, 16, 16);
    wmma("__half", "__half", 16, 16, 16,
         {upload(each<uint16_t>(a, f16), stream), upload(each<uint16_t>(b_t, f16), stream)},
         expected, stream);
    wmma("__nv_bfloat16", "__nv_bfloat16", 16, 16, 16,
         {upload(each<uint16_t>(a, bf16), stream), upload(each<uint16_t>(b_t, bf16), stream)},
         expected, stream);
    const auto narrow = integers(128, 4, 4), wide = integers(128, 4, 5);
    wmma("float", "wmma::precision::tf32", 16, 16, 8,
         {upload(each<float>(narrow, same), stream),
          upload(each<float>(transposed(wide, 8, 16), same), stream)},
         product(narrow, wide, 16, 16, 8), stream);
}

// mma.sync, with the functions that CubeCL writes around PTX.

std::string registers(const char* kind, int count, const char* type) {
    std::string text;
    for (int i = 0; i < count; i++)
        text += std::string(i ? ", " : "") + type + "&reg_" + kind + "_" + std::to_string(i);
    return text;
}
std::string mma_function(const char* name, const char* sum) {
    const std::string in = "uint32 const ", c = std::string(sum) + " const ";
    return std::string("\ninline __device__ void\n") + name + "(" + registers("a", 4, in.c_str()) +
           ", " + registers("b", 2, in.c_str()) + ", " + registers("c", 4, c.c_str()) + ", " +
           registers("d", 4, (std::string(sum) + " ").c_str()) +
           ") {\n  asm volatile(\"mma.sync.aligned.m16n8\" : \"=f\"(reg_d_0) : \"r\"(reg_a_0));\n"
           "    }\n    ";
}
const char kMatrixFunctions[] = R"(
inline __device__ void
__ldmatrix_m8n8___half_4x(uint32 &reg_0, uint32 &reg_1, uint32 &reg_2, uint32 &reg_3, void const *row_addr) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4");
    }
inline __device__ void
__ldmatrix_m8n8___half_2x_trans(uint32 &reg_0, uint32 &reg_1, void const *row_addr) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans");
    }
inline __device__ void
__stmatrix_m8n8___half_4x(uint32 const &reg_0, uint32 const &reg_1, uint32 const &reg_2, uint32 const &reg_3, void *row_addr) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4");
    }
)";

// 16 x 16 by 16 x 16, its factors loaded with ldmatrix.
void mma_with_ldmatrix() {
    use_device();
    void* stream = make_stream();
    const auto a = integers(256, 4, 6), b = integers(256, 4, 7);
    const std::string source =
        mma_function("__mma_m16n8k16___half___half_float", "float") + kMatrixFunctions +
        kernel("product", 32,
               "const __half* __restrict__ buffer_0, const __half* __restrict__ buffer_1, "
               "float* buffer_2",
               R"(
    extern __shared__ __align__(16) uint8 dynamic_shared_mem[];
    __half* a = reinterpret_cast<__half*>(&dynamic_shared_mem[0]);
    __half* b = reinterpret_cast<__half*>(&dynamic_shared_mem[512]);
    for (uint i = threadIdx.x; i < 256; i += 32) { a[i] = buffer_0[i]; b[i] = buffer_1[i]; }
    __syncwarp();
    uint lane = threadIdx.x;
    uint32 ra[4], rb[2];
    __ldmatrix_m8n8___half_4x(ra[0], ra[1], ra[2], ra[3], a + (lane % 16) * 16 + (lane / 16) * 8);
    for (uint half = 0; half < 2; half++) {
        __ldmatrix_m8n8___half_2x_trans(rb[0], rb[1], b + (lane % 16) * 16 + half * 8);
        float c[4] = {0, 0, 0, 0}, d[4];
        __mma_m16n8k16___half___half_float(ra[0], ra[1], ra[2], ra[3], rb[0], rb[1],
            c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]);
        for (uint i = 0; i < 4; i++)
            buffer_2[(lane / 4 + 8 * (i / 2)) * 16 + half * 8 + lane % 4 * 2 + i % 2] = d[i];
    })");
    const auto found =
        run<float>(source, "product", {.shared = 1024},
                   {upload(each<uint16_t>(a, f16), stream), upload(each<uint16_t>(b, f16), stream)},
                   256, stream);
    expect_same(found, product(a, b, 16, 16, 16));
}

// Results that lanes hand to other lanes as cubek's kernels do: in step, and in a branch that some
// lanes do not take.
void results_handed_over() {
    use_device();
    void* stream = make_stream();
    std::string body = R"(
    extern __shared__ __align__(16) uint8 dynamic_shared_mem[];
    float *shared_memory_1 = reinterpret_cast<float*>(&dynamic_shared_mem[0]);
    uint lane = threadIdx.x;
    uint32 ra[4] = {0, 0, 0, 0}, rb[2] = {0, 0};
    float c[4] = {0, 0, 0, 0}, d[4];
    __mma_m16n8k16___half___half_float(ra[0], ra[1], ra[2], ra[3], rb[0], rb[1],
        c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]);
)";
    for (int step = 0; step < 3; step++) {
        const std::string i = std::to_string(step);
        body += " float *_tmp_" + i + " = reinterpret_cast< float*>(shared_memory_1);\n_tmp_" + i +
                "[lane] = d[0] + float(lane * " + std::to_string(step + 1) + ");\n" +
                "const bool l_" + i + " = lane < 16;\nif (l_" + i + ") {\nconst float v_" + i +
                " = shared_memory_1[31 - lane];\nbuffer_0[lane + 16 * " + i + "] = v_" + i +
                ";\n}\n";
    }
    const auto found = run<float>(mma_function("__mma_m16n8k16___half___half_float", "float") +
                                      kernel("hands", 32, "float* buffer_0", body.c_str()),
                                  "hands", {.shared = 128}, {}, 48, stream);
    std::vector<float> expected;
    for (int step = 1; step <= 3; step++)
        for (int lane = 0; lane < 16; lane++) expected.push_back(float((31 - lane) * step));
    expect_same(found, expected);
}

// What ldmatrix reads stmatrix writes.
void matrices_there_and_back() {
    use_device();
    void* stream = make_stream();
    const auto a = integers(256, 100, 8);
    const std::string source =
        kMatrixFunctions +
        kernel("copy", 32, "const __half* __restrict__ buffer_0, __half* buffer_1", R"(
    extern __shared__ __align__(16) uint8 dynamic_shared_mem[];
    __half* from = reinterpret_cast<__half*>(&dynamic_shared_mem[0]);
    __half* to = reinterpret_cast<__half*>(&dynamic_shared_mem[512]);
    for (uint i = threadIdx.x; i < 256; i += 32) from[i] = buffer_0[i];
    __syncwarp();
    uint lane = threadIdx.x, at = (lane % 16) * 16 + (lane / 16) * 8;
    uint32 r[4];
    __ldmatrix_m8n8___half_4x(r[0], r[1], r[2], r[3], from + at);
    __stmatrix_m8n8___half_4x(r[0], r[1], r[2], r[3], to + at);
    __syncwarp();
    for (uint i = threadIdx.x; i < 256; i += 32) buffer_1[i] = to[i];)");
    const auto bits = each<uint16_t>(a, f16);
    expect_same(
        run<uint16_t>(source, "copy", {.shared = 1024}, {upload(bits, stream)}, 256, stream), bits);
}

// bf16, TF32 and int8, with registers filled by hand: a row's values side by side in a register.
void mma_of_other_types() {
    use_device();
    void* stream = make_stream();
    struct Type {
        const char *function, *sum, *result; // of the registers, and what they hold
        size_t k, per;
    };
    for (const Type& type :
         {Type{"__mma_m16n8k16___nv_bfloat16___nv_bfloat16_float", "float", "float", 16, 2},
          Type{"__mma_m16n8k8_float_float_float", "float", "float", 8, 1},
          Type{"__mma_m16n8k32_int8_int8_int32", "uint32", "int32", 32, 4}}) {
        auto send = [&](const std::vector<int>& values) {
            if (type.per == 1) return upload(each<float>(values, same), stream);
            if (type.per == 4) return upload(each<int8_t>(values, same), stream);
            return upload(each<uint16_t>(values, bf16), stream);
        };
        char body[900];
        std::snprintf(body, sizeof body, R"(
    uint lane = threadIdx.x, group = lane / 4, in_group = lane %% 4, words = %zu;
    const uint32 *a = buffer_0, *b = buffer_1;
    uint32 ra[4], rb[2];
    %s c[4] = {0, 0, 0, 0}, d[4];
    for (uint i = 0; i < 4; i++) ra[i] = a[(group + 8 * (i %% 2)) * words + in_group + 4 * (i / 2)];
    for (uint i = 0; i < 2; i++) rb[i] = b[group * words + in_group + 4 * i];
    %s(ra[0], ra[1], ra[2], ra[3], rb[0], rb[1], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]);
    for (uint i = 0; i < 4; i++)
        buffer_2[(group + 8 * (i / 2)) * 8 + in_group * 2 + i %% 2] = float(%s(d[i]));)",
                      type.k / type.per, type.sum, type.function, type.result);
        const std::string source =
            mma_function(type.function, type.sum) +
            kernel("product", 32, "const uint32* buffer_0, const uint32* buffer_1, float* buffer_2",
                   body);
        const auto a = integers(16 * type.k, 4, 9), b = integers(type.k * 8, 4, 10);
        const auto found = run<float>(source, "product", {},
                                      {send(a), send(transposed(b, type.k, 8))}, 128, stream);
        expect_same(found, product(a, b, 16, 8, type.k));
    }
}

// TF32 drops 13 bits of a factor.
void tf32_is_cut() {
    use_device();
    void* stream = make_stream();
    std::vector<float> a(128), b(128);
    a[0] = 1.0f + std::ldexp(1.0f, -11), b[0] = 1.0f; // half of TF32's last bit
    std::vector<float> expected(256);
    expected[0] = 1.0f;
    wmma("float", "wmma::precision::tf32", 16, 16, 8, {upload(a, stream), upload(b, stream)},
         expected, stream);
}

// Half types round to nearest even after every operation.
void halves_round() {
    use_device();
    void* stream = make_stream();
    std::mt19937 random(11);
    std::uniform_int_distribution<int> bits(0, 0x5bff); // 0 to 255, and both signs below
    std::vector<uint16_t> given(256);
    for (auto& value : given) value = uint16_t(bits(random) | (random() & 1) << 15);
    const auto found = run<uint16_t>(
        kernel("rounds", 256, "const __half* __restrict__ buffer_0, __half* buffer_1", R"(
    const __half x = buffer_0[threadIdx.x];
    buffer_1[threadIdx.x] = x * x / __half(3.0) + __half(0.1);)"),
        "rounds", {.block = 256}, {upload(given, stream)}, 256, stream);
    // Rounds a value below 65,504 to f16, in integers of its last place.
    auto step = [](double v) {
        if (v == 0) return v;
        const double unit = std::ldexp(1.0, std::max(std::ilogb(v) - 10, -24));
        const double rounded = std::nearbyint(v / unit) * unit;
        return std::fabs(rounded) >= 65520 ? HUGE_VAL : rounded;
    };
    for (size_t i = 0; i < given.size(); i++) {
        const double x = f16_value(given[i]);
        const double expected = step(step(step(x * x) / 3.0) + step(0.1));
        const double got = (found[i] & 0x7c00) == 0x7c00 ? HUGE_VAL : f16_value(found[i]);
        EXPECT(got == expected, "%g: %g, expected %g", x, got, expected);
    }
}

void bf16_rounds() {
    use_device();
    void* stream = make_stream();
    const auto found = run<uint16_t>(kernel("rounds", 4, "__nv_bfloat16* buffer_0", R"(
    // Ties go to even; an integer is rounded once, not by way of f32; a NaN stays one.
    const float ties[] = {1.00390625f, 1.01171875f, 0.0f, 0.0f};
    __nv_bfloat16 v = ties[threadIdx.x];
    if (threadIdx.x == 2) v = __nv_bfloat16((long long)16842753);
    if (threadIdx.x == 3) v = __nv_bfloat16(__int_as_float(0x7f800001));
    buffer_0[threadIdx.x] = v;)"),
                                     "rounds", {.block = 4}, {}, 4, stream);
    expect_same<uint16_t>(found, {0x3f80, 0x3f82, 0x4b81, 0x7fff});
}

// The wrappers that CubeCL writes around cp.async, and a block's barrier.
const char kCopyWrappers[] =
    R"(// Wrapper for https://docs.nvidia.com/cuda/parallel-thread-execution/#cp-async
template <size_t _Copy_size>
inline __device__ void
__cp_async_shared_global(void const *src_ptr, void *smem_ptr) {
  uint32 smem_int_ptr = static_cast<uint32>(__cvta_generic_to_shared(smem_ptr));
  asm volatile("cp.async.cg.shared::cta.global [%0], [%1], %2, %2;\n"
               :: "r"(smem_int_ptr), "l"(src_ptr), "n"(16) : "memory");
})";

void copies_and_barriers() {
    use_device();
    void* stream = make_stream();
    const auto given = integers(128, 100, 12);
    const std::string source =
        kCopyWrappers +
        kernel("copy", 32, "const float* __restrict__ buffer_0, float* buffer_1", R"(
    extern __shared__ __align__(16) uint8 dynamic_shared_mem[];
    float* shared = reinterpret_cast<float*>(&dynamic_shared_mem[64]);
    auto& bar = *reinterpret_cast<cuda::barrier<cuda::thread_scope_block>*>(&dynamic_shared_mem[0]);
    if (threadIdx.x == 0) { init(&bar, 32); }
    __syncthreads();
    __cp_async_shared_global<16>(buffer_0 + 4 * threadIdx.x, shared + 4 * threadIdx.x);
    __cp_async_arrive(bar);
    auto token = bar.arrive();
    bar.wait(std::move(token));
    for (uint i = 0; i < 4; i++) buffer_1[4 * threadIdx.x + i] = shared[127 - 4 * threadIdx.x - i];
    bar.arrive_and_wait();
    if (threadIdx.x == 0) {
        // 4 bytes of 16: the others are 0.
        __cp_async_shared_global<16>(buffer_0, shared, 4);
        buffer_1[0] += 1000.0f * shared[0] + shared[1];
    })");
    auto expected = each<float>(given, same);
    const float first = expected[0];
    std::reverse(expected.begin(), expected.end());
    expected[0] += 1000 * first;
    const auto found = run<float>(source, "copy", {.shared = 64 + 512},
                                  {upload(each<float>(given, same), stream)}, 128, stream);
    expect_same(found, expected);
}

// Two texts that differ in the order of their types are one kernel.
void order_of_types_is_no_difference() {
    const std::string one = "struct __align__(8) float_2 {\n    float i_0;\n    float i_1;\n};\n";
    const std::string other = "struct __align__(16) uint_4 {\n    uint x[4];\n};\n";
    const std::string body = kernel("nothing", 32, "float* buffer_0", "    buffer_0[0] = 1.0f;");
    const auto a = compile(one + other + body), b = compile(other + one + body);
    EXPECT(a.code == 0 && b.code == 0);
    EXPECT(a.ptx == b.ptx, "%s and %s", a.ptx.c_str(), b.ptx.c_str());
    EXPECT(compile(one + body).ptx != a.ptx);
}

} // namespace

std::vector<Case> result_cases() {
    std::vector<Case> cases = {
        {"block sum", block_sum},
        {"prefix sum", prefix_sum},
        {"votes", votes},
        {"atomics", atomics},
        {"mma.h in all types", wmma_of_all_types},
        {"mma.sync with ldmatrix", mma_with_ldmatrix},
        {"results handed over", results_handed_over},
        {"ldmatrix and stmatrix", matrices_there_and_back},
        {"mma.sync in other types", mma_of_other_types},
        {"TF32 is cut", tf32_is_cut},
        {"f16 rounds", halves_round},
        {"bf16 rounds", bf16_rounds},
        {"copies and barriers", copies_and_barriers},
        {"the order of types", order_of_types_is_no_difference},
    };
    // The same in every order of a block's threads, late, and with every access checked.
    const std::vector<Case> plain = cases;
    for (auto [variable, value] : {std::pair{"EMU_ORDER", "1"}, std::pair{"EMU_ORDER", "2"},
                                   std::pair{"EMU_LAZY", "1"}, std::pair{"EMU_MEMCHECK", "1"}})
        for (Case one : plain) {
            one.environment = {{variable, value}};
            cases.push_back(one);
        }
    return cases;
}
