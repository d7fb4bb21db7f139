#include "loader/delivery_log.hpp"

#include <algorithm>
#include <iterator>

namespace muster {
namespace {

/// Room for so many more, so that adding them cannot fail.
template <class T>
void make_room(std::vector<T>& values, std::size_t num_more) {
  const std::size_t num_needed = values.size() + num_more;
  if (num_needed > values.capacity()) values.reserve(std::max(num_needed, 2 * values.size()));
}

}  // namespace

void DeliveryLog::record(const Delivery& delivery) {
  const Ledger delivered = batch_ledger(delivery);
  const std::lock_guard lock(mutex_);
  Ledger& ledger = ledger_of(delivery.batch.epoch);  // an empty one says the same as none
  // All else that may fail comes before anything is counted.
  make_room(ledger.runs, delivered.runs.size());
  make_room(ledger.exceptions, delivered.exceptions.size());
  add(delivery.batch.incidents);
  ledger.merge(delivered);
  if (ledgers_.size() > max_ledgers) ledgers_.pop_front();
  add_to_report(delivery);
  position_ = delivery.after;
}

void DeliveryLog::record_stop(std::vector<Incident> incidents) {
  const std::lock_guard lock(mutex_);
  add(incidents);
  undelivered_ = std::move(incidents);
}

void DeliveryLog::set_position(const Position& position) {
  const std::lock_guard lock(mutex_);
  position_ = position;
}

Report DeliveryLog::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

std::vector<Incident> DeliveryLog::undelivered() const {
  const std::lock_guard lock(mutex_);
  return undelivered_;
}

Position DeliveryLog::position() const {
  const std::lock_guard lock(mutex_);
  return position_;
}

Ledger DeliveryLog::ledger(std::uint64_t epoch) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(ledgers_, epoch, &Ledger::epoch);
  if (found != ledgers_.end()) return *found;
  Ledger none;
  none.epoch = epoch;
  none.num_rows = num_rows_;
  return none;
}

/// All of them are counted, and as many kept as may be; or none, when it throws.
void DeliveryLog::add(std::span<const Incident> incidents) {
  const std::size_t num_kept = std::min(incidents.size(), Report::max_incidents - report_.incidents.size());
  std::vector<Incident> kept(incidents.begin(), incidents.begin() + static_cast<std::ptrdiff_t>(num_kept));
  make_room(report_.incidents, num_kept);
  std::ranges::move(kept, std::back_inserter(report_.incidents));
  for (const Incident& incident : incidents) report_.num_warned += incident.outcome == Outcome::warned ? 1 : 0;
}

void DeliveryLog::add_to_report(const Delivery& delivery) noexcept {
  ++report_.num_batches;
  report_.num_rows += delivery.results.size();
  report_.num_bytes_read += static_cast<std::uint64_t>(delivery.batch.num_bytes_read);
  for (std::size_t k = 0; k < delivery.results.size(); ++k) {
    const RowState state = delivery.results[k].state;
    report_.num_loaded += state == RowState::loaded ? 1 : 0;
    report_.num_substituted += state == RowState::substituted ? 1 : 0;
    report_.num_masked += state == RowState::masked ? 1 : 0;
    report_.num_fillers += state == RowState::filler ? 1 : 0;
    report_.num_wrapped += state == RowState::loaded && delivery.rows_are_wrapped[k] != 0 ? 1 : 0;
  }
}

/// Of this batch alone.
Ledger DeliveryLog::batch_ledger(const Delivery& delivery) const {
  const Batch& batch = delivery.batch;
  Ledger ledger{.epoch = batch.epoch, .num_rows = num_rows_};
  for (std::size_t k = 0; k < delivery.results.size(); ++k) {
    const RowResult& result = delivery.results[k];
    ledger.num_wrapped += delivery.rows_are_wrapped[k];
    switch (result.state) {
      case RowState::filler:
        ++ledger.num_fillers;
        break;
      case RowState::loaded:
        ledger.add_shown(batch.rows[k], row_stride_, batch.ids[k]);
        break;
      case RowState::substituted:
        ledger.add_exception(row_stride_, {batch.rows[k], result.own_id, batch.ids[k]});
        break;
      case RowState::masked:
        ledger.add_exception(row_stride_, {batch.rows[k], result.own_id, {}});
        break;
      case RowState::raised:
        break;  // no such row is delivered
    }
  }
  return ledger;
}

Ledger& DeliveryLog::ledger_of(std::uint64_t epoch) {
  const auto found = std::ranges::find(ledgers_, epoch, &Ledger::epoch);
  if (found != ledgers_.end()) return *found;
  Ledger& ledger = ledgers_.emplace_back();
  ledger.epoch = epoch;
  ledger.num_rows = num_rows_;
  return ledger;
}

}  // namespace muster
