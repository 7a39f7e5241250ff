// Faults of kernels and of those who launch them: each gives the code that a device gives.
#include "harness.h"

namespace {

enum Code {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_BINARY = 209,
    ILLEGAL_ADDRESS = 700,
    MISALIGNED = 716,
    LAUNCH_FAILED = 719
};

// One half of a warp waits for the warp, the other for the block.
void a_hanging_block() {
    const std::string source = kernel("stuck", 32, "float* buffer_0", R"(
    if (threadIdx.x < 16) { __syncwarp(); __syncthreads(); } else { __syncthreads(); __syncwarp(); })");
    EXPECT(outcome(source, "stuck", {}) == LAUNCH_FAILED);
}

// A barrier that nobody else arrives at.
void a_barrier_nobody_ends() {
    const std::string source = kernel("waits", 32, "float* buffer_0", R"(
    extern __shared__ __align__(16) uint8 dynamic_shared_mem[];
    auto& bar = *reinterpret_cast<cuda::barrier<cuda::thread_scope_block>*>(&dynamic_shared_mem[0]);
    if (threadIdx.x == 0) { init(&bar, 33); }
    __syncthreads();
    bar.arrive_and_wait();)");
    EXPECT(outcome(source, "waits", {.shared = 64}) == LAUNCH_FAILED);
}

// Allowed on a device, and still told.
void different_collectives() {
    const std::string source = kernel("differ", 64, "float* buffer_0", R"(
    if (threadIdx.x < 32) { __syncthreads(); buffer_0[0] = 1.0f; } else { __syncthreads(); })");
    EXPECT(outcome(source, "differ", {.block = 64}) == 0);
}

void an_illegal_address() {
    const std::string source =
        kernel("far", 32, "float* buffer_0", "    buffer_0[1ull << 40] = 1.0f;");
    EXPECT(outcome(source, "far", {}) == ILLEGAL_ADDRESS);
    // The device is lost, and says so from then on.
    Buffer at = 0;
    void* stream = make_stream();
    EXPECT(synchronize(stream) == ILLEGAL_ADDRESS);
    EXPECT(cuda("cuMemAllocAsync", &at, size_t(16), stream) == 0);
    EXPECT(cuda("cuMemFreeAsync", at, stream) == ILLEGAL_ADDRESS);
}

// The same in a kernel whose threads are fibers.
void an_illegal_address_in_a_fiber() {
    const std::string source = kernel("far", 64, "float* buffer_0", R"(
    __syncthreads();
    if (threadIdx.x == 40) buffer_0[1ull << 40] = 1.0f;
    __syncthreads();)");
    EXPECT(outcome(source, "far", {.grid = 3, .block = 64}) == ILLEGAL_ADDRESS);
}

void a_stack_that_overflows() {
    const std::string source = R"(
__device__ __attribute__((noinline)) float deep(volatile float* v, int n) {
    volatile float a[1000];
    a[n % 1000] = *v;
    return n == 0 ? a[0] : deep(a, n - 1) + a[n % 1000];
}
)" + kernel("deep_kernel", 32, "float* buffer_0", R"(
    __syncthreads();
    buffer_0[threadIdx.x] = deep(buffer_0, 1000);)");
    EXPECT(outcome(source, "deep_kernel", {}) == ILLEGAL_ADDRESS);
}

// A few bytes too far, in what a page has beyond them.
const std::string& one_too_far() {
    static const std::string source = kernel("reads", 32, "float* buffer_0", R"(
    if (threadIdx.x == 5) buffer_0[0] = buffer_0[64];)");
    return source;
}
void an_address_behind_a_buffer() {
    EXPECT(outcome(one_too_far(), "reads", {}) == ILLEGAL_ADDRESS);
}
void the_same_unchecked() { EXPECT(outcome(one_too_far(), "reads", {}) == 0); }

void shared_memory_is_left() {
    const std::string source = kernel("shared", 32, "float* buffer_0", R"(
    extern __shared__ __align__(4) uint8 dynamic_shared_mem[];
    float* shared = reinterpret_cast<float*>(&dynamic_shared_mem[0]);
    shared[threadIdx.x + 1] = 1.0f;
    __syncthreads();)");
    EXPECT(outcome(source, "shared", {.shared = 128}) == ILLEGAL_ADDRESS);
}

void misaligned_rows() {
    const std::string source = kernel("rows", 32, "float* buffer_0", R"(
    extern __shared__ __align__(16) uint8 dynamic_shared_mem[];
    __syncthreads();
    __cp_async_shared_global<16>(buffer_0 + 1, &dynamic_shared_mem[0]);)");
    EXPECT(outcome(source, "rows", {.shared = 128}) == MISALIGNED);
}

