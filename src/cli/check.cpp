// muster check DIR: does a model fit these batches? Layer by layer, and why not.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <dlfcn.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "interop/onnx_plugin.hpp"
#include "muster/trace.hpp"
#include "muster/version.hpp"
#include "options.hpp"
#include "output.hpp"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;

struct CheckOptions : Options {
  std::string model;   // an ONNX file
  std::string input;   // of the model; empty: the one for images
  std::string layers;  // text, a file of it, or - for standard input
  std::string shape;   // instead of DIR
  bool json = false;
};

// ---- the model ----

/// Where the plugin lies: beside the program in a build tree, else where it is installed.
std::vector<std::filesystem::path> plugin_places() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  return {program / onnx_plugin_file, (program / MUSTER_PLUGIN_PATH / onnx_plugin_file).lexically_normal()};
}

const OnnxPlugin& load_plugin() {
  constexpr std::string_view advice =
      "install libonnx-dev and libprotobuf-dev and build muster again (scripts/setup.sh --full), or give the layers as "
      "text: --layers";
  for (const std::filesystem::path& place : plugin_places()) {
    if (!std::filesystem::exists(place)) continue;
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays loaded
    if (library == nullptr) {
      const char* reason = dlerror();
      throw ConfigError("--model", fmt::format("{} cannot be loaded: {}; {}", place.string(),
                                               reason == nullptr ? "" : reason, advice));
    }
    const auto entry = reinterpret_cast<const OnnxPlugin* (*)()>(dlsym(library, onnx_plugin_entry));
    const OnnxPlugin* plugin = entry == nullptr ? nullptr : entry();
    if (plugin == nullptr || plugin->version != version) {
      throw ConfigError(
          "--model", fmt::format("{} belongs to another version of muster than {}; build and install both at once, or "
                                 "give the layers as text: --layers",
                                 place.string(), version));
    }
    return *plugin;
  }
  throw ConfigError("--model", fmt::format("this muster was built without ONNX: {}", advice));
}

/// What the batches are held against.
struct Model {
  std::string name;
  InputSpec input;
  std::function<Trace(const BatchSpec&, std::int64_t)> trace;
};

std::string read_layers(const std::string& given) {
  if (given == "-") return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  std::error_code error;
  if (!std::filesystem::is_regular_file(given, error)) {
    if (given.find('(') != std::string::npos) return given;
    throw ConfigError("--layers",
                      fmt::format("expected layers, such as \"Conv2d(3, 16, 5) MaxPool2d(2)\", a file with a "
                                  "print(model), or -, received {}",
                                  given));
  }
  return read_text("--layers", given);
}

Model open_model(const CheckOptions& options) {
  if (options.model.empty() == options.layers.empty()) {
    throw ConfigError("check", "expected a model, as --model FILE.onnx or --layers TEXT|FILE|-: one of the two");
  }
  if (!options.model.empty()) {
    const std::shared_ptr<CheckedModel> model = load_plugin().open(options.model, options.input);
    return {fmt::format("{}, input '{}'", options.model, model->input_name()), model->input(),
            [model](const BatchSpec& batch, std::int64_t rows) { return model->trace(batch, rows); }};
  }
  if (!options.input.empty()) throw ConfigError("--input", "names an input of --model: layers have one");
  LayerList layers = parse_layers(read_layers(options.layers));
  const std::string name = fmt::format("{} layers", layers.layers.size());
  return {name, {}, [layers = std::move(layers)](const BatchSpec& batch, std::int64_t rows) {
            return trace_shapes(layers, batch, rows);
          }};
}

std::string describe(const InputSpec& input) {
  const auto side = [](const std::optional<std::int64_t>& value) {
    return value ? std::to_string(*value) : std::string("any");
  };
  const std::string dtype = input.dtype ? fmt::format("{} ", name(*input.dtype)) : "";
  if (input.layout == Layout::nhwc) {
    return fmt::format("{}{{{}, {}, {}, {}}} (nhwc)", dtype, side(input.batch_size), side(input.height),
                       side(input.width), side(input.channels));
  }
  return fmt::format("{}{{{}, {}, {}, {}}}", dtype, side(input.batch_size), side(input.channels), side(input.height),
                     side(input.width));
}

// ---- the batches ----

struct Batches {
  BatchSpec spec;
  bool has_full = true;
  bool has_partial = false;
};

