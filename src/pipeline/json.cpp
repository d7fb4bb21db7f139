// Pipelines as JSON. Numbers round-trip exactly; unknown keys are refused with the nearest known name.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "json.hpp"
#include "muster/pipeline.hpp"
#include "names.hpp"
#include "pipeline/fields.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/proof.hpp"

namespace muster {
namespace {

[[noreturn]] void fail(const std::string& message) { throw ConfigError("pipeline JSON", message); }

[[noreturn]] void fail(std::string_view expected, const Json& received) {
  fail(fmt::format("expected {}, received {}", expected, received.shown()));
}

// Values of parameters, one pair of functions for each type: write() makes JSON, read() takes it or says what it
// expected.

Json write(bool value) { return value; }
Json write(double value) { return value; }
Json write(std::int64_t value) { return value; }
Json write(Size size) { return Json::List{size.height, size.width}; }
Json write(Range range) { return Json::List{range.low, range.high}; }
Json write(const ResizeTarget& target) { return target.exact ? write(*target.exact) : Json(target.shorter); }
Json write(const Fill& fill) {
  const auto [red, green, blue] = fill.rgb;
  return red == green && green == blue ? Json(red) : Json::List{red, green, blue};
}
Json write(const Padding& padding) {
  if (padding == Padding(padding.left)) return padding.left;
  return Json::List{padding.left, padding.top, padding.right, padding.bottom};
}
Json write(const PerChannel& values) { return Json::List(values.begin(), values.end()); }
Json write(Interpolation interpolation) { return name(interpolation); }
Json write(PadMode mode) { return name(mode); }
Json write(Anchor anchor) { return name(anchor); }
Json write(DecodeMode mode) { return mode == DecodeMode::exact ? "exact" : "fast"; }
Json write(Color color) { return color == Color::rgb ? "rgb" : "grey"; }

void read(const Json& json, bool& value) {
  if (json.boolean() == nullptr) fail("true or false", json);
  value = *json.boolean();
}
void read(const Json& json, double& value) {
  if (!json.number()) fail("a number", json);
  value = *json.number();
}
void read(const Json& json, std::int64_t& value) {
  if (!json.signed_integer()) fail("a whole number", json);
  value = *json.signed_integer();
}

/// The elements of a list, or the one value that stands without a list.
template <class T>
std::vector<T> read_values(const Json& json) {
  const Json* const first = json.list() == nullptr ? &json : json.list()->data();
  std::vector<T> values(json.list() == nullptr ? 1 : json.list()->size());
  for (std::size_t i = 0; i < values.size(); ++i) read(first[i], values[i]);
  return values;
}

template <class T>
void read_pair(const Json& json, std::string_view expected, T& first, T& second) {
  if (json.list() == nullptr || json.list()->size() != 2) fail(expected, json);
  read(json.list()->front(), first);
  read(json.list()->back(), second);
}

void read(const Json& json, Size& size) {
  if (json.is_integer()) {
    read(json, size.height);
    size.width = size.height;
  } else {
    read_pair(json, "a number (a square) or [height, width]", size.height, size.width);
  }
}
void read(const Json& json, Range& range) { read_pair(json, "[low, high]", range.low, range.high); }
void read(const Json& json, ResizeTarget& target) {
  if (json.is_integer()) {
    std::int64_t shorter = 0;
    read(json, shorter);
    target = shorter;
  } else {
    Size size;
    read_pair(json, "a number (the shorter side) or [height, width]", size.height, size.width);
    target = size;
  }
}
void read(const Json& json, Fill& fill) {
  const std::vector<std::int64_t> values = read_values<std::int64_t>(json);
  if (values.size() != 1 && values.size() != 3) fail("a number or [red, green, blue]", json);
  for (const std::int64_t value : values) {
    if (value < 0 || value > 255) fail("values from 0 to 255", json);
  }
  for (std::size_t i = 0; i < 3; ++i) fill.rgb[i] = static_cast<std::uint8_t>(values[values.size() == 1 ? 0 : i]);
}
void read(const Json& json, Padding& padding) {
  const std::vector<std::int64_t> values = read_values<std::int64_t>(json);
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
  const std::vector<double> list = read_values<double>(json);
  if (list.size() != 1 && list.size() != 3) fail("one number, or three for RGB", json);
  values = PerChannel(std::span(list));
}

std::string read_name(const Json& json) {
  constexpr std::size_t max_length = 40;  // of a name that there could be
  if (json.text() == nullptr || json.text()->size() > max_length) fail("a name", json);
  return *json.text();
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
  Json::Object members;

  template <class T>
  void required(const char* name, const T& field) {
    members.push_back({name, write(field)});
  }
  template <class T>
  void optional(const char* name, const T& field) {
    members.push_back({name, write(field)});
  }
};

/// Reads the members of an object; `where` names it in messages.
class FieldReader {
 public:
  FieldReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (json.object() == nullptr) fail(where_ + " is not an object");
  }

