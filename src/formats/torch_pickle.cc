// SPDX-License-Identifier: Apache-2.0
#include "formats/torch_pickle.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/strings.h"
#include "formats/hints.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

constexpr size_t kMostNodes = 1'000'000;  // a YOLO11x with its optimiser has some 200,000
constexpr size_t kLongestName = 256;      // of a module or class
constexpr char kExport[] =
    "do not load this file with PyTorch; if you trust its maker, ask for .safetensors or .onnx";

// Packages whose classes stand in checkpoints. Nothing of them is run either; the list keeps a file
// that attacks other programs from passing for a good one.
constexpr std::array<std::string_view, 8> kPackages = {"torch",       "torchvision", "ultralytics",
                                                       "collections", "numpy",       "pathlib",
                                                       "argparse",    "datetime"};
constexpr std::array<std::string_view, 16> kBuiltins = {
    "set", "frozenset", "list", "dict", "tuple",  "slice", "complex", "bytearray",
    "int", "float",     "str",  "bool", "object", "range", "bytes",   "OrderedDict"};
constexpr std::array<std::string_view, 5> kOthers = {"_codecs.encode", "copyreg._reconstructor",
                                                     "copy_reg._reconstructor",
                                                     "types.SimpleNamespace", "copyreg.__newobj__"};

