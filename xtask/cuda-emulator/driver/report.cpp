// Complaints, counted, and the trace.
#include "report.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace emu {
namespace {

struct Counts {
    std::map<std::string, long> complaints, divergences;
};

// Never destroyed: other parts tell their counts while the process ends.
Counts& counts() {
    static Counts* const all = new Counts;
    return *all;
}

FILE* trace_file() {
    const std::string& path = settings().trace;
    static FILE* const file = path.empty() ? nullptr : std::fopen(path.c_str(), "w");
    return file;
}

} // namespace

Code complain(Code code, const char* format, ...) {
    char text[600];
    va_list rest;
    va_start(rest, format);
    std::vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    if (counts().complaints[text]++ < 3)
        std::fprintf(stderr, "cuda-emulator: %s (error %d)\n", text, code);
    if (settings().abort) std::abort();
    return code;
}

void diverged(const std::string& where) { counts().divergences[where]++; }

bool tracing() { return trace_file() != nullptr; }

void note(const char* format, ...) {
    if (!tracing()) return;
    va_list rest;
    va_start(rest, format);
    std::vfprintf(trace_file(), format, rest);
    va_end(rest);
    std::fflush(trace_file());
}

void tell_counts() {
    for (auto& [where, times] : counts().divergences)
        std::fprintf(stderr, "cuda-emulator: %s: threads met at different collectives %ld times\n",
                     where.c_str(), times);
    for (auto& [text, times] : counts().complaints)
        if (times > 3) std::fprintf(stderr, "cuda-emulator: %ld times: %s\n", times, text.c_str());
}

} // namespace emu
