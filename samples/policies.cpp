// The policies side by side: what the last batch looks like when the size does not divide, and what becomes of a
// sample that cannot be decoded.
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "made_images.hpp"

constexpr std::uint64_t broken_id = 4;

/// Ten images; number 4 is no image at all if `with_broken`.
muster::MemorySource made_source(bool with_broken) {
  std::vector<muster::Sample> samples(10);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].label = static_cast<std::int64_t>(i);
    if (with_broken && i == broken_id) {
      const std::string text = "not an image";
      samples[i].bytes.assign(text.begin(), text.end());
    } else {
      samples[i].image = std::make_shared<muster::Image>(made_image({40, 60}, static_cast<int>(i)));
    }
  }
  return muster::MemorySource(std::move(samples));
}

const muster::Pipeline& pipeline() {
  static const muster::Pipeline resize{muster::Resize{muster::Size{32, 32}}};
  return resize;
}

struct Row {
  std::string batches;  // rows of every batch
  std::string labels;   // of the batch that is worth a look
  std::string note;
};

Row show(muster::Loader& loader, std::uint64_t index) {
  Row row;
  for (const muster::Batch& batch : loader.epoch(0)) {
    row.batches += (row.batches.empty() ? "" : " ") + std::to_string(batch.num_rows());
    if (batch.index != index) continue;
    for (const std::int64_t label : batch.labels.as<const std::int64_t>()) {
      row.labels += (row.labels.empty() ? "" : " ") + std::to_string(label);
    }
  }
  return row;
}

Row last_batch(muster::LastBatch policy) {
  try {
    muster::Loader loader{made_source(false), pipeline(), {.batch_size = 4, .last_batch = policy}};
    Row row = show(loader, loader.num_batches() - 1);
    const muster::Report report = loader.report();
    if (report.num_fillers > 0) row.note = std::to_string(report.num_fillers) + " filler rows, valid = 0";
    if (report.num_wrapped > 0) row.note = std::to_string(report.num_wrapped) + " rows repeat the start";
    return row;
  } catch (const muster::ConfigError&) {
    return {"", "", "refused: 10 rows do not divide by 4"};
  }
}

Row on_error(muster::OnError policy) {
  muster::Loader loader{made_source(true), pipeline(), {.batch_size = 5, .on_error = policy}};
  try {
    Row row = show(loader, 0);
    const muster::Incident incident = loader.report().incidents.at(0);
    row.note = "sample " + std::to_string(incident.sample_id) + " " + std::string(name(incident.outcome));
    if (incident.outcome == muster::Outcome::substituted) row.note += " by " + std::to_string(incident.substitute_id);
    return row;
  } catch (const muster::DecodeError& error) {
    return {"", "", "thrown: sample " + std::to_string(error.where().sample_id.value())};
  }
}

/// Prints a line of the table; false if it does not say what is expected.
bool print(std::string_view policy, const Row& row, const std::string& batches, const std::string& labels) {
  std::printf("  %-12s%-12s%-14s%s\n", std::string(policy).c_str(), row.batches.c_str(), row.labels.c_str(),
              row.note.c_str());
  return row.batches == batches && (labels == "*" || row.labels == labels);
}

int main() {
  bool right = true;
  std::printf("10 images, batches of 4\n  %-12s%-12s%-14s\n", "last batch", "rows", "last labels");
  using muster::LastBatch;
  right &= print("partial", last_batch(LastBatch::partial), "4 4 2", "8 9");
  right &= print("drop", last_batch(LastBatch::drop), "4 4", "4 5 6 7");
  right &= print("pad", last_batch(LastBatch::pad), "4 4 4", "8 9 -1 -1");
  right &= print("wrap", last_batch(LastBatch::wrap), "4 4 4", "8 9 0 1");
  right &= print("strict", last_batch(LastBatch::strict), "", "");

  std::printf("\n10 images, sample 4 broken, batches of 5\n  %-12s%-12s%-14s\n", "on error", "rows", "first labels");
  using muster::OnError;
  right &= print("raise", on_error(OnError::raise), "", "");
  right &= print("mask", on_error(OnError::mask), "5 5", "0 1 2 3 -1");
  right &= print("substitute", on_error(OnError::substitute), "5 5", "*");
  if (!right) std::fputs("a policy did something else than it should\n", stderr);
  return right ? 0 : 1;
}
