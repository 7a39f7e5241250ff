// Kernels that were loaded, and how one is run.
#pragma once
#include <string>
#include <vector>

#include "../runtime.h"
#include "settings.h"

namespace emu {

struct Module {
    void* library;
    std::string path;
};

struct Kernel {
    Module* module;
    std::string name;
    const EmuKernelInfo* info;
    size_t shared_limit = 48 << 10; // dynamic shared memory that it may ask for
    long launches = 0, threads = 0;
    double seconds = 0;
};

// A launch's arguments, copied when it is submitted.
using Arguments = std::vector<std::vector<char>>;

struct Launch {
    Kernel* kernel;
    EmuDim grid, block;
    unsigned shared_bytes;
    Arguments arguments;
};

// Every kernel that was asked for, for EMU_STATS.
std::vector<Kernel*>& kernels();

// Runs all blocks, one after the other.
Code run(const Launch& launch);

// From now on a fault in a kernel ends its launch instead of the process.
void catch_faults();

} // namespace emu
