// SPDX-License-Identifier: Apache-2.0
// XMP packets through libexempi. Only packets are given to it: the files around them are taken
// apart in xmp_packet.cc, which leaves everything else in them alone.
#include <exempi/xmp.h>
#include <exempi/xmpconsts.h>

#include <iostream>
#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

#include "base/strings.h"
#include "image/description.h"
#include "image/xmp_packet.h"

namespace fastvlm {
namespace {

constexpr const char* kDescription = "description";
constexpr const char* kDefaultDescription = "dc:description[?xml:lang=\"x-default\"]";

using Packet = std::unique_ptr<std::remove_pointer_t<XmpPtr>, decltype(&xmp_free)>;
using Text = std::unique_ptr<std::remove_pointer_t<XmpStringPtr>, decltype(&xmp_string_free)>;

// The library is not made for threads, and tells std::cerr what it thinks of a packet.
class Library {
 public:
  Library() : lock_(mutex()), shown_(std::cerr.rdbuf(nullptr)) {
    static const bool kStarted = xmp_init();
    static_cast<void>(kStarted);
  }
  ~Library() {
    std::cerr.rdbuf(shown_);
    std::cerr.clear();
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  std::lock_guard<std::mutex> lock_;
  std::streambuf* shown_;
};

Text new_text() {
  return {xmp_string_new(), &xmp_string_free};
}

Result<Packet> parse(std::string_view packet, const std::string& name) {
  Packet parsed(packet.empty() ? xmp_new_empty() : xmp_new(packet.data(), packet.size()),
                &xmp_free);
  if (parsed) return parsed;
  return error(Code::kInvalid, cat(name, ": its metadata is no XMP that can be read"),
               "mend it with the program that wrote it, or write sidecars with --sidecar");
}

// XML's own signs for characters as the characters, so that texts can be compared.
std::string unescaped(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const size_t end = text.front() == '&' ? text.find(';') : std::string_view::npos;
    const std::string_view sign = end == std::string_view::npos ? "" : text.substr(0, end + 1);
    if (sign == "&lt;") plain += '<';
    if (sign == "&gt;") plain += '>';
    if (sign == "&amp;") plain += '&';
    if (sign == "&quot;") plain += '"';
    if (sign == "&apos;") plain += '\'';
    if (sign == "&#xA;" || sign == "&#10;") plain += '\n';
    const bool known = sign == "&lt;" || sign == "&gt;" || sign == "&amp;" || sign == "&quot;" ||
                       sign == "&apos;" || sign == "&#xA;" || sign == "&#10;";
    if (!known) plain += text.front();
    text.remove_prefix(known ? sign.size() : 1);
  }
  return plain;
}

// The texts between the tags of an XML file.
std::vector<std::string> texts_in(std::string_view xml) {
  std::vector<std::string> texts;
  for (size_t at = xml.find('>'); at != std::string_view::npos; at = xml.find('>', at + 1)) {
    const size_t end = xml.find('<', at);
    if (end == std::string_view::npos) break;
    const std::string_view text = trimmed(xml.substr(at + 1, end - at - 1));
    if (!text.empty()) texts.push_back(unescaped(text));
  }
  return texts;
}

// The library gives two languages of a text the words of the first. What a picture's owner has
// written is worth more than our caption.
bool is_kept(std::string_view before, std::string_view after, const std::string& replaced) {
  const std::string all = unescaped(after);
  for (const std::string& text : texts_in(before)) {
    if (text != trimmed(replaced) && all.find(text) == std::string::npos) return false;
  }
  return true;
}

}  // namespace

bool can_write_descriptions() {
  return true;
}

namespace xmp {

Result<Description> description_in(std::string_view packet, const std::string& name) {
  FASTVLM_RETURN_IF_ERROR(check_packet(packet, name));
  const Library library;
  FASTVLM_ASSIGN(const Packet parsed, parse(packet, name));
  const Text text = new_text();
  const bool there =
      xmp_get_property(parsed.get(), NS_DC, kDefaultDescription, text.get(), nullptr);
  return Description{there, there ? xmp_string_cstr(text.get()) : ""};
}

Result<std::string> packet_with(std::string_view packet, std::string_view description,
                                const std::string& name) {
  FASTVLM_ASSIGN(const Description before, description_in(packet, name));
  const Library library;
  FASTVLM_ASSIGN(const Packet parsed, parse(packet, name));
  const std::string text(description);
  const bool set = before.there
                       ? xmp_set_property(parsed.get(), NS_DC, kDefaultDescription, text.c_str(), 0)
                       : xmp_set_localized_text(parsed.get(), NS_DC, kDescription, "", "x-default",
                                                text.c_str(), 0);
  const Text written = new_text();
  const bool made = set && xmp_serialize_and_format(parsed.get(), written.get(),
                                                    XMP_SERIAL_USECOMPACTFORMAT, 1, "\n", " ", 0);
  if (!made) {
    return error(Code::kInvalid, cat(name, ": the caption does not fit into its metadata"),
                 "write sidecars with --sidecar --format xmp");
  }
  std::string result = xmp_string_cstr(written.get());
  if (is_kept(packet, result, before.text)) return result;
  return error(Code::kUnsupported,
               cat(name, ": its metadata has a text in several languages, which would be lost"),
               "write sidecars with --sidecar --format xmp");
}

}  // namespace xmp
}  // namespace fastvlm
