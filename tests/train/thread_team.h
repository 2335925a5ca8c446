// SPDX-License-Identifier: Apache-2.0
// Teams of threads, which stand for the processes of one that trains through MPI.
#pragma once

#include <algorithm>
#include <barrier>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "train/team.h"

namespace fastvlm::test {

// What the members of a team show each other; between two meetings each reads the others' part.
struct Meeting {
  explicit Meeting(int size)
      : barrier(size),
        statuses(static_cast<size_t>(size)),
        texts(statuses.size()),
        doubles(statuses.size()),
        floats(statuses.size()) {}

  std::barrier<> barrier;
  std::vector<Status> statuses;
  std::vector<std::string> texts;
  std::vector<std::vector<double>> doubles;
  std::vector<std::vector<float>> floats;
  // Values on their way from one member to another, by sender.
  std::mutex lock;
  std::condition_variable sent;
  std::map<int, std::vector<float>> mail;
};

class ThreadTeam : public Team {
 public:
  ThreadTeam(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}

  int size() const override { return static_cast<int>(meeting_.statuses.size()); }
  int rank() const override { return rank_; }

  Status agree(const Status& own) override {
    return meet(meeting_.statuses, own, [](const std::vector<Status>& all) {
      for (size_t i = 0; i < all.size(); ++i) {
        if (all[i].ok()) continue;
        return error(all[i].code,
                     i == 0 ? all[i].message : cat("process ", i, ": ", all[i].message),
                     all[i].hint);
      }
      return Status{};
    });
  }
  bool any(bool own) override { return !agree(own ? error(Code::kUsage, "yes") : Status{}).ok(); }
  void gather(std::span<double> values) override {
    const std::vector<double> sum =
        meet(meeting_.doubles, {values.begin(), values.end()}, [](const auto& all) {
          std::vector<double> total(all.front().size());
          for (const auto& part : all) {
            for (size_t i = 0; i < total.size(); ++i) total[i] += part[i];
          }
          return total;
        });
    std::copy(sum.begin(), sum.end(), values.begin());
  }
  void send(int /*to*/, std::span<const float> values) override {
    const std::lock_guard<std::mutex> lock(meeting_.lock);
    meeting_.mail[rank_].assign(values.begin(), values.end());
    meeting_.sent.notify_all();
  }
  void add_received(int from, std::span<float> values) override {
    std::unique_lock<std::mutex> lock(meeting_.lock);
    meeting_.sent.wait(lock, [&] { return meeting_.mail.contains(from); });
    const std::vector<float> received = std::move(meeting_.mail.extract(from).mapped());
    for (size_t i = 0; i < values.size(); ++i) values[i] += received[i];
  }
  void spread(std::span<float> values) override {
    const std::vector<float> first = meet(meeting_.floats, {values.begin(), values.end()},
                                          [](const auto& all) { return all.front(); });
    std::copy(first.begin(), first.end(), values.begin());
  }
  std::string spread(const std::string& text) override {
    return meet(meeting_.texts, text, [](const auto& all) { return all.front(); });
  }

 private:
  template <typename T, typename Function>
  T meet(std::vector<T>& shown, T own, const Function& read) {
    shown[static_cast<size_t>(rank_)] = std::move(own);
    meeting_.barrier.arrive_and_wait();
    T result = read(shown);
    meeting_.barrier.arrive_and_wait();
    return result;
  }

  Meeting& meeting_;
  int rank_;
};

// Calls member(team) for each member of a team, each in its own thread.
inline void run_team(int size, const std::function<void(Team&)>& member) {
  Meeting meeting(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&meeting, &member, rank] {
      ThreadTeam team(meeting, rank);
      member(team);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace fastvlm::test
