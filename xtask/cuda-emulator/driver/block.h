// The threads of one block, as fibers that change at the places where a block's threads meet.
#pragma once
#include <vector>

#include "kernel.h"

namespace emu {

extern EmuRuntime runtime;

struct Blocks {
    const Kernel* kernel; // null while none runs
    void** arguments;
    std::vector<int> order; // of the threads
};
extern Blocks running;

// Gives threads, warps and stacks to blocks of this shape and fills the runtime's table.
void prepare_threads(EmuDim block, EmuDim grid);

// Runs the threads of the block at `runtime.block`; whether all came to their end.
bool run_together();
// The same where they never meet.
void run_in_turn();

// Whether this address is on a fiber's stack, or among what threads share with the driver.
bool of_threads(const void* at, size_t bytes);

} // namespace emu
