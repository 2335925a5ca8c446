// SPDX-License-Identifier: Apache-2.0
// A teacher on loopback: trouble that passes and trouble that stays, answers that lack something,
// a run that goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <fstream>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "dataset/coco_teacher.h"
#include "dataset/llava.h"
#include "dataset/teacher_run.h"
#include "support/chat_server.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ChatReply;
using test::ChatRequest;
using test::ChatServer;
using test::says;
using testing::AllOf;
using testing::HasSubstr;

std::string seven(const std::string& word = "Text") {
  std::array<std::string, kSectionCount> texts;
  for (size_t i = 0; i < kSectionCount; ++i) texts[i] = cat(word, " ", i, ".");
  return seven_sections_text(texts);
}

TeacherOptions options_for(const ChatServer& server) {
  TeacherOptions options;
  options.url = server.address();
  options.model = "seer";
  options.key = "secret";
  options.first_wait = 0.01;
  options.longest_wait = 0.02;
  return options;
}

std::span<const std::byte> picture() {
  static const auto kFile = MappedFile::open(test::golden("preprocess/tiny.png"));
  return kFile->bytes();
}

TEST(Teacher, AddressesAreCompleted) {
  EXPECT_EQ(completions_url("https://h/v1/"), "https://h/v1/chat/completions");
  EXPECT_EQ(completions_url("https://h/chat/completions"), "https://h/chat/completions");
}

TEST(Teacher, IsAskedWithThePictureAndTheQuestion) {
  ChatRequest seen;
  const ChatServer server([&](const ChatRequest& request) {
    seen = request;
    return says("## 1. Main Focus\nA dog\non grass.\n" + seven().substr(seven().find("2. ")));
  });
  TeacherUsage usage;
  VisionTeacher teacher(options_for(server));
  const auto answer = teacher.ask("What is it?", picture(), "tiny.png", usage);
  ASSERT_TRUE(answer.ok()) << answer.status().message;
  EXPECT_TRUE(answer->starts_with("1. Main Focus – A dog on grass.\n2. ")) << *answer;
  EXPECT_EQ(usage.prompt_tokens, 100);
  EXPECT_EQ(usage.answer_tokens, 50);
  EXPECT_EQ(seen.path, "/v1/chat/completions");
  EXPECT_THAT(seen.head, HasSubstr("Authorization: Bearer secret"));
  EXPECT_EQ(seen.body["model"], "seer");
  const json& content = seen.body["messages"][0]["content"];
  EXPECT_THAT(content[0]["text"].get<std::string>(), testing::StartsWith("What is it?\n"));
  EXPECT_EQ(content[1]["image_url"]["url"], "data:image/png;base64," + base64(picture()));
}

TEST(Teacher, WaitsOutTroubleThatPasses) {
  std::atomic<int> calls{0};
  const ChatServer server([&](const ChatRequest&) -> ChatReply {
    switch (++calls) {
      case 1:
        return {429, "{}", "Retry-After: 0\r\n"};
      case 2:
        return {503, "busy"};
      default:
        return says(seven());
    }
  });
  TeacherUsage usage;
  VisionTeacher teacher(options_for(server));
  const auto answer = teacher.ask("?", picture(), "x", usage);
  ASSERT_TRUE(answer.ok()) << answer.status().message;
  EXPECT_EQ(usage.requests, 3);
  EXPECT_EQ(usage.repeated, 2);
}

TEST(Teacher, AsksAgainForWhatIsLackingAndGivesUp) {
  std::atomic<int> calls{0};
  std::string second;
  bool mends = true;
  const ChatServer server([&](const ChatRequest& request) {
    if (++calls == 2) second = request.body.dump();
    return says(calls >= 2 && mends ? seven() : seven().substr(0, seven().find("7. ")));
  });
  TeacherUsage usage;
  VisionTeacher teacher(options_for(server));
  const auto answer = teacher.ask("?", picture(), "x", usage);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(usage.asked_again, 1);
  EXPECT_EQ(usage.answer_tokens, 100) << "both answers are paid for";
  EXPECT_THAT(second, HasSubstr("section Style & Aesthetic: is missing"));
  mends = false;
  const int before = server.requests();
  const auto never = teacher.ask("?", picture(), "b.jpg", usage);
  EXPECT_EQ(never.status().code, Code::kInvalid);
  EXPECT_THAT(never.status().message, AllOf(HasSubstr("b.jpg"), HasSubstr("Style & Aesthetic")));
  EXPECT_EQ(server.requests() - before, 3);
}

TEST(Teacher, ARefusedKeyEndsTheRunAndIsNotShown) {
  const ChatServer server([](const ChatRequest&) -> ChatReply {
    return {401, R"({"error":{"message":"bad key"}})"};
  });
  TeacherUsage usage;
  VisionTeacher teacher(options_for(server));
  const Status status = teacher.ask("?", picture(), "x", usage).status();
  EXPECT_EQ(status.code, Code::kUsage);
  EXPECT_THAT(status.message, AllOf(HasSubstr("401"), HasSubstr("bad key")));
  EXPECT_THAT(status.message + status.hint, testing::Not(HasSubstr("secret")));
  EXPECT_EQ(server.requests(), 1);
}

TEST(Teacher, TroubleThatStaysAndForeignAnswersAreErrorsOfTheRun) {
  const ChatServer busy([](const ChatRequest&) -> ChatReply { return {500, "down"}; });
  TeacherOptions options = options_for(busy);
  options.tries = 3;
  TeacherUsage usage;
  VisionTeacher teacher(options);
  EXPECT_EQ(teacher.ask("?", picture(), "x", usage).status().code, Code::kIo);
  EXPECT_EQ(busy.requests(), 3);
  const ChatServer other([](const ChatRequest&) -> ChatReply { return {200, "<html>"}; });
  VisionTeacher foreign(options_for(other));
  EXPECT_THAT(foreign.ask("?", picture(), "x", usage).status().message,
              HasSubstr("chat completion"));
}

