// SPDX-License-Identifier: Apache-2.0
// Runs a program as a shell would and keeps what it wrote.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/files.h"

namespace fastvlm::test {

struct RunOptions {
  std::string input = {};                // what the program reads on stdin
  std::filesystem::path output_to = {};  // stdout goes to this file instead of into Run::out
  std::map<std::string, std::string> environment = {};  // added to ours
  std::filesystem::path folder = {};                    // where it runs; empty: here
  int kill_after_first_output = 0;  // a signal sent when the first byte of stdout arrives
};

struct Run {
  int code = -1;   // exit code; -1 when it did not start or a signal ended it
  int signal = 0;  // the signal that ended it
  std::string out;
  std::string err;
};

namespace detail {

[[noreturn]] inline void become(const std::vector<std::string>& command, const RunOptions& options,
                                int in, int out, int err) {
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0) ::_exit(126);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

// Reads both pipes until they end.
inline void collect(pid_t child, int out, int err, const RunOptions& options, Run& run) {
  pollfd pipes[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[2] = {&run.out, &run.err};
  for (int open = 2; open > 0;) {
    if (::poll(pipes, 2, -1) < 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(pipes[i].fd, buffer, sizeof buffer);
      if (count > 0) {
        if (i == 0 && run.out.empty() && options.kill_after_first_output != 0)
          ::kill(child, options.kill_after_first_output);
        texts[i]->append(buffer, static_cast<size_t>(count));
        continue;
      }
      ::close(pipes[i].fd);
      pipes[i].fd = -1;
      --open;
    }
  }
}

}  // namespace detail

// command[0] is the path of the program.
inline Run run(const std::vector<std::string>& command, const RunOptions& options = {}) {
  Run result;
  const TemporaryFolder scratch;
  const std::filesystem::path input = scratch / "stdin";
  FILE* file = std::fopen(input.c_str(), "wb");
  std::fwrite(options.input.data(), 1, options.input.size(), file);
  std::fclose(file);
  int out[2];
  int err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) return result;
  const pid_t child = ::fork();
  if (child == 0) {
    const int in = ::open(input.c_str(), O_RDONLY | O_CLOEXEC);
    const int to = options.output_to.empty()
                       ? out[1]
                       : ::open(options.output_to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    detail::become(command, options, in, to, err[1]);
  }
  ::close(out[1]);
  ::close(err[1]);
  detail::collect(child, out[0], err[0], options, result);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace fastvlm::test
