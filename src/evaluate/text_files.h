// SPDX-License-Identifier: Apache-2.0
// Pages of the project whose text the program carries.
#pragma once

#include <string_view>

namespace fastvlm {

std::string_view report_page_text();   // web/report.html; @DATA@ stands for its data
std::string_view rating_page_text();   // web/rate.html
std::string_view gallery_page_text();  // web/gallery.html; @DATA@ stands for its data

}  // namespace fastvlm
