/// @file
/// Gives the part of a schedule that a packer's courier takes to it. Layer: sync, private.
#pragma once

#include <rlhf/comm/delivery.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/local_side.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::sync::detail {

/// For packers without a courier: takes nothing.
struct NoCourier {
  template <class C, class P>
  NoCourier(C const&, P const&, std::span<TensorView const>) noexcept {}
  [[nodiscard]] static constexpr bool takes(int, std::span<int const>) noexcept { return false; }
  [[nodiscard]] static constexpr bool has_copies() noexcept { return false; }
  template <class... Anything>
  static constexpr void bind(Anything const&...) noexcept {}
  template <class Stream>
  static constexpr void start(Stream) noexcept {}
  template <class Stream>
  static constexpr void join(Stream) noexcept {}
  template <class... Anything>
  static constexpr void check_run(Anything const&...) noexcept {}
};

/// A packer's courier, with the deliveries of a schedule: one a flow, and this rank's copies.
template <class C, class P, class T>
class Courier {
 public:
  Courier(C& world, P& packer, std::span<TensorView const> views) : courier_(world, packer, views) {
    int const me = world.rank();
    has_copies_ = courier_.takes(me, {&me, 1});
  }

  [[nodiscard]] bool takes(int source, std::span<int const> destinations) const {
    return courier_.takes(source, destinations);
  }
  /// Whether it copies between this rank's own parameters, too.
  [[nodiscard]] bool has_copies() const noexcept { return has_copies_; }

  void bind(plan::BasicPlan<T> const& plan, plan::BasicSchedule<T> const& schedule, int me,
            LocalSide<T> const& source, LocalSide<T> const& destination) {
    std::vector<comm::BasicDelivery<T>> deliveries;
    pieces_.clear();
    auto const new_delivery = [&, this](std::int64_t id, int from) {
      deliveries.emplace_back();
      deliveries.back().id = id;
      deliveries.back().source = from;
      pieces_.emplace_back();
    };
    if (has_copies_) {
      new_delivery(-1 - me, me);
      deliveries.back().destinations.push_back(me);
      for (plan::LocalCopy const& copy : schedule.copies) {
        deliveries.back().from.push_back(source.place(plan, copy.piece));
        deliveries.back().to.push_back(destination.place(plan, copy.piece));
        pieces_.back().push_back(copy.piece);
      }
    }
    for (std::size_t f = 0; f < schedule.flows.size(); ++f) {
      plan::Flow const& flow = schedule.flows[f];
      auto const& destinations = plan.paths[static_cast<std::size_t>(flow.path)].destinations;
      bool const keeps = rlhf::detail::contains(destinations, me);
      if (!courier_.takes(flow.source, {destinations.data(), destinations.size()}) ||
          (flow.source != me && !keeps)) {
        continue;
      }
      new_delivery((std::int64_t{flow.source} << 32) + flow.path, flow.source);
      deliveries.back().destinations.assign(destinations.begin(), destinations.end());
      // Chains that ascend cannot make ranks wait for each other in a circle.
      rlhf::detail::sort(deliveries.back().destinations);
      for (plan::Bucket const& bucket : schedule.buckets) {
        if (static_cast<std::size_t>(bucket.flow) != f) {
          continue;
        }
        for (plan::Piece const& piece : bucket.pieces) {
          pieces_.back().push_back(piece);
          if (flow.source == me) {
            deliveries.back().from.push_back(source.place(plan, piece));
          }
          if (keeps) {
            deliveries.back().to.push_back(destination.place(plan, piece));
          }
        }
      }
    }
    courier_.bind({deliveries.data(), deliveries.size()});
  }
  template <class Stream>
  void start(Stream stream) {
    courier_.start(stream);
  }
  template <class Stream>
  void join(Stream stream) {
    courier_.join(stream);
  }
  void check_run(plan::BasicPlan<T> const& plan, plan::BasicSchedule<T> const&) {
    courier_.check_run([&, this](int delivery, int piece) {
      plan::Piece const& one =
          pieces_[static_cast<std::size_t>(delivery)][static_cast<std::size_t>(piece)];
      return text(plan.parameters[static_cast<std::size_t>(one.parameter)], " ",
                  to_string(one.box));
    });
  }

 private:
  typename P::template Courier<C> courier_;
  rlhf::detail::late_vector<std::vector<plan::Piece>, T> pieces_;
  bool has_copies_ = false;
};

template <class C, class P, class T>
struct CourierType {
  using type = NoCourier;
};
template <class C, class P, class T>
  requires comm::HasCourier<P, C>
struct CourierType<C, P, T> {
  using type = Courier<C, P, T>;
};
template <class C, class P, class T>
using CourierOf = typename CourierType<C, P, T>::type;

}  // namespace rlhf::inline v0::sync::detail
