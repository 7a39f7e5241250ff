// Allocations with a guard page behind each.
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "report.h"

namespace emu {
namespace {

constexpr size_t kPage = 4096;
// Larger allocations are pools of which little may be used: filling them would cost memory.
constexpr size_t kMostPoisoned = 64 << 20;

struct Memory {
    std::map<uintptr_t, Allocation> allocations;
    size_t used[kMostDevices] = {}, most[kMostDevices] = {};
};

Memory& memory() {
    static Memory* const all = new Memory;
    return *all;
}

} // namespace

const Allocation* before(uintptr_t at) {
    auto& allocations = memory().allocations;
    auto next = allocations.upper_bound(at);
    return next == allocations.begin() ? nullptr : &(--next)->second;
}

const Allocation* find(uintptr_t at) {
    const Allocation* last = before(at);
    return last && at < last->end() ? last : nullptr;
}

bool pinned(uintptr_t at) {
    const Allocation* found = find(at);
    return found && found->device == kHost;
}

Code device_range(const char* what, uintptr_t at, size_t bytes) {
    const Allocation* found = find(at);
    if (!found || found->device == kHost)
        return complain(INVALID_VALUE, "%s: %p is no device memory", what, (void*)at);
    if (at + bytes > found->end())
        return complain(INVALID_VALUE, "%s: %zu bytes at %zu of an allocation of %zu", what, bytes,
                        at - found->start, found->bytes);
    return SUCCESS;
}

Code allocate(uintptr_t* to, size_t bytes, int device) {
    if (bytes == 0) return complain(INVALID_VALUE, "an allocation of 0 bytes");
    if (device != kHost && used_bytes(device) + bytes > settings().memory_bytes)
        return complain(OUT_OF_MEMORY, "out of memory: %zu more bytes beside %zu", bytes,
                        used_bytes(device));
    size_t mapped = (bytes + kPage - 1) / kPage * kPage + kPage;
    void* at = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return complain(OUT_OF_MEMORY, "the host has no %zu bytes for device memory", bytes);
    mprotect((char*)at + mapped - kPage, kPage, PROT_NONE);
    if (device != kHost) {
        if (settings().poison && bytes <= kMostPoisoned) std::memset(at, 0xff, bytes); // all NaN
        Memory& all = memory();
        all.used[device] += bytes;
        all.most[device] = std::max(all.most[device], all.used[device]);
    }
    *to = (uintptr_t)at;
    memory().allocations[*to] = {*to, bytes, mapped, device};
    return SUCCESS;
}

Code release(uintptr_t at, bool of_device) {
    auto& allocations = memory().allocations;
    auto found = allocations.find(at);
    if (found == allocations.end() || (found->second.device != kHost) != of_device)
        return complain(INVALID_VALUE, "free of %p, which is not allocated", (void*)at);
    const Allocation& freed = found->second;
    if (of_device) memory().used[freed.device] -= freed.bytes;
    munmap((void*)freed.start, freed.mapped);
    allocations.erase(found);
    return SUCCESS;
}

size_t used_bytes(int device) { return memory().used[device]; }
size_t most_bytes(int device) { return memory().most[device]; }

} // namespace emu
