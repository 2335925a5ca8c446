// SPDX-License-Identifier: Apache-2.0
// Work that waits for one of a few workers. Goals: bounded, and fair between clients: they take
// turns, and each one's own work keeps its order. Non-goals: priorities.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace fastvlm {

// Any thread may call any function. Work::unwanted() says that nobody waits for it any more.
template <typename Work>
class RequestQueue {
 public:
  explicit RequestQueue(size_t capacity) : capacity_(capacity) {}

  // Takes `work`. False: the queue is full of work that is wanted, or closed; the work stays.
  bool push(const std::string& client, std::unique_ptr<Work>& work) {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    if (size_ >= capacity_) drop_unwanted();
    if (size_ >= capacity_) return false;
    const auto line = std::find_if(lines_.begin(), lines_.end(),
                                   [&](const Line& each) { return each.client == client; });
    Line& own = line == lines_.end() ? lines_.emplace_back(Line{client, {}}) : *line;
    own.waiting.push_back(std::move(work));
    ++size_;
    changed_.notify_one();
    return true;
  }

  // Waits for work; null: closed. `taken` is counted up before anyone can see the queue without it,
  // so that what is waiting and what is being done can be told apart.
  std::unique_ptr<Work> pop(std::atomic<int>& taken) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || size_ > 0; });
    if (closed_) return nullptr;
    Line& line = lines_.front();
    std::unique_ptr<Work> work = std::move(line.waiting.front());
    line.waiting.pop_front();
    --size_;
    ++taken;
    if (line.waiting.empty()) {
      lines_.pop_front();
    } else {
      lines_.splice(lines_.end(), lines_, lines_.begin());
    }
    return work;
  }

  // Nothing goes in or out any more. Returns what was waiting.
  std::vector<std::unique_ptr<Work>> close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    std::vector<std::unique_ptr<Work>> left;
    for (Line& line : lines_) {
      std::move(line.waiting.begin(), line.waiting.end(), std::back_inserter(left));
    }
    lines_.clear();
    size_ = 0;
    changed_.notify_all();
    return left;
  }

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return size_;
  }

 private:
  struct Line {
    std::string client;
    std::deque<std::unique_ptr<Work>> waiting;  // not empty
  };

  void drop_unwanted() {
    for (auto line = lines_.begin(); line != lines_.end();) {
      size_ -= std::erase_if(line->waiting, [](const auto& work) { return work->unwanted(); });
      line = line->waiting.empty() ? lines_.erase(line) : std::next(line);
    }
  }

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Line> lines_;  // the first one's turn is next
  size_t size_ = 0;
  bool closed_ = false;
};

}  // namespace fastvlm
