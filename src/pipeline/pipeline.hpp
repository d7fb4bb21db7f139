// What a pipeline holds; shared by its copies and by the renderers that run it.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "muster/pipeline.hpp"
#include "pipeline/write.hpp"

namespace muster {

struct Pipeline::Impl {
  std::vector<Stage> stages;
  std::vector<std::string> stage_names;  // "stage 2 RandomCrop"
  DecodeOptions decode;
  ShapeProof proof;
  ValueTables tables;
  bool makes_floats = false;
  std::size_t num_planned = 0;  // stages before the value stages
};

/// Calls code of a stage; whatever it throws leaves as an Error that names the stage. Running out of memory stays
/// what it is.
template <class Call>
auto in_stage(const std::string& stage, Call&& call) {
  const auto where = [&] { return Where{.sample_id = {}, .path = {}, .stage = stage}; };
  try {
    return std::forward<Call>(call)();
  } catch (const Error& error) {
    std::rethrow_exception(error.at(where()));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw StageError("stage", error.what(), where(), std::current_exception());
  } catch (...) {
    throw StageError("stage", "threw something that is not a std::exception", where(), std::current_exception());
  }
}

}  // namespace muster
