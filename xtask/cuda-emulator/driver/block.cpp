// Fibers: one stack for every thread of a block, and a scheduler that resumes those that can go on.
#include "block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "report.h"

// Leaves the registers that a call keeps on the old stack, and takes them from the new one.
extern "C" void emu_switch(void** from, void* to);
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, . - emu_switch
)");

namespace emu {

EmuRuntime runtime;
Blocks running;

namespace {

constexpr size_t kStack = 256 << 10;
constexpr size_t kGuard = 4096; // below each stack
constexpr int kMostThreads = 1024;
// A block whose threads only poll for so many rounds has nobody who could change anything.
constexpr int kMostIdleRounds = 1000;

char* stacks;
EmuThread threads[kMostThreads];
EmuWarp warps[kMostThreads / kEmuWarp];
void* scheduler;
struct {
    unsigned phase, arrived, live;
    const void* site;
} block;

void leave() { emu_switch(&runtime.current->stack_pointer, scheduler); }

unsigned sync_warp(const void* site) {
    EmuThread& me = *runtime.current;
    EmuWarp& warp = *me.warp;
    if (warp.arrived == 0) warp.site = site;
    else if (warp.site != site) diverged(running.kernel->name);
    unsigned phase = warp.phase;
    if (++warp.arrived == warp.live) {
        warp.arrived = 0, warp.phase++;
        return phase & 1;
    }
    me.state = EmuThread::WAITS_FOR_WARP, me.waits_for = phase;
    leave();
    return phase & 1;
}

void sync_block(const void* site) {
    EmuThread& me = *runtime.current;
    if (block.arrived == 0) block.site = site;
    else if (block.site != site) diverged(running.kernel->name + " (__syncthreads)");
    if (++block.arrived == block.live) {
        block.arrived = 0, block.phase++;
        return;
    }
    me.state = EmuThread::WAITS_FOR_BLOCK, me.waits_for = block.phase;
    leave();
}

void poll() {
    runtime.current->state = EmuThread::POLLS;
    leave();
}

// Where a fiber begins. Threads that end are waited for no longer.
void thread_main() {
    running.kernel->info->entry(running.arguments);
    EmuThread& me = *runtime.current;
    me.state = EmuThread::ENDED;
    EmuWarp& warp = *me.warp;
    if (--warp.live && warp.arrived == warp.live) warp.arrived = 0, warp.phase++;
    if (--block.live && block.arrived == block.live) block.arrived = 0, block.phase++;
    leave();
    std::abort(); // an ended thread is never resumed
}

void start(EmuThread& thread) {
    thread.state = EmuThread::RUNS;
    void** top = (void**)(stacks + kStack * size_t(thread.linear + 1) - 64);
    *--top = nullptr; // so that the stack is aligned as after a call
    *--top = (void*)thread_main;
    for (int i = 0; i < 6; i++) *--top = nullptr; // what emu_switch pops
    thread.stack_pointer = top;
}

bool can_go_on(const EmuThread& thread) {
    switch (thread.state) {
    case EmuThread::RUNS:
    case EmuThread::POLLS: return true;
    case EmuThread::WAITS_FOR_WARP: return thread.warp->phase != thread.waits_for;
    case EmuThread::WAITS_FOR_BLOCK: return block.phase != thread.waits_for;
    default: return false;
    }
}

void make_stacks() {
    if (stacks) return;
    void* made = mmap(nullptr, kStack * kMostThreads, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) std::abort();
    stacks = (char*)made;
    for (int i = 0; i < kMostThreads; i++) mprotect(stacks + kStack * size_t(i), kGuard, PROT_NONE);
}

// EMU_ORDER: which thread of a block goes first, second, and so on.
std::vector<int> order_of(int count) {
    std::vector<int> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    if (settings().order == 1) std::reverse(order.begin(), order.end());
    if (settings().order == 2) {
        int step = 37;
        while (std::gcd(step, count) != 1) step++;
        for (int i = 0; i < count; i++) order[size_t(i)] = int(long(i) * step % count);
    }
    return order;
}

template <class T> bool inside(const void* at, size_t bytes, const T* first, size_t count) {
    return at >= (const void*)first && (const char*)at + bytes <= (const char*)(first + count);
}

} // namespace

void prepare_threads(EmuDim block_dim, EmuDim grid) {
    make_stacks();
    runtime.sync_warp = sync_warp, runtime.sync_block = sync_block, runtime.poll = poll;
    runtime.block_dim = block_dim, runtime.grid_dim = grid;
    unsigned count = block_dim.x * block_dim.y * block_dim.z;
    running.order = order_of(int(count));
    for (unsigned i = 0; i < count; i++) {
        EmuThread& thread = threads[i];
        unsigned row = i / block_dim.x;
        thread.tid = {i % block_dim.x, row % block_dim.y, row / block_dim.y};
        thread.linear = int(i), thread.lane = int(i % kEmuWarp), thread.warp = &warps[i / kEmuWarp];
    }
}

bool run_together() {
    int count = int(running.order.size());
    for (int i = 0; i < count; i++) start(threads[i]);
    for (int first = 0; first < count; first += kEmuWarp) {
        EmuWarp& warp = warps[first / kEmuWarp];
        warp.live = std::min(kEmuWarp, count - first), warp.arrived = 0;
    }
    block.live = unsigned(count), block.arrived = 0;
    int idle = 0;
    while (block.live) {
        bool moved = false, polled = false;
        for (int at : running.order) {
            EmuThread& thread = threads[at];
            if (!can_go_on(thread)) continue;
            bool was_polling = thread.state == EmuThread::POLLS;
            thread.state = EmuThread::RUNS;
            runtime.current = &thread;
            emu_switch(&scheduler, thread.stack_pointer);
            (was_polling && thread.state == EmuThread::POLLS ? polled : moved) = true;
        }
        if (moved) idle = 0;
        else if (!polled || ++idle > kMostIdleRounds) return false;
    }
    return true;
}

void run_in_turn() {
    for (int at : running.order) {
        runtime.current = &threads[at];
        running.kernel->info->entry(running.arguments);
    }
}

bool of_threads(const void* at, size_t bytes) {
    return inside(at, bytes, stacks, kStack * kMostThreads) ||
           inside(at, bytes, threads, kMostThreads) ||
           inside(at, bytes, warps, kMostThreads / kEmuWarp) || inside(at, bytes, &runtime, 1);
}

} // namespace emu
