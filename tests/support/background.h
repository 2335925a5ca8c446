// SPDX-License-Identifier: Apache-2.0
// A program that runs beside the test until the object goes.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

namespace fastvlm::test {

class Background {
 public:
  // command[0] is the path of the program; what it writes to stderr goes nowhere.
  explicit Background(const std::vector<std::string>& command) {
    int out[2];
    if (::pipe2(out, O_CLOEXEC) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      ::dup2(nowhere, STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(nowhere, STDERR_FILENO);
      ::setpgid(0, 0);
      std::vector<char*> arguments;
      for (const std::string& argument : command) {
        arguments.push_back(const_cast<char*>(argument.c_str()));
      }
      arguments.push_back(nullptr);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(out[1]);
    out_ = out[0];
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() {
    stop(SIGTERM);
    if (out_ >= 0) ::close(out_);
  }

  // Sends the signal, also to the programs that it started, and waits. Its exit code; -1: the
  // signal ended it, or it has been stopped before.
  int stop(int signal) {
    if (child_ <= 0) return -1;
    ::kill(-child_, signal);
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // What follows `mark` on its line of stdout, as soon as it is written; empty when it does not
  // come in time.
  std::string wait_for(const std::string& mark) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < end) {
      const size_t at = text_.find(mark);
      const size_t line_end = at == std::string::npos ? at : text_.find('\n', at);
      if (line_end != std::string::npos) {
        return text_.substr(at + mark.size(), line_end - at - mark.size());
      }
      pollfd ready = {out_, POLLIN, 0};
      if (::poll(&ready, 1, 1000) <= 0) continue;
      char buffer[4096];
      const ssize_t count = ::read(out_, buffer, sizeof buffer);
      if (count <= 0) return {};
      text_.append(buffer, static_cast<size_t>(count));
    }
    return {};
  }

 private:
  pid_t child_ = -1;
  int out_ = -1;
  std::string text_;
};

}  // namespace fastvlm::test
