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
  const std::string weights = random_bytes(300'000, 1);
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
  const std::string weights = random_bytes(400'000, 2);
  serve_repository(server_, "a/b", {{"config.json", "{}"}, {"model.safetensors", weights}});
  server_.cut_after("/a/b/resolve/abc123/model.safetensors", 150'000, 2);
  const auto model = pull_name("a/b");
  ASSERT_TRUE(model.ok()) << model.status().message;
  EXPECT_EQ(contents(folder_ / "b/model.safetensors"), weights);
  EXPECT_GE(server_.ranges_of("/a/b/resolve/abc123/model.safetensors"), 2);
}

TEST_F(Hub, GoesOnWithThePartOfAnEarlierRun) {
  const std::string weights = random_bytes(200'000, 3);
  serve_repository(server_, "a/b", {{"config.json", "{}"}, {"model.safetensors", weights}});
  std::filesystem::create_directories(folder_ / "b");
  std::ofstream(folder_ / "b/model.safetensors.part", std::ios::binary)
      << weights.substr(0, 120'000);
  ASSERT_TRUE(pull_name("a/b").ok());
  EXPECT_EQ(contents(folder_ / "b/model.safetensors"), weights);
  EXPECT_EQ(server_.bytes_of("/a/b/resolve/abc123/model.safetensors"), 80'000U);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b/model.safetensors.part"));
}

TEST_F(Hub, StartsAgainWhenTheFileHasChanged) {
  const std::string now = random_bytes(50'000, 4);
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
                   {{"config.json", "{}"}, {"model.safetensors", random_bytes(9'000, 6)}},
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
  EXPECT_FALSE(missing.status().hint.empty());
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
                   {{"config.json", "{}"}, {"model.safetensors", random_bytes(500'000, 7)}});
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
  json tree = json::array({{{"type", "file"}, {"path", "../evil.json"}, {"size", 2}},
                           {{"type", "file"}, {"path", "/etc/evil.json"}, {"size", 2}},
                           {{"type", "file"}, {"path", "model.safetensors"}, {"size", 1}}});
  server_.add("/api/models/a/b/revision/main", json{{"sha", "abc123"}}.dump());
  server_.add("/api/models/a/b/tree/abc123", tree.dump());
  server_.add("/a/b/resolve/abc123/model.safetensors", "x");
  ASSERT_TRUE(pull_name("a/b").ok());
  EXPECT_EQ(plan_.files, 1U);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "evil.json"));
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
  HttpRequest request;
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
    HttpRequest request;
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
    zip_file_add(archive, name.c_str(), zip_source_buffer(archive, bytes.data(), bytes.size(), 0),
                 ZIP_FL_ENC_UTF_8);
  }
  zip_close(archive);
  return contents(path);
}

TEST_F(Hub, UnpacksAnArchive) {
  const std::string weights = random_bytes(50'000, 8);
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

TEST_F(Hub, CancellingKeepsThePart) {
  serve_repository(server_, "a/b",
                   {{"config.json", "{}"}, {"model.safetensors", random_bytes(3'000'000, 9)}});
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

}  // namespace
}  // namespace fastvlm
