// A kernel's text, read and rewritten for the host's compiler.
#pragma once
#include <string>
#include <vector>

namespace emu {

struct Entry {
    std::string name;
    int threads; // of __launch_bounds__
};

// The text with what the host's compiler does not understand in terms of device.h.
std::string for_host(const std::string& source);

// The kernel that a text defines; without a name where it has none.
Entry entry_of(const std::string& text);

// Whether threads of a block meet, so that each needs a stack of its own.
bool is_collective(const std::string& text);

// What of the hardware a text uses, as words with a space behind each.
std::string features_of(const std::string& source);

// The headers that a text includes, in order.
std::vector<std::string> headers_of(const std::string& source);

// Two texts with the same meaning that differ in the order of their types have the same one.
std::string canonical(const std::string& source);

} // namespace emu
