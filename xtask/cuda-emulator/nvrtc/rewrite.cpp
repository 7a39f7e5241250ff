// Finds and replaces in CUDA C++ as CubeCL writes it. This is no parser: every pattern is one that
// cubecl-cpp 0.10 prints, and what is not recognised is left for the compiler to refuse.
#include "rewrite.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace emu {
namespace {

constexpr size_t kNowhere = std::string::npos;

bool starts(const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; }

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != kNowhere;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != kNowhere; at += to.size())
        text.replace(at, from.size(), to);
}

std::string trimmed(const std::string& text) {
    const size_t from = text.find_first_not_of(" \n\t"), to = text.find_last_not_of(" \n\t");
    return from == kNowhere ? "" : text.substr(from, to + 1 - from);
}

// Where the bracket at `open` is closed.
size_t closing(const std::string& text, size_t open, char opens, char closes) {
    int depth = 0;
    for (size_t at = open; at < text.size(); at++) {
        if (text[at] == opens) depth++;
        if (text[at] == closes && --depth == 0) return at;
    }
    return kNowhere;
}

int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (size_t at = 0; (at = text.find(part, at)) != kNowhere; at += part.size()) found++;
    return found;
}

// "x0, x1, x2"
std::string list(const std::string& stem, int count) {
    std::string text;
    for (int i = 0; i < count; i++) text += (i ? ", " : "") + stem + std::to_string(i);
    return text;
}

// Instructions of PTX, which are functions of one `asm volatile` in the text.

// The type of device.h that reads a register with elements of this type.
const char* register_type(const std::string& element) {
    if (element == "__half") return "EmuRegF16";
    if (element == "__nv_bfloat16") return "EmuRegBf16";
    if (element == "int8") return "EmuRegI8";
    if (element == "uint8") return "EmuRegU8";
    return element == "float" ? "EmuRegTf32" : nullptr;
}

// Takes the element type that a name goes on with, and the line behind it; empty where none is
// known.
std::string take_type(std::string& name) {
    for (const char* type : {"__half", "__nv_bfloat16", "int8", "uint8", "float"})
        if (starts(name, std::string(type) + "_")) {
            name.erase(0, std::string(type).size() + 1);
            return type;
        }
    return "";
}

// `__mma_m16n8k16___half___half_float`: the body, or nothing where a type is not emulated.
std::string mma_body(const std::string& name, const std::string& arguments) {
    const size_t digits = std::string("__mma_m16n8k").size(), types = name.find('_', digits);
    if (types == kNowhere) return "";
    const std::string k = name.substr(digits, types - digits);
    std::string rest = name.substr(types + 1);
    const char* const a = register_type(take_type(rest));
    const char* const b = register_type(take_type(rest));
    const bool integer = rest == "int32" || rest == "uint32";
    if (!a || !b || (!integer && rest != "float")) return "";
    const std::string sum = integer ? "int" : "float";
    const std::string c =
        integer ? "(int)reg_c_0, (int)reg_c_1, (int)reg_c_2, (int)reg_c_3" : list("reg_c_", 4);
    std::ostringstream body;
    body << "{ const unsigned a[] = {" << list("reg_a_", count(arguments, "reg_a_")) << "};\n"
         << "const unsigned b[] = {" << list("reg_b_", count(arguments, "reg_b_")) << "};\n"
         << sum << " c[4] = {" << c << "}, d[4];\n"
         << "emu_mma<" << k << ", " << a << ", " << b << ">(a, b, c, d, EMU_SITE);\n"
         << "reg_d_0 = d[0]; reg_d_1 = d[1]; reg_d_2 = d[2]; reg_d_3 = d[3]; }\n";
    return body.str();
}