TEST(Teacher, RefusesPlainHttpToOtherMachinesAndOtherFiles) {
  TeacherOptions options;
  options.url = "http://192.0.2.1/v1";
  TeacherUsage usage;
  VisionTeacher teacher(options);
  EXPECT_EQ(teacher.ask("?", picture(), "x", usage).status().code, Code::kUsage);
  const std::string text = "no picture";
  EXPECT_EQ(teacher.ask("?", std::as_bytes(std::span(text)), "x", usage).status().code,
            Code::kInvalid);
}

TEST(Teacher, KeepsToTheRate) {
  const ChatServer server([](const ChatRequest&) { return says(seven()); });
  TeacherOptions options = options_for(server);
  options.per_minute = 60 / 0.05;
  TeacherUsage usage;
  VisionTeacher teacher(options);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(teacher.ask("?", picture(), "x", usage).ok());
  // A bound from below alone: a busy machine only takes longer.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(199));
}

class TeacherRun : public testing::Test {
 protected:
  TeacherRun() {
    for (int i = 0; i < 12; ++i) {
      tasks_.push_back(
          {cat(i, ".png"), test::golden("preprocess/tiny.png"), "digest", cat("Question ", i)});
    }
  }
  Result<std::vector<Result<std::string>>> run(const ChatServer& server, int at_once = 1) {
    auto journal = TeacherJournal::open(folder_ / "teacher.jsonl");
    if (!journal.ok()) return journal.status();
    TeacherOptions options = options_for(server);
    options.tries = 1;
    VisionTeacher teacher(options);
    return ask_teacher(tasks_, teacher, *journal, at_once,
                       [this](const TeacherProgress& progress) { progress_ = progress; });
  }
  static std::string question_of(const ChatRequest& request) {
    const std::string text = request.body["messages"][0]["content"][0]["text"];
    return text.substr(0, text.find('\n'));
  }

  test::TemporaryFolder folder_;
  std::vector<TeacherTask> tasks_;
  TeacherProgress progress_;
};

TEST_F(TeacherRun, GoesOnAfterAnEndAndPaysForNoAnswerTwice) {
  std::atomic<int> left{5};
  const ChatServer server([&](const ChatRequest& request) -> ChatReply {
    if (left-- <= 0) return {500, "down"};
    return says(seven(question_of(request)));
  });
  EXPECT_EQ(run(server).status().code, Code::kIo);
  // What a run that was killed while it wrote leaves behind.
  std::ofstream(folder_ / "teacher.jsonl", std::ios::app) << "{\"key\":\"torn";
  left = 1000;
  const int before = server.requests();
  const auto answers = run(server);
  ASSERT_TRUE(answers.ok()) << answers.status().message;
  EXPECT_EQ(server.requests() - before, 7);
  EXPECT_EQ(progress_.kept, 5U);
  EXPECT_EQ(progress_.answered, 7U);
  for (size_t i = 0; i < tasks_.size(); ++i) {
    EXPECT_THAT(*(*answers)[i], HasSubstr(cat("Question ", i, " 0."))) << i;
  }
  EXPECT_TRUE(run(server).ok());
  EXPECT_EQ(server.requests() - before, 7);
}

TEST_F(TeacherRun, SeveralAtOnceGiveTheSameAnswersInOrder) {
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  const ChatServer server([&](const ChatRequest& request) {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.notify_all();
    // Until three are here together, which only several threads can be.
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return waiting >= 3; });
    return says(seven(question_of(request)));
  });
  const auto answers = run(server, 3);
  ASSERT_TRUE(answers.ok()) << answers.status().message;
  EXPECT_GE(server.most_at_once(), 3);
  for (size_t i = 0; i < tasks_.size(); ++i) {
    EXPECT_THAT(*(*answers)[i], HasSubstr(cat("Question ", i, " 0.")));
  }
}

TEST_F(TeacherRun, APictureThatFailsStopsNoOther) {
  const ChatServer server([](const ChatRequest& request) -> ChatReply {
    if (question_of(request) == "Question 3") return {400, R"({"error":"not this one"})"};
    return says(seven());
  });
  tasks_[5].path = folder_ / "absent.png";
  const auto answers = run(server, 2);
  ASSERT_TRUE(answers.ok());
  EXPECT_EQ(progress_.failed, 2U);
  EXPECT_THAT((*answers)[3].status().message, HasSubstr("not this one"));
  EXPECT_FALSE((*answers)[5].ok());
  EXPECT_TRUE((*answers)[11].ok());
}

TEST_F(TeacherRun, AForeignFileIsNoJournal) {
  std::ofstream(folder_ / "teacher.jsonl") << "{\"id\": 1}\n";
  EXPECT_EQ(TeacherJournal::open(folder_ / "teacher.jsonl").status().code, Code::kInvalid);
}

TEST(TeacherJournal, KeysKeepContentsApart) {
  const std::string key = TeacherJournal::key_of("a", "b", "c");
  EXPECT_NE(key, TeacherJournal::key_of("a", "b", "d"));
  EXPECT_NE(key, TeacherJournal::key_of("a", "c", "c"));
  EXPECT_NE(key, TeacherJournal::key_of("b", "b", "c"));
  EXPECT_NE(TeacherJournal::key_of("a", "\n1\nb", "c"), TeacherJournal::key_of("a\n1\n", "b", "c"));
}

}  // namespace
}  // namespace fastvlm
