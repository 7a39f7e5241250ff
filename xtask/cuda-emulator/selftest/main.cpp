// Runs every case in a child of this process, and says how many passed.
//
//     selftest BUILD [CASE…]
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "harness.h"

namespace {

// What a case left: whether it ended well, and what it said.
struct Ended {
    bool well;
    std::string said;
};

Ended run_case(const Case& one, const std::string& log) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(file, 2);
        for (auto [name, value] : one.environment) setenv(name, value, 1);
        one.body();
        std::exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::ifstream file(log);
    const std::string said{std::istreambuf_iterator<char>(file), {}};
    return {child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0, said};
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) return std::fprintf(stderr, "selftest BUILD [CASE...]\n"), 2;
    build_folder = arguments[1];
    const std::vector<std::string> wanted(arguments + 2, arguments + count);
    std::vector<Case> cases = result_cases();
    for (const Case& one : fault_cases()) cases.push_back(one);

    int passed = 0, failed = 0;
    for (const Case& one : cases) {
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), one.name) == wanted.end())
            continue;
        const Ended ended = run_case(one, build_folder + "/selftest.log");
        const bool good = ended.well && ended.said.find(one.says) != std::string::npos;
        (good ? passed : failed)++;
        if (good) continue;
        std::printf("FAILED: %s\n%s", one.name, ended.said.c_str());
        if (ended.well) std::printf("expected on standard error: %s\n", one.says);
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
