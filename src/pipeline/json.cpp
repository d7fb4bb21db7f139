// Pipelines as JSON. Numbers round-trip exactly; unknown keys are refused with the nearest known name.
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "json_object.hpp"
#include "muster/pipeline.hpp"
#include "names.hpp"
#include "pipeline/fields.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/proof.hpp"

namespace muster {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::string& message) { throw ConfigError("pipeline JSON", message); }

[[noreturn]] void fail(std::string_view expected, const Json& received) {
  fail(fmt::format("expected {}, received {}", expected, shown_json(received)));
}

// Values of parameters, one pair of functions for each type: write() makes JSON, read() takes it or says what it
// expected.

Json write(bool value) { return value; }
Json write(double value) { return value; }
Json write(std::int64_t value) { return value; }
Json write(Size size) { return Json::array({size.height, size.width}); }
Json write(Range range) { return Json::array({range.low, range.high}); }
Json write(const ResizeTarget& target) { return target.exact ? write(*target.exact) : Json(target.shorter); }
Json write(const Fill& fill) {
  const auto [red, green, blue] = fill.rgb;
  return red == green && green == blue ? Json(red) : Json::array({red, green, blue});
}
Json write(const Padding& padding) {
  if (padding == Padding(padding.left)) return padding.left;
  return Json::array({padding.left, padding.top, padding.right, padding.bottom});
}
Json write(const PerChannel& values) { return Json(std::vector<double>(values.begin(), values.end())); }
Json write(Interpolation interpolation) { return std::string(name(interpolation)); }
Json write(PadMode mode) { return std::string(name(mode)); }
Json write(Anchor anchor) { return std::string(name(anchor)); }
Json write(DecodeMode mode) { return mode == DecodeMode::exact ? "exact" : "fast"; }
Json write(Color color) { return color == Color::rgb ? "rgb" : "grey"; }

void read(const Json& json, bool& value) {
  if (!json.is_boolean()) fail("true or false", json);
  value = json.get<bool>();
}
void read(const Json& json, double& value) {
  if (!json.is_number()) fail("a number", json);
  value = json.get<double>();
}
void read(const Json& json, std::int64_t& value) {
  const bool too_large =
      json.is_number_unsigned() &&
      json.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!json.is_number_integer() || too_large) fail("a whole number", json);
  value = json.get<std::int64_t>();
}

template <class T>
std::vector<T> read_list(const Json& json) {
  std::vector<T> values(json.size());
  for (std::size_t i = 0; i < values.size(); ++i) read(json[i], values[i]);
  return values;
}

void read(const Json& json, Size& size) {
  if (json.is_number_integer()) {
    read(json, size.height);
    size.width = size.height;
  } else {
    if (!json.is_array() || json.size() != 2) fail("a number (a square) or [height, width]", json);
    read(json[0], size.height);
    read(json[1], size.width);
  }
}
void read(const Json& json, Range& range) {
  if (!json.is_array() || json.size() != 2) fail("[low, high]", json);
  read(json[0], range.low);
  read(json[1], range.high);
}
void read(const Json& json, ResizeTarget& target) {
  if (json.is_number_integer()) {
    std::int64_t shorter = 0;
    read(json, shorter);
    target = shorter;
  } else {
    if (!json.is_array() || json.size() != 2) fail("a number (the shorter side) or [height, width]", json);
    Size size;
    read(json, size);
    target = size;
  }
}
void read(const Json& json, Fill& fill) {
  const std::vector<std::int64_t> values = read_list<std::int64_t>(json.is_array() ? json : Json::array({json}));
  if (values.size() != 1 && values.size() != 3) fail("a number or [red, green, blue]", json);
  for (const std::int64_t value : values) {
    if (value < 0 || value > 255) fail("values from 0 to 255", json);
  }
  for (std::size_t i = 0; i < 3; ++i) fill.rgb[i] = static_cast<std::uint8_t>(values[values.size() == 1 ? 0 : i]);
}
void read(const Json& json, Padding& padding) {
  const std::vector<std::int64_t> values = read_list<std::int64_t>(json.is_array() ? json : Json::array({json}));
  switch (values.size()) {
    case 1:
      padding = Padding(values[0]);
      break;
    case 2:
      padding = Padding(values[0], values[1]);
      break;
    case 4:
      padding = Padding(values[0], values[1], values[2], values[3]);
      break;
    default:
      fail("a number, [left_right, top_bottom] or [left, top, right, bottom]", json);
  }
}
void read(const Json& json, PerChannel& values) {
  const std::vector<double> list = read_list<double>(json.is_array() ? json : Json::array({json}));
  if (list.size() != 1 && list.size() != 3) fail("one number, or three for RGB", json);
  values = PerChannel(std::span(list));
}