void launches_beyond_the_limits() {
    const std::string source = kernel("small", 64, "float* buffer_0", "    buffer_0[0] = 1.0f;");
    use_device();
    void *stream = make_stream(), *small = load(source, "small");
    const Buffer buffer = upload(std::vector<float>(64), stream);
    EXPECT(launch(small, {.block = 65}, stream, {buffer}) == INVALID_VALUE);
    EXPECT(launch(small, {.grid = 0}, stream, {buffer}) == INVALID_VALUE);
    EXPECT(launch(small, {.shared = 164 << 10}, stream, {buffer}) == INVALID_VALUE);
    EXPECT(launch(small, {.shared = 163 << 10}, stream, {buffer}) == 0);
    EXPECT(synchronize(stream) == 0);
}

void memory_is_bounded() {
    use_device();
    void* stream = make_stream();
    Buffer a = 0, b = 0;
    EXPECT(cuda("cuMemAllocAsync", &a, size_t(9 << 20), stream) == 0);
    EXPECT(cuda("cuMemAllocAsync", &b, size_t(8 << 20), stream) == OUT_OF_MEMORY);
    EXPECT(cuda("cuMemFreeAsync", a, stream) == 0);
    EXPECT(cuda("cuMemAllocAsync", &b, size_t(8 << 20), stream) == 0);
    EXPECT(cuda("cuMemFreeAsync", a, stream) == 0 && synchronize(stream) == INVALID_VALUE);
}

// What is used after it was freed is no memory.
void freed_memory() {
    use_device();
    void* stream = make_stream();
    const Buffer buffer = upload(std::vector<float>(64), stream);
    void* writes = load(
        kernel("writes", 32, "float* buffer_0", "    buffer_0[threadIdx.x] = 1.0f;"), "writes");
    cuda_ok("cuMemFreeAsync", buffer, stream);
    launch(writes, {}, stream, {buffer});
    EXPECT(synchronize(stream) == ILLEGAL_ADDRESS);
}

void memory_of_another_device() {
    use_device(1);
    const Buffer buffer = upload(std::vector<float>(64), make_stream());
    use_device(0);
    void* writes = load(
        kernel("writes", 32, "float* buffer_0", "    buffer_0[threadIdx.x] = 1.0f;"), "writes");
    EXPECT(launch(writes, {}, make_stream(), {buffer}) == ILLEGAL_ADDRESS);
}

// A copy to pinned memory is there when its stream was waited for, and not before.
float without_waiting(bool wait) {
    use_device();
    void* stream = make_stream();
    const Buffer buffer = upload(std::vector<float>(1, 7.0f), stream);
    float* pinned = nullptr;
    cuda_ok("cuMemAllocHost_v2", (void**)&pinned, sizeof(float));
    *pinned = 0;
    cuda_ok("cuMemcpyDtoHAsync_v2", (void*)pinned, buffer, sizeof(float), stream);
    if (wait) cuda_ok("cuStreamSynchronize", stream);
    return *pinned;
}
void a_missing_wait() { EXPECT(without_waiting(false) == 0.0f); }
void a_wait() { EXPECT(without_waiting(true) == 7.0f); }

// A stream sees what another one did only behind an event.
float of_another_stream(bool event) {
    use_device();
    void *first = make_stream(), *second = make_stream(), *done = nullptr;
    const Buffer buffer = upload(std::vector<float>(64), first);
    EXPECT(synchronize(first) == 0);
    void* writes = load(
        kernel("writes", 32, "float* buffer_0", "    buffer_0[threadIdx.x] = 3.0f;"), "writes");
    EXPECT(launch(writes, {}, first, {buffer}) == 0);
    cuda_ok("cuEventCreate", &done, 0u);
    cuda_ok("cuEventRecord", done, first);
    if (event) cuda_ok("cuStreamWaitEvent", second, done, 0u);
    return download<float>(buffer, 1, second)[0];
}
void a_missing_event() { EXPECT(of_another_stream(false) == 0.0f); }
void an_event() { EXPECT(of_another_stream(true) == 3.0f); }

// Threads that do not wait for each other: the order of threads shows.
float raced() {
    use_device();
    void* stream = make_stream();
    const std::string source = kernel("races", 64, "float* buffer_0", R"(
    extern __shared__ __align__(4) uint8 dynamic_shared_mem[];
    float* shared = reinterpret_cast<float*>(&dynamic_shared_mem[0]);
    shared[threadIdx.x] = 0.0f;
    __syncthreads();
    shared[threadIdx.x] = 1.0f;
    buffer_0[threadIdx.x] = shared[(threadIdx.x + 1) % 64];)");
    const auto found = run<float>(source, "races", {.block = 64, .shared = 256}, {}, 64, stream);
    float sum = 0;
    for (float v : found) sum += v;
    return sum;
}
void a_race_in_order() { EXPECT(raced() == 1.0f); }
void a_race_backwards() { EXPECT(raced() == 63.0f); }

