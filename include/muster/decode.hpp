// Decoding: from encoded bytes to pixels, only those that are wanted.
//
// probe() reads the header alone; Decoder::decode() gives the bytes that decoding the whole image and cropping
// it would give. The format is told by content. Reference: Pillow 9.4 on libjpeg-turbo (docs/semantics.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "muster/image.hpp"

namespace [[gnu::visibility("default")]] muster {

using Bytes = std::span<const std::uint8_t>;

enum class Format : std::uint8_t { jpeg, png, webp, bmp, tiff, pnm };

/// "JPEG", "PNG", ...
std::string_view name(Format format) noexcept;

/// What pixels become: rgb is three channels (grey is replicated), grey one (Pillow's convert("L") from RGB).
enum class Color : std::uint8_t { rgb, grey };

constexpr int num_channels(Color color) noexcept { return color == Color::rgb ? 3 : 1; }

/// How exactly JPEGs that will be shrunk are decoded. `fast` leaves out detail already while decoding (libjpeg's
/// scaled inverse DCT) when a window is more than 2, 4 or 8 times as large as what it becomes, so it never enlarges
/// anything that the file has in more detail. Pixels differ a little from `exact`: docs/benchmarks.md has figures.
enum class DecodeMode : std::uint8_t { exact, fast };

/// What decoding makes of an image: these change pixels, so they are part of a pipeline.
struct DecodeOptions {
  Color color = Color::rgb;
  /// Turn and mirror as EXIF says (PIL.ImageOps.exif_transpose); off is what torchvision's loader does.
  bool apply_orientation = true;
  DecodeMode mode = DecodeMode::exact;

  friend bool operator==(const DecodeOptions&, const DecodeOptions&) = default;
};

/// Checked from the header, before anything is allocated. Images beyond are a DecodeError.
struct DecodeLimits {
  std::int64_t max_pixels = 178'956'970;             // of the image, and of any intermediate; Pillow's bound
  std::int64_t max_bytes = std::int64_t{256} << 20;  // of the encoded file
};

/// The longest side of an image that muster takes; the shape proof covers 1 … max_side.
inline constexpr std::int64_t max_side = 65500;

/// When a file counts as corrupt. A JPEG without end-of-image marker always is, except under `lenient`.
enum class Integrity : std::uint8_t {
  lenient,  // what libjpeg only warns about is accepted, and reported as a warning
  window,   // any error or warning while decoding what the window needs
  full,     // the whole image is decoded, so damage outside the window is seen too
};

/// What the header says.
struct ImageInfo {
  Format format = Format::jpeg;
  Size stored;               // as stored in the file
  Size size;                 // after orientation, if that is applied; what pipelines see
  int orientation = 1;       // 1 … 8 as EXIF counts; 1 if it is absent, invalid, or not to be applied
  int num_channels = 3;      // as stored: 1 grey, 2 grey + alpha, 3 colour, 4 colour + alpha or CMYK
  int bits_per_channel = 8;  // as stored
};

/// Reads the header. Throws DecodeError (what is wrong, with the byte offset where that helps): not an image,
/// unsupported variant by name (12-bit JPEG, lossless JPEG, animated WebP, ...), or beyond the limits.
/// Thread-safe.
ImageInfo probe(Bytes bytes, const DecodeOptions& options = {}, const DecodeLimits& limits = {});

/// Decodes windows of images. Keeps its buffers between calls: one per thread, not thread-safe.
class Decoder {
 public:
  explicit Decoder(DecodeOptions options = {}, DecodeLimits limits = {}, Integrity integrity = Integrity::window);
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  /// muster::probe with this decoder's options and limits.
  ImageInfo probe(Bytes bytes) const;

  /// `out` becomes uint8 {window.height, window.width, num_channels(color)}: what cropping the whole, oriented
  /// image to `window` gives, byte for byte. `info` comes from probe() of the same bytes.
  /// Returns the codec's warnings (empty unless integrity is lenient); throws DecodeError for corrupt data.
  std::string decode(Bytes bytes, const ImageInfo& info, const Rect& window, Image& out);

  struct View {
    ImageView pixels;  // of the decoder, until its next call
    std::string warnings;
  };
  /// The same without a last copy, and of an image reduced by 1, 2, 4 or 8 on each side, rounded up: `window` lies in
  /// that smaller image. Only JPEGs can be reduced by more than 1.
  View decode_view(Bytes bytes, const ImageInfo& info, int reduction, const Rect& window);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The size of an image reduced by `reduction` on each side, rounded up.
constexpr Size reduced_size(Size size, int reduction) noexcept {
  return {(size.height + reduction - 1) / reduction, (size.width + reduction - 1) / reduction};
}

/// The whole image in one call; throws DecodeError.
Image decode(Bytes bytes, const DecodeOptions& options = {}, const DecodeLimits& limits = {});

/// Pixels of 1 or 3 channels as `color` wants them: replicated, or Pillow's
/// L = (19595·R + 38470·G + 7471·B + 32768) >> 16. `out` must not be what `in` shows.
/// Throws ShapeError for another number of channels.
void convert_color(const ImageView& in, Color color, Image& out);

}  // namespace muster
