// SPDX-License-Identifier: Apache-2.0
// The record of a run, its metrics, and the page and card made of both.
#include "train/run_report.h"

#include <gmock/gmock.h>

#include <fstream>
#include <regex>

#include "support/event_reader.h"
#include "support/files.h"
#include "train/line_chart.h"
#include "train/model_card.h"

namespace fastvlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::vector<StepMetrics> made_up_steps(int64_t count) {
  std::vector<StepMetrics> steps;
  for (int64_t i = 1; i <= count; ++i) {
    StepMetrics step{.step = i,
                     .loss = 4.0 / static_cast<double>(i),
                     .rate = 2e-4,
                     .norm = 1.5,
                     .tokens = 50,
                     .positions = 300,
                     .seconds = 2,
                     .time = 1e9 + static_cast<double>(i),
                     .rss = 900'000'000,
                     .evaluation = {}};
    if (i % 4 == 0) step.evaluation = 5.0 / static_cast<double>(i);
    steps.push_back(step);
  }
  return steps;
}

RunRecord made_up_record() {
  RunRecord record;
  record.program = "fastvlm 0.1.0";
  record.model = "base";
  record.sha256 = std::string(64, 'a');
  record.weights = "bf16";
  record.model_bytes = 2'000'000;
  record.source = "apple/FastVLM-0.5B";
  record.license = "apple-amlr";
  record.data = {"train.jsonl", 1800, 1700, 400'000};
  record.evaluation = RunData{"val.jsonl", 100, 100, 20'000};
  record.data_made = {{"teacher", "coco"}};
  record.settings = {{"lora-r", "128"}, {"learning-rate", "0.0002"}};
  record.steps = 8;
  record.trained_parameters = 70'389'760;
  RunPart part;
  part.seconds = 1800;
  part.processor = "AMD EPYC";
  part.threads = 2;
  part.peak_memory = 1'500'000'000;
  record.parts = {part, part};
  return record;
}

TEST(Metrics, LinesAreReadAsTheyWereWritten) {
  const test::TemporaryFolder folder;
  const std::vector<StepMetrics> steps = made_up_steps(8);
  {
    std::ofstream file(folder / "metrics.jsonl");
    for (const StepMetrics& step : steps) file << metrics_line(step) << "\n";
    file << "{\"step\": 9, \"lo";  // torn
  }
  const auto read = read_metrics(folder / "metrics.jsonl");
  ASSERT_TRUE(read.ok()) << read.status().message;
  ASSERT_EQ(read->size(), 8U);
  EXPECT_EQ(metrics_line((*read)[3]), metrics_line(steps[3]));
  EXPECT_EQ((*read)[3].tokens_per_second(), 150);
  std::ofstream(folder / "metrics.jsonl") << metrics_line(steps[0]) << "\n{\"step\": \"two\"}\n";
  EXPECT_THAT(read_metrics(folder / "metrics.jsonl").status().message,
              HasSubstr("metrics.jsonl:2: expected the numbers of a step"));
}

TEST(Metrics, TheEventFileHoldsEveryScalar) {
  const auto events = test::read_events(event_file(made_up_steps(8)));
  ASSERT_TRUE(events.has_value());
  ASSERT_EQ(events->size(), 9U);
  EXPECT_EQ((*events)[4].step, 4);
  EXPECT_EQ((*events)[4].time, 1e9 + 4);
  const std::map<std::string, float> expected{{"loss", 1},        {"eval_loss", 1.25},
                                              {"grad_norm", 1.5}, {"learning_rate", 2e-4F},
                                              {"rss", 9e8F},      {"tokens_per_second", 150}};
  EXPECT_EQ((*events)[4].scalars, expected);
  EXPECT_FALSE((*events)[5].scalars.contains("eval_loss"));
}

TEST(RunRecord, PartsAddUpOverEveryResume) {
  const test::TemporaryFolder folder;
  for (int i = 0; i < 3; ++i) {
    RunPart part;
    part.processor = "AMD EPYC";
    part.watts = 50;
    const auto meter = RunMeter::start(folder.path(), part, Stopwatch());
    ASSERT_TRUE(meter.ok()) << meter.status().message;
    (*meter)->change([&](RunRecord& record) { record.steps = 7; });
  }
  const auto record = read_run_record(folder.path());
  ASSERT_TRUE(record.ok() && *record) << record.status().message;
  EXPECT_EQ((*record)->steps, 7);
  ASSERT_EQ((*record)->parts.size(), 3U);
  double seconds = 0;
  for (const RunPart& part : (*record)->parts) seconds += part.seconds;
  const RunCost cost = cost_of(**record);
  EXPECT_EQ(cost.seconds, seconds);
  EXPECT_DOUBLE_EQ(cost.joules, 50 * seconds);
  EXPECT_TRUE(cost.stated);
  EXPECT_FALSE(cost.measured);
}

TEST(RunRecord, RefusesWhatIsNotOne) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(read_run_record(folder.path())->has_value());
  for (const char* text :
       {"[]", "{}", R"({"parts": {}})", R"({"parts": [1]})", R"({"parts": [{"seconds": "x"}]})",
        R"({"parts": [], "data": 3})", R"({"parts": [], "settings": {"a": 1}})"}) {
    std::ofstream(folder / "run.json") << text;
    EXPECT_FALSE(read_run_record(folder.path()).ok()) << text;
  }
}

TEST(RunReport, NeedsNoOtherFileAndNoScript) {
  const std::string page = run_report("a<b", made_up_record(), made_up_steps(8), {});
  EXPECT_THAT(page,
              AllOf(Not(HasSubstr("<script")), Not(HasSubstr("http")), Not(HasSubstr("@BODY"))));
  EXPECT_THAT(page, AllOf(HasSubstr("a&lt;b"), Not(HasSubstr("a<b"))));
  EXPECT_THAT(page, AllOf(HasSubstr("8 of 8"), HasSubstr("4.000 → 0.500"),
                          HasSubstr("0.625, lowest 0.625 at step 8"), HasSubstr("train.jsonl")));
  const std::regex chart("<svg ");
  EXPECT_EQ(std::distance(std::sregex_iterator(page.begin(), page.end(), chart), {}), 5);
}

TEST(RunReport, SamplesAreTextAndSayWhereTheyAreFrom) {
  SampleAnswers samples;
  samples.answers.push_back(
      {test::golden("preprocess/portrait.png"), "own <b>", "was </p>", "is & stays"});
  std::string page = run_report("run", made_up_record(), {}, samples);
  EXPECT_THAT(page, AllOf(HasSubstr("data:image/webp;base64,"), HasSubstr("own &lt;b&gt;"),
                          HasSubstr("was &lt;/p&gt;"), HasSubstr("is &amp; stays"),
                          HasSubstr("samples of the evaluation")));
  samples.learnt = true;
  page = run_report("run", made_up_record(), {}, samples);
  EXPECT_THAT(page, HasSubstr("samples that were learnt"));
}

std::string costs(const RunRecord& record) {
  std::string text;
  for (const std::string& sentence : cost_sentences(record)) text += sentence + "\n";
  return text;
}

TEST(RunReport, EnergyAndEmissionsAreSaidAsFarAsTheyAreKnown) {
  RunRecord record = made_up_record();
  record.grams_per_kwh = 381;
  record.region = "Germany";
  EXPECT_THAT(costs(record), AllOf(HasSubstr("Time: 1 h on AMD EPYC, 2 threads, in 2 parts"),
                                   HasSubstr("not known"), Not(HasSubstr("kWh"))));
  record.parts[0].joules = 180'000;  // 0.05 kWh
  EXPECT_THAT(costs(record), AllOf(HasSubstr("0.05 kWh, measured by the processor"),
                                   HasSubstr("of 0.5 h; that of the rest is not known"),
                                   HasSubstr("19.1 g CO2e at 381 g/kWh, the mean of Germany"),
                                   HasSubstr("Lacoste")));
  record.parts[1].watts = 100;  // 0.05 kWh in half an hour
  EXPECT_THAT(costs(record), AllOf(HasSubstr("0.1 kWh, in part measured"),
                                   Not(HasSubstr("the rest")), HasSubstr("38.1 g")));
  record.grams_per_kwh.reset();
  EXPECT_THAT(costs(record), AllOf(HasSubstr("no region was given"), Not(HasSubstr("g CO2e"))));
}

std::vector<double> numbers_after(const std::string& text, const std::string& pattern) {
  std::vector<double> numbers;
  const std::regex expression(pattern);
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
    numbers.push_back(std::stod((*at)[1]));
  }
  return numbers;
}