void unwritten_memory() {
    use_device();
    void* stream = make_stream();
    Buffer buffer = 0;
    cuda_ok("cuMemAllocAsync", &buffer, size_t(256), stream);
    const float value = download<float>(buffer, 1, stream)[0];
    EXPECT(value != value, "%g", double(value));
}

// NVRTC

void text_that_does_not_compile() {
    const auto compiled =
        compile(kernel("wrong", 32, "float* buffer_0", "    buffer_0[0] = nonsense;"));
    EXPECT(compiled.code == 6);
    EXPECT(compiled.log.find("nonsense") != std::string::npos, "%s", compiled.log.c_str());
    EXPECT(compiled.log.find("kernel.cu:") != std::string::npos, "%s", compiled.log.c_str());
}

void a_header_that_is_missing() {
    const auto compiled = compile(kernel("fine", 32, "float* buffer_0", "    buffer_0[0] = 1.0f;"),
                                  "sm_80", "nowhere");
    EXPECT(compiled.code == 6);
    EXPECT(compiled.log.find("cannot open source file \"cuda_runtime.h\"") != std::string::npos);
}

void products_that_are_refused() {
    const auto product = kernel("matmul_entry", 32, "float* buffer_0", R"(
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> c;
    nvcuda::wmma::mma_sync(c, c, c, c);)");
    const auto plain = kernel("matmul_entry", 32, "float* buffer_0", "    buffer_0[0] = 1.0f;");
    const auto compiled = compile(product);
    EXPECT(compiled.code == 6 && compiled.log.find("EMU_REFUSE") != std::string::npos);
    EXPECT(compile(plain).code == 0);
}

void a_card_that_nvrtc_13_does_not_know() {
    int major = 0, minor = 0;
    nvrtc("nvrtcVersion", &major, &minor);
    EXPECT(major == 13 && minor == 0);
    const auto source = kernel("fine", 32, "float* buffer_0", "    buffer_0[0] = 1.0f;");
    EXPECT(compile(source, "sm_70").code == 5);
    EXPECT(compile(source, "sm_75").code == 0);
}

void a_kernel_for_a_newer_card() {
    use_device();
    const auto compiled =
        compile(kernel("fine", 32, "float* buffer_0", "    buffer_0[0] = 1.0f;"), "sm_90a");
    void *module = nullptr, *function = nullptr;
    cuda_ok("cuModuleLoadData", &module, (const void*)compiled.ptx.c_str());
    EXPECT(cuda("cuModuleGetFunction", &function, module, "fine") == NO_BINARY);
}

} // namespace

std::vector<Case> fault_cases() {
    return {
        {"a hanging block", a_hanging_block, {}, "hangs"},
        {"a barrier nobody ends", a_barrier_nobody_ends, {}, "hangs"},
        {"different collectives", different_collectives, {}, "differ (__syncthreads): threads met"},
        {"an illegal address", an_illegal_address, {}, "far: block (0, 0, 0), thread (0, 0, 0)"},
        {"an illegal address in a fiber", an_illegal_address_in_a_fiber, {}, "thread (40, 0, 0)"},
        {"a stack that overflows", a_stack_that_overflows, {}, "illegal address"},
        {"an address behind a buffer",
         an_address_behind_a_buffer,
         {{"EMU_MEMCHECK", "1"}},
         "thread (5, 0, 0): reads 4 bytes at 256 of an allocation of 256"},
        {"the same unchecked", the_same_unchecked},
        {"shared memory is left", shared_memory_is_left, {}, "writes past its 128 bytes"},
        {"misaligned rows", misaligned_rows, {}, "cp.async"},
        {"launches beyond the limits", launches_beyond_the_limits, {}, "launch bounds say 64"},
        {"memory is bounded", memory_is_bounded, {{"EMU_MEMORY_MB", "16"}}, "out of memory"},
        {"freed memory", freed_memory, {}, "illegal address"},
        {"memory of another device", memory_of_another_device, {{"EMU_DEVICES", "2"}}},
        {"a missing wait", a_missing_wait, {{"EMU_LAZY", "1"}}},
        {"a wait", a_wait, {{"EMU_LAZY", "1"}}},
        {"a missing event", a_missing_event, {{"EMU_LAZY", "1"}}},
        {"an event", an_event, {{"EMU_LAZY", "1"}}},
        {"a race in order", a_race_in_order},
        {"a race backwards", a_race_backwards, {{"EMU_ORDER", "1"}}},
        {"unwritten memory", unwritten_memory},
        {"text that does not compile", text_that_does_not_compile, {}, "does not compile"},
        {"a header that is missing", a_header_that_is_missing},
        {"products that are refused", products_that_are_refused, {{"EMU_REFUSE", "x,wmma"}}},
        {"NVRTC 13 and sm_70", a_card_that_nvrtc_13_does_not_know, {{"EMU_NVRTC_VERSION", "13.0"}}},
        {"a kernel for a newer card", a_kernel_for_a_newer_card, {}, "the device is sm_80"},
    };
}