BatchSpec parse_shape(const CheckOptions& options) {
  std::vector<std::int64_t> dims;
  const char* at = options.shape.data();
  const char* const end = at + options.shape.size();
  while (at != end) {
    std::int64_t value = 0;
    const auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || value < 1 || value > 1'000'000'000) break;
    dims.push_back(value);
    at = rest != end && *rest == ',' ? rest + 1 : rest;
    if (rest != end && *rest != ',') break;
  }
  if (dims.size() != 4 || at != end) {
    throw ConfigError("--shape",
                      fmt::format("expected four numbers such as 64,3,224,224 (batch size, channels, height, "
                                  "width, or as --layout says), received {}",
                                  options.shape));
  }
  const Layout layout = layout_from_name(options.layout);
  BatchSpec spec{.batch_size = dims[0], .last_batch_size = dims[0], .dtype = DType::float32, .layout = layout};
  spec.channels = dims[layout == Layout::nchw ? 1 : 3];
  spec.height = dims[layout == Layout::nchw ? 2 : 1];
  spec.width = dims[layout == Layout::nchw ? 3 : 2];
  return spec;
}

/// A pipeline without one fixed size is refused in any case; here the model's side belongs to the message.
Pipeline make_fixed_pipeline(const CheckOptions& options, const Model& model) {
  try {
    return make_pipeline(options);
  } catch (const OpenSizeError& error) {
    const InputSpec& input = model.input;
    const std::string needs =
        input.height && input.width
            ? fmt::format(
                  "the model takes images of one size, {}x{} ({}), and the pipeline leaves the size open: end it in "
                  "CenterCrop, RandomResizedCrop or Resize with size {{{}, {}}}",
                  *input.height, *input.width, model.name, *input.height, *input.width)
            : std::string("a batch has one size, and the pipeline leaves it open: no model can take its batches");
    throw ConfigError("check", fmt::format("{}\n{}", needs, error.what()));
  }
}

Batches make_batches(const CheckOptions& options, const Model& model) {
  if (!options.shape.empty()) return {parse_shape(options), true, false};
  if (options.dir.empty()) throw ConfigError("check", "expected DIR, whose batches are checked, or --shape N,C,H,W");
  const Pipeline pipeline = make_fixed_pipeline(options, model);
  const std::shared_ptr<const Source> source = open_source(options);
  const Loader loader(source, pipeline, loader_options(options, *source));
  const BatchSpec spec = loader.spec();
  const bool partial = spec.last_batch_size != spec.batch_size;
  return {spec, !partial || loader.num_batches() > 1, partial};
}

// ---- the verdict ----

struct Checked {
  std::string which;  // "full batch", "last batch"
  Shape shape;
  Trace trace;
};

struct Verdict {
  std::vector<Checked> batches;
  std::optional<Mismatch> dtype;

  /// If not, `fits` holds as far as they are.
  bool all_known() const {
    return std::ranges::none_of(batches,
                                [](const Checked& checked) { return checked.trace.first_unknown() != nullptr; });
  }
  /// True if a print(model) is all that stands between the batches and a model that fits them.
  bool undecided() const {
    return !dtype && !fits() && std::ranges::all_of(batches, [](const Checked& checked) {
      return checked.trace.fits() || checked.trace.undecided();
    });
  }
  bool fits() const {
    return !dtype && std::ranges::all_of(batches, [](const Checked& checked) { return checked.trace.fits(); });
  }
};

Verdict judge(const Model& model, const Batches& batches) {
  Verdict verdict;
  const BatchSpec& spec = batches.spec;
  if (batches.has_full) verdict.batches.push_back({"full batch", spec.shape(), model.trace(spec, 0)});
  if (batches.has_partial) {
    verdict.batches.push_back(
        {"last batch", spec.shape(spec.last_batch_size), model.trace(spec, spec.last_batch_size)});
  }
  const std::vector<Mismatch> mismatches = compare({.dtype = model.input.dtype}, spec);
  if (!mismatches.empty()) verdict.dtype = mismatches.front();
  return verdict;
}

std::string for_people(const Model& model, const Batches& batches, const Verdict& verdict) {
  std::string text = fmt::format("model    {}", model.name);
  if (model.input.height || model.input.channels || model.input.batch_size || model.input.dtype) {
    text += fmt::format(", takes {}", describe(model.input));
  }
  text += fmt::format("\nbatches  {} {}:", name(batches.spec.dtype), name(batches.spec.layout));
  for (const Checked& checked : verdict.batches)
    text += fmt::format(" {} {}", checked.which, checked.shape.to_string());
  text += '\n';
  const Checked& first = verdict.batches.front();
  text += '\n' + first.trace.to_string();
  for (const Checked& checked : std::span(verdict.batches).subspan(1)) {
    const bool alike = checked.trace.diagnosis && first.trace.diagnosis &&
                       checked.trace.diagnosis->row == first.trace.diagnosis->row &&
                       checked.trace.diagnosis->cause == first.trace.diagnosis->cause;
    if (checked.trace.fits() || alike) {
      text += fmt::format("\nthe {}, {}, {}\n\n{}", checked.which, checked.shape.to_string(),
                          alike ? "does not fit in the same place" : "fits", checked.trace.table());
    } else {
      text += fmt::format("\nthe {}, {}\n\n{}", checked.which, checked.shape.to_string(), checked.trace.to_string());
    }
  }
  if (verdict.dtype) {
    const auto& [dimension, expected, received, advice] = *verdict.dtype;
    text += fmt::format("\n{}: expected {}, received {}; {}\n", dimension, expected, received, advice);
  }
  if (verdict.fits()) {
    text += verdict.all_known() ? "\nthe model fits these batches\n"
                                : "\nthe model fits these batches as far as its shapes are known\n";
  }
  return text;
}

