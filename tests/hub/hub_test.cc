// SPDX-License-Identifier: Apache-2.0
// Pulling models from a hub-shaped server on loopback: resume, digests, refusals, towers by range.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zip.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "formats/safetensors.h"
#include "hub/archive.h"
#include "hub/cache.h"
#include "hub/catalog.h"
#include "hub/data_set.h"
#include "hub/pull.h"
#include "hub/tower.h"
#include "support/file_server.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using test::FileServer;

std::string random_bytes(size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(generator());
  return bytes;
}

std::string contents(const std::filesystem::path& path) {
  auto text = read_text_file(path);
  return text.ok() ? *text : "<" + text.status().message + ">";
}

// A safetensors file of one tensor whose `count` bytes are random.
std::string random_weights(size_t count, unsigned seed) {
  const json header = {{"w", {{"dtype", "U8"}, {"shape", {count}}, {"data_offsets", {0, count}}}}};
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + text + random_bytes(count, seed);
}

// A safetensors file with two tower tensors around one of the language model.
std::string small_checkpoint() {
  const std::string data = random_bytes(96, 5);
  const json header = {
      {"model.vision_tower.vision_tower.model.a",
       {{"dtype", "F32"}, {"shape", {4}}, {"data_offsets", {0, 16}}}},
      {"model.embed_tokens.weight", {{"dtype", "F32"}, {"shape", {8}}, {"data_offsets", {16, 48}}}},
      {"model.vision_tower.vision_tower.model.b",
       {{"dtype", "F16"}, {"shape", {24}}, {"data_offsets", {48, 96}}}}};
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + text + data;
}

// Serves `files` as the repository owner/name at commit abc123.
void serve_repository(FileServer& server, const std::string& name,
                      const std::map<std::string, std::string>& files,
                      const std::string& wrong_digest_of = "") {
  json tree = json::array();
  for (const auto& [path, bytes] : files) {
    json entry = {{"type", "file"}, {"path", path}, {"size", bytes.size()}, {"oid", "0"}};
    if (path.ends_with(".safetensors")) {
      entry["lfs"] = {{"oid", sha256_hex(path == wrong_digest_of ? "other" : bytes)},
                      {"size", bytes.size()}};
    }
    tree.push_back(entry);
    server.add("/" + name + "/resolve/abc123/" + path, bytes);
  }
  server.add("/api/models/" + name + "/revision/main",
             json{{"sha", "abc123"}, {"cardData", {{"license", "test-licence"}}}}.dump());
  server.add("/api/models/" + name + "/tree/abc123", tree.dump());
}

class Hub : public testing::Test {
 protected:
  Result<PulledModel> pull_name(const std::string& name) {
    auto source = find_source(name, server_.address());
    if (!source.ok()) return source.status();
    return pull_source(*source);
  }
  Result<PulledModel> pull_source(const ModelSource& source) {
    PullOptions options;
    options.hub = server_.address();
    options.models = folder_.path();
    return pull(client_, source, options,
                [&](const PullPlan& plan) {
                  plan_ = plan;
                  return Status{};
                },
                {});
  }

  FileServer server_;
  test::TemporaryFolder folder_;
  HttpClient client_;
  PullPlan plan_;
};

TEST_F(Hub, PullsARepositoryAndRecordsIt) {
  const std::string weights = random_weights(300'000, 1);
  serve_repository(server_, "someone/Some-Model",
                   {{"config.json", "{}"},
                    {"model.safetensors", weights},
                    {"picture.png", "no"},
                    {"README.md", "card"}});
  const auto model = pull_name("someone/Some-Model");
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(plan_.license, "the source says: test-licence");
  EXPECT_EQ(plan_.files, 3U);
  EXPECT_EQ(contents(folder_ / "some-model/model.safetensors"), weights);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "some-model/picture.png"));

  const auto listed = list_models(folder_.path());
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1U);
  const PulledModel& record = listed->front();
  EXPECT_TRUE(record.complete);
  EXPECT_EQ(record.revision, "abc123");
  EXPECT_EQ(record.bytes(), weights.size() + 2 + 4);
  for (const PulledFile& file : record.files) {
    EXPECT_EQ(file.verified, file.path == "model.safetensors") << file.path;
    EXPECT_EQ(file.sha256, sha256_hex(contents(record.folder / file.path)));
  }

  server_.forget_requests();
  EXPECT_TRUE(pull_name("someone/Some-Model").ok());
  EXPECT_EQ(server_.requests(), 0) << "a complete model is not fetched again";
}