template <size_t kSize>
bool contains(const std::array<std::string_view, kSize>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool may_be_called(std::string_view global) {
  if (contains(kOthers, global)) return true;
  for (const std::string_view builtins : {"builtins.", "__builtin__."}) {
    if (global.starts_with(builtins)) return contains(kBuiltins, global.substr(builtins.size()));
  }
  return contains(kPackages, global.substr(0, global.find('.')));
}

bool makes_dict(std::string_view global) {
  return global == "collections.OrderedDict" || global == "collections.defaultdict";
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view label) : bytes_(bytes), label_(label) {}

  Result<Pickle> read() {
    FASTVLM_RETURN_IF_ERROR(check_protocol());
    while (!stopped_) {
      const auto opcode = number<uint8_t>();
      if (!opcode) return cut_short();
      if (pickle_.nodes.size() >= kMostNodes) {
        return error(Code::kLimit, cat(label_, ": its pickle holds more than a million values"),
                     "give .safetensors or .onnx");
      }
      FASTVLM_RETURN_IF_ERROR(step(*opcode));
    }
    return std::move(pickle_);
  }

 private:
  Status check_protocol() {
    const auto opcode = number<uint8_t>();
    const auto protocol = number<uint8_t>();
    if (!opcode || *opcode != 0x80 || !protocol || *protocol < 2 || *protocol > 5) {
      at_ = 0;
      return damaged("no pickle of protocol 2 to 5");
    }
    return {};
  }

  Status damaged(std::string_view what) const {
    return error(Code::kInvalid, cat(label_, ": its pickle is damaged at byte ", at_, ": ", what),
                 kDownloadAgain);
  }
  Status cut_short() const { return damaged("it ends too early"); }

  template <typename T>
  std::optional<T> number() {
    if (bytes_.size() - at_ < sizeof(T)) return std::nullopt;
    const T value = load_unaligned<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return value;
  }

  std::optional<std::string> raw(uint64_t length) {
    if (length > bytes_.size() - at_) return std::nullopt;
    std::string text(reinterpret_cast<const char*>(bytes_.data() + at_), length);
    at_ += length;
    return text;
  }

  std::optional<std::string> line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                                bytes_.size() - at_);
    const size_t length = rest.find('\n');
    if (length == std::string_view::npos) return std::nullopt;
    at_ += length + 1;
    return std::string(rest.substr(0, length));
  }

  PickleRef add(PickleNode node) {
    pickle_.nodes.push_back(std::move(node));
    return static_cast<PickleRef>(pickle_.nodes.size() - 1);
  }
  Status push(PickleNode node) {
    stack_.push_back(add(std::move(node)));
    return {};
  }
  Status push_integer(PickleKind kind, int64_t value) { return push({kind, value, {}, {}}); }

  // Values above the innermost mark.
  size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  PickleRef pop() {
    const PickleRef top = stack_.back();
    stack_.pop_back();
    return top;
  }
  PickleNode& top() { return pickle_.nodes[stack_.back()]; }

  // Takes what was pushed since the last mark, and the mark.
  std::optional<std::vector<PickleRef>> pop_to_mark() {
    if (marks_.empty()) return std::nullopt;
    std::vector<PickleRef> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                                 stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  Status step(uint8_t opcode) {
    switch (opcode) {
      case 0x80:
        return number<uint8_t>() ? Status() : cut_short();  // PROTO
      case 0x95:
        return number<uint64_t>() ? Status() : cut_short();  // FRAME
      case '.':
        return stop();
      case '(':
        marks_.push_back(stack_.size());
        return {};
      case '0':
        return available() == 0 ? underflow() : (pop(), Status());
      case '1':
        return pop_to_mark() ? Status() : underflow();
      case '2':
        if (available() == 0) return underflow();
        stack_.push_back(stack_.back());
        return {};
      case 'N':
        return push({});
      case 0x88:
        return push_integer(PickleKind::kBool, 1);
      case 0x89:
        return push_integer(PickleKind::kBool, 0);
      case 'J':
        return integer<int32_t>();
      case 'K':
        return integer<uint8_t>();
      case 'M':
        return integer<uint16_t>();
      case 0x8A:
        return long_integer(number<uint8_t>());
      case 0x8B:
        return long_integer(number<uint32_t>());
      case 'G':
        return number<uint64_t>() ? push_integer(PickleKind::kFloat, 0) : cut_short();
      case 'X':
        return text(PickleKind::kText, number<uint32_t>());
      case 0x8C:
        return text(PickleKind::kText, number<uint8_t>());
      case 0x8D:
        return text(PickleKind::kText, number<uint64_t>());
      case 'T':
        return text(PickleKind::kText, number<uint32_t>());
      case 'U':
        return text(PickleKind::kText, number<uint8_t>());
      case 'B':
        return text(PickleKind::kBytes, number<uint32_t>());
      case 'C':
        return text(PickleKind::kBytes, number<uint8_t>());
      case 0x8E:
      case 0x96:
        return text(PickleKind::kBytes, number<uint64_t>());
      default:
        return step_container(opcode);
    }
  }

  Status step_container(uint8_t opcode) {
    switch (opcode) {
      case ')':
        return push({PickleKind::kTuple, 0, {}, {}});
      case ']':
      case 0x8F:
        return push({PickleKind::kList, 0, {}, {}});  // EMPTY_SET too
      case '}':
        return push({PickleKind::kDict, 0, {}, {}});
      case 't':
        return marked(PickleKind::kTuple);
      case 'l':
      case 0x91:
        return marked(PickleKind::kList);  // FROZENSET too
      case 'd':
        return marked(PickleKind::kDict);
      case 0x85:
        return tuple_of(1);
      case 0x86:
        return tuple_of(2);
      case 0x87:
        return tuple_of(3);
      case 'a':
        return extend(take(1), PickleKind::kList);
      case 'e':
      case 0x90:
        return extend(pop_to_mark(), PickleKind::kList);  // ADDITEMS too
      case 's':
        return extend(take(2), PickleKind::kDict);
      case 'u':
        return extend(pop_to_mark(), PickleKind::kDict);
      default:
        return step_object(opcode);
    }
  }

  Status step_object(uint8_t opcode) {
    switch (opcode) {
      case 'c':
        return global();
      case 0x93:
        return stack_global();
      case 'R':
      case 0x81:
        return call(take(2));
      case 0x92:
        return call(take(3));
      case 'b':
        return build();
      case 'Q': {
        auto id = take(1);
        return id ? push({PickleKind::kPersistent, 0, {}, std::move(*id)}) : underflow();
      }
      case 'q':
        return memoize(number<uint8_t>());
      case 'r':
        return memoize(number<uint32_t>());
      case 0x94:
        return memoize(static_cast<uint32_t>(memo_.size()));
      case 'h':
        return recall(number<uint8_t>());
      case 'j':
        return recall(number<uint32_t>());
      default: {
        constexpr char kDigits[] = "0123456789abcdef";
        return error(
            Code::kUnsupported,
            cat(label_, ": its pickle has opcode 0x", kDigits[opcode >> 4], kDigits[opcode & 15],
                " at byte ", at_ - 1, ", which PyTorch does not write"),
            "save the model again with torch.save, or give .safetensors or .onnx");
      }
    }
  }

  Status underflow() const { return damaged("an opcode finds too few values"); }

  Status stop() {
    if (stack_.size() != 1 || !marks_.empty()) return damaged("it stops in the middle of a value");
    pickle_.root = stack_.back();
    stopped_ = true;
    return {};
  }

  template <typename T>
  Status integer() {
    const auto value = number<T>();
    return value ? push_integer(PickleKind::kInt, *value) : cut_short();
  }

  Status long_integer(std::optional<uint32_t> length) {
    const auto digits = length ? raw(*length) : std::nullopt;
    if (!digits) return cut_short();
    if (digits->size() > sizeof(int64_t)) return push_integer(PickleKind::kOpaque, 0);
    const bool negative = !digits->empty() && (digits->back() & 0x80) != 0;
    int64_t value = negative ? -1 : 0;
    std::memcpy(&value, digits->data(), digits->size());
    return push_integer(PickleKind::kInt, value);
  }

  Status text(PickleKind kind, std::optional<uint64_t> length) {
    auto text = length ? raw(*length) : std::nullopt;
    return text ? push({kind, 0, std::move(*text), {}}) : cut_short();
  }

  // The last `count` values above the mark, in the order they were pushed.
  std::optional<std::vector<PickleRef>> take(size_t count) {
    if (available() < count) return std::nullopt;
    std::vector<PickleRef> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  Status tuple_of(size_t count) {
    auto items = take(count);
    return items ? push({PickleKind::kTuple, 0, {}, std::move(*items)}) : underflow();
  }

  Status marked(PickleKind kind) {
    auto items = pop_to_mark();
    if (!items) return underflow();
    if (kind == PickleKind::kDict && items->size() % 2 != 0) return damaged("a key has no value");
    return push({kind, 0, {}, std::move(*items)});
  }

  // Items for the container on top of the stack. Those of objects (a class derived from list or
  // dict) are dropped.
  Status extend(const std::optional<std::vector<PickleRef>>& items, PickleKind kind) {
    if (!items || available() == 0) return underflow();
    if (kind == PickleKind::kDict && items->size() % 2 != 0) return damaged("a key has no value");
    PickleNode& container = top();
    if (container.kind == PickleKind::kObject) return {};
    if (container.kind != kind) return damaged("items for something that holds none");
    container.items.insert(container.items.end(), items->begin(), items->end());
    return {};
  }

  Status global() {
    const auto module = line();
    const auto name = module ? line() : std::nullopt;
    if (!name) return cut_short();
    if (module->size() > kLongestName || name->size() > kLongestName) return long_name();
    return push({PickleKind::kGlobal, 0, cat(*module, ".", *name), {}});
  }

  Status long_name() const { return damaged("a class whose name has more than 256 bytes"); }

  Status stack_global() {
    const auto names = take(2);
    if (!names) return underflow();
    const PickleNode& module = pickle_.at((*names)[0]);
    const PickleNode& name = pickle_.at((*names)[1]);
    if (module.kind != PickleKind::kText || name.kind != PickleKind::kText) {
      return damaged("a class whose name is no text");
    }
    if (module.text.size() > kLongestName || name.text.size() > kLongestName) return long_name();
    return push({PickleKind::kGlobal, 0, cat(module.text, ".", name.text), {}});
  }

  // Protocol 2 writes a method that is kept in a module (Ultralytics' heads do: Detect.forward) as
  // getattr(Detect, "forward"). It stays a name here, and calling it is damage.
  bool names_method(std::string_view callable, const PickleNode& arguments) const {
    if (callable != "builtins.getattr" && callable != "__builtin__.getattr") return false;
    if (arguments.items.size() != 2) return false;
    const PickleNode& owner = pickle_.at(arguments.items[0]);
    const PickleNode& name = pickle_.at(arguments.items[1]);
    const bool known = owner.kind == PickleKind::kObject ||
                       (owner.kind == PickleKind::kGlobal && may_be_called(owner.text));
    return known && name.kind == PickleKind::kText && !name.text.starts_with("_");
  }

  // REDUCE and NEWOBJ: [callable, arguments]; NEWOBJ_EX has named arguments behind them.
  Status call(std::optional<std::vector<PickleRef>> parts) {
    if (!parts) return underflow();
    const PickleNode& callable = pickle_.at((*parts)[0]);
    const PickleNode& arguments = pickle_.at((*parts)[1]);
    if (callable.kind != PickleKind::kGlobal || arguments.kind != PickleKind::kTuple) {
      return damaged("a call of something that is no class");
    }
    if (!may_be_called(callable.text) && !names_method(callable.text, arguments)) {
      return error(Code::kUnsupported,
                   cat(label_, ": would call `", printable(callable.text),
                       "` when loaded by PyTorch; no detector needs that, nothing was run"),
                   kExport);
    }
    // OrderedDict([[key, value], …]) of old writers; newer ones set the items afterwards.
    if (makes_dict(callable.text)) {
      PickleNode dict{PickleKind::kDict, 0, {}, {}};
      if (callable.text == "collections.OrderedDict" && arguments.items.size() == 1) {
        const auto& pairs = pickle_.at(arguments.items[0]).items;
        copied_ += pairs.size();
        if (copied_ > kMostNodes) return damaged("it repeats too much");
        for (const PickleRef pair : pairs) {
          const PickleNode& entry = pickle_.at(pair);
          if (entry.items.size() != 2)
            return damaged("an OrderedDict of something else than pairs");
          dict.items.insert(dict.items.end(), entry.items.begin(), entry.items.end());
        }
      }
      return push(std::move(dict));
    }
    if (callable.text == "torch.Size" && arguments.items.size() == 1) {
      stack_.push_back(arguments.items[0]);
      return {};
    }
    parts->resize(2);
    return push({PickleKind::kObject, 0, {}, std::move(*parts)});
  }

  Status build() {
    const auto state = take(1);
    if (!state || available() == 0) return underflow();
    PickleNode& object = top();
    // A state dict carries `_metadata` so, which nobody needs.
    if (object.kind == PickleKind::kDict || object.kind == PickleKind::kList) return {};
    if (object.kind != PickleKind::kObject) return damaged("a state for something that has none");
    object.items.resize(2);
    object.items.push_back((*state)[0]);
    return {};
  }

  Status memoize(std::optional<uint32_t> key) {
    if (!key) return cut_short();
    if (available() == 0) return underflow();
    memo_[*key] = stack_.back();
    return memo_.size() <= kMostNodes ? Status() : damaged("it remembers too much");
  }

  Status recall(std::optional<uint32_t> key) {
    if (!key) return cut_short();
    const auto found = memo_.find(*key);
    if (found == memo_.end()) return damaged("it recalls what it did not remember");
    stack_.push_back(found->second);
    return {};
  }

  std::span<const std::byte> bytes_;
  std::string_view label_;
  size_t at_ = 0;
  bool stopped_ = false;
  size_t copied_ = 0;  // entries of dicts that were made of lists
  Pickle pickle_;
  std::vector<PickleRef> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, PickleRef> memo_;
};

}  // namespace

const PickleNode* Pickle::find(const PickleNode& dict, std::string_view key) const {
  const PickleNode* found = nullptr;
  if (dict.kind != PickleKind::kDict) return found;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleNode& name = at(dict.items[i]);
    if (name.kind == PickleKind::kText && name.text == key) found = &at(dict.items[i + 1]);
  }
  return found;
}

std::string_view Pickle::class_of(const PickleNode& object) const {
  if (object.kind != PickleKind::kObject) return {};
  return at(object.items[0]).text;
}

Result<Pickle> parse_pickle(std::span<const std::byte> bytes, std::string_view label) {
  return Reader(bytes, label).read();
}

}  // namespace fastvlm
