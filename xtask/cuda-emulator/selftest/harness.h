// Cases for the emulator, each in a process with an environment of its own.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <utility>
#include <vector>

struct Case {
    const char* name;
    void (*body)();
    std::vector<std::pair<const char*, const char*>> environment = {};
    const char* says = ""; // has to be on standard error
};

std::vector<Case> result_cases();
std::vector<Case> fault_cases();

// Ends the process: an expectation does not hold.
[[noreturn, gnu::format(printf, 4, 5)]] void failed(const char* file, int line,
                                                    const char* condition, const char* format, ...);
[[noreturn]] void failed(const char* file, int line, const char* condition);
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__);       \
    } while (false)

// The two libraries, opened as cudarc opens them.
struct Libraries {
    void *cuda, *nvrtc;
};
Libraries& libraries(); // opened at the first call
extern std::string build_folder;

// Calls a function of a library by its name. Arguments have to have exactly the types it expects.
template <class... A> int call_in(void* library, const char* name, A... arguments) {
    auto function = (int (*)(A...))dlsym(library, name);
    EXPECT(function, "%s is not in the library", name);
    return function(arguments...);
}
template <class... A> int cuda(const char* name, A... arguments) {
    return call_in(libraries().cuda, name, arguments...);
}
template <class... A> int nvrtc(const char* name, A... arguments) {
    return call_in(libraries().nvrtc, name, arguments...);
}
template <class... A> void cuda_ok(const char* name, A... arguments) {
    const int code = cuda(name, arguments...);
    EXPECT(code == 0, "%s gave %d", name, code);
}

// Makes a device's context current.
void use_device(int device = 0);

// The outcome of NVRTC on a text behind CubeCL's type definitions; `ptx` if it compiled, else
// `log`.
struct Compiled {
    int code;
    std::string ptx, log;
};
Compiled compile(const std::string& source, const char* arch = "sm_80",
                 const std::string& headers = build_folder + "/include");

// A kernel, compiled and loaded.
void* load(const std::string& source, const char* name);
void* make_stream();

using Buffer = uint64_t; // an address on the device
template <class T> Buffer upload(const std::vector<T>& values, void* stream) {
    Buffer at = 0;
    cuda_ok("cuMemAllocAsync", &at, values.size() * sizeof(T), stream);
    cuda_ok("cuMemcpyHtoDAsync_v2", at, (const void*)values.data(), values.size() * sizeof(T),
            stream);
    return at;
}
template <class T> std::vector<T> download(Buffer at, size_t count, void* stream) {
    std::vector<T> values(count);
    cuda_ok("cuMemcpyDtoHAsync_v2", (void*)values.data(), at, count * sizeof(T), stream);
    cuda_ok("cuStreamSynchronize", stream);
    return values;
}

struct Shape {
    unsigned grid = 1, block = 32, shared = 0;
};
// The code that the launch gave.
int launch(void* kernel, Shape shape, void* stream, std::vector<Buffer> buffers);
int synchronize(void* stream);

// Runs a kernel whose last buffer is of `count` values, all 0 before, and gives that buffer.
template <class T>
std::vector<T> run(const std::string& source, const char* name, Shape shape,
                   std::vector<Buffer> inputs, size_t count, void* stream) {
    inputs.push_back(upload(std::vector<T>(count, T{}), stream));
    const int code = launch(load(source, name), shape, stream, inputs);
    EXPECT(code == 0, "the launch gave %d", code);
    return download<T>(inputs.back(), count, stream);
}

// Runs a kernel of one buffer of floats and gives the code that waiting for it gave.
int outcome(const std::string& source, const char* name, Shape shape, size_t floats = 64);

// "extern "C" __global__ void … (", as CubeCL writes it.
std::string kernel(const char* name, unsigned threads, const char* parameters, const char* body);