std::string read_name(const Json& json) {
  if (!json.is_string()) fail("a name", json);
  return json.get<std::string>();
}
void read(const Json& json, Interpolation& value) { value = interpolation_from_name(read_name(json)); }
void read(const Json& json, PadMode& value) { value = pad_mode_from_name(read_name(json)); }
void read(const Json& json, Anchor& value) { value = anchor_from_name(read_name(json)); }
void read(const Json& json, Color& value) {
  const std::string text = read_name(json);
  if (text != "rgb" && text != "grey") fail("\"rgb\" or \"grey\"", json);
  value = text == "rgb" ? Color::rgb : Color::grey;
}

void read(const Json& json, DecodeMode& value) {
  const std::string text = read_name(json);
  if (text != "exact" && text != "fast") fail("\"exact\" or \"fast\"", json);
  value = text == "exact" ? DecodeMode::exact : DecodeMode::fast;
}

struct FieldWriter {
  Json json = Json::object();

  template <class T>
  void required(const char* name, const T& field) {
    json[name] = write(field);
  }
  template <class T>
  void optional(const char* name, const T& field) {
    json[name] = write(field);
  }
};

/// Reads the members of an object; `where` names it in messages.
class FieldReader {
 public:
  FieldReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) fail(where_ + " is not an object");
  }

  template <class T>
  void required(const char* name, T& field) {
    if (!json_.contains(name)) fail(fmt::format("{} needs \"{}\"", where_, name));
    optional(name, field);
  }
  template <class T>
  void optional(const char* name, T& field) {
    known_.emplace_back(name);
    if (!json_.contains(name)) return;
    try {
      read(json_.at(name), field);
    } catch (const ConfigError& error) {
      fail(fmt::format("{}: \"{}\": {}", where_, name, error.message()));
    }
  }
  void refuse_unknown() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      if (known_.empty()) fail(fmt::format("{} takes no parameters, but has \"{}\"", where_, key));
      fail(fmt::format("{} has no \"{}\"; nearest known: \"{}\"", where_, key, nearest_name(key, known_)));
    }
  }

 private:
  const Json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

template <class Visitor>
void visit_fields(DecodeOptions& options, Visitor& visitor) {
  visitor.optional("color", options.color);
  visitor.optional("apply_orientation", options.apply_orientation);
  visitor.optional("mode", options.mode);
}

Stage read_stage(const Json& json, std::size_t index) {
  const std::string place = fmt::format("stage {}", index + 1);
  if (!json.is_object() || json.size() != 1) {
    fail(place + " is not an object with one member, the stage's name: {\"CenterCrop\": {\"size\": [224, 224]}}");
  }
  const std::string& stage_name = json.begin().key();
  std::vector<std::string> known;
  std::optional<Stage> stage;
  visit_stage_types([&]<class S>() {
    known.emplace_back(S::name);
    if (S::name != stage_name) return false;
    S value = default_stage<S>();
    FieldReader reader(json.begin().value(), fmt::format("{} {}", place, stage_name));
    visit_fields(value, reader);
    reader.refuse_unknown();
    stage = Stage(value);
    return true;
  });
  if (!stage) {
    fail(fmt::format("{}: there is no stage \"{}\"; nearest known: \"{}\"", place, stage_name,
                     nearest_name(stage_name, known)));
  }
  return *stage;
}

/// The stage's parameters, if it is one of ours.
template <class Use>
bool with_fields(const Stage& stage, Use&& use) {
  return visit_stage_types([&]<class S>() {
    const S* value = stage.get_if<S>();
    if (value == nullptr) return false;
    FieldWriter writer;
    visit_fields(*value, writer);
    FieldWriter defaults;
    const S default_value = default_stage<S>();
    visit_fields(default_value, defaults);
    use(writer.json, defaults.json);
    return true;
  });
}

Json to_json_value(const Rect& rect) {
  return {{"y", rect.y}, {"x", rect.x}, {"height", rect.height}, {"width", rect.width}};
}

