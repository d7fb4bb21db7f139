#include <fmt/format.h>

#include "muster/source.hpp"
#include "source/file_listing.hpp"

namespace muster {

struct MemorySource::Content {
  std::vector<Sample> samples;
  std::vector<std::string> names;
  std::vector<std::string> classes;
};

MemorySource::MemorySource(std::vector<Sample> samples, std::vector<std::string> names,
                           std::vector<std::string> classes) {
  if (!names.empty() && names.size() != samples.size()) {
    throw ConfigError("memory source", fmt::format("expected no names or one for each of {} samples, received {}",
                                                   samples.size(), names.size()));
  }
  for (std::size_t id = 0; id < samples.size(); ++id) {
    const Image* const image = samples[id].image.get();
    if (image != nullptr && image->channels() != 1 && image->channels() != 3) {
      throw ShapeError("memory source",
                       fmt::format("expected an image of 1 or 3 channels, received {}", image->channels()),
                       {.sample_id = id, .path = names.empty() ? std::string() : names[id], .stage = {}});
    }
  }
  content_ = std::make_shared<const Content>(Content{std::move(samples), std::move(names), std::move(classes)});
}

std::uint64_t MemorySource::size() const { return content_->samples.size(); }

void MemorySource::read(std::uint64_t id, Sample& sample, std::stop_token) const {
  expect_id(id, size());
  const Sample& stored = content_->samples[id];
  sample.expect_bytes(stored.bytes.size());
  sample.bytes = stored.bytes;  // into the capacity that is there
  sample.image = stored.image;  // shared
  sample.label = stored.label;
}

std::string MemorySource::name(std::uint64_t id) const {
  expect_id(id, size());
  return content_->names.empty() ? Source::name(id) : content_->names[id];
}

const std::vector<std::string>& MemorySource::classes() const { return content_->classes; }

}  // namespace muster
