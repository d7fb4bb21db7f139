#include "source/file_listing.hpp"

#include "muster/error.hpp"
#include "source/hash.hpp"

namespace muster {

void FileListing::add(std::string_view name, std::int64_t label) {
  names += name;
  ends.push_back(names.size());
  labels.push_back(label);
}

void FileListing::add(std::string_view folder, std::string_view name, std::int64_t label) {
  names += folder;
  names += '/';
  add(name, label);
}

void FileListing::shrink_to_fit() {
  names.shrink_to_fit();
  ends.shrink_to_fit();
  labels.shrink_to_fit();
}

std::string_view FileListing::name(std::uint64_t id) const {
  expect_id(id, size());
  const std::uint64_t begin = id == 0 ? 0 : ends[id - 1];
  return std::string_view(names).substr(begin, ends[id] - begin);
}

std::int64_t FileListing::label(std::uint64_t id) const {
  expect_id(id, size());
  return labels[id];
}

Fingerprint FileListing::fingerprint() const {
  ContentHash name_hash;
  name_hash.add(names);
  for (const std::uint64_t end : ends) name_hash.add(end);
  ContentHash label_hash;
  label_hash.add(std::uint64_t{labels.size()});
  for (const std::int64_t label : labels) label_hash.add(static_cast<std::uint64_t>(label));
  for (const std::string& class_name : classes) label_hash.add(class_name);
  return {.names = name_hash.value(), .labels = label_hash.value()};
}

void expect_id(std::uint64_t id, std::uint64_t size) {
  if (id >= size) {
    throw SourceError("source",
                      "expected a sample id below " + std::to_string(size) + ", received " + std::to_string(id));
  }
}

}  // namespace muster