TEST(LineChart, KeepsPeaksAndStaysInsideItsFrame) {
  LineChart chart{"Loss", "nats", false, {{"training", {}}}};
  EXPECT_EQ(to_html(chart), "");
  for (int i = 0; i < 100'000; ++i) chart.series[0].points.emplace_back(i, i == 54'321 ? 9.0 : 1.0);
  const std::string drawn = to_html(chart);
  EXPECT_LT(drawn.size(), 20'000U);
  const std::vector<double> ys = numbers_after(drawn, R"([ "][0-9.]+,([0-9.]+))");
  ASSERT_GT(ys.size(), 100U);
  EXPECT_LT(*std::min_element(ys.begin(), ys.end()), 50) << "the peak is there";
  for (const double y : ys) EXPECT_TRUE(y >= 24 && y <= 192) << y;
}

TEST(LineChart, OddRangesHaveRoundMarks) {
  const auto marks = [](std::vector<std::pair<double, double>> points, bool from_zero) {
    const std::string drawn = to_html({"t", "u", from_zero, {{"a", std::move(points)}}});
    return numbers_after(drawn, R"(text-anchor="end">([-0-9.e]+)<)");
  };
  EXPECT_EQ(marks({{1, 0}, {2, 2e-4}}, true), (std::vector<double>{0, 5e-5, 1e-4, 15e-5, 2e-4}));
  EXPECT_EQ(marks({{1, 7}, {2, 7}}, false).size(), 5U);
  EXPECT_EQ(marks({{1, 0}}, true).front(), 0);
  EXPECT_EQ(marks({{1, -3}, {2, 5}}, false), (std::vector<double>{-4, -2, 0, 2, 4, 6}));
}

