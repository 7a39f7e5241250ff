// Runs a launch block by block and finds what a device would have stopped at.
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "block.h"
#include "memory.h"
#include "report.h"
#include "stream.h"

namespace emu {
namespace {

// The first thing that went wrong in the launch that runs.
struct Failure {
    Code code;
    EmuDim thread;
    char text[300];
};
Failure failure;

[[gnu::format(printf, 2, 3)]] void fail(Code code, const char* format, ...) {
    if (failure.code) return;
    failure.code = code, failure.thread = runtime.current->tid;
    va_list rest;
    va_start(rest, format);
    std::vsnprintf(failure.text, sizeof failure.text, format, rest);
    va_end(rest);
}

void misaligned(const char* what) { fail(MISALIGNED_ADDRESS, "%s", what); }

// Faults

struct Recovery {
    sigjmp_buf back;
    volatile long thread = 0; // that runs a kernel, or 0
    void* volatile address = nullptr;
};
Recovery recovery;
struct sigaction before_segv, before_bus;

long this_thread() { return syscall(SYS_gettid); }

// A fault of the thread that runs a kernel goes back to `run`; any other is not the emulator's.
void on_fault(int signal, siginfo_t* info, void* context) {
    if (recovery.thread == this_thread()) {
        recovery.address = info->si_addr;
        siglongjmp(recovery.back, 1);
    }
    const struct sigaction& before = signal == SIGSEGV ? before_segv : before_bus;
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        ::signal(signal, SIG_DFL); // and the instruction faults again
    }
}

// A handler cannot run on a fiber's stack that has overflowed.
void give_signal_stack() {
    static thread_local char stack[64 << 10];
    stack_t known;
    if (sigaltstack(nullptr, &known) == 0 && !(known.ss_flags & SS_DISABLE)) return;
    stack_t ours = {};
    ours.ss_sp = stack, ours.ss_size = sizeof stack;
    sigaltstack(&ours, nullptr);
}

// EMU_MEMCHECK

// Where the last access was allowed, and the frame that kernels are called from.
struct Checked {
    uintptr_t first = 1, last = 0;
    const char* frame = nullptr;
};
Checked checked;

bool of_arguments(const void* at) {
    void** const first = running.arguments;
    if (at >= first && at < first + running.kernel->info->arguments) return true;
    for (int i = 0; i < running.kernel->info->arguments; i++) {
        const char* argument = (const char*)running.arguments[i];
        unsigned bytes = running.kernel->info->argument_bytes[i];
        if (at >= argument && at < argument + bytes) return true;
    }
    return false;
}

// Whether this is one of a kernel's own: on its stack, its shared memory, arguments or constants.
bool of_kernel(const void* at, size_t bytes) {
    const EmuKernelInfo& info = *running.kernel->info;
    const char* const here = (const char*)__builtin_frame_address(0);
    const bool on_stack = at >= here && at < checked.frame;
    const char* const shared = (const char*)info.shared;
    const bool in_shared = at >= shared && (const char*)at + bytes <= shared + info.shared_bytes;
    Dl_info library;
    return on_stack || in_shared || of_threads(at, bytes) || of_arguments(at) ||
           dladdr(at, &library) != 0;
}

void check(const void* at, uint64_t bytes, bool writes) {
    const uintptr_t from = (uintptr_t)at, to = from + bytes;
    if (from >= checked.first && to <= checked.last) return;
    const Allocation* found = before(from);
    if (found && to <= found->end()) {
        checked.first = found->start, checked.last = found->end();
        return;
    }
    if (of_kernel(at, bytes)) return;
    const char* what = writes ? "writes" : "reads";
    if (found && from < found->start + found->mapped) {
        fail(ILLEGAL_ADDRESS, "%s %zu bytes at %zu of an allocation of %zu", what, size_t(bytes),
             from - found->start, found->bytes);
    } else {
        fail(ILLEGAL_ADDRESS, "%s %zu bytes at %p, which is not allocated", what, size_t(bytes),
             at);
    }
}

// Blocks

// Bytes behind a block's shared memory that nothing may write.
constexpr unsigned kCanary = 1024;
constexpr unsigned char kCanaryByte = 0x5a;

void run_block(const EmuKernelInfo& info, unsigned shared_bytes) {
    if (!info.collective) return run_in_turn();
    const unsigned canary = std::min(kCanary, info.shared_bytes - shared_bytes);
    unsigned char* const behind = info.shared + shared_bytes;
    if (settings().poison)
        std::memset(info.shared, settings().poison == 2 ? 0x7f : 0xff, shared_bytes);
    std::memset(behind, kCanaryByte, canary);
    if (!run_together())
        return fail(LAUNCH_FAILED, "hangs: some threads wait where others never come");
    auto untouched = [](unsigned char byte) { return byte == kCanaryByte; };
    if (!std::all_of(behind, behind + canary, untouched))
        fail(ILLEGAL_ADDRESS, "writes past its %u bytes of shared memory", shared_bytes);
}

EmuDim block_at(size_t index, EmuDim grid) {
    size_t row = index / grid.x;
    return {unsigned(index % grid.x), unsigned(row % grid.y), unsigned(row / grid.y)};
}

void run_blocks(const Launch& launch) {
    const EmuKernelInfo& info = *launch.kernel->info;
    const size_t count = size_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    for (size_t i = 0; i < count && !failure.code; i++) {
        runtime.block = block_at(settings().order == 1 ? count - 1 - i : i, launch.grid);
        run_block(info, launch.shared_bytes);
    }
}

} // namespace

std::vector<Kernel*>& kernels() {
    static auto* const all = new std::vector<Kernel*>;
    return *all;
}

void catch_faults() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
}

Code run(const Launch& launch) {
    std::vector<void*> pointers;
    for (auto& value : launch.arguments) pointers.push_back((void*)value.data());
    running.kernel = launch.kernel, running.arguments = pointers.data();
    *launch.kernel->info->runtime = &runtime;
    runtime.misaligned = misaligned, runtime.check = check;
    prepare_threads(launch.block, launch.grid);
    failure.code = SUCCESS;
    checked = {1, 0, (const char*)__builtin_frame_address(0)};
    give_signal_stack();
    const double start = now();
    if (sigsetjmp(recovery.back, 1) == 0) {
        recovery.thread = this_thread();
        run_blocks(launch);
    } else {
        fail(ILLEGAL_ADDRESS, "illegal address %p", recovery.address);
    }
    recovery.thread = 0;
    launch.kernel->seconds += now() - start;
    running.kernel = nullptr;
    if (!failure.code) return SUCCESS;
    const EmuDim at = runtime.block, thread = failure.thread;
    return complain(failure.code, "%s: block (%u, %u, %u), thread (%u, %u, %u): %s",
                    launch.kernel->name.c_str(), at.x, at.y, at.z, thread.x, thread.y, thread.z,
                    failure.text);
}

} // namespace emu
