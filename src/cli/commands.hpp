// The subcommands: each adds itself to the program's parser and says what to run when it was called.
#pragma once

#include <functional>
#include <stdexcept>

#include <CLI/CLI.hpp>

namespace muster::cli {

/// The run was sound, and what was asked has no answer.
struct Undecided : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Command {
  CLI::App* parser = nullptr;
  /// Throws ConfigError when the call was wrong, Undecided, anything else when the run failed.
  std::function<void()> run;
};

Command add_inspect(CLI::App& program);
Command add_bench(CLI::App& program);
Command add_preview(CLI::App& program);
Command add_export(CLI::App& program);
Command add_synth(CLI::App& program);
Command add_optimize(CLI::App& program);
Command add_verify(CLI::App& program);
Command add_ledger(CLI::App& program);
Command add_check(CLI::App& program);

}  // namespace muster::cli
