// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace fastvlm {

// A text as a QR code for a terminal: half blocks, dark on light whatever the terminal's own
// colours are, with the empty border that readers want. Empty: the text is too long for one.
std::string qr_code(const std::string& text);

}  // namespace fastvlm
