// SPDX-License-Identifier: Apache-2.0
// fastvlm serve as a user starts and ends it; what it answers is tested in tests/serve.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cli/program.h"
#include "support/background.h"
#include "support/http_client.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

TEST(Serve, OtherMachinesNeedAKey) {
  const test::TemporaryFolder folder;
  const test::Run open = test::fastvlm({"serve", "--host", "0.0.0.0", "--port", "0"});
  EXPECT_EQ(open.code, 1);
  EXPECT_THAT(open.err, HasSubstr("--host 0.0.0.0: other machines reach it"));
  EXPECT_THAT(open.err, HasSubstr("\nhint: "));
  std::ofstream(folder / "keys") << "short\n";
  const test::Run weak = test::fastvlm({"serve", "--api-key-file", folder / "keys"});
  EXPECT_EQ(weak.code, 2);
  EXPECT_THAT(weak.err, HasSubstr("line 1: expected a key of 16 or more characters"));
  EXPECT_EQ(test::fastvlm({"serve", "--host", "example.org", "--insecure", "--model",
                           test::demo_model().string()})
                .code,
            1);
}

TEST(Serve, StartsAnswersAndStops) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "keys") << "0123456789abcdef\n";
  test::Background server({std::string(FASTVLM_BINARY_DIR) + "/fastvlm", "serve", "--port", "0",
                           "--model", test::demo_model().string(), "--api-key-file",
                           folder / "keys"});
  const int port = std::atoi(server.wait_for("http://127.0.0.1:").c_str());
  ASSERT_GT(port, 0);
  EXPECT_EQ(test::ask(port, "GET", "/health").status, 200);
  EXPECT_EQ(test::ask(port, "GET", "/v1/models").status, 401);
  EXPECT_THAT(
      test::ask(port, "GET", "/v1/models", "Authorization: Bearer 0123456789abcdef\r\n").body,
      HasSubstr("\"demo\""));
  EXPECT_EQ(server.stop(SIGTERM), 0);
}

}  // namespace
}  // namespace fastvlm
