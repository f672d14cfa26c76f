/// @file
/// Named numbers of a step, and what they are over all ranks. Layer: runtime.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/detail/name_table.hpp>
#include <rlhf/runtime/detail/name_union.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::runtime {

namespace detail {

// Without <limits>, which costs as much as the rest of the header.
inline constexpr double infinity = __builtin_huge_val();
inline constexpr double not_a_number = __builtin_nan("");

}  // namespace detail

/// How a metric joins its values.
enum class MetricKind : std::uint8_t { mean, weighted, sum, max, min };

[[nodiscard]] constexpr std::string_view to_string(MetricKind kind) noexcept {
  constexpr std::string_view names[] = {"a mean", "a weighted mean", "a sum", "a maximum",
                                        "a minimum"};
  return names[static_cast<int>(kind)];
}

/// A metric's name, with the prefix, and its value.
template <class Late = void>
struct BasicMetric {
  std::string name;
  MetricKind kind = MetricKind::mean;
  double value = 0;
  double weight = 0;            ///< What a mean was divided by; elsewhere `count`.
  std::int64_t count = 0;       ///< Values that went into it.
  std::int64_t not_finite = 0;  ///< How many of them were infinite or NaN.
};
using Metric = BasicMetric<>;

/// Metrics that a module gathers during a step.
///
///     rlhf::runtime::Metrics metrics("policy");
///     metrics.mean("loss", loss);                      // policy/loss
///     metrics.weighted("entropy", mean, tokens);       // a mean over tokens, not over calls
///     metrics.sum("tokens", tokens);
///     auto const step = metrics.take(comm);            // over all ranks, then cleared
///
/// A mean over ranks is the sum of all values divided by their number (or weight), wherever they
/// were, not a mean of the ranks' means. A rank without a value does not count; a name of which no
/// rank has a value is left out. NaN and infinite values go through to the result and are counted.
/// A mean whose weights are all 0 is NaN. A name keeps its kind for the life of the object.
/// Numbers are doubles: sums of integers are exact below 2^53, others depend on how values are
/// spread over ranks by rounding only.
/// Cost: one hash of the name a value; allocates for new names only. Thread safety: one caller; a
/// rank has its own.
template <class Late = void>
class BasicMetrics {
  using Values = std::vector<BasicMetric<rlhf::detail::late<void, Late>>>;

 public:
  BasicMetrics() = default;
  /// Names become `prefix/name`; an empty prefix leaves them as they are.
  explicit BasicMetrics(std::string_view prefix) : prefix_(prefix) {}

  [[nodiscard]] std::string_view prefix() const noexcept { return prefix_; }

  /// @name Adds a value
  /// Errors: invalid_argument where the name is empty or was of another kind before, or a weight is
  /// negative, infinite or NaN.
  /// @{
  void mean(std::string_view name, double value) { add(name, MetricKind::mean, value, 1); }
  void weighted(std::string_view name, double value, double weight) {
    if (!(weight >= 0 && weight < detail::infinity)) {
      fail(Errc::invalid_argument, text("the weight of metric ", name, " is ", weight,
                                        ", must be finite and not negative"));
    }
    add(name, MetricKind::weighted, value, weight);
  }
  void sum(std::string_view name, double value) { add(name, MetricKind::sum, value, 1); }
  void(max)(std::string_view name, double value) { add(name, MetricKind::max, value, 1); }
  void(min)(std::string_view name, double value) { add(name, MetricKind::min, value, 1); }
  /// @}

  /// Adds all values of `other` under its names, below this prefix.
  void merge(BasicMetrics const& other) {
    for (std::size_t i = 0; i < other.entries_.size(); ++i) {
      Entry const& from = other.entries_[i];
      if (from.count != 0) {
        entry(other.full_[i], from.kind).join(from);
      }
    }
  }

  /// Forgets all values; names stay known.
  void clear() noexcept {
    for (Entry& one : entries_) {
      one = Entry{one.kind};
    }
  }
  [[nodiscard]] bool empty() const noexcept {
    for (Entry const& one : entries_) {
      if (one.count != 0) {
        return false;
      }
    }
    return true;
  }

