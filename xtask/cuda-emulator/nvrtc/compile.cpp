// Runs the host's compiler, whose command line the build left beside this library.
#include "compile.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "rewrite.h"

extern char** environ;

namespace emu {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name, const std::string& otherwise) {
    const char* value = std::getenv(name);
    return value && *value ? value : otherwise;
}

std::string read(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::istringstream rest(text);
    std::vector<std::string> parts;
    for (std::string part; std::getline(rest, part, separator);) parts.push_back(part);
    return parts;
}

// The folder of this library.
fs::path own_folder() {
    Dl_info info;
    const bool known = dladdr((void*)&own_folder, &info) && info.dli_fname;
    return known ? fs::absolute(info.dli_fname).parent_path() : fs::path(".");
}

fs::path cache_folder() {
    const fs::path temporary = std::filesystem::temp_directory_path();
    const std::string own = temporary / ("cuda-emulator-" + std::to_string(getuid()));
    const fs::path folder = variable("EMU_CACHE", own);
    std::error_code exists;
    fs::create_directories(folder, exists);
    return folder;
}

bool memcheck() { return variable("EMU_MEMCHECK", "") == "1"; }

// Compiler and options, one a line.
std::vector<std::string> command() {
    return split(read(own_folder() / (memcheck() ? "memcheck.args" : "kernels.args")), '\n');
}

std::string hash_of(const std::string& text) {
    unsigned long long a = 0xcbf29ce484222325ull, b = 0x9e3779b97f4a7c15ull;
    for (unsigned char c : text) {
        a = (a ^ c) * 0x100000001b3ull;
        b = (b + c) * 0xd6e8feb86659fd93ull;
        b ^= b >> 29;
    }
    char hex[40];
    std::snprintf(hex, sizeof hex, "%016llx%08llx", a, b & 0xffffffff);
    return hex;
}

// Everything that decides what comes out: the emulator's build, options, and the text.
std::string key_of(const std::string& source, const std::string& flags) {
    static const std::string build = read(own_folder() / "build-id");
    return hash_of(build + flags + canonical(source)) + (memcheck() ? "m" : "");
}

// EMU_REFUSE="wmma,mma.sync": products with one of these do not compile, so that a program has
// to take others, or to fail clearly.
bool refused(const std::string& source) {
    const bool is_product =
        source.find("matmul") != std::string::npos || source.find("gem") != std::string::npos;
    if (!is_product) return false;
    const std::string features = " " + features_of(source);
    const bool plain = features.find("mma") == std::string::npos;
    for (const std::string& word : split(variable("EMU_REFUSE", ""), ','))
        if (features.find(" " + word + " ") != std::string::npos || (word == "unit" && plain))
            return true;
    return false;
}

// What NVRTC says where a header is missing; empty where none is.
std::string missing_header(const std::string& source, const std::vector<std::string>& folders) {
    for (const std::string& header : headers_of(source)) {
        auto has = [&](const std::string& folder) { return fs::exists(fs::path(folder) / header); };
        if (!std::any_of(folders.begin(), folders.end(), has))
            return "default_program(1): catastrophic error: cannot open source file \"" + header +
                   "\"\n";
    }
    return "";
}

// The text for the host's compiler, with what the driver asks of its library.
std::string unit(const Program& program, const std::string& text, const Entry& entry, int arch) {
    const std::string& name = entry.name;
    std::ostringstream out;
    out << "#line 1 \"kernel.cu\"\n"
        << text << "\nextern \"C\" { EmuRuntime* emu_rt; }\n"
        << "alignas(1024) unsigned char dynamic_shared_mem[240 << 10];\n"
        << "static void emu_entry(void** arguments) { emu_call(" << name << ", arguments); }\n"
        << "using EmuSignature = EmuArguments<decltype(&" << name << ")>;\n"
        << "extern \"C\" __attribute__((visibility(\"default\"))) const EmuKernelInfo emu_info_"
        << name << " = {emu_entry, EmuSignature::count, EmuSignature::bytes, " << entry.threads
        << ", " << is_collective(text) << ", " << arch << ", \"" << features_of(program.source)
        << "\", &emu_rt, dynamic_shared_mem, sizeof dynamic_shared_mem};\n";
    return out.str();
}

