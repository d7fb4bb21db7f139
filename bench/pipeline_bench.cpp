// What a sample costs beside its decoding, what the write of each element type and layout costs, and what decoding
// a window costs against decoding everything, with and without restart markers.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "muster/muster.hpp"
#include "tests/jpeg.hpp"

namespace muster {
namespace {

constexpr Size source_size = {384, 512};
constexpr std::uint64_t num_plans = 64;

/// Waves with grain: compresses about as well as a photo.
Image picture(Size size) {
  Image image(size, 3);
  std::uint32_t grain = 1;
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        grain = grain * 1664525u + 1013904223u;
        const double wave = std::sin(static_cast<double>(x * (c + 2)) / 17) * std::cos(static_cast<double>(y) / 11);
        image.row(y)[3 * x + c] = static_cast<std::uint8_t>(128 + 90 * wave + (grain >> 27));
      }
    }
  }
  return image;
}

/// The plans of as many samples, all of one size.
std::vector<Plan> plans_of(const Pipeline& pipeline, Size size) {
  std::vector<Plan> plans;
  for (std::uint64_t id = 0; id < num_plans; ++id) plans.push_back(pipeline.plan(size, {.sample_id = id}));
  return plans;
}

Pipeline train() { return Pipeline::preset("imagenet-train"); }

/// Random crops of 5 to 40 % of the area, to 96 pixels.
Pipeline small_crops() {
  return {RandomResizedCrop{.size = {96, 96}, .scale = {0.05, 0.4}}, RandomHorizontalFlip{},
          Normalize{imagenet_mean, imagenet_stddev}};
}

/// Nothing but the write: the picture has the output's size already.
Pipeline only_write(double flip) {
  return {CenterCrop{{224, 224}}, RandomHorizontalFlip{flip}, Normalize{imagenet_mean, imagenet_stddev}};
}

/// A renderer on pixels in memory: all that a sample costs except reading, probing, planning and decoding.
void render(benchmark::State& state, const Pipeline& pipeline, Size size, DType dtype, Layout layout) {
  const Image image = picture(size);
  const std::vector<Plan> plans = plans_of(pipeline, size);
  Renderer renderer(pipeline);
  const Size out = pipeline.output_size();
  Tensor slot = Tensor::allocate(dtype, {1, 3, out.height, out.width});
  std::size_t next = 0;
  for (auto _ : state) {
    renderer.run(plans[next++ % plans.size()], image.view(), {slot.data(), dtype, layout});
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}

/// The whole loader on one thread, fed with pixels in memory: its processor time, batches and queues included.
void load_decoded(benchmark::State& state) {
  const auto image = std::make_shared<const Image>(picture(source_size));
  constexpr std::int64_t num_samples = 256;
  std::vector<Sample> samples(num_samples);
  for (Sample& sample : samples) sample.image = image;
  Loader loader(MemorySource(std::move(samples)), train(), {.batch_size = 64, .num_threads = 1});
  std::uint64_t epoch = 0;
  const auto run_epoch = [&] {
    for (const Batch& batch : loader.epoch(epoch)) benchmark::DoNotOptimize(batch.images.data());
    ++epoch;
  };
  for (int i = 0; i < 4; ++i) run_epoch();  // until the memory of all batches in flight has been touched
  for (auto _ : state) run_epoch();
  state.SetItemsProcessed(state.iterations() * num_samples);
}

void plan(benchmark::State& state, const Pipeline& pipeline) {
  Plan into;
  std::uint64_t id = 0;
  for (auto _ : state) {
    pipeline.plan(source_size, {.sample_id = id++}, into);
    benchmark::DoNotOptimize(into);
  }
  state.SetItemsProcessed(state.iterations());
}

enum class Part { whole, window };

/// Decodes what the plans of `pipeline` show of a JPEG, or everything.
void decode_jpeg(benchmark::State& state, const test::JpegStyle& style, const Pipeline& pipeline, Part part) {
  const std::vector<std::uint8_t> bytes = test::write_jpeg(picture(source_size), style);
  const std::vector<Plan> plans = plans_of(pipeline, source_size);
  Decoder decoder;
  Image out;
  std::size_t next = 0;
  for (auto _ : state) {
    const ImageInfo info = decoder.probe(bytes);
    const Rect window = part == Part::whole ? Rect::whole(info.size) : plans[next++ % plans.size()].window;
    decoder.decode(bytes, info, window, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["bytes"] = static_cast<double>(bytes.size());
}

template <class F>
void add(const std::string& name, F run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMicrosecond);
}

void register_all() {
  for (const DType dtype : {DType::uint8, DType::float16, DType::bfloat16, DType::float32}) {
    for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
      const std::string type = '/' + std::string(name(dtype)) + '/' + std::string(name(layout));
      add("render" + type, [=](auto& state) { render(state, train(), source_size, dtype, layout); });
      add("write" + type, [=](auto& state) { render(state, only_write(0), {224, 224}, dtype, layout); });
      add("write_mirrored" + type, [=](auto& state) { render(state, only_write(1), {224, 224}, dtype, layout); });
    }
  }
  for (const std::string& preset : Pipeline::preset_names()) {
    add("plan/" + preset, [=](auto& state) { plan(state, Pipeline::preset(preset)); });
    add("render/" + preset,
        [=](auto& state) { render(state, Pipeline::preset(preset), source_size, DType::float32, Layout::nchw); });
  }
  benchmark::RegisterBenchmark("loader/decoded", load_decoded)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

  struct Subsampling {
    const char* name;
    int factor;
  };
  for (const Subsampling& subsampling : {Subsampling{"444", 1}, Subsampling{"420", 2}}) {
    const test::JpegStyle plain{.horizontal = subsampling.factor, .vertical = subsampling.factor};
    test::JpegStyle restarts = plain;
    restarts.restart_interval = 4;  // divides the MCUs of a row
    test::JpegStyle progressive = plain;
    progressive.progressive = true;
    const std::string group = std::string("decode/") + subsampling.name;
    add(group + "/whole", [=](auto& state) { decode_jpeg(state, plain, train(), Part::whole); });
    add(group + "/window", [=](auto& state) { decode_jpeg(state, plain, train(), Part::window); });
    add(group + "/restart_cut", [=](auto& state) { decode_jpeg(state, restarts, train(), Part::window); });
    add(group + "/small_window", [=](auto& state) { decode_jpeg(state, plain, small_crops(), Part::window); });
    add(group + "/small_restart_cut", [=](auto& state) { decode_jpeg(state, restarts, small_crops(), Part::window); });
    add(group + "/progressive_window", [=](auto& state) { decode_jpeg(state, progressive, train(), Part::window); });
  }
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  muster::register_all();
  benchmark::RunSpecifiedBenchmarks();
}