TEST_F(Hub, GoesOnWhereATransferBroke) {
  const std::string weights = random_weights(400'000, 2);
  serve_repository(server_, "a/b", {{"config.json", "{}"}, {"model.safetensors", weights}});
  server_.cut_after("/a/b/resolve/abc123/model.safetensors", 150'000, 2);
  const auto model = pull_name("a/b");
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(contents(folder_ / "b/model.safetensors"), weights);
  EXPECT_GE(server_.ranges_of("/a/b/resolve/abc123/model.safetensors"), 2);
}

TEST_F(Hub, GoesOnWithThePartOfAnEarlierRun) {
  const std::string weights = random_weights(200'000, 3);
  serve_repository(server_, "a/b", {{"config.json", "{}"}, {"model.safetensors", weights}});
  std::filesystem::create_directories(folder_ / "b");
  std::ofstream(folder_ / "b/model.safetensors.part", std::ios::binary)
      << weights.substr(0, 120'000);
  ASSERT_TRUE(pull_name("a/b").ok());
  EXPECT_EQ(contents(folder_ / "b/model.safetensors"), weights);
  EXPECT_EQ(server_.bytes_of("/a/b/resolve/abc123/model.safetensors"), weights.size() - 120'000);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors.part"));
}

TEST_F(Hub, StartsAgainWhenTheFileHasChanged) {
  const std::string now = random_weights(50'000, 4);
  server_.add("/file.safetensors", now);
  std::filesystem::create_directories(folder_ / "file");
  std::ofstream(folder_ / "file/file.safetensors.part", std::ios::binary)
      << std::string(20'000, 'x');
  std::ofstream(folder_ / "file/file.safetensors.part.etag") << "\"another version\"";
  const auto model = pull_name(server_.address() + "/file.safetensors");
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(contents(folder_ / "file/file.safetensors"), now);
  EXPECT_FALSE(model->files.front().verified);
  EXPECT_EQ(model->files.front().sha256, sha256_hex(now));
}

TEST_F(Hub, RefusesAWrongDigestAndKeepsNothing) {
  serve_repository(server_, "a/b",
                   {{"config.json", "{}"}, {"model.safetensors", random_weights(9'000, 6)}},
                   "model.safetensors");
  const auto model = pull_name("a/b");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code, Code::kInvalid);
  EXPECT_NE(model.status().message.find("SHA-256 expected"), std::string::npos)
      << model.status().message;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors.part"));
  EXPECT_FALSE(list_models(folder_.path())->front().complete);
}

TEST_F(Hub, SaysWhatIsMissing) {
  const auto missing = pull_name("no/such");
  EXPECT_EQ(missing.status().code, Code::kNotFound);
  EXPECT_NE(missing.status().message.find("404"), std::string::npos) << missing.status().message;
  EXPECT_NE(missing.status().hint.find("pull --list"), std::string::npos) << missing.status().hint;
  serve_repository(server_, "a/empty", {{"config.json", "{}"}, {"pytorch_model.bin", "x"}});
  EXPECT_NE(pull_name("a/empty").status().message.find("no *.safetensors"), std::string::npos);
  serve_repository(server_, "a/gone", {{"config.json", "{}"}, {"model.safetensors", "x"}});
  server_.remove("/a/gone/resolve/abc123/model.safetensors");
  EXPECT_EQ(pull_name("a/gone").status().code, Code::kNotFound);
}

TEST_F(Hub, RefusesWhatCannotFit) {
  json tree =
      json::array({{{"type", "file"}, {"path", "model.safetensors"}, {"size", uint64_t{1} << 60}}});
  server_.add("/api/models/a/huge/revision/main", json{{"sha", "abc123"}}.dump());
  server_.add("/api/models/a/huge/tree/abc123", tree.dump());
  const auto model = pull_name("a/huge");
  EXPECT_EQ(model.status().code, Code::kIo);
  EXPECT_NE(model.status().message.find("free space"), std::string::npos) << model.status().message;
}

TEST_F(Hub, AFullDiskIsSaidAndThePartStays) {
  serve_repository(server_, "a/b",
                   {{"config.json", "{}"}, {"model.safetensors", random_weights(500'000, 7)}});
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto model = pull_name("a/b");
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(model.status().code, Code::kIo);
  EXPECT_NE(model.status().hint.find("free some space"), std::string::npos) << model.status().hint;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "b/model.safetensors.part"));
  EXPECT_TRUE(pull_name("a/b").ok());
}

TEST_F(Hub, IgnoresNamesThatLeaveTheFolder) {
  const std::string weights = random_weights(1, 1);
  json tree = json::array();
  for (const char* evil : {"../evil.json", "/etc/evil.json", "x/../../evil.json", "ev\nil.json",
                           "\x1b[31mevil.json", "fastvlm-source.json"}) {
    tree.push_back({{"type", "file"}, {"path", evil}, {"size", 2}});
  }
  tree.push_back({{"type", "file"}, {"path", "model.safetensors"}, {"size", weights.size()}});
  server_.add("/api/models/a/b/revision/main", json{{"sha", "abc123"}}.dump());
  server_.add("/api/models/a/b/tree/abc123", tree.dump());
  server_.add("/a/b/resolve/abc123/model.safetensors", weights);
  ASSERT_TRUE(pull_name("a/b").ok());
  EXPECT_EQ(plan_.files, 1U);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "evil.json"));
  EXPECT_TRUE(list_models(folder_.path())->front().complete);
}

TEST_F(Hub, RefusesAnswersWithoutUsableSizes) {
  server_.add("/api/models/a/b/revision/main", json{{"sha", "abc123"}}.dump());
  server_.add("/a/b/resolve/abc123/model.safetensors", random_weights(10, 1));
  const json file = {{"type", "file"}, {"path", "model.safetensors"}};
  for (const json& size : {json(nullptr), json("12"), json(-5), json(1.5), json(UINT64_MAX)}) {
    json entry = file;
    if (!size.is_null()) entry["size"] = size;
    server_.add("/api/models/a/b/tree/abc123", json::array({entry}).dump());
    const auto model = pull_name("a/b");
    ASSERT_FALSE(model.ok()) << entry;
    EXPECT_EQ(model.status().code, Code::kInvalid) << entry;
    EXPECT_NE(model.status().message.find("`size` of model.safetensors"), std::string::npos)
        << model.status().message;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "b"));
  }
}

TEST_F(Hub, SizesThatOverflowTogetherDoNotFit) {
  json tree = json::array();
  for (const char* path : {"1.safetensors", "2.safetensors", "3.safetensors"})
    tree.push_back({{"type", "file"}, {"path", path}, {"size", INT64_MAX}});
  server_.add("/api/models/a/b/revision/main", json{{"sha", "abc123"}}.dump());
  server_.add("/api/models/a/b/tree/abc123", tree.dump());
  const auto model = pull_name("a/b");
  EXPECT_EQ(plan_.bytes, UINT64_MAX);
  EXPECT_NE(model.status().message.find("free space"), std::string::npos) << model.status().message;
  EXPECT_FALSE(check_space(folder_.path(), UINT64_MAX).ok());
  EXPECT_FALSE(check_space(folder_.path(), UINT64_MAX - 5).ok());
}

TEST_F(Hub, StopsWhenMoreArrivesThanTheSourceStates) {
  serve_repository(server_, "a/b", {{"config.json", "{}"}, {"model.safetensors", "0123456789"}});
  const std::string path = "/a/b/resolve/abc123/model.safetensors";
  const size_t much = size_t{64} << 20;
  server_.add_answer(path, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(much, 'x'));
  const auto model = pull_name("a/b");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code, Code::kInvalid);
  EXPECT_NE(model.status().message.find("more than the 10 bytes"), std::string::npos)
      << model.status().message;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors.part"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors"));
  EXPECT_LT(server_.bytes_of(path), much) << "the rest must not be waited for";
}

TEST_F(Hub, TwoRepositoriesOfOneNameDoNotMix) {
  const std::string weights = random_weights(1'000, 1);
  serve_repository(server_, "alice/foo", {{"config.json", "{}"}, {"1.safetensors", weights}});
  serve_repository(server_, "bob/foo", {{"config.json", "[]"}, {"model.safetensors", weights}});
  const auto expect_refusal = [&](const char* when) {
    const auto bob = pull_name("bob/foo");
    ASSERT_FALSE(bob.ok()) << when;
    EXPECT_EQ(bob.status().code, Code::kUsage) << when;
    EXPECT_NE(bob.status().message.find("holds files of alice/foo"), std::string::npos)
        << bob.status().message;
    EXPECT_NE(bob.status().hint.find("--as"), std::string::npos) << bob.status().hint;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "foo/model.safetensors")) << when;
  };
  const std::string path = "/alice/foo/resolve/abc123/config.json";
  server_.remove(path);  // the weights come first: they stay when the pull ends here
  ASSERT_FALSE(pull_name("alice/foo").ok());
  ASSERT_TRUE(std::filesystem::exists(folder_ / "foo/1.safetensors"));
  expect_refusal("after an unfinished pull");
  server_.add(path, "{}");
  ASSERT_TRUE(pull_name("alice/foo").ok());
  expect_refusal("after a whole pull");
  EXPECT_EQ(contents(folder_ / "foo/config.json"), "{}");
  std::filesystem::remove(folder_ / "foo/1.safetensors");
  expect_refusal("after damage to the model");

  PullOptions options;
  options.hub = server_.address();
  options.models = folder_.path();
  options.name = "foo-of-bob";
  const auto source = find_source("bob/foo", server_.address());
  const auto bob = pull(client_, *source, options, [](const PullPlan&) { return Status{}; }, {});
  ASSERT_TRUE(bob.ok()) << bob.status().message;
  EXPECT_EQ(contents(folder_ / "foo-of-bob/config.json"), "[]");
}

TEST_F(Hub, ASourceIsNotAnotherThatBeginsLikeIt) {
  const std::string weights = random_weights(1'000, 1);
  serve_repository(server_, "alice/foobar", {{"model.safetensors", weights}});
  serve_repository(server_, "alice/foo", {{"model.safetensors", weights}});
  ModelSource source;
  source.name = "same";
  source.repository = "alice/foobar";
  ASSERT_TRUE(pull_source(source).ok());
  source.repository = "alice/foo";
  EXPECT_EQ(pull_source(source).status().code, Code::kUsage);
  source.repository = "alice/foobar";
  source.tower_from = "alice/foo";
  EXPECT_EQ(pull_source(source).status().code, Code::kUsage);
}

TEST_F(Hub, AFileThatIsNoModelIsNotKept) {
  const std::string page = "<html><body>log in first</body></html>";
  const std::map<std::string, std::string> impostors = {
      {"page.safetensors", page},
      {"empty.safetensors", ""},
      {"short.safetensors", random_weights(100, 1).substr(0, 120)},
      {"junk.safetensors", random_bytes(1'000, 2)},
      {"page.zip", page},
      {"empty.zip", ""}};
  for (const auto& [name, bytes] : impostors) {
    server_.add("/" + name, bytes);
    const auto model = pull_name(server_.address() + "/" + name);
    ASSERT_FALSE(model.ok()) << name;
    EXPECT_EQ(model.status().code, Code::kInvalid) << name;
    EXPECT_FALSE(model.status().hint.empty()) << name;
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path())) << name;
  }
  serve_repository(server_, "a/b", {{"config.json", "{}"}, {"model.safetensors", page}});
  const auto model = pull_name("a/b");
  EXPECT_NE(model.status().message.find("is a web page"), std::string::npos)
      << model.status().message;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors"));

  ModelSource detector;  // as the catalogue has them
  detector.name = "detector";
  detector.url = server_.address() + "/detector.pt";
  server_.add("/detector.pt", page);
  EXPECT_EQ(pull_source(detector).status().code, Code::kInvalid);
  server_.add("/detector.pt", "PK\3\4 and so on");
  EXPECT_TRUE(pull_source(detector).ok());
}

TEST_F(Hub, NamesToKeepAModelUnder) {
  serve_repository(server_, "a/b", {{"model.safetensors", random_weights(10, 1)}});
  const auto source = find_source("a/b", server_.address());
  PullOptions options;
  options.hub = server_.address();
  options.models = folder_.path();
  const auto pull_as = [&](const std::string& name) {
    options.name = name;
    return pull(client_, *source, options, [](const PullPlan&) { return Status{}; }, {});
  };
  for (const char* name : {" ", " a", "a ", ".", "..", ".a", "-a", "a/b", "../a", "a\\b", "a\nb",
                           "a\tb", "\x1b[31m", "a\x7f", "a\xc2\x9b",
                           "\xe2\x80\xae"
                           "a"}) {
    EXPECT_EQ(pull_as(name).status().code, Code::kUsage) << printable(name);
  }
  EXPECT_EQ(server_.requests(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
  for (const char* name : {"a", "My model 2", "modèle", "模型"})
    EXPECT_TRUE(pull_as(name).ok()) << name;
}

TEST_F(Hub, RedirectsStayOnThisMachine) {
  server_.add("/model.safetensors", random_weights(10, 1));
  server_.add_redirect("/over/here/model.safetensors", "/model.safetensors");
  EXPECT_TRUE(pull_name(server_.address() + "/over/here/model.safetensors").ok());
  const std::string port = server_.address().substr(server_.address().rfind(':'));
  for (const std::string& target :
       {std::string("file:///etc/passwd"), "http://127.0.0.2" + port + "/model.safetensors",
        "//127.0.0.2" + port + "/model.safetensors",
        "http://localhost:x@127.0.0.2" + port + "/model.safetensors"}) {
    server_.add_redirect("/away.safetensors", target);
    server_.forget_requests();
    const auto model = pull_name(server_.address() + "/away.safetensors");
    ASSERT_FALSE(model.ok()) << target;
    EXPECT_EQ(model.status().code, Code::kInvalid) << target;
    EXPECT_NE(model.status().message.find("is not HTTPS"), std::string::npos)
        << model.status().message;
    EXPECT_EQ(model.status().hint.find("goes on"), std::string::npos) << model.status().hint;
    EXPECT_EQ(server_.requests(), 1) << "trying again is no use: " << target;
  }
}

TEST_F(Hub, ARedirectLoopIsNotTheNetwork) {
  server_.add_redirect("/loop.safetensors", "/loop.safetensors");
  const auto model = pull_name(server_.address() + "/loop.safetensors");
  EXPECT_EQ(model.status().code, Code::kInvalid);
  EXPECT_NE(model.status().message.find("redirects more than"), std::string::npos)
      << model.status().message;
  EXPECT_EQ(model.status().hint.find("network"), std::string::npos) << model.status().hint;
}

TEST_F(Hub, AnEndlessErrorPageIsNotRead) {
  const size_t much = size_t{64} << 20;
  server_.add_answer("/x.safetensors", "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" +
                                           std::string(much, 'x'));
  EXPECT_EQ(pull_name(server_.address() + "/x.safetensors").status().code, Code::kNotFound);
  EXPECT_LT(server_.bytes_of("/x.safetensors"), much);
}

TEST_F(Hub, FetchesOnlyTheTower) {
  const std::string checkpoint = small_checkpoint();
  serve_repository(server_, "apple/base",
                   {{"config.json", "{}"}, {"model.safetensors", checkpoint}});
  serve_repository(server_, "a/captions",
                   {{"config.json", "{}"}, {"model.safetensors", small_checkpoint()}});
  ModelSource source;
  source.name = "captions";
  source.repository = "a/captions";
  source.tower_from = "apple/base";
  const auto model = pull_source(source);
  ASSERT_TRUE(model.ok()) << model.status().message;
  const auto tower = SafetensorsFile::open(folder_ / "captions/vision_tower.safetensors");
  ASSERT_TRUE(tower.ok()) << tower.status().message;
  EXPECT_EQ(tower->tensors().size(), 2U);
  const auto whole = SafetensorsFile::open(folder_ / "captions/model.safetensors");
  ASSERT_TRUE(whole.ok());
  for (const auto& [name, tensor] : tower->tensors()) {
    const TensorView* original = whole->find(name);
    ASSERT_NE(original, nullptr);
    EXPECT_EQ(tensor.shape, original->shape);
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), original->bytes.begin(),
                           original->bytes.end()));
  }
  EXPECT_LT(server_.bytes_of("/apple/base/resolve/abc123/model.safetensors"), checkpoint.size());
}

TEST_F(Hub, ATowerGoesOnWhereItStopped) {
  server_.add("/model.safetensors", small_checkpoint());
  FetchRequest request;
  request.url = server_.address() + "/model.safetensors";
  const auto whole = fetch_tower(client_, {request}, folder_ / "whole.safetensors", {});
  ASSERT_TRUE(whole.ok()) << whole.status().message;
  const std::string expected = contents(folder_ / "whole.safetensors");
  for (size_t have = 0; have < expected.size(); have += 7) {
    std::ofstream(folder_ / "t.safetensors.part", std::ios::binary | std::ios::trunc)
        << expected.substr(0, have);
    ASSERT_TRUE(fetch_tower(client_, {request}, folder_ / "t.safetensors", {}).ok());
    ASSERT_EQ(contents(folder_ / "t.safetensors"), expected) << "resumed at " << have;
  }
}

TEST_F(Hub, TowerOfSomethingElseIsRefused) {
  server_.add("/a.safetensors", "not a safetensors file at all");
  server_.add("/short", "abc");
  for (const char* path : {"/a.safetensors", "/short"}) {
    FetchRequest request;
    request.url = server_.address() + path;
    EXPECT_FALSE(fetch_tower(client_, {request}, folder_ / "t.safetensors", {}).ok()) << path;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "t.safetensors"));
  }
}

// A zip archive of the given entries.
std::string zip_of(const std::filesystem::path& path,
                   const std::map<std::string, std::string>& entries) {
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  for (const auto& [name, bytes] : entries) {
    const zip_int64_t index =
        zip_file_add(archive, name.c_str(),
                     zip_source_buffer(archive, bytes.data(), bytes.size(), 0), ZIP_FL_ENC_UTF_8);
    // Stored as they are, so that a test can find and damage them.
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
  }
  zip_close(archive);
  return contents(path);
}

TEST_F(Hub, UnpacksAnArchive) {
  const std::string weights = random_weights(50'000, 8);
  const std::map<std::string, std::string> entries = {
      {"llava/config.json", "{}"},
      {"llava/model.safetensors", weights},
      {"llava/fastvithd.mlpackage/Manifest.json", "{}"},
      {"__MACOSX/config.json", "junk"},
      {"../config.json", "evil"}};
  server_.add("/llava.zip", zip_of(folder_ / "made.zip", {entries.begin(), entries.end()}));
  auto duplicate = pull_name(server_.address() + "/llava.zip");
  EXPECT_FALSE(duplicate.ok()) << "../config.json and llava/config.json would be the same file";

  std::map<std::string, std::string> good = entries;
  good.erase("../config.json");
  server_.add("/good.zip", zip_of(folder_ / "good.zip", good));
  const auto model = pull_name(server_.address() + "/good.zip");
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(contents(folder_ / "good/model.safetensors"), weights);
  EXPECT_EQ(contents(folder_ / "good/config.json"), "{}");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "good/Manifest.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "good/good.zip"));

  server_.add("/bad.zip", "PK\3\4 this is not an archive");
  EXPECT_EQ(pull_name(server_.address() + "/bad.zip").status().code, Code::kInvalid);
}

TEST_F(Hub, ADamagedArchiveLeavesNothing) {
  // A whole number of the reader's buffers: only a read past the end compares the checksum.
  const size_t header = random_weights(1'000'000, 8).size() - 1'000'000;
  const std::string weights = random_weights((size_t{2} << 20) - header, 8);
  ASSERT_EQ(weights.size() % (size_t{1} << 20), 0U);
  std::string archive = zip_of(folder_ / "made.zip", {{"config.json", "{}"},
                                                      {"extra.safetensors", random_weights(9, 1)},
                                                      {"m.safetensors", weights}});
  std::filesystem::remove(folder_ / "made.zip");
  const size_t at = archive.find(weights.substr(1'000, 64));
  ASSERT_NE(at, std::string::npos);
  archive[at] = static_cast<char>(archive[at] ^ 1);
  server_.add("/damaged.zip", archive);
  const auto model = pull_name(server_.address() + "/damaged.zip");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code, Code::kInvalid);
  EXPECT_NE(model.status().message.find("CRC"), std::string::npos) << model.status().message;
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(Hub, AnArchiveMustHoldWeights) {
  const std::map<std::string, std::map<std::string, std::string>> archives = {
      {"none", {{"m/config.json", "{}"}, {"m/README.md", "card"}}},
      {"page", {{"m/config.json", "{}"}, {"m/model.safetensors", "<html></html>"}}},
      {"name", {{"m/con\nfig.json", "{}"}, {"m/model.safetensors", random_weights(10, 1)}}}};
  for (const auto& [name, entries] : archives) {
    server_.add("/" + name + ".zip", zip_of(folder_ / "made.zip", entries));
    std::filesystem::remove(folder_ / "made.zip");
    const auto model = pull_name(server_.address() + "/" + name + ".zip");
    EXPECT_EQ(model.status().code, Code::kInvalid) << name;
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path())) << name;
  }
}

TEST_F(Hub, CancellingKeepsThePart) {
  serve_repository(server_, "a/b",
                   {{"config.json", "{}"}, {"model.safetensors", random_weights(3'000'000, 9)}});
  std::atomic<bool> cancelled{false};
  const HttpClient client(&cancelled);
  const auto source = find_source("a/b", server_.address());
  PullOptions options;
  options.hub = server_.address();
  options.models = folder_.path();
  const auto stop_midway = [&](const std::string&, uint64_t done, std::optional<uint64_t>) {
    if (done > 100'000) cancelled = true;
  };
  const auto model = pull(
      client, *source, options, [](const PullPlan&) { return Status{}; }, stop_midway);
  EXPECT_EQ(model.status().code, Code::kInterrupted);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "b/model.safetensors.part"));
}

TEST(Catalog, NamesAndAddresses) {
  EXPECT_EQ(find_source("FastVLM-0.5B", kDefaultHub)->repository, "apple/FastVLM-0.5B");
  EXPECT_EQ(find_source("apple/fastvlm-7b", kDefaultHub)->name, "fastvlm-7b");
  EXPECT_EQ(find_source("https://huggingface.co/apple/FastVLM-1.5B", kDefaultHub)->name,
            "fastvlm-1.5b");
  EXPECT_EQ(find_source("fastvlm-0.5b-captions", kDefaultHub)->tower_from, "apple/FastVLM-0.5B");
  EXPECT_NE(find_source("yolo11n", kDefaultHub)->license.find("AGPL-3.0"), std::string::npos);
  EXPECT_EQ(find_source("https://example.org/x/model.zip?y=1", kDefaultHub)->name, "model");
  EXPECT_EQ(find_source("http://example.org/model.zip", kDefaultHub).status().code, Code::kUsage);
  EXPECT_EQ(find_source("file:///etc/passwd", kDefaultHub).status().code, Code::kUsage);
  EXPECT_EQ(find_source("nonsense", kDefaultHub).status().code, Code::kNotFound);
  EXPECT_EQ(find_source("../etc", kDefaultHub).status().code, Code::kNotFound);
  EXPECT_EQ(find_source("https://example.org/", kDefaultHub).status().code, Code::kUsage);
  for (const char* page : {"https://example.org/page.html", "https://example.org/model.pt",
                           "https://example.org/model", "https://example.org/a.html?b=c.zip"}) {
    EXPECT_EQ(find_source(page, kDefaultHub).status().code, Code::kUsage) << page;
  }
  for (const ModelSource& model : model_catalog())
    EXPECT_FALSE(model.license.empty()) << model.name;
}

TEST(Http, UrlParts) {
  EXPECT_EQ(url_path_escaped("a b/ü.json"), "a%20b/%C3%BC.json");
  EXPECT_TRUE(check_url("https://example.org/").ok());
  EXPECT_TRUE(check_url("http://127.0.0.1:80/").ok());
  EXPECT_FALSE(check_url("http://127.0.0.1.example.org/").ok());
  EXPECT_FALSE(check_url("ftp://example.org/").ok());
}

TEST(Http, NoUserInTheAddress) {
  for (const char* url : {"http://localhost:x@127.0.0.2:8732/", "http://127.0.0.1@example.org/",
                          "http://[::1]@example.org/", "http://[::1]:80@example.org/",
                          "http:///localhost@example.org/", "http://127.0.0.1\\@example.org/",
                          "http://@example.org/", "https://me:secret@example.org/",
                          "https://me@example.org", "https://localhost@example.org?a"}) {
    const Status status = check_url(url);
    EXPECT_EQ(status.code, Code::kUsage) << url;
    EXPECT_EQ(status.message.find("secret"), std::string::npos) << status.message;
  }
  EXPECT_TRUE(check_url("https://example.org/user@version/model.zip").ok());
  EXPECT_TRUE(check_url("HTTPS://example.org/?mail=a@b").ok());
  EXPECT_TRUE(check_url("http://[::1]:80/").ok());
  EXPECT_TRUE(check_url("http://LOCALHOST:80/").ok());
}

class DataSets : public Hub {
 protected:
  DataSets() {
    labels_ = zip_of(folder_ / "labels.zip",
                     {{"annotations/captions.json", "{}"}, {"annotations/other.json", "no"}});
    pictures_ = zip_of(folder_ / "pictures.zip",
                       {{"val/1.jpg", random_bytes(50'000, 1)}, {"val/2.jpg", "two"}});
    server_.add("/labels.zip", labels_);
    server_.add("/val.zip", pictures_);
  }
  DataSetSource source(const std::string& wanted = "val/") const {
    return {"set",
            "a licence",
            "about",
            {{server_.address() + "/labels.zip",
              labels_.size(),
              sha256_hex(labels_),
              {"annotations/captions.json"}},
             {server_.address() + "/val.zip", pictures_.size(), sha256_hex(pictures_), {wanted}}}};
  }
  Result<PulledModel> pull_set(const DataSetSource& source) {
    return pull_data_set(client_, source, folder_.path(),
                         [&](const PullPlan& plan) {
                           plan_ = plan;
                           return Status{};
                         },
                         {});
  }
  std::string labels_;
  std::string pictures_;
};

TEST_F(DataSets, AreFetchedUnpackedAndRecorded) {
  const auto data = pull_set(source());
  ASSERT_TRUE(data.ok()) << data.status().message;
  EXPECT_EQ(plan_.license, "a licence");
  EXPECT_EQ(plan_.bytes, labels_.size() + pictures_.size());
  EXPECT_EQ(contents(folder_ / "set/annotations/captions.json"), "{}");
  EXPECT_EQ(contents(folder_ / "set/val/1.jpg"), random_bytes(50'000, 1));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "set/annotations/other.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "set/val.zip"));
  EXPECT_NE(read_record(folder_ / "set")->revision.find(sha256_hex(pictures_)), std::string::npos);
  server_.forget_requests();
  EXPECT_TRUE(pull_set(source()).ok());
  EXPECT_EQ(server_.requests(), 0);
}

TEST_F(DataSets, GoOnWhereTheyWereCutOff) {
  server_.remove("/val.zip");
  ASSERT_EQ(pull_set(source()).status().code, Code::kNotFound);
  EXPECT_FALSE(read_record(folder_ / "set").ok());
  const uint64_t labels_sent = server_.bytes_of("/labels.zip");
  server_.add("/val.zip", pictures_);
  server_.cut_after("/val.zip", 20'000, 1);
  // A picture of an unpacking that was cut off is left alone, half a one is made anew.
  std::filesystem::create_directories(folder_ / "set/val");
  std::ofstream(folder_ / "set/val/2.jpg") << "2nd";
  std::ofstream(folder_ / "set/val/1.jpg") << "half";
  ASSERT_TRUE(pull_set(source()).ok());
  EXPECT_EQ(server_.bytes_of("/labels.zip"), labels_sent)
      << "what is complete is not fetched again";
  EXPECT_GT(server_.ranges_of("/val.zip"), 0);
  EXPECT_EQ(contents(folder_ / "set/val/2.jpg"), "2nd");
  EXPECT_EQ(contents(folder_ / "set/val/1.jpg").size(), 50'000U);
}

TEST_F(DataSets, OtherBytesAndArchivesWithoutWhatIsWantedAreRefused) {
  EXPECT_EQ(pull_set(source("train/")).status().code, Code::kInvalid);
  server_.add("/val.zip", std::string(pictures_.size(), 'x'));
  std::filesystem::remove_all(folder_ / "set");
  const auto other = pull_set(source());
  EXPECT_EQ(other.status().code, Code::kInvalid);
  EXPECT_NE(other.status().message.find("SHA-256"), std::string::npos);
}

TEST_F(DataSets, NamesInArchivesStayBelowTheFolder) {
  pictures_ = zip_of(folder_ / "evil.zip", {{"val/../../out.jpg", "x"}});
  server_.add("/val.zip", pictures_);
  EXPECT_EQ(pull_set(source()).status().code, Code::kInvalid);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.jpg"));
}

TEST(DataSetCatalog, KnowsCoco) {
  const DataSetSource* coco = find_data_set("COCO-val2017");
  ASSERT_NE(coco, nullptr);
  EXPECT_EQ(coco->archives.size(), 2U);
  for (const DataArchive& archive : coco->archives) {
    EXPECT_TRUE(check_url(archive.url).ok());
    EXPECT_EQ(archive.sha256.size(), 64U);
  }
  EXPECT_EQ(find_data_set("coco"), nullptr);
}

TEST(Printable, LeavesNoControlCharacters) {
  EXPECT_EQ(printable("plain, modèle, 模型 🙂"), "plain, modèle, 模型 🙂");
  EXPECT_EQ(printable("a\nb\r\t\x1b[31m\x7f"), "a?b???[31m?");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m \x9b"),
            "?31m ?")
      << "C1, as UTF-8 and as a byte";
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "a\xe2\x81\xa6\xe2\x80\xa8"),
            "?a??")
      << "directions, line ends";
  EXPECT_EQ(printable("caf\xe9 \xe2\x80"), "caf\xe9 \xe2?") << "Latin-1 letters stay";
  EXPECT_EQ(printable(std::string_view("\0", 1)), "?");
}

// Addresses that strangers name.
TEST(HttpClient, CallsOnlyWhereItMay) {
  FileServer server;
  server.add("/a.jpg", "a picture");
  server.add_redirect("/elsewhere", server.address() + "/a.jpg");
  std::vector<std::string> asked;
  FetchRequest request;
  request.url = server.address() + "/a.jpg";
  request.may_connect = [&](const std::string& address) {
    asked.push_back(address);
    return asked.size() == 1;
  };
  EXPECT_EQ(HttpClient().get_text(request).value(), "a picture");
  const Status second = HttpClient().get_text(request).status();
  EXPECT_EQ(second.code, Code::kInvalid);
  EXPECT_NE(second.message.find("in no public network"), std::string::npos) << second.message;
  EXPECT_EQ(asked, (std::vector<std::string>{"127.0.0.1", "127.0.0.1"}));
  EXPECT_EQ(server.requests(), 1);
  request.may_connect = [](const std::string&) { return true; };
  request.url = server.address() + "/elsewhere";
  EXPECT_FALSE(HttpClient().get_text(request).ok()) << "a redirect was followed";
  EXPECT_EQ(server.requests(), 2);
}

TEST(HttpClient, ReadsTheHostAsItIsCalled) {
  EXPECT_EQ(host_of_url("https://Example.org/a"), "example.org");
  EXPECT_EQ(host_of_url("https://example.org@evil.test/"), "evil.test");
  EXPECT_EQ(host_of_url("https://evil.test#@example.org/"), "evil.test");
  EXPECT_EQ(host_of_url("https:example.org"), "");
  EXPECT_EQ(host_of_url(""), "");
}

}  // namespace
}  // namespace fastvlm
