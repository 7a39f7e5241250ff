// The driver API: modules, kernels and launches.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "api.h"
#include "kernel.h"
#include "memory.h"
#include "report.h"
#include "stream.h"

using namespace emu;

namespace {

// The first line of what the emulator's NVRTC gives as PTX; the second is a library's path.
constexpr char kMark[] = "// cuda-emulator\n";
constexpr size_t kMostDumped = 1 << 20;

uintptr_t as_pointer(const std::vector<char>& value) {
    uintptr_t at = 0;
    if (value.size() == sizeof at) std::memcpy(&at, value.data(), sizeof at);
    return at;
}

// EMU_DUMP: arguments as files, buffers with what is in them.
void dump(const char* when, const Arguments& arguments) {
    for (size_t i = 0; i < arguments.size(); i++) {
        std::string path = settings().dump + "." + std::to_string(i) + "." + when;
        FILE* file = std::fopen(path.c_str(), "wb");
        if (!file) return;
        const uintptr_t at = as_pointer(arguments[i]);
        if (const Allocation* found = find(at))
            std::fwrite((void*)at, 1, std::min(kMostDumped, size_t(found->end() - at)), file);
        else std::fwrite(arguments[i].data(), 1, arguments[i].size(), file);
        std::fclose(file);
    }
}

Code check_shape(const Launch& launch) {
    const char* name = launch.kernel->name.c_str();
    const auto [gx, gy, gz] = launch.grid;
    const auto [bx, by, bz] = launch.block;
    if (!gx || !gy || !gz || !bx || !by || !bz)
        return complain(INVALID_VALUE, "%s: an empty launch, grid (%u, %u, %u), block (%u, %u, %u)",
                        name, gx, gy, gz, bx, by, bz);
    if (gx > 0x7fffffffu || gy > 65535 || gz > 65535)
        return complain(INVALID_VALUE, "%s: grid (%u, %u, %u) is too large", name, gx, gy, gz);
    const unsigned long threads = (unsigned long)bx * by * bz;
    if (bx > 1024 || by > 1024 || bz > 64 || threads > 1024)
        return complain(INVALID_VALUE, "%s: block (%u, %u, %u) is too large", name, bx, by, bz);
    const int bound = launch.kernel->info->max_threads;
    if (threads > (unsigned long)bound)
        return complain(INVALID_VALUE, "%s: %lu threads, launch bounds say %d", name, threads,
                        bound);
    if (launch.shared_bytes > launch.kernel->shared_limit)
        return complain(INVALID_VALUE, "%s: %u bytes of shared memory, %zu allowed", name,
                        launch.shared_bytes, launch.kernel->shared_limit);
    return SUCCESS;
}

Code take_arguments(Launch& launch, int device, void** given) {
    const Kernel& kernel = *launch.kernel;
    const char* name = kernel.name.c_str();
    if (kernel.info->arguments && !given) return complain(INVALID_VALUE, "%s: no parameters", name);
    for (int i = 0; i < kernel.info->arguments; i++) {
        const char* from = (const char*)given[i];
        if (!from) return complain(INVALID_VALUE, "%s: parameter %d is a null pointer", name, i);
        launch.arguments.emplace_back(from, from + kernel.info->argument_bytes[i]);
        const uintptr_t at = as_pointer(launch.arguments.back());
        const Allocation* found = find(at);
        note(" %p", (void*)at);
        if (found && found->device != kHost && found->device != device)
            return complain(ILLEGAL_ADDRESS, "%s runs on device %d with memory of device %d", name,
                            device, found->device);
    }
    return SUCCESS;
}

Code execute(const Launch& launch) {
    const std::string& wanted = settings().dump;
    const bool dumped = !wanted.empty() && launch.kernel->launches == 1 &&
                        launch.kernel->module->path.find(wanted) != std::string::npos;
    if (dumped) dump("before", launch.arguments);
    Code code = run(launch);
    if (dumped) dump("after", launch.arguments);
    for (auto& value : launch.arguments) {
        const uintptr_t at = as_pointer(value);
        const Allocation* found = tracing() ? find(at) : nullptr;
        if (!found || found->end() - at < 8) continue;
        unsigned words[2];
        std::memcpy(words, (void*)at, sizeof words);
        note("  %p: %08x %08x\n", (void*)at, words[0], words[1]);
    }
    return code;
}

} // namespace

