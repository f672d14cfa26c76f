/// @file
/// A run's order of prompts as the type that draws them. Layer: config.
#pragma once

#include <rlhf/config/config.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/keyed_order.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/order.hpp>

namespace rlhf::inline v0::config {

/// What happens at the end of a dataset that this model draws from.
[[nodiscard]] inline data::Exhausted exhausted_of(Config const& config,
                                                  Model const& model) noexcept {
  return model.drop_last ? data::Exhausted::drop : config.runtime.data_exhaustion;
}

/// Calls `f` with the data policy that the settings are for, as an empty struct of its own type:
/// what chooses between types at run time. `f` is instantiated for nine of them; a program that
/// serves fewer should name its policy, and compare.
///
///     config::visit_data_policy(run, model, [&]<class Data>(Data) {
///       train<rlhf::Module<rlhf::RuntimeGrid, Sync, Data>>(...);
///     });
template <class F>
decltype(auto) visit_data_policy(Config const& config, Model const& model, F&& f) {
  auto const with = [&]<class Order>(Order const&) -> decltype(auto) {
    switch (exhausted_of(config, model)) {
      case data::Exhausted::drop:
        return f(data::RuntimeMixture<Order, data::Exhausted::drop>{});
      case data::Exhausted::retain:
        return f(data::RuntimeMixture<Order, data::Exhausted::retain>{});
      case data::Exhausted::cycle:
        break;
    }
    return f(data::RuntimeMixture<Order, data::Exhausted::cycle>{});
  };
  switch (config.runtime.data_order) {
    case DataOrder::keyed:
      return with(data::KeyedOrder{});
    case DataOrder::sequential:
      return with(data::SequentialOrder{});
    case DataOrder::torch:
      break;
  }
  return with(data::TorchOrder{});
}

}  // namespace rlhf::inline v0::config
