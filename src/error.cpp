#include "muster/error.hpp"

namespace muster {
namespace {

std::string describe(const std::string& operation, const std::string& message, const Where& where) {
  std::string place;
  const auto add = [&place](const std::string& part) {
    if (part.empty()) return;
    if (!place.empty()) place += ", ";
    place += part;
  };
  if (where.sample_id) add("sample " + std::to_string(*where.sample_id));
  add(where.path);
  add(where.stage);
  if (where.byte_offset) add("byte " + std::to_string(*where.byte_offset));
  std::string text = "[" + operation + "] " + message;
  if (!place.empty()) text += " (" + place + ")";
  return text;
}

}  // namespace

Error::Error(std::string operation, std::string message, Where where, std::exception_ptr cause)
    : std::runtime_error(describe(operation, message, where)),
      operation_(std::move(operation)),
      message_(std::move(message)),
      where_(std::move(where)),
      cause_(std::move(cause)) {}

Where Error::merged(const Where& where) const {
  Where merged = where_;
  if (!merged.sample_id) merged.sample_id = where.sample_id;
  if (merged.path.empty()) merged.path = where.path;
  if (merged.stage.empty()) merged.stage = where.stage;
  if (!merged.byte_offset) merged.byte_offset = where.byte_offset;
  return merged;
}

}  // namespace muster