// `__ldmatrix_m8n8___half_4x_trans` and `__stmatrix_…`: of 16-bit elements alone.
std::string matrix_body(const std::string& name, const std::string& arguments) {
    if (!contains(name, "_m8n8_")) return "";
    const int n = count(arguments, "&reg_");
    std::ostringstream body;
    body << (starts(name, "__ld") ? "emu_ldmatrix<" : "emu_stmatrix<") << n << ", "
         << (contains(name, "_trans") ? "true" : "false") << ">(r, row_addr, EMU_SITE);";
    if (starts(name, "__st"))
        return "{ const unsigned r[] = {" + list("reg_", n) + "}; " + body.str() + " }\n";
    std::string text = "{ unsigned r[" + std::to_string(n) + "]; " + body.str();
    for (int i = 0; i < n; i++) {
        const std::string index = std::to_string(i);
        text += " reg_" + index + " = r[" + index + "];";
    }
    return text + " }\n";
}

// Gives the functions whose names start so another body.
template <class Body> void replace_bodies(std::string& text, const char* start, Body body_of) {
    for (size_t at = 0; (at = text.find(start, at)) != kNowhere;) {
        const size_t open = text.find('(', at);
        const size_t close = closing(text, open, '(', ')');
        if (close == kNowhere) return;
        const std::string name = text.substr(at, open - at);
        const size_t brace = text.find_first_not_of(" \n\t", close + 1);
        at = open;
        if (brace == kNowhere || text[brace] != '{') continue; // a call
        const size_t end = closing(text, brace, '{', '}');
        const std::string body = body_of(name, text.substr(open, close - open));
        if (end != kNowhere && !body.empty()) text.replace(brace, end + 1 - brace, body);
    }
}

// device.h has the wrappers of cp.async.
void remove_copy_wrappers(std::string& text) {
    const size_t first = text.find("// Wrapper for https://docs.nvidia.com");
    const size_t last = text.rfind("\"n\"(16) : \"memory\");");
    if (first == kNowhere || last == kNowhere) return;
    const size_t end = text.find('}', last);
    if (end != kNowhere) text.erase(first, end + 1 - first);
}

void replace_elections(std::string& text) {
    const std::string start = "asm volatile(\n        \"{\\n\"\n        \"     .reg .pred %%px;",
                      end = "(pred));";
    for (size_t at; (at = text.find(start)) != kNowhere;) {
        const size_t stop = text.find(end, at);
        if (stop == kNowhere) return;
        text.replace(at, stop + end.size() - at, "pred = emu_elect();");
    }
}

// cubek's mma.sync kernels hand results to other lanes through shared memory without a __syncwarp:
// they count on lanes in step. Here every change from writing to reading, and back, gets one: where
// it stands, or before the block around it that some lanes may not enter.
std::string in_step(const std::string& text) {
    std::istringstream lines(text);
    std::vector<std::string> out;
    std::vector<size_t> opened; // where in `out` the blocks around this line began
    size_t level = 0;           // blocks that are still around the last access, too
    std::string written, read;
    for (std::string line; std::getline(lines, line);) {
        const size_t at = line.find("shared_memory_");
        const std::string name =
            at == kNowhere ? "" : line.substr(at, line.find_first_of(")[ ;", at) - at);
        const bool writes =
            at != kNowhere && contains(line, "_tmp_") && contains(line, "reinterpret_cast");
        const bool reads = at != kNowhere && contains(line, "= " + name + "[");
        if ((writes && read == name) || (reads && written == name)) {
            const size_t where = opened.size() > level ? opened[level] : out.size();
            out.insert(out.begin() + long(where), "__syncwarp();");
            for (size_t& start : opened) start += start >= where;
        }
        if (writes) written = name, read = "";
        if (reads && written == name) written = "", read = name;
        if (writes || reads) level = opened.size();
        for (char letter : line) {
            if (letter == '{') opened.push_back(out.size());
            if (letter == '}' && !opened.empty()) opened.pop_back();
            level = std::min(level, opened.size());
        }
        out.push_back(line);
    }
    std::string joined;
    for (const std::string& line : out) joined += line + "\n";
    return joined;
}

