// Reads the environment, once.
#include "settings.h"

#include <algorithm>
#include <cstdlib>

namespace emu {
namespace {

long number(const char* name, long otherwise) {
    const char* value = std::getenv(name);
    return value && *value ? std::atol(value) : otherwise;
}

std::string text(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// Shared memory that a block may have, by compute capability.
size_t shared_bytes(int arch) {
    switch (arch) {
    case 70: return 96 << 10;
    case 75: return 64 << 10;
    case 80:
    case 87: return 163 << 10;
    case 86:
    case 89:
    case 120: return 99 << 10;
    default: return arch >= 90 ? 227 << 10 : 48 << 10;
    }
}

Settings read() {
    Settings s;
    s.devices = int(std::clamp(number("EMU_DEVICES", 1), 0L, long(kMostDevices)));
    s.arch = int(number("EMU_SM", 80));
    s.multiprocessors = int(number("EMU_SMS", 108));
    s.driver_version = int(number("EMU_DRIVER_VERSION", 12080));
    s.memory_bytes = size_t(number("EMU_MEMORY_MB", 16384)) << 20;
    s.shared_bytes = shared_bytes(s.arch);
    s.lazy = number("EMU_LAZY", 0);
    s.run = number("EMU_RUN", 1);
    s.abort = number("EMU_ABORT", 0);
    s.order = int(number("EMU_ORDER", 0));
    s.poison = int(number("EMU_POISON", 1));
    s.dump = text("EMU_DUMP");
    s.stats = text("EMU_STATS");
    s.trace = text("EMU_TRACE");
    return s;
}

} // namespace

const Settings& settings() {
    static const Settings* const all = new Settings(read());
    return *all;
}

} // namespace emu
