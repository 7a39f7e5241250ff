// What the environment asks of the emulated devices. README.md has the table.
#pragma once
#include <string>

namespace emu {

// Codes of the driver API, which its functions return.
enum Code {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
};

constexpr int kMostDevices = 16;

struct Settings {
    int devices, arch, multiprocessors, driver_version;
    size_t memory_bytes, shared_bytes;
    bool lazy, run, abort;
    int order, poison;
    std::string dump, stats, trace;
};

const Settings& settings();

} // namespace emu