Json to_json_value(const Step& step) {
  if (const auto* crop = std::get_if<Crop>(&step)) return {{"crop", to_json_value(crop->window)}};
  if (const auto* flip = std::get_if<Flip>(&step)) {
    return {{"flip", {{"horizontal", flip->horizontal}, {"vertical", flip->vertical}}}};
  }
  if (const auto* resample = std::get_if<Resample>(&step)) {
    return {{"resample", write(resample->size)}, {"interpolation", write(resample->interpolation)}};
  }
  const Border& border = std::get<Border>(step);
  return {{"border", write(border.padding)}, {"padding_mode", write(border.mode)}, {"fill", write(border.fill)}};
}

}  // namespace

std::string describe(const Stage& stage) {
  std::string text = stage.name();
  with_fields(stage, [&](const Json& fields, const Json& defaults) {
    std::string list;
    for (const auto& [key, value] : fields.items()) {
      if (value == defaults.at(key)) continue;
      list += (list.empty() ? "" : ", ") + key + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
    }
    text += "(" + list + ")";
  });
  return text;
}

namespace {

/// Parses, and refuses objects with two members of one name: nothing says which of them is meant.
Json parse(std::string_view text) {
  std::vector<std::set<std::string>> open_objects;
  return parse_json<Json>(text, "pipeline JSON", [&](Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && !open_objects.back().insert(parsed.get<std::string>()).second) {
      fail("\"" + parsed.get<std::string>() + "\" stands twice in one object");
    }
  });
}

}  // namespace

Pipeline Pipeline::from_json(std::string_view text) {
  const Json json = parse(text);
  if (!json.is_object() || !json.contains("stages") || !json["stages"].is_array()) {
    fail("expected an object with a list of stages: {\"stages\": [{\"Resize\": {\"size\": 256}}, ...]}");
  }
  for (const auto& [key, value] : json.items()) {
    const std::vector<std::string> known = {"stages", "decode"};
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail(fmt::format("a pipeline has no \"{}\"; nearest known: \"{}\"", key, nearest_name(key, known)));
  }
  DecodeOptions decode;
  if (json.contains("decode")) {
    FieldReader reader(json["decode"], "decode");
    visit_fields(decode, reader);
    reader.refuse_unknown();
  }
  std::vector<Stage> stages;
  for (std::size_t i = 0; i < json["stages"].size(); ++i) stages.push_back(read_stage(json["stages"][i], i));
  return Pipeline(std::move(stages), decode);
}

std::string Pipeline::to_json() const {
  Json json;
  DecodeOptions decode = decode_options();
  if (decode != DecodeOptions{}) {
    FieldWriter writer;
    visit_fields(decode, writer);
    json["decode"] = writer.json;
  }
  json["stages"] = Json::array();
  for (std::size_t i = 0; i < stages().size(); ++i) {
    const bool ours = with_fields(stages()[i], [&](const Json& fields, const Json&) {
      json["stages"].push_back({{stages()[i].name(), fields}});
    });
    if (!ours) {
      fail(stage_name(stages(), i) + " is a stage of your own; only muster's stages can be written as JSON");
    }
  }
  return json.dump();
}

std::string Pipeline::to_json(const Plan& plan) const {
  if (!made(plan)) throw ShapeError("pipeline JSON", "the plan was made by another pipeline");
  Json json = {{"source", write(plan.source)},
               {"window", to_json_value(plan.window)},
               {"flip", plan.flip_horizontal},
               {"flip_vertical", plan.flip_vertical},
               {"output", write(plan.output)},
               {"output_to_source",
                {{"y", {plan.output_to_source.y_scale, plan.output_to_source.y_offset}},
                 {"x", {plan.output_to_source.x_scale, plan.output_to_source.x_offset}}}},
               {"opaque", plan.opaque},
               {"stages", Json::array()}};
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& planned = plan.stages[i];
    Json stage = {{"stage", stages()[i].name()}, {"out", write(planned.out)}, {"steps", Json::array()}};
    for (const Step& step : planned.geometry) stage["steps"].push_back(to_json_value(step));
    if (stages()[i].kind() == StageKind::pixel) {
      in_stage(impl_->stage_names[i], [&] {
        if (const auto drawn = stages()[i].describe(planned.params.get())) stage["drawn"] = *drawn;
      });
    }
    json["stages"].push_back(std::move(stage));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace muster