CardInputs made_up_inputs() {
  CardInputs in;
  in.name = "captions";
  in.run = "run";
  in.record = made_up_record();
  in.steps = made_up_steps(8);
  in.license = "apple-amlr";
  in.adapter_bytes = 281'600'000;
  return in;
}

TEST(ModelCard, NamesTheCommandsThatFillItsGaps) {
  const ModelCard card = model_card(made_up_inputs());
  EXPECT_THAT(card.text, testing::StartsWith("---\nlicense: apple-amlr\n"));
  EXPECT_THAT(card.text,
              AllOf(HasSubstr("library_name: peft"), HasSubstr("research only"),
                    HasSubstr("| 8 | 0.5000 | 0.6250 |"), HasSubstr("| adapter | f32 | 281.6 MB |"),
                    Not(HasSubstr("base_model")), Not(HasSubstr("co2_eq_emissions")),
                    Not(HasSubstr("datasets:"))));
  EXPECT_EQ(card.missing.size(), 3U);
  for (const char* command : {"`fastvlm bench --card", "`fastvlm evaluate ", "`fastvlm rate "}) {
    EXPECT_THAT(card.text, HasSubstr(command));
  }
}

TEST(ModelCard, FilesFillTheTables) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "eval.json")
      << R"({"predictions": "q4 | x", "corpus": {"images": 24, "CIDEr": 0.75461},
             "intervals_95": {"CIDEr": [0.41, 1.13]}, "grounding": {"CHAIR_i": 0.125}})";
  std::ofstream(folder / "both.json")
      << R"({"first": {"predictions": "a", "corpus": {"METEOR": 0.25}},
             "second": {"predictions": "b", "corpus": {"METEOR": 0.5}}})";
  std::ofstream(folder / "rate.json")
      << R"({"raters": 3, "models": {"q4": {"completeness": {"ratings": 6, "mean": 4.5,
             "interval_95": [4.1, 4.9]}}}})";
  std::ofstream(folder / "bench.json")
      << R"({"device": "Pi", "chip": "A76", "ram_gb": 8.2, "precision": "int8", "threads": 4,
             "first_token_seconds": 3.456, "tokens_per_second": 9.87, "peak_memory_mb": 579})";
  std::ofstream(folder / "other.json") << "{}";
  CardInputs in = made_up_inputs();
  for (const char* file : {"eval.json", "both.json", "rate.json"}) {
    ASSERT_TRUE(add_evaluation(folder / file, in).ok()) << file;
  }
  ASSERT_TRUE(add_bench(folder / "bench.json", in).ok());
  EXPECT_EQ(add_evaluation(folder / "bench.json", in).code, Code::kInvalid);
  EXPECT_EQ(add_bench(folder / "other.json", in).code, Code::kInvalid);
  in.base = "apple/FastVLM-0.5B";
  in.datasets = {"some: \"set\""};
  in.quantized = ModelFolder{"captions-4bit", "q4 g64", 864'000'000};
  in.record.parts[0].watts = in.record.parts[1].watts = 50;
  in.record.grams_per_kwh = 400;
  const ModelCard card = model_card(in);
  EXPECT_TRUE(card.missing.empty());
  EXPECT_THAT(card.text,
              AllOf(HasSubstr("base_model: \"apple/FastVLM-0.5B\""),
                    HasSubstr("base_model_relation: finetune"), HasSubstr("library_name: mlx"),
                    HasSubstr("- \"some: \\\"set\\\"\""), HasSubstr("emissions: 20\n")));
  EXPECT_THAT(card.text, AllOf(HasSubstr("|  | q4 \\| x | a | b |"),
                               HasSubstr("| CIDEr | 0.7546 [0.4100, 1.1300] |  |  |"),
                               HasSubstr("| METEOR |  | 0.2500 | 0.5000 |"),
                               HasSubstr("are not there) | 0.1250 |  |  |"),
                               HasSubstr("| q4 | 4.50 [4.10, 4.90] |  |  | 3 |")));
  EXPECT_THAT(card.text,
              AllOf(HasSubstr("| Pi | A76 | 8 GB | int8, 4 | 3.46 s | 9.9 tok/s | 579 MB |"),
                    HasSubstr("| quantised | q4 g64 | 864.0 MB |")));
}

TEST(ModelCard, OtherLicencesKeepTheirName) {
  CardInputs in = made_up_inputs();
  in.license = "house rules";
  EXPECT_THAT(model_card(in).text,
              AllOf(HasSubstr("license: other\nlicense_name: \"house rules\"\n"),
                    Not(HasSubstr("research only"))));
}

}  // namespace
}  // namespace fastvlm
