// --trace FILE: there as a whole or not at all.
#pragma once

#include <filesystem>

#include "interrupt.hpp"
#include "muster/stats.hpp"
#include "output.hpp"

namespace muster::cli {

class TraceFile : public SpanSink {
 public:
  explicit TraceFile(const std::filesystem::path& path) : file_(path), trace_(file_.written_path()) {}

  void add(const Span& span) noexcept override { trace_.add(span); }
  /// Gives the file its name. Throws SourceError or std::system_error: not everything could be written.
  void finish() {
    trace_.finish();
    file_.commit();
  }

 private:
  CleanEnd clean_end_;  // from before there is a temporary file on
  OutputFile file_;     // outlives what writes into it
  ChromeTrace trace_;
};

}  // namespace muster::cli
