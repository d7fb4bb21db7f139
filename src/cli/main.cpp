// muster SUBCOMMAND DIR [options]
//
// Results go to standard output, progress and diagnostics to standard error. Exit status: 0 done, 1 the data or the
// run failed, 2 the call or the configuration was wrong, 3 what was asked cannot be decided. Interrupted, it ends by
// the signal (130 in a shell, by Ctrl-C).
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "flags.hpp"
#include "interrupt.hpp"
#include "muster/error.hpp"
#include "muster/version.hpp"
#include "output.hpp"
#include "suggestion.hpp"

namespace {

enum ExitStatus { done = 0, run_failed = 1, call_was_wrong = 2, undecided = 3 };

int fail(ExitStatus status, const std::string& message) {
  muster::cli::tell(muster::cli::with_flags(message));
  return status;
}

/// "; --bach-size is unknown, did you mean --batch-size?" where a word is almost one of the program's; or nothing.
std::string did_you_mean(const CLI::App& program) {
  const std::vector<CLI::App*> called = program.get_subcommands();
  std::vector<std::string> known;
  if (called.empty()) {
    for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(command->get_name());
    }
  } else {
    for (const CLI::Option* option : called.front()->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  }
  for (const std::string& word : program.remaining(true)) {
    if (!called.empty() && !word.starts_with("-")) continue;  // the value of an option, or a file too many
    const std::string name = word.substr(0, word.find('='));
    const std::string meant = muster::cli::nearest(name, known);
    if (!meant.empty() && meant != name) return fmt::format("; {} is unknown, did you mean {}?", name, meant);
  }
  return {};
}

int run(int argc, char** argv) {
  CLI::App program{"Images in, batches of one proved shape out.", "muster"};
  program.set_version_flag("--version", fmt::format("muster {}", muster::version));
  program.require_subcommand(1);
  program.footer(
      "muster SUBCOMMAND --help tells more.\nExit status: 0 done, 1 the data or the run failed, "
      "2 the call or the configuration was wrong, 3 what check was asked cannot be decided, 130 interrupted by "
      "Ctrl-C.");
  const muster::cli::Command commands[] = {
      muster::cli::add_inspect(program), muster::cli::add_bench(program),  muster::cli::add_preview(program),
      muster::cli::add_export(program),  muster::cli::add_synth(program),  muster::cli::add_optimize(program),
      muster::cli::add_verify(program),  muster::cli::add_ledger(program), muster::cli::add_check(program),
  };
  for (const muster::cli::Command& command : commands) command.parser->get_formatter()->column_width(32);

  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    muster::cli::print(program.help());
    return done;
  } catch (const CLI::CallForVersion& version) {
    muster::cli::print(fmt::format("{}\n", version.what()));
    return done;
  } catch (const CLI::ParseError& error) {
    return fail(call_was_wrong,
                fmt::format("{}{}\nRun with --help for the options.", error.what(), did_you_mean(program)));
  }
  for (const muster::cli::Command& command : commands) {
    if (command.parser->parsed()) command.run();
  }
  muster::cli::end_if_interrupted();  // too late to leave anything undone, but whoever asked sees it heeded
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    muster::cli::watch_for_interrupts();
    return run(argc, argv);
  } catch (const muster::cli::Interrupted& interrupted) {
    muster::cli::end_by(interrupted.signal());
  } catch (const muster::cli::Undecided& question) {
    return fail(undecided, question.what());
  } catch (const muster::ConfigError& error) {
    return fail(call_was_wrong, error.what());
  } catch (const muster::Error& error) {
    const char* const advice =
        "\nGo on without such samples by --on-error mask or substitute; muster verify DIR --report FILE lists them "
        "all, "
        "and --exclude FILE leaves them out.";
    return fail(run_failed, error.what() + std::string(error.where().sample_id ? advice : ""));
  } catch (const std::exception& error) {
    return fail(run_failed, error.what());
  }
}
