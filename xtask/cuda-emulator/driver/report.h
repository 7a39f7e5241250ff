// What the emulator tells a person: complaints on standard error, and the trace.
#pragma once
#include <string>

#include "settings.h"

namespace emu {

// Tells what is wrong and gives the code, so that a function can end with it. What was said three
// times is counted from then on, and the count is told when the process ends.
[[gnu::format(printf, 2, 3)]] Code complain(Code code, const char* format, ...);

// Threads of a warp or a block met at different places of the text; told when the process ends.
void diverged(const std::string& where);

// A line of EMU_TRACE.
[[gnu::format(printf, 1, 2)]] void note(const char* format, ...);
bool tracing();

// The counts, when the process ends.
void tell_counts();

} // namespace emu