API Code cuModuleLoadData(void** module, const void* image) {
    EMU_LOCK;
    if (Code code = with_context("cuModuleLoadData")) return code;
    const char* text = (const char*)image;
    if (std::strncmp(text, kMark, std::strlen(kMark)) != 0)
        return complain(INVALID_IMAGE, "cuModuleLoadData: not what the emulator's NVRTC made");
    std::string path = text + std::strlen(kMark);
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return complain(INVALID_IMAGE, "cuModuleLoadData: %s", dlerror());
    *module = new Module{library, path};
    return SUCCESS;
}

// Kernels stay for EMU_STATS.
API Code cuModuleUnload(void*) { return SUCCESS; }

API Code cuModuleGetFunction(void** function, void* module, const char* name) {
    EMU_LOCK;
    const std::string symbol = std::string("emu_info_") + name;
    auto info = (const EmuKernelInfo*)dlsym(((Module*)module)->library, symbol.c_str());
    if (!info) return complain(NOT_FOUND, "cuModuleGetFunction: no kernel %s", name);
    if (info->arch > settings().arch)
        return complain(NO_BINARY_FOR_GPU, "%s was compiled for sm_%d, the device is sm_%d", name,
                        info->arch, settings().arch);
    Kernel* kernel = new Kernel;
    kernel->module = (Module*)module, kernel->name = name, kernel->info = info;
    kernels().push_back(kernel);
    *function = kernel;
    return SUCCESS;
}

API Code cuFuncSetAttribute(void* function, int attribute, int value) {
    EMU_LOCK;
    constexpr int kMaxDynamicShared = 8;
    if (attribute != kMaxDynamicShared) return SUCCESS;
    Kernel* kernel = (Kernel*)function;
    if (value < 0 || size_t(value) > settings().shared_bytes)
        return complain(INVALID_VALUE, "%s wants %d bytes of shared memory, the limit is %zu",
                        kernel->name.c_str(), value, settings().shared_bytes);
    kernel->shared_limit = std::max(size_t(value), size_t(48 << 10));
    return SUCCESS;
}

API Code cuFuncGetAttribute(int* value, int attribute, void* function) {
    constexpr int kMaxThreads = 0;
    *value = attribute == kMaxThreads ? ((Kernel*)function)->info->max_threads : 0;
    return SUCCESS;
}

API Code cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                        unsigned by, unsigned bz, unsigned shared_bytes, void* handle,
                        void** parameters, void** extra) {
    EMU_LOCK;
    Kernel* kernel = (Kernel*)function;
    const char* name = kernel->name.c_str();
    Stream* stream;
    if (Code code = resolve("cuLaunchKernel", handle, &stream)) return code;
    if (extra) return complain(NOT_SUPPORTED, "%s: packed parameters are not emulated", name);
    Launch launch = {kernel, {gx, gy, gz}, {bx, by, bz}, shared_bytes, {}};
    if (Code code = check_shape(launch)) return code;
    const std::string& path = kernel->module->path;
    note("launch %s %s (%u, %u, %u) x (%u, %u, %u) stream %p:", name,
         path.substr(path.rfind('/') + 1).c_str(), gx, gy, gz, bx, by, bz, (void*)stream);
    Code code = take_arguments(launch, stream->device, parameters);
    note("\n");
    if (code) return code;
    kernel->launches++, kernel->threads += long(gx) * gy * gz * bx * by * bz;
    if (!settings().run) return SUCCESS;
    return submit(stream, [launch = std::move(launch)] { return execute(launch); });
}

API Code cuTensorMapEncodeTiled(void*) {
    return complain(NOT_SUPPORTED, "cuTensorMapEncodeTiled is not emulated");
}

API Code cuTensorMapEncodeIm2col(void*) {
    return complain(NOT_SUPPORTED, "cuTensorMapEncodeIm2col is not emulated");
}