Json to_json(const ShapeDiagnosis& why) {
  Json json = {{"row", why.row},
               {"cause", name(why.cause)},
               {"dimension", why.dimension},
               {"expected", why.expected},
               {"received", why.received},
               {"explanation", why.explanation},
               {"remedies", why.remedies},
               {"fitting_sizes", Json(nullptr)},
               {"next", why.next},
               {"fits_if", why.fits_if.empty() ? Json(nullptr) : Json(why.fits_if)}};
  if (why.sizes) {
    json["fitting_sizes"] = {
        {"size", as_json(why.sizes->size)}, {"from", as_json(why.sizes->from)}, {"to", as_json(why.sizes->to)}};
  }
  return json;
}

Json to_json(const Verdict& verdict) {
  Json json = {{"fits", verdict.fits()},
               {"undecided", verdict.undecided()},
               {"all_shapes_known", verdict.all_known()},
               {"batches", Json::array()},
               {"dtype", Json(nullptr)}};
  for (const Checked& checked : verdict.batches) {
    Json rows = Json::array();
    for (const TraceRow& row : checked.trace.rows)
      rows.push_back({{"layer", row.layer}, {"in", row.in}, {"out", row.out}, {"fits", row.fits}});
    const TraceRow* unknown = checked.trace.first_unknown();
    json["batches"].push_back(
        {{"batch", checked.which},
         {"shape", as_json(checked.shape)},
         {"fits", checked.trace.fits()},
         {"first_unknown", unknown == nullptr ? Json(nullptr) : Json(unknown->layer)},
         {"rows", std::move(rows)},
         {"caveats", checked.trace.caveats},
         {"diagnosis", checked.trace.diagnosis ? to_json(*checked.trace.diagnosis) : Json(nullptr)}});
  }
  if (verdict.dtype) {
    json["dtype"] = {{"expected", verdict.dtype->expected},
                     {"received", verdict.dtype->received},
                     {"advice", verdict.dtype->advice}};
  }
  return json;
}

void check(const CheckOptions& options) {
  const Model model = open_model(options);
  const Batches batches = make_batches(options, model);
  const Verdict verdict = judge(model, batches);
  print(options.json ? to_line(to_json(verdict)) : for_people(model, batches, verdict));
  if (verdict.undecided()) {
    throw Undecided("the print of the model alone cannot decide whether it fits these batches");
  }
  if (!verdict.fits()) throw std::runtime_error("the model does not fit these batches");
}

}  // namespace

Command add_check(CLI::App& program) {
  constexpr const char* group = "The model";
  const auto options = std::make_shared<CheckOptions>();
  CLI::App* parser = program.add_subcommand(
      "check",
      "Does a model fit the batches of DIR? Layer by layer, and why not. Exit status: 0 it fits, 1 it does not, 2 the "
      "call was wrong, 3 a print(model) alone cannot decide.");
  add_options(*parser, *options);
  parser->get_option("DIR")->required(false);
  for (const char* unused : {"--trace", "--report"}) parser->remove_option(parser->get_option(unused));
  add_input(*parser, *options, "--model", options->model, "ONNX file")->group(group);
  parser->add_option("--input", options->input, "the model's input that takes the images [the only one]")
      ->option_text("NAME")
      ->group(group);
  add_input(*parser, *options, "--layers", options->layers,
            "a print(model) of PyTorch, or \"Conv2d(3, 16, 5) MaxPool2d(2) ...\": the text, a file, or - for standard "
            "input",
            "TEXT|FILE|-")
      ->group(group);
  parser->add_option("--shape", options->shape, "a batch of this shape, instead of those of DIR")
      ->option_text("N,C,H,W")
      ->excludes("DIR")
      ->group(group);
  add_json_flag(*parser, options->json);
  return {parser, [options] { check(*options); }};
}

}  // namespace muster::cli
