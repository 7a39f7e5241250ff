// The driver API: memory and copies.
#include <cstring>
#include <vector>

#include "api.h"
#include "memory.h"
#include "report.h"
#include "stream.h"

using namespace emu;

namespace {

// What a copy's source holds now, or may hold until the copy runs.
unsigned first_word(const void* from, size_t bytes) {
    unsigned word = 0;
    std::memcpy(&word, from, std::min(bytes, sizeof word));
    return word;
}

// A copy between host and device waits for the stream where the host's memory is pageable: what is
// read is read before the call returns, and what is written is written.
Code submit_copy(Stream* stream, void* to, bool to_device, const void* from, bool from_device,
                 size_t bytes) {
    if (!from_device && !pinned((uintptr_t)from)) {
        std::vector<char> data((const char*)from, (const char*)from + bytes);
        return submit(stream, [to, data = std::move(data)] {
            std::memcpy(to, data.data(), data.size());
            return SUCCESS;
        });
    }
    Code code = submit(stream, [=] {
        std::memmove(to, from, bytes);
        return SUCCESS;
    });
    if (code == SUCCESS && !to_device && !pinned((uintptr_t)to))
        return run_until(stream, stream->submitted);
    return code;
}

Code copy(const char* what, void* handle, uintptr_t to, bool to_device, uintptr_t from,
          bool from_device, size_t bytes) {
    Stream* stream;
    if (Code code = resolve(what, handle, &stream)) return code;
    if (bytes == 0) return SUCCESS;
    if (to_device)
        if (Code code = device_range(what, to, bytes)) return code;
    if (from_device)
        if (Code code = device_range(what, from, bytes)) return code;
    if (!to || !from) return complain(INVALID_VALUE, "%s: a null pointer", what);
    note("%s %p <- %p %zu bytes, stream %p, first %08x\n", what, (void*)to, (void*)from, bytes,
         handle, from_device ? 0 : first_word((void*)from, bytes));
    return submit_copy(stream, (void*)to, to_device, (void*)from, from_device, bytes);
}

// CUDA_MEMCPY2D of cuda.h.
struct Copy2D {
    size_t src_x, src_y;
    unsigned src_type;
    const void* src_host;
    uintptr_t src_device;
    void* src_array;
    size_t src_pitch, dst_x, dst_y;
    unsigned dst_type;
    void* dst_host;
    uintptr_t dst_device;
    void* dst_array;
    size_t dst_pitch, width, height;
};
enum MemoryType { HOST = 1, DEVICE = 2 };

void copy_rows(const Copy2D& c, char* to, const char* from) {
    for (size_t y = 0; y < c.height; y++)
        std::memcpy(to + y * c.dst_pitch, from + y * c.src_pitch, c.width);
}

Code copy_2d(const char* what, const Copy2D& c, void* handle) {
    Stream* stream;
    if (Code code = resolve(what, handle, &stream)) return code;
    if (c.width == 0 || c.height == 0) return SUCCESS;
    if (c.src_x || c.src_y || c.dst_x || c.dst_y || c.src_type > DEVICE || c.dst_type > DEVICE)
        return complain(NOT_SUPPORTED, "%s: offsets and arrays are not emulated", what);
    if (c.width > c.src_pitch || c.width > c.dst_pitch)
        return complain(INVALID_VALUE, "%s: rows of %zu bytes, pitches %zu and %zu", what, c.width,
                        c.src_pitch, c.dst_pitch);
    const bool to_device = c.dst_type == DEVICE, from_device = c.src_type == DEVICE;
    const size_t read = (c.height - 1) * c.src_pitch + c.width;
    const size_t written = (c.height - 1) * c.dst_pitch + c.width;
    if (to_device)
        if (Code code = device_range(what, c.dst_device, written)) return code;
    if (from_device)
        if (Code code = device_range(what, c.src_device, read)) return code;
    char* const to = to_device ? (char*)c.dst_device : (char*)c.dst_host;
    const char* const from = from_device ? (const char*)c.src_device : (const char*)c.src_host;
    note("%s %p <- %p %zu x %zu, pitch %zu <- %zu, stream %p, first %08x\n", what, (void*)to,
         (const void*)from, c.height, c.width, c.dst_pitch, c.src_pitch, handle,
         from_device ? 0 : first_word(from, c.width));
    if (!from_device && !pinned((uintptr_t)from)) {
        std::vector<char> data(from, from + read);
        return submit(stream, [c, to, data = std::move(data)] {
            copy_rows(c, to, data.data());
            return SUCCESS;
        });
    }
    Code code = submit(stream, [=] {
        copy_rows(c, to, from);
        return SUCCESS;
    });
    if (code == SUCCESS && !to_device && !pinned((uintptr_t)to))
        return run_until(stream, stream->submitted);
    return code;
}

} // namespace

