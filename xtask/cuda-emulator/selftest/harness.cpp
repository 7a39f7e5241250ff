// What cases call.
#include "harness.h"

#include <cstdarg>

std::string build_folder;

void failed(const char* file, int line, const char* condition) {
    failed(file, line, condition, "does not hold");
}

void failed(const char* file, int line, const char* condition, const char* format, ...) {
    std::fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    va_list rest;
    va_start(rest, format);
    std::vfprintf(stderr, format, rest);
    va_end(rest);
    std::fprintf(stderr, "\n");
    std::exit(1);
}

Libraries& libraries() {
    static Libraries opened = {};
    if (opened.cuda) return opened;
    opened.cuda = dlopen((build_folder + "/libcuda.so.1").c_str(), RTLD_NOW);
    opened.nvrtc = dlopen((build_folder + "/libnvrtc.so.12").c_str(), RTLD_NOW);
    EXPECT(opened.cuda && opened.nvrtc, "%s", dlerror());
    return opened;
}

void use_device(int device) {
    cuda_ok("cuInit", 0u);
    void* context = nullptr;
    cuda_ok("cuDevicePrimaryCtxRetain", &context, device);
    cuda_ok("cuCtxSetCurrent", context);
}

// What stands before every kernel of CubeCL.
static const char kTypes[] = R"(#include <cuda_runtime.h>
typedef unsigned int uint;
typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long int uint64;
typedef signed char int8;
typedef signed short int16;
typedef signed int int32;
typedef signed long long int int64;
)";

Compiled compile(const std::string& source, const char* arch, const std::string& headers) {
    void* program = nullptr;
    const std::string text = kTypes + source;
    int code = nvrtc("nvrtcCreateProgram", &program, text.c_str(), (const char*)nullptr, 0,
                     (const char* const*)nullptr, (const char* const*)nullptr);
    EXPECT(code == 0, "nvrtcCreateProgram gave %d", code);
    const std::string arch_option = std::string("--gpu-architecture=") + arch;
    const std::string path_option = "--include-path=" + headers;
    const char* options[] = {arch_option.c_str(), path_option.c_str()};
    Compiled compiled;
    compiled.code = nvrtc("nvrtcCompileProgram", program, 2, (const char* const*)options);
    const bool good = compiled.code == 0;
    size_t bytes = 0;
    nvrtc(good ? "nvrtcGetPTXSize" : "nvrtcGetProgramLogSize", program, &bytes);
    std::string text_of(bytes, '\0');
    nvrtc(good ? "nvrtcGetPTX" : "nvrtcGetProgramLog", program, text_of.data());
    (good ? compiled.ptx : compiled.log) = text_of.c_str();
    nvrtc("nvrtcDestroyProgram", &program);
    return compiled;
}

void* load(const std::string& source, const char* name) {
    const Compiled compiled = compile(source);
    EXPECT(compiled.code == 0, "%s", compiled.log.c_str());
    void *module = nullptr, *function = nullptr;
    cuda_ok("cuModuleLoadData", &module, (const void*)compiled.ptx.c_str());
    cuda_ok("cuModuleGetFunction", &function, module, name);
    return function;
}

void* make_stream() {
    void* stream = nullptr;
    cuda_ok("cuStreamCreate", &stream, 1u);
    return stream;
}

int launch(void* kernel, Shape shape, void* stream, std::vector<Buffer> buffers) {
    std::vector<void*> arguments;
    for (Buffer& buffer : buffers) arguments.push_back(&buffer);
    if (int code = cuda("cuFuncSetAttribute", kernel, 8, int(shape.shared))) return code;
    return cuda("cuLaunchKernel", kernel, shape.grid, 1u, 1u, shape.block, 1u, 1u, shape.shared,
                stream, arguments.data(), (void**)nullptr);
}

int synchronize(void* stream) { return cuda("cuStreamSynchronize", stream); }

int outcome(const std::string& source, const char* name, Shape shape, size_t floats) {
    use_device();
    void* stream = make_stream();
    const Buffer buffer = upload(std::vector<float>(floats), stream);
    if (int code = launch(load(source, name), shape, stream, {buffer})) return code;
    return synchronize(stream);
}

std::string kernel(const char* name, unsigned threads, const char* parameters, const char* body) {
    return "\n\nextern \"C\" __global__ void __launch_bounds__(" + std::to_string(threads) + ")" +
           name + " (\n" + parameters + "\n) {\n" + body + "\n}\n";
}
