#include <utility>

#include <fmt/format.h>

#include "codec.hpp"
#include "orient.hpp"

namespace muster {

struct Decoder::Impl {
  DecodeOptions options;
  DecodeLimits limits;
  Integrity integrity = Integrity::window;
  codec::Scratch scratch;
  Image decoded;  // as stored
  Image turned;
};

Decoder::Decoder(DecodeOptions options, DecodeLimits limits, Integrity integrity)
    : impl_(std::make_unique<Impl>(Impl{options, limits, integrity, {}, {}, {}})) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

ImageInfo Decoder::probe(Bytes bytes) const {
  return codec::probe(bytes, impl_->options, impl_->limits, impl_->scratch.markers);
}

std::string Decoder::decode(Bytes bytes, const ImageInfo& info, const Rect& window, Image& out) {
  View view = decode_view(bytes, info, 1, window);
  Image& whole = info.orientation == 1 ? impl_->decoded : impl_->turned;
  if (whole.size() == window.size()) {
    out.swap(whole);
  } else {
    out.assign(view.pixels);
  }
  return std::move(view.warnings);
}

Decoder::View Decoder::decode_view(Bytes bytes, const ImageInfo& info, int reduction, const Rect& window) {
  if (info.size != codec::oriented_size(info.stored, info.orientation)) {
    throw ShapeError("decode", fmt::format("the info is not one that probe() gave: {} stored, {} after orientation {}",
                                           to_string(info.stored), to_string(info.size), info.orientation));
  }
  const bool can_reduce = info.format == Format::jpeg && (reduction == 2 || reduction == 4 || reduction == 8);
  if (reduction != 1 && !can_reduce) {
    throw ConfigError(
        "decode", fmt::format("{} cannot be reduced by {}: only JPEG can, by 2, 4 or 8", name(info.format), reduction));
  }
  const Size size = reduced_size(info.size, reduction);
  if (!contains(size, window)) {
    throw ShapeError("decode", fmt::format("the window {} at y {}, x {} does not lie inside the image of {}",
                                           to_string(window.size()), window.y, window.x, to_string(size)));
  }
  const codec::Job job{bytes,
                       info.stored,
                       reduction,
                       codec::stored_window(reduced_size(info.stored, reduction), window, info.orientation),
                       impl_->options.color,
                       impl_->integrity,
                       impl_->limits.max_pixels};
  Image& out = impl_->decoded;
  const auto run = [&]() -> codec::Decoded {
    switch (info.format) {
      case Format::jpeg:
        return codec::decode_jpeg(job, impl_->scratch, out);
      case Format::png:
        return {codec::decode_png(job, impl_->scratch, out)};
      case Format::webp:
        return {codec::decode_webp(job, impl_->scratch, out)};
      case Format::bmp:
        return {codec::decode_bmp(job, impl_->scratch, out)};
      case Format::tiff:
        return {codec::decode_tiff(job, impl_->scratch, out)};
      case Format::pnm:
        return {codec::decode_pnm(job, impl_->scratch, out)};
    }
    throw ConfigError("decode", fmt::format("unknown format {}", static_cast<int>(info.format)));
  };
  codec::Decoded decoded = run();
  const ImageView shown = out.view().crop({0, decoded.left, job.window.height, job.window.width});
  if (info.orientation == 1) return {shown, std::move(decoded.warnings)};
  codec::turn(shown, info.orientation, impl_->turned);
  return {impl_->turned.view(), std::move(decoded.warnings)};
}

Image decode(Bytes bytes, const DecodeOptions& options, const DecodeLimits& limits) {
  Decoder decoder(options, limits);
  const ImageInfo info = decoder.probe(bytes);
  Image out;
  decoder.decode(bytes, info, Rect::whole(info.size), out);
  return out;
}

}  // namespace muster