  /// This rank's metrics, in the order of their first use. `rows` keeps its memory.
  void values(Values& rows) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      put(rows, used, full_[i], entries_[i]);
    }
    shrink(rows, used);
  }
  [[nodiscard]] Values values() {
    Values rows;
    values(rows);
    return rows;
  }
  /// `values`, then `clear`.
  [[nodiscard]] Values take() {
    Values rows = values();
    clear();
    return rows;
  }

  /// The metrics of all ranks of `comm`, the same on every rank, in the order of rank 0's first
  /// use, then what only later ranks have. Collective. `rows` keeps its memory.
  ///
  /// Cost: an all-gather of 16 bytes a rank, an all-reduce of 40 bytes and one of 8 a name; when a
  /// name is new on some rank, the names. Allocates for new names only.
  /// Errors: rank_mismatch where ranks have a name of different kinds.
  template <comm::Communicator C>
  void reduce(C& comm, Values& rows) {
    names_of_all_.update(
        comm, static_cast<int>(entries_.size()),
        [&, this](int i) { return std::string_view(full_[static_cast<std::size_t>(i)]); },
        [&, this](int i) { return static_cast<int>(entries_[static_cast<std::size_t>(i)].kind); },
        [](int kind) { return to_string(static_cast<MetricKind>(kind)); });
    auto const size = static_cast<std::size_t>(names_of_all_.size());
    sums_.assign(fields * size, 0);
    extremes_.assign(size, -detail::infinity);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      Entry const& own = entries_[i];
      auto const place = static_cast<std::size_t>(names_of_all_.place(static_cast<int>(i)));
      double* const cells = &sums_[fields * place];
      cells[0] = own.sum;
      cells[1] = own.weight;
      cells[2] = static_cast<double>(own.count);
      cells[3] = static_cast<double>(own.nans);
      cells[4] = static_cast<double>(own.infinities);
      extremes_[place] = own.extreme;
    }
    if (size != 0) {
      comm.all_reduce(sums_.data(), sums_.data(), static_cast<std::int64_t>(sums_.size()),
                      DType::f64, comm::Reduce::sum, {});
      comm.all_reduce(extremes_.data(), extremes_.data(), static_cast<std::int64_t>(size),
                      DType::f64, comm::Reduce::max, {});
    }
    std::size_t used = 0;
    for (std::size_t i = 0; i < size; ++i) {
      double const* const cells = &sums_[fields * i];
      Entry joined{static_cast<MetricKind>(names_of_all_.kind(static_cast<int>(i)))};
      joined.sum = cells[0];
      joined.weight = cells[1];
      joined.count = static_cast<std::int64_t>(cells[2]);
      joined.nans = static_cast<std::int64_t>(cells[3]);
      joined.infinities = static_cast<std::int64_t>(cells[4]);
      joined.extreme = extremes_[i];
      put(rows, used, names_of_all_.name(static_cast<int>(i)), joined);
    }
    shrink(rows, used);
  }
  template <comm::Communicator C>
  [[nodiscard]] Values reduce(C& comm) {
    Values rows;
    reduce(comm, rows);
    return rows;
  }
  /// `reduce`, then `clear`.
  template <comm::Communicator C>
  void take(C& comm, Values& rows) {
    reduce(comm, rows);
    clear();
  }
  template <comm::Communicator C>
  [[nodiscard]] Values take(C& comm) {
    Values rows;
    take(comm, rows);
    return rows;
  }

 private:
  static constexpr std::size_t fields = 5;
  struct Entry {
    explicit Entry(MetricKind what) noexcept : kind(what) {}
    MetricKind kind;
    double sum = 0;  // of value x weight
    double weight = 0;
    double extreme = -detail::infinity;  // largest value; of -value for min
    std::int64_t count = 0;
    std::int64_t nans = 0;
    std::int64_t infinities = 0;

    void join(Entry const& other) noexcept {
      sum += other.sum;
      weight += other.weight;
      extreme = other.extreme > extreme ? other.extreme : extreme;
      count += other.count;
      nans += other.nans;
      infinities += other.infinities;
    }
  };

  void add(std::string_view name, MetricKind kind, double value, double weight) {
    using detail::infinity;
    bool const nan = value != value;  // NOLINT(misc-redundant-expression): only NaN does
    Entry one(kind);
    one.count = 1;
    one.nans = nan ? 1 : 0;
    one.infinities = value == infinity || value == -infinity ? 1 : 0;
    if (kind == MetricKind::max || kind == MetricKind::min) {
      one.extreme = nan ? -infinity : kind == MetricKind::max ? value : -value;
    } else {
      one.sum = kind == MetricKind::weighted ? value * weight : value;
    }
    one.weight = weight;
    entry(name, kind).join(one);
  }
  [[nodiscard]] Entry& entry(std::string_view name, MetricKind kind) {
    auto number = static_cast<std::size_t>(names_.find(name)) + 1;
    if (number == 0) {
      expects(!name.empty(), "the name of a metric must not be empty");
      number = static_cast<std::size_t>(names_.of(name)) + 1;
      entries_.emplace_back(kind);
      full_.push_back(prefix_.empty() ? std::string(name) : text(prefix_, "/", name));
    }
    Entry& found = entries_[number - 1];
    if (found.kind != kind) {
      fail(Errc::invalid_argument,
           text("the metric ", full_[number - 1], " is ", to_string(found.kind),
                " and is now used as ", to_string(kind), "; use another name"));
    }
    return found;
  }

  /// Makes a row where the metric has a value; the sign of a minimum was turned.
  void put(Values& rows, std::size_t& used, std::string_view name, Entry const& from) {
    if (from.count == 0) {
      return;
    }
    if (used == rows.size() && !spare_.empty()) {
      rows.push_back(std::move(spare_.back()));
      spare_.pop_back();
    } else if (used == rows.size()) {
      rows.emplace_back();
    }
    auto& row = rows[used++];
    row.name = name;
    row.kind = from.kind;
    row.weight = from.weight;
    row.count = from.count;
    row.not_finite = from.nans + from.infinities;
    switch (from.kind) {
      case MetricKind::mean:
      case MetricKind::weighted:
        row.value = from.weight == 0 ? detail::not_a_number : from.sum / from.weight;
        break;
      case MetricKind::sum:
        row.value = from.sum;
        break;
      case MetricKind::max:
      case MetricKind::min:
        row.value = from.nans != 0                 ? detail::not_a_number
                    : from.kind == MetricKind::max ? from.extreme
                                                   : -from.extreme;
        break;
    }
  }

  /// Rows that are not used are kept: their names have memory.
  void shrink(Values& rows, std::size_t used) {
    while (rows.size() > used) {
      spare_.push_back(std::move(rows.back()));
      rows.pop_back();
    }
  }

  std::string prefix_;
  Values spare_;
  detail::NameTable<Late> names_;
  std::vector<rlhf::detail::late<Entry, Late>> entries_;
  std::vector<rlhf::detail::late<std::string, Late>> full_;
  detail::NameUnion<Late> names_of_all_;
  std::vector<rlhf::detail::late<double, Late>> sums_;
  std::vector<rlhf::detail::late<double, Late>> extremes_;
};

using Metrics = BasicMetrics<>;

}  // namespace rlhf::inline v0::runtime
