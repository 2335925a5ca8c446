// SPDX-License-Identifier: Apache-2.0
#include "serve/qr_code.h"

#include <qrencode.h>

#include <memory>

namespace fastvlm {

std::string qr_code(const std::string& text) {
  constexpr int kBorder = 4;  // modules
  struct Freed {
    void operator()(QRcode* code) const { QRcode_free(code); }
  };
  const std::unique_ptr<QRcode, Freed> code(QRcode_encodeString8bit(text.c_str(), 0, QR_ECLEVEL_L));
  if (!code) return {};
  const int side = code->width;
  const auto light = [&](int y, int x) {
    const bool inside = y >= 0 && x >= 0 && y < side && x < side;
    return !inside || (code->data[y * side + x] & 1) == 0;
  };
  std::string out;
  for (int y = -kBorder; y < side + kBorder; y += 2) {
    out += "\033[97;40m";  // white on black: the light modules are drawn
    for (int x = -kBorder; x < side + kBorder; ++x) {
      const bool above = light(y, x);
      const bool below = light(y + 1, x);
      out += above && below ? "█" : above ? "▀" : below ? "▄" : " ";
    }
    out += "\033[0m\n";
  }
  return out;
}

}  // namespace fastvlm
