// Compiling a kernel's text into a library, or finding the library that it gave before.
#pragma once
#include <string>
#include <vector>

namespace emu {

// Codes of NVRTC.
enum Outcome { COMPILED = 0, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6 };

struct Program {
    std::string source, log;
    std::string ptx; // what the driver loads: a mark, and the library's path
};

Outcome compile(Program& program, const std::vector<std::string>& options);

// The version to be, and the compute capabilities that it compiles for.
struct Version {
    int major, minor;
    std::vector<int> archs;
};
const Version& version();

} // namespace emu
