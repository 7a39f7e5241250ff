// Device memory and pinned memory of the host, both of which are mapped pages here.
#pragma once
#include <cstddef>
#include <cstdint>

#include "settings.h"

namespace emu {

constexpr int kHost = -1;

struct Allocation {
    uintptr_t start;
    size_t bytes, mapped;
    int device; // or kHost

    uintptr_t end() const { return start + bytes; }
};

// The allocation that this address lies in, or null.
const Allocation* find(uintptr_t at);
// The last allocation that starts at this address or before, or null.
const Allocation* before(uintptr_t at);
// Whether this is pinned memory, which a device reads and writes by itself.
bool pinned(uintptr_t at);

Code allocate(uintptr_t* to, size_t bytes, int device);
Code release(uintptr_t at, bool of_device);

// Whether all of this is memory of one allocation on a device; complains where it is not.
Code device_range(const char* what, uintptr_t at, size_t bytes);

size_t used_bytes(int device);
size_t most_bytes(int device);

} // namespace emu