API Code cuMemAlloc_v2(uintptr_t* to, size_t bytes) {
    EMU_LOCK;
    if (Code code = with_context("cuMemAlloc")) return code;
    return allocate(to, bytes, current_device);
}

API Code cuMemAllocAsync(uintptr_t* to, size_t bytes, void* handle) {
    EMU_LOCK;
    Stream* stream;
    if (Code code = resolve("cuMemAllocAsync", handle, &stream)) return code;
    return allocate(to, bytes, stream->device);
}

API Code cuMemFree_v2(uintptr_t at) {
    EMU_LOCK;
    run_all();
    return release(at, true);
}

API Code cuMemFreeAsync(uintptr_t at, void* handle) {
    EMU_LOCK;
    Stream* stream;
    if (Code code = resolve("cuMemFreeAsync", handle, &stream)) return code;
    return submit(stream, [at] { return release(at, true); });
}

API Code cuMemAllocHost_v2(void** to, size_t bytes) {
    EMU_LOCK;
    return allocate((uintptr_t*)to, bytes, kHost);
}

API Code cuMemHostAlloc(void** to, size_t bytes, unsigned) { return cuMemAllocHost_v2(to, bytes); }

API Code cuMemFreeHost(void* at) {
    EMU_LOCK;
    run_all();
    return release((uintptr_t)at, false);
}

API Code cuMemGetInfo_v2(size_t* free, size_t* total) {
    EMU_LOCK;
    if (Code code = with_context("cuMemGetInfo")) return code;
    *total = settings().memory_bytes, *free = *total - used_bytes(current_device);
    return SUCCESS;
}

API Code cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* stream) {
    EMU_LOCK;
    return copy("cuMemcpyHtoDAsync", stream, to, true, (uintptr_t)from, false, bytes);
}

API Code cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* stream) {
    EMU_LOCK;
    return copy("cuMemcpyDtoHAsync", stream, (uintptr_t)to, false, from, true, bytes);
}

API Code cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
    EMU_LOCK;
    return copy("cuMemcpyDtoDAsync", stream, to, true, from, true, bytes);
}

API Code cuMemcpyHtoD_v2(uintptr_t to, const void* from, size_t bytes) {
    EMU_LOCK;
    if (Code code = copy("cuMemcpyHtoD", nullptr, to, true, (uintptr_t)from, false, bytes))
        return code;
    return run_all();
}

API Code cuMemcpyDtoH_v2(void* to, uintptr_t from, size_t bytes) {
    EMU_LOCK;
    if (Code code = run_all()) return code;
    if (Code code = copy("cuMemcpyDtoH", nullptr, (uintptr_t)to, false, from, true, bytes))
        return code;
    return run_all();
}

API Code cuMemcpy2DAsync_v2(const Copy2D* given, void* stream) {
    EMU_LOCK;
    return copy_2d("cuMemcpy2DAsync", *given, stream);
}

API Code cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void* handle) {
    EMU_LOCK;
    Stream* stream;
    if (Code code = resolve("cuMemsetD8Async", handle, &stream)) return code;
    if (Code code = device_range("cuMemsetD8Async", to, bytes)) return code;
    return submit(stream, [=] {
        std::memset((void*)to, value, bytes);
        return SUCCESS;
    });
}
