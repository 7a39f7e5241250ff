// What a compiled kernel and the driver agree on: how threads and warps are laid out in memory, and
// which functions of the driver a kernel calls. Both sides include this file.
#pragma once
#include <stdint.h>

struct EmuDim {
    unsigned x, y, z;
};

constexpr int kEmuWarp = 32;

// Where the lanes of a warp meet. Everything is there twice: a lane that runs ahead writes into one
// half while a slow one still reads the other.
struct EmuWarp {
    int live = 0, arrived = 0;
    unsigned phase = 0;
    unsigned present[2] = {};   // lanes that take part in a vote
    const void* site = nullptr; // the collective at which lanes wait
    alignas(64) unsigned char slot[2][kEmuWarp][64];
    float a[2][32 * 16 * 2], b[2][32 * 16 * 2];
};

struct EmuThread {
    enum State { RUNS, WAITS_FOR_WARP, WAITS_FOR_BLOCK, POLLS, ENDED };

    EmuDim tid;
    int lane, linear;
    EmuWarp* warp;
    void* stack_pointer; // while another thread runs
    State state;
    unsigned waits_for; // the phase that has to end
};

// One table for all kernels, filled by the driver before a launch.
struct EmuRuntime {
    EmuThread* current;
    EmuDim block, block_dim, grid_dim;
    unsigned (*sync_warp)(const void* site); // gives the half that is to be read
    void (*sync_block)(const void* site);
    void (*poll)();                                             // lets other threads run
    void (*misaligned)(const char* what);                       // an address that a device refuses
    void (*check)(const void* at, uint64_t bytes, bool writes); // of every access, on request
};

extern "C" {
typedef void EmuEntry(void** arguments);

// Every kernel's library exports one, as `emu_info_NAME`.
struct EmuKernelInfo {
    EmuEntry* entry;
    int arguments;
    const unsigned* argument_bytes;
    int max_threads;      // of __launch_bounds__
    int collective;       // 0 where the threads of a block can run one after the other
    int arch;             // compute capability that it was compiled for
    const char* features; // what of the hardware it uses: wmma, mma.sync, ldmatrix, ...
    EmuRuntime** runtime;
    unsigned char* shared; // dynamic shared memory
    unsigned shared_bytes;
};
}
