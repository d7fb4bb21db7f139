// Fields: each stage's parameters by name, once, for reading JSON, writing it, and describing a stage.
//
// A visitor has `required(name, field)` and `optional(name, field)`, called in the order of the C++ members.
#pragma once

#include <type_traits>
#include <utility>

#include "muster/transform.hpp"

namespace muster {

template <class T, class Stage>
concept MaybeConst = std::is_same_v<std::remove_const_t<T>, Stage>;

template <MaybeConst<RandomResizedCrop> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("size", stage.size);
  visitor.optional("scale", stage.scale);
  visitor.optional("ratio", stage.ratio);
  visitor.optional("interpolation", stage.interpolation);
}

template <MaybeConst<Resize> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("size", stage.size);
  visitor.optional("interpolation", stage.interpolation);
  visitor.optional("max_size", stage.max_size);
}

template <MaybeConst<CenterCrop> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("size", stage.size);
}

template <MaybeConst<RandomCrop> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("size", stage.size);
  visitor.optional("padding", stage.padding);
  visitor.optional("pad_if_needed", stage.pad_if_needed);
  visitor.optional("fill", stage.fill);
  visitor.optional("padding_mode", stage.padding_mode);
}

template <MaybeConst<Pad> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("padding", stage.padding);
  visitor.optional("fill", stage.fill);
  visitor.optional("padding_mode", stage.padding_mode);
}

template <MaybeConst<PadTo> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.optional("size", stage.size);
  visitor.optional("multiple", stage.multiple);
  visitor.optional("fill", stage.fill);
  visitor.optional("padding_mode", stage.padding_mode);
  visitor.optional("anchor", stage.anchor);
}

template <MaybeConst<LetterBox> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("size", stage.size);
  visitor.optional("scale_up", stage.scale_up);
  visitor.optional("fill", stage.fill);
  visitor.optional("interpolation", stage.interpolation);
  visitor.optional("stride", stage.stride);
}

template <MaybeConst<RandomHorizontalFlip> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.optional("p", stage.p);
}

template <MaybeConst<RandomVerticalFlip> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.optional("p", stage.p);
}

template <MaybeConst<ToFloat> S, class Visitor>
void visit_fields(S&, Visitor&) {}

template <MaybeConst<Normalize> S, class Visitor>
void visit_fields(S& stage, Visitor& visitor) {
  visitor.required("mean", stage.mean);
  visitor.required("std", stage.stddev);
}

/// Calls visitor.operator()<S>() for every stage of ours, until one returns true; says whether one did.
template <class Visitor>
bool visit_stage_types(Visitor&& visitor) {
  return visitor.template operator()<RandomResizedCrop>() || visitor.template operator()<Resize>() ||
         visitor.template operator()<CenterCrop>() || visitor.template operator()<RandomCrop>() ||
         visitor.template operator()<Pad>() || visitor.template operator()<PadTo>() ||
         visitor.template operator()<LetterBox>() || visitor.template operator()<RandomHorizontalFlip>() ||
         visitor.template operator()<RandomVerticalFlip>() || visitor.template operator()<ToFloat>() ||
         visitor.template operator()<Normalize>();
}

/// A stage with all defaults; what has none is a value that no valid stage has.
template <class S>
S default_stage() {
  if constexpr (std::is_same_v<S, Resize>) {
    return Resize{.size = 0};
  } else if constexpr (std::is_same_v<S, Normalize>) {
    return Normalize{.mean = 0, .stddev = 0};
  } else {
    return S{};
  }
}

}  // namespace muster
