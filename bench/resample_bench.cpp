// Resampling: whole jobs, and each pass alone, with every set of kernels that this CPU can run.
#include <benchmark/benchmark.h>
#include <hwy/targets.h>

#include <cstdint>
#include <string>

#include "resample/kernels.hpp"
#include "resample/resample.hpp"

namespace muster {
namespace {

struct Work {
  const char* name;
  Size in;
  Size out;
  int channels;
  Interpolation interpolation;
};

constexpr Work works[] = {
    {"crop_300x280_to_224x224", {300, 280}, {224, 224}, 3, Interpolation::bilinear},
    {"500x375_to_224x224", {500, 375}, {224, 224}, 3, Interpolation::bilinear},
    {"500x375_to_341x256", {500, 375}, {341, 256}, 3, Interpolation::bilinear},
    {"500x375_to_224x224_bicubic", {500, 375}, {224, 224}, 3, Interpolation::bicubic},
    {"500x375_to_224x224_lanczos", {500, 375}, {224, 224}, 3, Interpolation::lanczos},
    {"120x100_to_224x224", {120, 100}, {224, 224}, 3, Interpolation::bilinear},
    {"500x375_to_224x224_grey", {500, 375}, {224, 224}, 1, Interpolation::bilinear},
    {"horizontal_500x375_to_500x224", {500, 375}, {500, 224}, 3, Interpolation::bilinear},
    {"vertical_500x224_to_224x224", {500, 224}, {224, 224}, 3, Interpolation::bilinear},
    {"horizontal_375x500_to_375x224", {375, 500}, {375, 224}, 3, Interpolation::bilinear},
    {"vertical_375x224_to_224x224", {375, 224}, {224, 224}, 3, Interpolation::bilinear},
};

Image gradient(Size size, int channels) {
  Image image(size, channels);
  for (std::size_t i = 0; i < image.size_bytes(); ++i) image.data()[i] = static_cast<std::uint8_t>(i * 7 / 3);
  return image;
}

/// With new weights: every other job has one row and column more, so that none has the weights of the one before.
void run(benchmark::State& state, const resample::Kernels& kernels, const Work& work, bool new_weights) {
  const Image image = gradient({work.in.height + 1, work.in.width + 1}, work.channels);
  Resampler resampler(kernels);
  std::int64_t more = 0;
  for (auto _ : state) {
    if (new_weights) more ^= 1;
    ResampleJob job{work.in, work.out, Rect::whole(work.out), work.interpolation};
    if (work.in.height != work.out.height) job.in.height += more;
    if (work.in.width != work.out.width) job.in.width += more;
    std::int64_t sum = 0;
    resampler.run_rows(job, image.view().crop(Rect::whole(required_input(job).size())),
                       [&](std::int64_t, const std::uint8_t* row) { sum += row[0]; });
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations());
}

void register_all(const resample::Kernels& kernels) {
  for (const Work& work : works) {
    for (const bool new_weights : {true, false}) {
      const std::string name = std::string(work.name) + (new_weights ? "" : "/same_weights") + "/" + kernels.name;
      benchmark::RegisterBenchmark(name.c_str(), [&kernels, work, new_weights](benchmark::State& state) {
        run(state, kernels, work, new_weights);
      })->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  muster::register_all(muster::resample::scalar_kernels());
  const std::int64_t supported = hwy::SupportedTargets();
  for (const std::int64_t target : {HWY_SSSE3, HWY_SSE4, HWY_AVX2, HWY_AVX3, HWY_AVX3_DL, HWY_NEON}) {
    if ((supported & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    muster::register_all(muster::resample::simd_kernels());
  }
  benchmark::RunSpecifiedBenchmarks();
}
