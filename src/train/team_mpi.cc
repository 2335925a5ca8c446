// SPDX-License-Identifier: Apache-2.0
// A team whose members talk through MPI. MPI's own errors end all processes, which is its default.
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <vector>

#include "base/strings.h"
#include "train/team.h"

namespace fastvlm {
namespace {

constexpr size_t kPiece = size_t{1} << 20;  // values that travel at once: 4 MB

// Calls fn(piece) for consecutive pieces of `values`.
template <typename T, typename Function>
void for_each_piece(std::span<T> values, const Function& fn) {
  for (size_t begin = 0; begin < values.size(); begin += kPiece) {
    fn(values.subspan(begin, std::min(kPiece, values.size() - begin)));
  }
}

template <typename T>
int length(std::span<T> piece) {
  return static_cast<int>(piece.size());
}

class MpiTeam : public Team {
 public:
  MpiTeam() {
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &granted_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  }
  ~MpiTeam() override {
    // The others wait somewhere else for a process that leaves early.
    if (std::uncaught_exceptions() > 0) MPI_Abort(MPI_COMM_WORLD, 2);
    MPI_Finalize();
  }

  int size() const override { return size_; }
  int rank() const override { return rank_; }
  bool may_use_threads() const { return granted_ >= MPI_THREAD_FUNNELED; }

  Status agree(const Status& own) override {
    int first = own.ok() ? size_ : rank_;
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (first == size_) return {};
    int code = static_cast<int>(own.code);
    MPI_Bcast(&code, 1, MPI_INT, first, MPI_COMM_WORLD);
    const std::string message = from(first, own.message);
    return error(static_cast<Code>(code),
                 first == 0 ? message : cat("process ", first, ": ", message),
                 from(first, own.hint));
  }

  bool any(bool own) override {
    int some = own ? 1 : 0;
    MPI_Allreduce(MPI_IN_PLACE, &some, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return some != 0;
  }

  void gather(std::span<double> values) override {
    for_each_piece(values, [](std::span<double> piece) {
      MPI_Allreduce(MPI_IN_PLACE, piece.data(), length(piece), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    });
  }

  void send(int to, std::span<const float> values) override {
    for_each_piece(values, [&](std::span<const float> piece) {
      MPI_Send(piece.data(), length(piece), MPI_FLOAT, to, 0, MPI_COMM_WORLD);
    });
  }

  void add_received(int from, std::span<float> values) override {
    std::vector<float> received(std::min(kPiece, values.size()));
    for_each_piece(values, [&](std::span<float> piece) {
      MPI_Recv(received.data(), length(piece), MPI_FLOAT, from, 0, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
      for (size_t i = 0; i < piece.size(); ++i) piece[i] += received[i];
    });
  }

  void spread(std::span<float> values) override {
    for_each_piece(values, [](std::span<float> piece) {
      MPI_Bcast(piece.data(), length(piece), MPI_FLOAT, 0, MPI_COMM_WORLD);
    });
  }

  std::string spread(const std::string& text) override { return from(0, text); }

 private:
  static std::string from(int process, std::string text) {
    int size = static_cast<int>(text.size());
    MPI_Bcast(&size, 1, MPI_INT, process, MPI_COMM_WORLD);
    text.resize(static_cast<size_t>(size));
    MPI_Bcast(text.data(), size, MPI_CHAR, process, MPI_COMM_WORLD);
    return text;
  }

  int granted_ = 0;
  int size_ = 1;
  int rank_ = 0;
};

}  // namespace

Result<std::unique_ptr<Team>> join_team() {
  // Alone MPI would only cost time, and its daemon.
  const char* const kStarted[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
  const bool started = std::any_of(std::begin(kStarted), std::end(kStarted),
                                   [](const char* name) { return std::getenv(name) != nullptr; });
  if (!started) return std::make_unique<Team>();
  auto team = std::make_unique<MpiTeam>();
  if (!team->may_use_threads()) {
    return error(Code::kUnsupported, "this MPI allows no threads beside it",
                 "take an MPI with MPI_THREAD_FUNNELED, such as Debian's libopenmpi-dev");
  }
  return std::unique_ptr<Team>(std::move(team));
}

}  // namespace fastvlm