// Runs a command with both of its streams in a file; whether it succeeded.
bool run(const std::vector<std::string>& arguments, const std::string& log) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) pointers.push_back((char*)argument.c_str());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t streams;
    posix_spawn_file_actions_init(&streams);
    posix_spawn_file_actions_addopen(&streams, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&streams, 1, 2);
    pid_t child;
    int status = posix_spawnp(&child, pointers[0], &streams, nullptr, pointers.data(), environ);
    posix_spawn_file_actions_destroy(&streams);
    if (status != 0) {
        std::ofstream(log) << "error: " << arguments[0] << " does not start\n";
        return false;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string first_errors(const std::string& log) {
    std::string text;
    int found = 0;
    for (const std::string& line : split(log, '\n'))
        if (line.find("error") != std::string::npos && found++ < 3)
            text += "\n    " + line.substr(0, 200);
    return text;
}

// Several threads and processes may make the same library at once; the last one stays.
bool build(Program& program, const std::string& stem, const std::string& flags, int arch) {
    static std::atomic<int> made = 0;
    const std::string own =
        stem + "." + std::to_string(getpid()) + "-" + std::to_string(made++) + ".";
    const std::string text = for_host(program.source), log = own + "log", library = own + "so";
    const Entry entry = entry_of(text);
    std::ofstream(own + "cu") << "// " << flags << "\n" << program.source;
    std::ofstream(own + "cpp") << unit(program, text, entry, arch);
    std::vector<std::string> arguments = command();
    arguments.insert(arguments.end(), {"-o", library, own + "cpp", "-lm"});
    const bool compiled = !entry.name.empty() && run(arguments, log);
    program.log = entry.name.empty() ? "error: no __launch_bounds__ found\n" : read(log);
    std::error_code ignored;
    fs::rename(own + "cu", stem + ".cu", ignored);
    fs::rename(own + "cpp", stem + ".cpp", ignored);
    fs::remove(log, ignored);
    if (compiled) fs::rename(library, stem + ".so", ignored);
    else
        std::fprintf(stderr, "cuda-emulator: %s.cu does not compile:%s\n", stem.c_str(),
                     first_errors(program.log).c_str());
    return compiled;
}

Version read_version() {
    const std::string text = variable("EMU_NVRTC_VERSION", "12.8");
    Version version = {12, 8, {50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90, 100, 120}};
    std::sscanf(text.c_str(), "%d.%d", &version.major, &version.minor);
    if (version.major >= 13) version.archs = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
    return version;
}

} // namespace

const Version& version() {
    static const Version* const all = new Version(read_version());
    return *all;
}

Outcome compile(Program& program, const std::vector<std::string>& options) {
    const std::string arch_option = "--gpu-architecture=sm_", path_option = "--include-path=";
    int arch = 0;
    std::string flags;
    std::vector<std::string> folders;
    for (const std::string& option : options) {
        if (option.rfind(arch_option, 0) == 0)
            arch = std::atoi(option.c_str() + arch_option.size());
        if (option.rfind(path_option, 0) == 0) folders.push_back(option.substr(path_option.size()));
        else flags += option + " ";
    }
    const std::vector<int>& archs = version().archs;
    if (std::find(archs.begin(), archs.end(), arch) == archs.end()) {
        program.log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
        return INVALID_OPTION;
    }
    program.log = missing_header(program.source, folders);
    if (!program.log.empty()) return COMPILATION;
    if (refused(program.source)) {
        program.log = "error: refused by EMU_REFUSE\n";
        return COMPILATION;
    }
    const std::string stem = cache_folder() / key_of(program.source, flags);
    if (!fs::exists(stem + ".so") && !build(program, stem, flags, arch)) return COMPILATION;
    program.ptx = "// cuda-emulator\n" + stem + ".so";
    return COMPILED;
}

} // namespace emu
