// SPDX-License-Identifier: Apache-2.0
// The processes that train one model together, on one machine or several. All of them make the same
// calls in the same order; a call returns when all that it concerns have made it. This class is a
// team of one, to which every call is nothing; join_team() may give a larger one.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace fastvlm {

class Team {
 public:
  Team() = default;
  virtual ~Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  virtual int size() const { return 1; }
  virtual int rank() const { return 0; }  // 0 .. size() - 1
  // Rank 0 alone writes files and speaks.
  bool leads() const { return rank() == 0; }

  // The error of the first process that has one, in all of them.
  virtual Status agree(const Status& own) { return own; }
  // Whether any process says so.
  virtual bool any(bool own) { return own; }
  // Brings together what each process knows a part of: each value is 0 in all processes but one.
  virtual void gather(std::span<double> /*values*/) {}
  // Values from one process to another, which adds them to its own.
  virtual void send(int /*to*/, std::span<const float> /*values*/) {}
  virtual void add_received(int /*from*/, std::span<float> /*values*/) {}
  // Rank 0's, in all processes. Strings may differ in length, arrays not.
  virtual void spread(std::span<float> /*values*/) {}
  virtual std::string spread(const std::string& text) { return text; }
};

// kUsage unless `value` is the same in all processes: `name` says what it is. All return the same.
Status check_same(Team& team, const std::string& name, const std::string& value);

// The team that mpirun or srun started this process in, else a team of one. To be called once. An
// error (kUnsupported) where this build has no MPI and was started as one of several.
Result<std::unique_ptr<Team>> join_team();

}  // namespace fastvlm
