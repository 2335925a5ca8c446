// SPDX-License-Identifier: Apache-2.0
#include "image/description.h"

#include "base/strings.h"
#include "image/xmp_packet.h"

namespace fastvlm {

std::string as_description(std::string_view text) {
  std::string description;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool forbidden =  // U+FFFE and U+FFFF
        text.substr(i, 3) == "\xEF\xBF\xBE" || text.substr(i, 3) == "\xEF\xBF\xBF";
    const char c = text[i];
    if (forbidden) {
      i += 2;
    } else if ((static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) || c == '\t' || c == '\n') {
      description += c;
    }
  }
  return description;
}

Status check_describable(std::span<const std::byte> file, const std::string& name) {
  return xmp::find_packet(text_of(file), name).status();
}

Result<std::optional<std::string>> read_description(std::span<const std::byte> file,
                                                    const std::string& name) {
  FASTVLM_ASSIGN(const xmp::PacketPlace place, xmp::find_packet(text_of(file), name));
  if (place.packet.empty()) return std::optional<std::string>();
  FASTVLM_ASSIGN(xmp::Description found, xmp::description_in(place.packet, name));
  return found.there && !trimmed(found.text).empty() ? std::optional(std::move(found.text))
                                                     : std::nullopt;
}

Result<std::string> with_description(std::span<const std::byte> bytes, std::string_view description,
                                     const std::string& name) {
  const std::string_view file = text_of(bytes);
  const std::string text = as_description(description);
  FASTVLM_ASSIGN(const xmp::PacketPlace place, xmp::find_packet(file, name));
  FASTVLM_ASSIGN(const std::string packet, xmp::packet_with(place.packet, text, name));
  // Metadata of a strange form may take the words somewhere else.
  FASTVLM_ASSIGN(const xmp::Description written, xmp::description_in(packet, name));
  if (!written.there || written.text != text) {
    return error(Code::kUnsupported,
                 cat(name, ": its metadata has a form into which no caption can be written"),
                 "write sidecars with --sidecar --format xmp");
  }
  FASTVLM_ASSIGN(const std::string wrapped, xmp::wrap_packet(file, packet, name));
  std::string changed;
  changed.reserve(file.size() + wrapped.size());
  changed += file.substr(0, place.begin);
  changed += wrapped;
  changed += file.substr(place.end);
  return changed;
}

}  // namespace fastvlm
