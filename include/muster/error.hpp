// Errors: what happened, where, and what to do.
//
// Every error muster throws derives from `Error`. `what()` reads
//   [operation] message (sample 17, n02/b.jpg, stage 2 RandomCrop)
// Errors are values: a worker catches them, the consumer's thread rethrows them.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>

namespace [[gnu::visibility("default")]] muster {

/// Where something went wrong; what is empty is unknown or does not apply.
struct Where {
  std::optional<std::uint64_t> sample_id;         // position in the full listing
  std::string path;                               // the sample's name, as its source gives it
  std::string stage;                              // "stage 2 RandomCrop", "decode", "read"
  std::optional<std::uint64_t> byte_offset = {};  // in the encoded bytes, or in the file that holds them
};

/// Base of all errors. Immutable after construction.
class Error : public std::runtime_error {
 public:
  /// `cause` is the foreign exception behind this one (a user's stage, allocator or source threw it).
  Error(std::string operation, std::string message, Where where = {}, std::exception_ptr cause = nullptr);

  const std::string& operation() const noexcept { return operation_; }
  const std::string& message() const noexcept { return message_; }
  const Where& where() const noexcept { return where_; }
  /// The foreign exception, for std::rethrow_exception; null if muster itself found the fault.
  std::exception_ptr cause() const noexcept { return cause_; }

  /// The same error, of the same kind, with what `where()` leaves empty taken from `where`. To be called while the
  /// error is being handled: one of a type derived from ours becomes the `cause()`.
  virtual std::exception_ptr at(const Where& where) const = 0;

 protected:
  Where merged(const Where& where) const;

 private:
  std::string operation_;
  std::string message_;
  Where where_;
  std::exception_ptr cause_;
};

namespace detail {
template <class Derived, class Base = Error>
class ErrorOf : public Base {
 public:
  using Base::Base;
  std::exception_ptr at(const Where& where) const override {
    // A user's own kind of error cannot be made anew: it is kept as the cause.
    const bool is_ours = typeid(*this) == typeid(Derived);
    return std::make_exception_ptr(Derived(this->operation(), this->message(), this->merged(where),
                                           is_ours || this->cause() ? this->cause() : std::current_exception()));
  }
};
}  // namespace detail

/// The call or the configuration is wrong; no data was needed to see it.
class ConfigError : public detail::ErrorOf<ConfigError> {
 public:
  using ErrorOf::ErrorOf;
};

/// The stages of a pipeline leave the final size open.
class OpenSizeError : public detail::ErrorOf<OpenSizeError, ConfigError> {
 public:
  using ErrorOf::ErrorOf;
};

/// A shape disagrees: a batch with what the model expects, a sample with its slot.
class ShapeError : public detail::ErrorOf<ShapeError> {
 public:
  using ErrorOf::ErrorOf;
};

/// A sample or a listing could not be read.
class SourceError : public detail::ErrorOf<SourceError> {
 public:
  using ErrorOf::ErrorOf;
};

/// An image could not be decoded: damaged, unsupported, or over a limit.
class DecodeError : public detail::ErrorOf<DecodeError> {
 public:
  using ErrorOf::ErrorOf;
};

/// A stage could not take a sample, or a user's stage threw (then `cause()` holds the exception).
class StageError : public detail::ErrorOf<StageError> {
 public:
  using ErrorOf::ErrorOf;
};

/// More samples failed than LoaderOptions::error_budget allows; the message holds the report.
class BudgetError : public detail::ErrorOf<BudgetError> {
 public:
  using ErrorOf::ErrorOf;
};

}  // namespace muster
