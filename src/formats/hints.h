// SPDX-License-Identifier: Apache-2.0
// What errors about files tell the user to do next, where several readers say the same.
#pragma once

namespace fastvlm {

inline constexpr char kDownloadAgain[] = "download or copy the file again";
inline constexpr char kOtherDetectorFile[] = "give .safetensors or .onnx";
inline constexpr char kSameCheckpoint[] =
    "use the config.json and the weights of one and the same checkpoint";

}  // namespace fastvlm
