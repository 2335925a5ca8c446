// SPDX-License-Identifier: Apache-2.0
#include "caption/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "caption/xmp.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::string kLine =
    R"({"image":"p/a.jpg","text":"1. Main Focus – A \"dog\", red.\n5. Scene Type & Time – A park\nat noon",)"
    R"("sections":{"main_focus":"A \"dog\", red.","surroundings":null,"spatial":null,"activities":null,)"
    R"("scene":"A park\nat noon","inferences":null,"style":null},)"
    R"("finish_reason":"stop","tags":[],"provenance":{},"timings":{"vision_ms":1.5}})";

WrittenCaption caption() {
  const auto parsed = parse_caption(kLine);
  EXPECT_TRUE(parsed.ok());
  return *parsed;
}

TEST(Output, FormatsByName) {
  EXPECT_THAT(*parse_formats("txt, jsonl"),
              ElementsAre(OutputFormat::kText, OutputFormat::kJsonLines));
  EXPECT_EQ(parse_formats("txt,doc").status().code, Code::kUsage);
  EXPECT_THAT(parse_formats("txt,doc").status().message, HasSubstr("unknown format \"doc\""));
  EXPECT_THAT(parse_formats("csv,csv").status().message, HasSubstr("comes twice"));
  EXPECT_THAT(*parse_formats("text"), ElementsAre(OutputFormat::kText));
  EXPECT_EQ(parse_formats("").status().code, Code::kUsage);
  EXPECT_EQ(format_of_file("a/b.md"), OutputFormat::kMarkdown);
  EXPECT_EQ(format_of_file("a/b"), std::nullopt);
}

TEST(Output, OfOnePicture) {
  EXPECT_EQ(render(OutputFormat::kText, caption()),
            "1. Main Focus – A \"dog\", red.\n5. Scene Type & Time – A park\nat noon\n");
  EXPECT_EQ(render(OutputFormat::kParagraph, caption()), "A \"dog\", red. A park at noon.\n");
  EXPECT_EQ(render(OutputFormat::kMarkdown, caption()),
            "## Main Focus\n\nA \"dog\", red.\n\n## Scene Type & Time\n\nA park\nat noon\n");
  const json object = json::parse(render(OutputFormat::kJson, caption()));
  json expected = json::parse(kLine);
  expected.erase("timings");
  EXPECT_EQ(object, expected);
}

TEST(Output, AnswersWithoutSections) {
  const auto plain = parse_caption(R"({"image":"a.jpg","text":"A dog\nruns","sections":{}})");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(render(OutputFormat::kParagraph, *plain), "A dog runs\n");
  EXPECT_EQ(render(OutputFormat::kMarkdown, *plain), "A dog\nruns\n");
}

TEST(Output, SectionsOfAnotherSchemaGoByTheirKeys) {
  const auto own =
      parse_caption(R"({"image":"a.jpg","text":"1. Light – day\n2. All the rest – A dog",)"
                    R"("sections":{"light":"day","rest":"A dog"},"finish_reason":"stop",)"
                    R"("finish_reasons":{"light":"stop","rest":"stop"}})");
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(render(OutputFormat::kMarkdown, *own), "## light\n\nday\n\n## rest\n\nA dog\n");
  EXPECT_EQ(render(OutputFormat::kParagraph, *own), "day. A dog.\n");
  EXPECT_EQ(render(OutputFormat::kCsv, *own),
            "image,text,light,rest,finish_reason\n"
            "a.jpg,\"1. Light – day\n2. All the rest – A dog\",day,A dog,stop\n");
}

TEST(Output, ColumnsOfASchemaAreToldFromOurs) {
  const auto own = parse_caption(
      R"({"image":"a.jpg","text":"x","sections":{"text":"1","section_text":"2","image":"3"},)"
      R"("finish_reason":"stop","finish_reasons":{}})");
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(render(OutputFormat::kCsv, *own),
            "image,text,section_section_text,section_text,section_image,finish_reason\n"
            "a.jpg,x,1,2,3,stop\n");
}

TEST(Output, TimingsWhenAskedFor) {
  EXPECT_THAT(caption().json, Not(HasSubstr("timings")));
  EXPECT_THAT(parse_caption(kLine, {.timings = true})->json, HasSubstr("\"vision_ms\":1.5"));
  EXPECT_EQ(parse_caption("{}").status().code, Code::kInvalid);
  EXPECT_EQ(parse_caption("nothing").status().code, Code::kInvalid);
}

std::string of_all(OutputFormat format, int count) {
  const test::TemporaryFolder folder;
  auto file = OutputFile::create(folder / "out", format);
  EXPECT_TRUE(file.ok());
  for (int i = 0; i < count; ++i) EXPECT_TRUE(file->add(caption()).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "out")) << "it appears at the end";
  EXPECT_TRUE(file->finish().ok());
  return *read_text_file(folder / "out");
}

TEST(Output, OfAllPictures) {
  EXPECT_EQ(of_all(OutputFormat::kJsonLines, 2), caption().json + "\n" + caption().json + "\n");
  EXPECT_EQ(json::parse(of_all(OutputFormat::kJson, 2)).size(), 2U);
  EXPECT_EQ(json::parse(of_all(OutputFormat::kJson, 0)), json::array());
  EXPECT_EQ(of_all(OutputFormat::kCsv, 0),
            "image,text,main_focus,surroundings,spatial,activities,scene,inferences,style,"
            "finish_reason\n");
  EXPECT_EQ(
      of_all(OutputFormat::kCsv, 1),
      "image,text,main_focus,surroundings,spatial,activities,scene,inferences,style,"
      "finish_reason\n"
      "p/a.jpg,\"1. Main Focus – A \"\"dog\"\", red.\n5. Scene Type & Time – A park\nat noon\","
      "\"A \"\"dog\"\", red.\",,,,\"A park\nat noon\",,,stop\n");
  EXPECT_THAT(of_all(OutputFormat::kText, 2), HasSubstr("at noon\n\n== p/a.jpg ==\n1. Main"));
  EXPECT_THAT(of_all(OutputFormat::kMarkdown, 2), HasSubstr("at noon\n\n# p/a.jpg\n\n## Main"));
}

TEST(Xmp, HoldsTheDescription) {
  const std::string packet = xmp_packet("a < b & c > d\r\n\x01 e\xEF\xBF\xBF");
  EXPECT_THAT(packet,
              HasSubstr("xml:lang=\"x-default\">a &lt; b &amp; c &gt; d&#13;\n e</rdf:li>"));
  EXPECT_TRUE(is_our_xmp(packet));
  EXPECT_FALSE(is_our_xmp("<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"/>"));
  EXPECT_EQ(render(OutputFormat::kXmp, caption()), xmp_packet(caption().text));
}

}  // namespace
}  // namespace fastvlm
