// SPDX-License-Identifier: Apache-2.0
// What drafts are worth on a model of real size whose weights are made up, and which therefore says
// nothing worth guessing: captions that are known are played as if it said them. All of its work is
// done (passes, logits, the choice of an id); only what it chose is replaced by what the caption
// says.
//   drafts_bench MODEL CAPTIONS.jsonl DRAFTS THREADS COUNT
// MODEL holds weights and a tokenizer; DRAFTS is a table for it (fastvlm dev learn-drafts), learnt
// from other captions. COUNT captions are played in each way in turn, the seven-point prompt and
// 256 made-up image rows before them. Rates are medians over the captions, a second on the clock
// and a second of processor time.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/stopwatch.h"
#include "caption/draft_corpus.h"
#include "caption/engine.h"
#include "caption/prompt.h"
#include "caption/section_guide.h"
#include "language/answer_logits.h"
#include "must.h"
#include "text/conversation.h"

namespace fastvlm {
namespace {

using bench::must;

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Way {
  const char* name;
  bool guided;  // headers are written by the guide, in one pass
  std::unique_ptr<Drafter> drafter;
  std::vector<double> clock_rates, processor_rates;
  DraftCounts counts;
  int64_t tokens = 0;
};

class Play {
 public:
  Play(const std::string& folder, int threads)
      : pool_(threads),
        tokenizer_(must(Tokenizer::load(folder))),
        model_(must(Qwen2::load(must(Checkpoint::open(folder)), pool_, Arithmetic::kInt8))) {
    prompt_ = must(conversation_ids(tokenizer_, question_text({}, seven_point_prompt()),
                                    PromptOrder::kImageFirst));
    Tokens image;
    image.count = 256;
    image.width = model_.config().hidden_size;
    image.values.resize(static_cast<size_t>(image.count * image.width));
    for (size_t i = 0; i < image.values.size(); ++i) {
      image.values[i] = static_cast<float>(i * 7919 % 1000) * 1e-4F - 0.05F;
    }
    rows_ = must(splice(model_, prompt_, image));
  }

  const Tokenizer& tokenizer() const { return tokenizer_; }

  void caption(const std::string& text, Way& way) {
    constexpr int64_t kMost = 400;
    const auto hidden = static_cast<size_t>(model_.config().hidden_size);
    KvCache cache(model_.config(), static_cast<int64_t>(rows_.size() / hidden) + kMost);
    if (way.drafter) way.drafter->begin(prompt_);
    AnswerLogits logits(model_, cache, rows_, kMost, way.drafter.get(), pool_);
    must(logits.start());
    const TokenId end = tokenizer_.find("<|im_end|>").value();
    SectionGuide guide = must(SectionGuide::make(seven_point_schema(), tokenizer_, {end}, kMost));
    Sampler sampler({});
    std::vector<TokenId> ids;
    double clock = 0, processor = 0;
    while (static_cast<int64_t>(ids.size()) < kMost) {
      if (way.guided) {
        const Guide::Step step = must(guide.next(ids));
        ids.resize(step.keep);
        if (step.finish) break;
        ids.insert(ids.end(), step.forced.begin(), step.forced.end());
        if (!step.forced.empty()) continue;
      }
      const Stopwatch watch;
      const double before = processor_seconds();
      must(sampler.choose(must(logits.behind(ids)), ids));
      clock += watch.seconds();
      processor += processor_seconds() - before;
      const TokenId next = said(text, ids, end);
      if (next == end && !way.guided) break;
      ids.push_back(next);
    }
    const auto tokens = static_cast<double>(ids.size());
    way.clock_rates.push_back(tokens / clock);
    way.processor_rates.push_back(tokens / processor);
    way.tokens += static_cast<int64_t>(ids.size());
    way.counts.passes += logits.counts().passes;
    way.counts.drafted += logits.counts().drafted;
    way.counts.accepted += logits.counts().accepted;
  }

 private:
  // What the caption says behind `ids`, the beginning of it.
  TokenId said(const std::string& text, const std::vector<TokenId>& ids, TokenId end) const {
    const std::string before = tokenizer_.decode(ids, true);
    if (before.size() >= text.size()) return end;
    return must(tokenizer_.encode(text.substr(before.size()), Trust::kUser)).front();
  }

  ThreadPool pool_;
  Tokenizer tokenizer_;
  Qwen2 model_;
  std::vector<TokenId> prompt_;
  std::vector<float> rows_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(const char* folder, const char* captions, const char* drafts, int threads, size_t count) {
  Play play(folder, threads);
  const auto table = std::make_shared<const DraftTable>(
      must(DraftTable::load(drafts, vocabulary_digest(play.tokenizer()))));
  const std::vector<std::string> texts = must(read_draft_texts(captions));
  Way ways[] = {{"one id after the other", false, nullptr, {}, {}, {}},
                {"headers in one pass", true, nullptr, {}, {}, {}},
                {"and drafts looked up", true, std::make_unique<Drafter>(), {}, {}, {}},
                {"and drafts of the table", true, std::make_unique<Drafter>(table), {}, {}, {}},
                {"drafts, no headers", false, std::make_unique<Drafter>(table), {}, {}, {}}};
  for (size_t i = 0; i < std::min(count, texts.size()); ++i) {
    for (Way& way : ways) play.caption(texts[i * texts.size() / count], way);
  }
  std::printf("%-24s %8s %8s %8s %8s %8s %8s\n", "", "tok/s", "tok/cpus", "ratio", "cpu", "a pass",
              "accepted");
  for (const Way& way : ways) {
    const double accepted = way.counts.drafted == 0 ? 0
                                                    : static_cast<double>(way.counts.accepted) /
                                                          static_cast<double>(way.counts.drafted);
    std::printf("%-24s %8.1f %8.1f %8.2f %8.2f %8.2f %8.2f\n", way.name, median(way.clock_rates),
                median(way.processor_rates), median(way.clock_rates) / median(ways[0].clock_rates),
                median(way.processor_rates) / median(ways[0].processor_rates),
                static_cast<double>(way.tokens) / static_cast<double>(way.counts.passes), accepted);
    if (way.drafter) std::printf("  a further row: %.3f of a pass\n", way.drafter->row_cost());
  }
}

}  // namespace
}  // namespace fastvlm

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: drafts_bench MODEL CAPTIONS.jsonl DRAFTS THREADS COUNT\n");
    return 1;
  }
  fastvlm::run(argv[1], argv[2], argv[3], std::atoi(argv[4]),
               static_cast<size_t>(std::max(std::atoi(argv[5]), 1)));
  return 0;
}
