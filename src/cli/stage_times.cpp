#include "stage_times.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "interrupt.hpp"
#include "progress.hpp"

namespace muster::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// Adds to `total` how long `work` takes.
template <class F>
void timed(double& total, const F& work) {
  const Clock::time_point start = Clock::now();
  work();
  total += std::chrono::duration<double>(Clock::now() - start).count();
}

/// The write alone: a pipeline's value stages, fed with pictures that have the output's size already.
class WriteOnly {
 public:
  explicit WriteOnly(const Pipeline& pipeline)
      : pipeline_(stages(pipeline), pipeline.decode_options()), renderer_(pipeline_) {}

  void run(const ImageView& picture, const SampleKey& key, const Slot& slot, double& seconds) {
    pipeline_.plan(picture.size, key, plan_);
    timed(seconds, [&] { renderer_.run(plan_, picture, slot); });
  }

 private:
  static std::vector<Stage> stages(const Pipeline& pipeline) {
    std::vector<Stage> kept = {CenterCrop{pipeline.output_size()}};
    for (const Stage& stage : pipeline.stages()) {
      if (stage.kind() == StageKind::value) kept.push_back(stage);
    }
    return kept;
  }

  Pipeline pipeline_;
  Renderer renderer_;
  Plan plan_;
};

}  // namespace

StageTimes measure_stages(const Loader& loader, std::uint64_t epoch) {
  constexpr std::uint64_t most_samples = 400;
  constexpr double most_seconds = 5;

  const Pipeline& pipeline = loader.pipeline();
  const LoaderOptions& options = loader.options();
  Decoder decoder(pipeline.decode_options(), options.limits, options.integrity);
  Renderer renderer(pipeline, options.limits, options.integrity);
  WriteOnly write_only(pipeline);
  // Reduced decoding and resampling depend on each other: they are timed together, as decoding.
  const bool fast = pipeline.decode_options().mode == DecodeMode::fast;

  const BatchSpec spec = loader.spec();
  Tensor row = Tensor::allocate(spec.dtype, spec.shape(1));
  std::ranges::fill(row.bytes(), std::byte{0});  // the first sample must not pay for fresh memory
  const Slot slot{row.data(), spec.dtype, spec.layout};
  Image picture(pipeline.output_size(), pipeline.num_channels());
  for (std::size_t i = 0; i < picture.size_bytes(); ++i) picture.data()[i] = static_cast<std::uint8_t>(i * 7 / 3);

  Sample sample;
  ImageInfo info;
  Plan plan;
  Image pixels;
  StageTimes times;
  double rendered = 0;  // resample and write

  const std::uint64_t num_samples = loader.source().size();
  const std::uint64_t count = std::min(num_samples, most_samples);
  Progress progress("stage by stage", count);
  const Clock::time_point start = Clock::now();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (std::chrono::duration<double>(Clock::now() - start).count() > most_seconds) break;
    end_if_interrupted();
    progress.advance(1);
    const std::uint64_t id = i * num_samples / count;
    const SampleKey key{options.seed, epoch, id};
    try {
      StageTimes one;
      double one_rendered = 0;
      sample.clear();
      timed(one.read, [&] { loader.source().read(id, sample, interrupt_token()); });
      timed(one.probe, [&] { info = decoder.probe(sample.bytes); });
      timed(one.plan, [&] { pipeline.plan(info.size, key, plan); });
      if (fast) {
        timed(one.decode, [&] { renderer.run(plan, sample.bytes, info, slot); });
      } else {
        const Rect window = plan.window.empty() ? Rect{0, 0, 1, 1} : plan.window;
        timed(one.decode, [&] { decoder.decode_view(sample.bytes, info, 1, window); });
        decoder.decode(sample.bytes, info, Rect::whole(info.size), pixels);
        timed(one_rendered, [&] { renderer.run(plan, pixels.view(), slot); });
      }
      write_only.run(picture.view(), key, slot, one.write);

      ++times.num_images;
      times.read += one.read;
      times.probe += one.probe;
      times.plan += one.plan;
      times.decode += one.decode;
      times.write += one.write;
      rendered += one_rendered;
    } catch (const Error&) {
      // Counted and told by the epochs already.
    }
  }
  end_if_interrupted();  // which ends reading by an error
  if (times.num_images == 0) return {};
  if (fast) times.decode = std::max(0.0, times.decode - times.write);
  times.resample = std::max(0.0, rendered - times.write);
  for (double* seconds : {&times.read, &times.probe, &times.plan, &times.decode, &times.resample, &times.write}) {
    *seconds /= static_cast<double>(times.num_images);
  }
  return times;
}

}  // namespace muster::cli
