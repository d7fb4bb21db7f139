#include <fmt/format.h>

#include "muster/pipeline.hpp"
#include "names.hpp"

namespace muster {
namespace {

struct Preset {
  std::string_view name;
  std::string_view json;
};

constexpr Preset presets[] = {
    {"imagenet-train", R"({"stages":[{"RandomResizedCrop":{"size":[224,224]}},{"RandomHorizontalFlip":{}},)"
                       R"({"Normalize":{"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}}]})"},
    {"imagenet-eval", R"({"stages":[{"Resize":{"size":256}},{"CenterCrop":{"size":[224,224]}},)"
                      R"({"Normalize":{"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}}]})"},
    {"letterbox-640", R"({"stages":[{"LetterBox":{"size":[640,640]}},{"ToFloat":{}}]})"},
};

}  // namespace

std::vector<std::string> Pipeline::preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets) names.emplace_back(preset.name);
  return names;
}

std::string_view Pipeline::preset_json(std::string_view name) {
  for (const Preset& preset : presets) {
    if (preset.name == name) return preset.json;
  }
  const std::vector<std::string> names = preset_names();
  throw ConfigError("preset", fmt::format("there is no '{}'; nearest known: {} (of {})", name,
                                          nearest_name(name, names), fmt::join(names, ", ")));
}

Pipeline Pipeline::preset(std::string_view name) { return from_json(preset_json(name)); }

}  // namespace muster
