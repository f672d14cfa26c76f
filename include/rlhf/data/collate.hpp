/// @file
/// What makes a batch of items, and what it is given. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/options.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// An item, what drew it, and its id.
///
/// @tparam Result What the dataset gives: a value, which is kept here, or a reference.
template <class Result>
class Sample {
  static constexpr bool is_reference = std::is_lvalue_reference_v<Result>;
  using Value = std::remove_reference_t<Result>;

 public:
  Sample(Draw const& drawn, std::int64_t unique_id, Result&& result)
      : draw(drawn),
        id(unique_id),
        item_(keep(result)) {}

  Draw draw;        ///< Which item; `draw.id` is its prompt's place in the episode.
  std::int64_t id;  ///< Its own in the whole run. See `EpisodeDraws`.

  [[nodiscard]] auto& item() noexcept {
    if constexpr (is_reference) {
      return *item_;
    } else {
      return item_;
    }
  }
  [[nodiscard]] auto const& item() const noexcept {
    if constexpr (is_reference) {
      return *item_;
    } else {
      return item_;
    }
  }

 private:
  [[nodiscard]] static decltype(auto) keep(std::remove_reference_t<Result>& result) noexcept {
    if constexpr (is_reference) {
      return &result;
    } else {
      return std::move(result);
    }
  }

  std::conditional_t<is_reference, Value*, std::remove_cv_t<Value>> item_;
};

/// Gives items by dataset and number; called by several threads at a time.
template <class Source>
concept ItemSource = requires(Source const& items, std::int32_t dataset, std::int64_t index) {
  items(dataset, index);
};

/// The items of a list of datasets of one type. Keeps a reference to the list.
///
/// For datasets of several types write an ItemSource: a function object of (dataset, index) that
/// asks the right one.
template <Dataset D>
class DatasetItems {
 public:
  explicit DatasetItems(std::vector<D> const& datasets) noexcept : datasets_(&datasets) {}

  [[nodiscard]] decltype(auto) operator()(std::int32_t dataset, std::int64_t index) const {
    if (dataset < 0 || static_cast<std::size_t>(dataset) >= datasets_->size()) {
      fail(Errc::invalid_argument,
           text("dataset ", dataset, " was drawn, the loader has ", datasets_->size()));
    }
    D const& items = (*datasets_)[static_cast<std::size_t>(dataset)];
    if (index < 0 || index >= items.size()) {
      fail(Errc::invalid_argument, text("it was drawn, but the dataset has ", items.size(),
                                        " items; sampler and loader need the same datasets"));
    }
    return items[index];
  }

 private:
  std::vector<D> const* datasets_;
};

namespace detail {

template <class Items>
using SampleOf = Sample<decltype(std::declval<Items const&>()(std::int32_t{}, std::int64_t{}))>;

}  // namespace detail

/// Fills a batch that was used before: `collate(std::span<Sample>, Batch&)`, with `using Batch`.
template <class C, class Items>
concept CollatesInto = requires(C const& collate, std::span<detail::SampleOf<Items>> samples) {
  typename C::Batch;
  collate(samples, std::declval<typename C::Batch&>());
};
/// Returns a batch: `collate(std::span<Sample>)`.
template <class C, class Items>
concept CollatesToValue = requires(C const& collate, std::span<detail::SampleOf<Items>> samples) {
  collate(samples);
};
/// Makes a batch of samples, in their order. Called by several threads at a time.
///
/// One that fills allocates nothing once its batches have grown: the loader passes them on and
/// gets them back. It must set all of a batch, which holds what it held before.
template <class C, class Items>
concept Collate = CollatesInto<C, Items> || CollatesToValue<C, Items>;

namespace detail {

template <class C, class Items>
struct BatchOf {
  using type = std::remove_cvref_t<decltype(std::declval<C const&>()(
      std::declval<std::span<SampleOf<Items>>>()))>;
};
template <class C, class Items>
  requires CollatesInto<C, Items>
struct BatchOf<C, Items> {
  using type = typename C::Batch;
};

}  // namespace detail

}  // namespace rlhf::inline v0::data
