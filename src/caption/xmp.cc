// SPDX-License-Identifier: Apache-2.0
#include "caption/xmp.h"

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr std::string_view kPacketHead =
    "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"fastvlm\">\n"
    " <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
    "  <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n"
    "   <dc:description>\n"
    "    <rdf:Alt>\n"
    "     <rdf:li xml:lang=\"x-default\">";
constexpr std::string_view kPacketTail =
    "</rdf:li>\n"
    "    </rdf:Alt>\n"
    "   </dc:description>\n"
    "  </rdf:Description>\n"
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    "<?xpacket end=\"w\"?>\n";

// XML 1.0 knows no control characters but tab and line ends, and no U+FFFE and U+FFFF.
std::string escaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool forbidden =
        text.substr(i, 3) == "\xEF\xBF\xBE" || text.substr(i, 3) == "\xEF\xBF\xBF";
    if (forbidden) {
      i += 2;
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '\r') {
      out += "&#13;";  // else read as a line feed
    } else if (static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\n') {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string xmp_packet(std::string_view description) {
  return cat(kPacketHead, escaped(description), kPacketTail);
}

bool is_our_xmp(std::string_view file) {
  return file.starts_with(kPacketHead) && file.ends_with(kPacketTail);
}

}  // namespace fastvlm
