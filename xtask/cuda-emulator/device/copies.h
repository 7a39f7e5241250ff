// Copies that a device makes in the background. Here they are made at once, so that there is
// nothing to wait for; barriers work all the same.
#pragma once
#include "language.h"

// `BYTES` are written, of which `bytes` come from the source and the others are 0.
template <size_t BYTES>
EMU void __cp_async_shared_global(const void* from, void* to, int bytes = int(BYTES)) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16);
    if ((uintptr_t)from % BYTES || (uintptr_t)to % BYTES)
        emu_rt->misaligned("cp.async: an address is not a multiple of the size");
    if (bytes < 0 || bytes > int(BYTES))
        emu_rt->misaligned("cp.async: the source has more bytes than are copied");
    memcpy(to, from, size_t(bytes));
    memset((char*)to + bytes, 0, BYTES - size_t(bytes));
}

namespace cuda {
enum thread_scope {
    thread_scope_system,
    thread_scope_device,
    thread_scope_block,
    thread_scope_thread
};

template <thread_scope S> struct barrier {
    using arrival_token = unsigned;

    unsigned short expected, pending;
    unsigned phase;

    EMU arrival_token arrive(int count = 1) {
        unsigned token = phase;
        pending = (unsigned short)(pending - count);
        if (pending == 0) pending = expected, phase++;
        return token;
    }
    EMU void wait(arrival_token token) {
        while (phase == token) emu_rt->poll();
    }
    EMU void wait_parity(bool parity) {
        while ((phase & 1) == unsigned(parity)) emu_rt->poll();
    }
    EMU void arrive_and_wait() { wait(arrive()); }
};
template <thread_scope S> EMU void init(barrier<S>* b, int count) {
    b->expected = b->pending = (unsigned short)count, b->phase = 0;
}
template <class To, class From, thread_scope S>
EMU void memcpy_async(To* to, const From* from, size_t bytes, barrier<S>&) {
    memcpy((void*)to, (const void*)from, bytes);
}
template <class Group, class To, class From, thread_scope S>
EMU void memcpy_async(const Group&, To* to, const From* from, size_t bytes, barrier<S>&) {
    if (emu_rt->current->linear == 0) memcpy((void*)to, (const void*)from, bytes);
}
} // namespace cuda
using cuda::init;
template <cuda::thread_scope S> EMU void __cp_async_arrive(cuda::barrier<S>&) {}

namespace cooperative_groups {
struct thread_block {};
struct thread_group {};
EMU thread_block this_thread_block() { return {}; }
EMU thread_group this_thread() { return {}; }
template <class G, class To, class From>
EMU void memcpy_async(const G&, To* to, const From* from, size_t bytes) {
    memcpy((void*)to, (const void*)from, bytes);
}
template <class G> EMU void wait(const G&) {}
} // namespace cooperative_groups