  template <class T>
  void required(const char* name, T& field) {
    if (json_.find(name) == nullptr) fail(fmt::format("{} needs \"{}\"", where_, name));
    optional(name, field);
  }
  template <class T>
  void optional(const char* name, T& field) {
    known_.emplace_back(name);
    const Json* const value = json_.find(name);
    if (value == nullptr) return;
    try {
      read(*value, field);
    } catch (const ConfigError& error) {
      fail(fmt::format("{}: \"{}\": {}", where_, name, error.message()));
    }
  }
  void refuse_unknown() const {
    for (const auto& [name, value] : *json_.object()) {
      if (std::ranges::find(known_, name) != known_.end()) continue;
      if (known_.empty()) fail(fmt::format("{} takes no parameters, but has {}", where_, Json(name).shown()));
      fail(fmt::format("{} has no {}; nearest known: \"{}\"", where_, Json(name).shown(), nearest_name(name, known_)));
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
  if (json.object() == nullptr || json.object()->size() != 1) {
    fail(place + " is not an object with one member, the stage's name: {\"CenterCrop\": {\"size\": [224, 224]}}");
  }
  const std::string& stage_name = json.object()->front().name;
  const Json& fields = json.object()->front().value;
  std::vector<std::string> known;
  std::optional<Stage> stage;
  visit_stage_types([&]<class S>() {
    known.emplace_back(S::name);
    if (S::name != stage_name) return false;
    S value = default_stage<S>();
    FieldReader reader(fields, fmt::format("{} {}", place, stage_name));
    visit_fields(value, reader);
    reader.refuse_unknown();
    stage = Stage(value);
    return true;
  });
  if (!stage) {
    fail(fmt::format("{}: there is no stage {}; nearest known: \"{}\"", place, Json(stage_name).shown(),
                     nearest_name(stage_name, known)));
  }
  return *stage;
}

template <class T>
Json::Object members_of(T fields) {
  FieldWriter writer;
  visit_fields(fields, writer);
  return std::move(writer.members);
}

/// The stage's parameters and what they are by default, if it is one of ours.
template <class Use>
bool with_fields(const Stage& stage, Use&& use) {
  return visit_stage_types([&]<class S>() {
    const S* value = stage.get_if<S>();
    if (value == nullptr) return false;
    use(members_of(*value), members_of(default_stage<S>()));
    return true;
  });
}

Json to_json_value(const Rect& rect) {
  return Json::Object{{"y", rect.y}, {"x", rect.x}, {"height", rect.height}, {"width", rect.width}};
}

Json to_json_value(const Step& step) {
  if (const auto* crop = std::get_if<Crop>(&step)) return Json::Object{{"crop", to_json_value(crop->window)}};
  if (const auto* flip = std::get_if<Flip>(&step)) {
    return Json::Object{{"flip", Json::Object{{"horizontal", flip->horizontal}, {"vertical", flip->vertical}}}};
  }
  if (const auto* resample = std::get_if<Resample>(&step)) {
    return Json::Object{{"resample", write(resample->size)}, {"interpolation", write(resample->interpolation)}};
  }
  const Border& border = std::get<Border>(step);
  return Json::Object{
      {"border", write(border.padding)}, {"padding_mode", write(border.mode)}, {"fill", write(border.fill)}};
}

}  // namespace

std::string describe(const Stage& stage) {
  std::string text = stage.name();
  with_fields(stage, [&](const Json::Object& fields, const Json::Object& defaults) {
    std::string list;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto& [name, value] = fields[i];
      if (fields[i] == defaults[i]) continue;
      list += (list.empty() ? "" : ", ") + name + "=" + (value.text() != nullptr ? *value.text() : value.dump());
    }
    text += "(" + list + ")";
  });
  return text;
}

Pipeline Pipeline::from_json(std::string_view text) {
  const Json json = Json::parse(text, "pipeline JSON");
  const Json* const listed = json.find("stages");
  if (listed == nullptr || listed->list() == nullptr) {
    fail("expected an object with a list of stages: {\"stages\": [{\"Resize\": {\"size\": 256}}, ...]}");
  }
  for (const auto& [name, value] : *json.object()) {
    const std::vector<std::string> known = {"stages", "decode"};
    if (std::ranges::find(known, name) != known.end()) continue;
    fail(fmt::format("a pipeline has no {}; nearest known: \"{}\"", Json(name).shown(), nearest_name(name, known)));
  }
  DecodeOptions decode;
  if (const Json* const options = json.find("decode")) {
    FieldReader reader(*options, "decode");
    visit_fields(decode, reader);
    reader.refuse_unknown();
  }
  std::vector<Stage> stages;
  for (const Json& stage : *listed->list()) stages.push_back(read_stage(stage, stages.size()));
  return Pipeline(std::move(stages), decode);
}

std::string Pipeline::to_json() const {
  Json::Object pipeline;
  if (decode_options() != DecodeOptions{}) pipeline.push_back({"decode", members_of(decode_options())});
  Json::List list;
  for (const Stage& stage : stages()) {
    const bool ours = with_fields(stage, [&](const Json::Object& fields, const Json::Object&) {
      list.push_back(Json::Object{{stage.name(), fields}});
    });
    if (!ours) {
      fail(stage_name(stages(), list.size()) + " is a stage of your own; only muster's stages can be written as JSON");
    }
  }
  pipeline.push_back({"stages", std::move(list)});
  return Json(std::move(pipeline)).dump();
}

std::string Pipeline::to_json(const Plan& plan) const {
  if (!made(plan)) throw ShapeError("pipeline JSON", "the plan was made by another pipeline");
  Json::List list;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& planned = plan.stages[i];
    Json::List steps;
    for (const Step& step : planned.geometry) steps.push_back(to_json_value(step));
    Json::Object stage = {{"stage", stages()[i].name()}, {"out", write(planned.out)}, {"steps", std::move(steps)}};
    if (stages()[i].kind() == StageKind::pixel) {
      in_stage(impl_->stage_names[i], [&] {
        if (const auto drawn = stages()[i].describe(planned.params.get())) stage.push_back({"drawn", *drawn});
      });
    }
    list.push_back(std::move(stage));
  }
  const AffineMap& map = plan.output_to_source;
  const Json::Object json = {{"source", write(plan.source)},
                             {"window", to_json_value(plan.window)},
                             {"flip", plan.flip_horizontal},
                             {"flip_vertical", plan.flip_vertical},
                             {"output", write(plan.output)},
                             {"output_to_source", Json::Object{{"y", Json::List{map.y_scale, map.y_offset}},
                                                               {"x", Json::List{map.x_scale, map.x_offset}}}},
                             {"opaque", plan.opaque},
                             {"stages", std::move(list)}};
  return Json(json).dump();
}

}  // namespace muster
