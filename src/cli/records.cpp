#include "records.hpp"

#include <nlohmann/json.hpp>

#include "open_source.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

/// What is known about row `i` of a batch.
Json record(const Batch& batch, std::size_t i, const Loader& loader) {
  const bool filler = batch.rows[i] == Batch::no_sample;
  const bool valid = batch.valid.as<std::uint8_t>()[i] != 0;
  const std::int64_t label = batch.labels.as<std::int64_t>()[i];

  Json json;
  json["row"] = filler ? Json() : Json(batch.rows[i]);
  json["id"] = filler ? Json() : Json(batch.ids[i]);
  json["path"] = filler ? Json() : Json(loader.source().name(batch.ids[i]));
  json["label"] = label;
  json["valid"] = valid;
  if (valid) {
    const Plan& plan = batch.plans[i];
    const Json told = Json::parse(loader.pipeline().to_json(plan));
    for (const char* key : {"source", "window", "flip", "output", "flip_vertical"}) json[key] = told.at(key);
    const AffineMap& map = plan.output_to_source;
    json["output_to_source"] = {
        {"y_scale", map.y_scale}, {"y_offset", map.y_offset}, {"x_scale", map.x_scale}, {"x_offset", map.x_offset}};
    json["stages"] = told.at("stages");
    if (const std::string name = class_name(loader.source(), label); !name.empty()) json["class"] = name;
  }
  if (const Incident* incident = batch.incident(static_cast<std::int64_t>(i))) {
    json["outcome"] = name(incident->outcome);
    json["error"] = incident->message;
    if (incident->outcome == Outcome::substituted) {
      json["substitute_for"] = {{"id", incident->sample_id}, {"path", incident->path}};
    }
  }
  json["epoch"] = batch.epoch;
  json["batch"] = batch.index;
  json["index"] = i;
  return json;
}

}  // namespace

RecordsFile::RecordsFile(const std::string& path, std::optional<std::uint64_t> num_bytes) {
  if (path.empty()) return;
  if (num_bytes) {
    growing_.emplace(path, *num_bytes);
  } else {
    whole_.emplace(path);
  }
}

void RecordsFile::add(const Batch& batch, const Loader& loader) {
  if (!whole_ && !growing_) return;
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const std::string line = to_line(record(batch, i, loader));
    if (whole_) whole_->write(line);
    if (growing_) growing_->write(line);
  }
}

void RecordsFile::sync() {
  if (growing_) growing_->sync();
}

void RecordsFile::commit() {
  if (whole_) whole_->commit();
}

}  // namespace muster::cli