// An empty line for every include, so that the compiler's line numbers are the text's.
std::string without_includes(const std::string& source) {
    std::istringstream lines(source);
    std::string text;
    for (std::string line; std::getline(lines, line);)
        text += starts(line, "#include") ? "\n" : line + "\n";
    return text;
}

} // namespace

std::string for_host(const std::string& source) {
    std::string text = without_includes(source);
    replace_all(text, "extern __shared__", "extern");
    replace_all(text, "__shared__", "static");
    replace_all(text, "nvcuda::wmma::load_matrix_sync(", "emu_wmma_load(");
    replace_all(text, "nvcuda::wmma::store_matrix_sync(", "emu_wmma_store(");
    replace_all(text, "nvcuda::wmma::mma_sync(", "emu_wmma_mma(");
    remove_copy_wrappers(text);
    replace_elections(text);
    replace_bodies(text, "__mma_m16n8k", mma_body);
    replace_bodies(text, "__ldmatrix_", matrix_body);
    replace_bodies(text, "__stmatrix_", matrix_body);
    return contains(text, "__mma_m16n8k") ? in_step(text) : text;
}

Entry entry_of(const std::string& text) {
    const std::string bounds = "__launch_bounds__(", cluster = "__cluster_dims__(";
    size_t at = text.find(bounds);
    if (at == kNowhere) return {"", 0};
    const int threads = std::atoi(text.c_str() + at + bounds.size());
    at = text.find(')', at) + 1;
    if (text.compare(at, cluster.size(), cluster) == 0) at = text.find(')', at) + 1;
    return {trimmed(text.substr(at, text.find('(', at) - at)), threads};
}

bool is_collective(const std::string& text) {
    for (const char* word : {"__sync", "_sync(", "wmma", "__mma_", "matrix_", "barrier", "emu_"})
        if (contains(text, word)) return true;
    return false;
}

std::string features_of(const std::string& source) {
    constexpr const char* known[][2] = {
        {"mma_sync(", "wmma"},         {"mma.sync", "mma.sync"},
        {"precision::tf32", "tf32"},   {"_float_float_float(", "tf32"},
        {"ldmatrix.sync", "ldmatrix"}, {"stmatrix.sync", "stmatrix"},
        {"cp.async", "cp.async"},      {"__shfl", "shuffle"},
        {"__shared__", "shared"},      {"__half", "f16"},
        {"__nv_bfloat16", "bf16"},     {"atomic", "atomic"},
        {"cuda::barrier", "barrier"}};
    std::string words;
    for (auto& [pattern, word] : known) {
        const bool known_already = contains(" " + words, std::string(" ") + word + " ");
        if (contains(source, pattern) && !known_already) words += std::string(word) + " ";
    }
    return words;
}

std::vector<std::string> headers_of(const std::string& source) {
    std::istringstream lines(source);
    std::vector<std::string> headers;
    for (std::string line; std::getline(lines, line);) {
        const size_t open = line.find('<'), close = line.find('>');
        if (starts(line, "#include") && open != kNowhere && close != kNowhere)
            headers.push_back(line.substr(open + 1, close - open - 1));
    }
    return headers;
}

std::string canonical(const std::string& source) {
    const size_t kernel = source.find("extern \"C\" __global__");
    if (kernel == kNowhere) return source;
    // A definition ends where a line starts with a closing brace, or has no brace at all.
    std::istringstream lines(source.substr(0, kernel));
    std::vector<std::string> definitions;
    std::string open;
    for (std::string line; std::getline(lines, line);) {
        open += line + "\n";
        if (count(open, "{") == count(open, "}")) definitions.push_back(std::move(open)), open = "";
    }
    std::sort(definitions.begin(), definitions.end());
    std::string text;
    for (const std::string& definition : definitions) text += definition;
    return text + open + source.substr(kernel);
}

} // namespace emu
