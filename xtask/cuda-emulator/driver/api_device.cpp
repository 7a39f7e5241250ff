// The driver API: devices, contexts and what errors are called.
#include <cstdio>
#include <cstring>
#include <map>

#include "api.h"
#include "kernel.h"
#include "memory.h"
#include "report.h"
#include "stream.h"

using namespace emu;

namespace {

// Attributes by their numbers in cuda.h; those that are not here are 0, which is told.
int attribute(int which) {
    const int shared = int(settings().shared_bytes);
    switch (which) {
    case 1: return 1024; // threads of a block
    case 2:
    case 3: return 1024;       // in x and y
    case 4: return 64;         // in z
    case 5: return 2147483647; // blocks of a grid in x
    case 6:
    case 7: return 65535;     // in y and z
    case 8: return 48 << 10;  // shared memory of a block
    case 10: return kEmuWarp; // threads of a warp
    case 12: return 65536;    // registers of a block
    case 16: return settings().multiprocessors;
    case 39: return 2048; // threads of a multiprocessor
    case 41:
    case 115: return 1;                   // unified addressing, memory pools
    case 75: return settings().arch / 10; // compute capability
    case 76: return settings().arch % 10;
    case 81: return shared + 1024; // shared memory of a multiprocessor
    case 97: return shared;        // of a block, on request
    case 111: return 1024;         // kept by the system
    default: complain(SUCCESS, "device attribute %d was asked for and is 0", which); return 0;
    }
}

const char* name_of(Code code) {
    static const std::map<Code, const char*> names = {
        {SUCCESS, "CUDA_SUCCESS"},
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
        {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {NOT_READY, "CUDA_ERROR_NOT_READY"},
        {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS"},
        {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
        {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
    };
    auto found = names.find(code);
    return found == names.end() ? nullptr : found->second;
}

bool exists(int device) { return device >= 0 && device < settings().devices; }

// Tells what was counted when the library is unloaded, at the process's end.
struct AtEnd {
    ~AtEnd() {
        tell_counts();
        const std::string& path = settings().stats;
        FILE* file = path.empty() ? nullptr : std::fopen(path.c_str(), "a");
        if (!file) return;
        for (const Kernel* k : kernels())
            std::fprintf(file, "%s\t%ld\t%ld\t%.3f s\t%s\t%s\n", k->name.c_str(), k->launches,
                         k->threads, k->seconds, k->info->features, k->module->path.c_str());
        for (int device = 0; device < settings().devices; device++)
            std::fprintf(file, "# most memory of device %d: %zu bytes\n", device,
                         most_bytes(device));
        std::fclose(file);
    }
} at_end;

} // namespace

API Code cuInit(unsigned) {
    EMU_LOCK;
    if (settings().devices == 0) return NO_DEVICE;
    if (!initialized) catch_faults();
    initialized = true;
    return SUCCESS;
}

API Code cuDriverGetVersion(int* version) {
    *version = settings().driver_version;
    return SUCCESS;
}

API Code cuDeviceGetCount(int* count) {
    if (!initialized) return NOT_INITIALIZED;
    *count = settings().devices;
    return SUCCESS;
}

API Code cuDeviceGet(int* device, int ordinal) {
    if (!initialized) return NOT_INITIALIZED;
    if (!exists(ordinal)) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

API Code cuDeviceGetName(char* name, int length, int device) {
    if (!exists(device)) return INVALID_DEVICE;
    std::snprintf(name, size_t(length), "Emulated sm_%d", settings().arch);
    return SUCCESS;
}

API Code cuDeviceGetUuid_v2(char* uuid, int device) {
    if (!exists(device)) return INVALID_DEVICE;
    std::memset(uuid, device + 1, 16);
    return SUCCESS;
}

API Code cuDeviceGetUuid(char* uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }

API Code cuDeviceTotalMem_v2(size_t* bytes, int device) {
    if (!exists(device)) return INVALID_DEVICE;
    *bytes = settings().memory_bytes;
    return SUCCESS;
}

API Code cuDeviceGetAttribute(int* value, int which, int device) {
    EMU_LOCK;
    if (!exists(device)) return INVALID_DEVICE;
    *value = attribute(which);
    return SUCCESS;
}

// Devices do not see each other's memory.
API Code cuDeviceCanAccessPeer(int* can, int, int) {
    *can = 0;
    return SUCCESS;
}

// A context is the number of its device, and 1.
API Code cuDevicePrimaryCtxRetain(void** context, int device) {
    if (!exists(device)) return INVALID_DEVICE;
    *context = (void*)(uintptr_t)(device + 1);
    return SUCCESS;
}

API Code cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }

API Code cuCtxSetCurrent(void* context) {
    if (context && !exists(int((uintptr_t)context) - 1)) return INVALID_CONTEXT;
    current_device = int((uintptr_t)context) - 1;
    return SUCCESS;
}

API Code cuCtxGetCurrent(void** context) {
    *context = (void*)(uintptr_t)(current_device + 1);
    return SUCCESS;
}

API Code cuCtxSynchronize() {
    EMU_LOCK;
    if (Code code = with_context("cuCtxSynchronize")) return code;
    return run_all();
}

API Code cuGetErrorName(Code code, const char** text) {
    *text = name_of(code);
    return *text ? SUCCESS : INVALID_VALUE;
}

API Code cuGetErrorString(Code code, const char** text) { return cuGetErrorName(code, text); }
