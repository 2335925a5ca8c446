// SPDX-License-Identifier: Apache-2.0
#include "hub/data_set.h"

#include <algorithm>

#include "base/strings.h"
#include "hub/archive.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

// The project's own bucket over HTTPS: images.cocodataset.org itself has no certificate of its
// name. COCO publishes no digests; these are of the archives as they are served.
std::vector<DataSetSource> data_sets() {
  const std::string coco = "https://s3.amazonaws.com/images.cocodataset.org/";
  return {{"coco-val2017",
           "annotations: CC BY 4.0, COCO Consortium; the pictures are from Flickr, each under its "
           "owner's licence, which the annotations name: https://cocodataset.org/#termsofuse",
           "COCO 2017 validation: 5,000 pictures with captions and boxes, to make a data set of",
           {{coco + "annotations/annotations_trainval2017.zip",
             252'907'541,
             "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
             {"annotations/instances_val2017.json", "annotations/captions_val2017.json"}},
            {coco + "zips/val2017.zip",
             815'585'330,
             "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
             {"val2017/"}}}}};
}

std::string file_of(const DataArchive& archive) {
  return archive.url.substr(archive.url.rfind('/') + 1);
}

std::string source_text(const DataSetSource& source) {
  std::string text;
  for (const DataArchive& archive : source.archives) {
    text += cat(text.empty() ? "" : ", ", archive.url);
  }
  return text;
}

Status fetch_and_unpack(const HttpClient& client, const DataSetSource& source,
                        const OnProgress& on_progress, PulledModel& model) {
  for (const DataArchive& archive : source.archives) {
    FetchRequest request;
    request.url = archive.url;
    const Download what{request, model.folder / file_of(archive), archive.bytes, archive.sha256};
    FASTVLM_ASSIGN(const DownloadedFile done, download(client, what, on_progress));
  }
  for (const DataArchive& archive : source.archives) {
    FASTVLM_ASSIGN(const auto files, unpack_files(model.folder / file_of(archive), model.folder,
                                                  archive.wanted, on_progress));
    // Thousands of pictures are not listed one by one; the archive's digest stands for them.
    for (const PulledFile& file : files) {
      if (file.path.ends_with(".json")) model.files.push_back(file);
    }
  }
  return {};
}

}  // namespace

std::span<const DataSetSource> data_set_catalog() {
  static const std::vector<DataSetSource> kCatalog = data_sets();
  return kCatalog;
}

const DataSetSource* find_data_set(std::string_view name) {
  const auto all = data_set_catalog();
  const auto found = std::find_if(all.begin(), all.end(), [&](const DataSetSource& source) {
    return source.name == lower_case(name);
  });
  return found != all.end() ? &*found : nullptr;
}

Result<fs::path> data_sets_folder() {
  FASTVLM_ASSIGN(const fs::path models, models_folder());
  return models.parent_path() / "datasets";
}

Result<PulledModel> pull_data_set(const HttpClient& client, const DataSetSource& source,
                                  const fs::path& folder, const OnPlan& on_plan,
                                  const OnProgress& on_progress) {
  PulledModel model;
  model.name = source.name;
  model.folder = folder / source.name;
  model.source = source_text(source);
  model.license = source.license;
  if (auto present = read_record(model.folder); present.ok() && present->complete) return present;
  PullPlan plan;
  plan.source.name = source.name;
  plan.source.url = model.source;
  plan.license = source.license;
  plan.files = source.archives.size();
  for (const DataArchive& archive : source.archives) plan.bytes += archive.bytes;
  FASTVLM_RETURN_IF_ERROR(on_plan(plan));
  FASTVLM_RETURN_IF_ERROR(note_unfinished(model.folder, model.source));
  const Status status = fetch_and_unpack(client, source, on_progress, model);
  if (!status.ok()) {
    remove_if_empty(model.folder);
    return status;
  }
  for (const DataArchive& archive : source.archives) {
    model.revision += cat(model.revision.empty() ? "" : ", ", "sha256 ", archive.sha256);
  }
  FASTVLM_RETURN_IF_ERROR(write_record(model));
  for (const DataArchive& archive : source.archives) {
    std::error_code ignored;
    fs::remove(model.folder / file_of(archive), ignored);
  }
  model.complete = true;
  return model;
}

}  // namespace fastvlm
