// Pipelines: stages in order, with the shape proved when they are put together.
//
//   Pipeline ──plan(size, key)──► Plan ──Renderer::run(plan, bytes, slot)──► pixels in a batch's slot
//
// A plan is made before any pixel is decoded and says everything that will happen to a sample. Running it gives
// the bytes of decoding the whole image and applying each stage in turn, but leading geometry is composed into
// one request: decode this window, resample it once, write it mirrored and padded.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "muster/decode.hpp"
#include "muster/stage.hpp"
#include "muster/tensor.hpp"
#include "muster/transform.hpp"

namespace [[gnu::visibility("default")]] muster {

/// What the random draws of one sample are keyed by.
struct SampleKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;
  std::uint64_t sample_id = 0;  // position in the full listing

  friend bool operator==(const SampleKey&, const SampleKey&) = default;
};

/// What one stage will do to one sample.
struct PlannedStage {
  Size in;
  Size out;
  Geometry geometry;                   // of a window stage
  std::shared_ptr<const void> params;  // of a pixel stage
};

/// Maps positions in the output to positions in the oriented source, both continuous: pixel i covers [i, i + 1).
///   source_y = y_scale · y + y_offset,   source_x = x_scale · x + x_offset
struct AffineMap {
  double y_scale = 1;
  double y_offset = 0;
  double x_scale = 1;
  double x_offset = 0;

  friend bool operator==(const AffineMap&, const AffineMap&) = default;
};

/// Everything that will happen to one sample, known before a pixel is.
struct Plan {
  SampleKey key;
  Size source;                       // of the image, after orientation
  Size output;                       // of the slot
  std::vector<PlannedStage> stages;  // one for each stage that is not a value stage
  Rect window;                       // the part of the source that the output shows, rounded outwards
  bool flip_horizontal = false;      // the output shows it mirrored left to right
  bool flip_vertical = false;        // or top to bottom
  AffineMap output_to_source;
  bool opaque = false;                  // an opaque stage takes part: window and map tell of the other stages only
  std::shared_ptr<const void> made_by;  // the pipeline; no other can run the plan
};

/// How a pipeline came to its fixed size, stage by stage.
struct ShapeProof {
  struct Row {
    std::string stage;  // "Resize(size=256)"
    Extent out;
  };
  Extent input;           // every size that may come in
  std::vector<Row> rows;  // one for each stage
  int channels = 3;
  Size output;  // the one size that comes out

  /// A table, one line a stage.
  std::string to_string() const;
};

/// Where a sample's pixels go: {channels, height, width} or {height, width, channels} of the pipeline's output.
struct Slot {
  std::byte* data = nullptr;
  DType dtype = DType::uint8;
  Layout layout = Layout::nchw;
};

/// Immutable, cheap to copy, thread-safe.
class Pipeline {
 public:
  /// Proves that every image of 1×1 … 65500×65500 comes out in one fixed size. Throws OpenSizeError otherwise, with the
  /// stage and witness sizes that were really evaluated; another ConfigError where a stage may refuse an image, or has
  /// parameters out of range.
  Pipeline(std::initializer_list<Stage> stages, DecodeOptions decode = {});
  explicit Pipeline(std::vector<Stage> stages, DecodeOptions decode = {});

  /// {"stages":[{"Resize":{"size":256}}, …]}, optionally with "decode". What is left out has its default;
  /// an unknown key is refused with the nearest known name (ConfigError).
  static Pipeline from_json(std::string_view text);
  /// "imagenet-train", "imagenet-eval", "letterbox-640"; throws ConfigError naming the presets otherwise.
  static Pipeline preset(std::string_view name);
  static std::vector<std::string> preset_names();
  /// The JSON of a preset; throws ConfigError for an unknown name.
  static std::string_view preset_json(std::string_view name);
  /// from_json(to_json()) is the same pipeline. Throws ConfigError if a stage is a user's own.
  std::string to_json() const;

  const ShapeProof& proof() const noexcept;
  const std::vector<Stage>& stages() const noexcept;
  const DecodeOptions& decode_options() const noexcept;
  Size output_size() const noexcept;
  int num_channels() const noexcept;
  /// True if a value stage (Normalize, ToFloat) makes floats; then float32 is the natural type, else uint8.
  bool makes_floats() const noexcept;

  /// What happens to the sample `key` whose image has size `source` (after orientation). Throws StageError
  /// when a stage cannot take it.
  Plan plan(Size source, const SampleKey& key) const;
  /// The same into a plan whose memory is reused.
  void plan(Size source, const SampleKey& key, Plan& into) const;
  /// True for a plan of this pipeline: no other may run it or read its parameters.
  bool made(const Plan& plan) const noexcept { return plan.made_by == impl_; }

  /// One line of JSON: every stage with its geometry, or with what it drew where a pixel stage describes it. Throws
  /// ShapeError for a plan of another pipeline.
  std::string to_json(const Plan& plan) const;

 private:
  friend class Renderer;
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// Runs plans: holds a decoder and scratch images, reused from sample to sample. One per thread.
///
/// Elements written: uint8 slots get the pixels before any value stage. Float slots get what the value stages
/// make of them (rounded to nearest even for float16 and bfloat16), or 0 … 255 when the pipeline has none.
class Renderer {
 public:
  explicit Renderer(Pipeline pipeline, DecodeLimits limits = {}, Integrity integrity = Integrity::window);
  Renderer(Renderer&&) noexcept;
  Renderer& operator=(Renderer&&) noexcept;
  ~Renderer();

  /// Reads the header with the pipeline's decode options. Throws DecodeError.
  ImageInfo probe(Bytes bytes) const;

  /// Fills `slot` with what `plan` (made for info.size) shows of the encoded image. Returns the codec's warnings.
  /// Throws DecodeError; StageError (a user's stage threw, or an intermediate is over max_pixels); ShapeError (a
  /// user's stage gave another size than it declared).
  std::string run(const Plan& plan, Bytes bytes, const ImageInfo& info, const Slot& slot);
  /// The same for pixels: 1 or 3 channels, brought to the pipeline's colour first.
  void run(const Plan& plan, const ImageView& image, const Slot& slot);

  /// How often each form ran, for tests: passes that went from one request straight to the slot, and images
  /// that had to be materialised in between.
  struct Counts {
    std::uint64_t num_composed = 0;
    std::uint64_t num_materialised = 0;
  };
  Counts counts() const noexcept;

  /// Parts of the time that the last run() took; the rest is resampling and writing.
  struct Times {
    std::chrono::steady_clock::duration decode{};  // encoded bytes to the window's pixels
    std::chrono::steady_clock::duration pixel{};   // pixel stages and the user's own
  };
  Times times() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster
