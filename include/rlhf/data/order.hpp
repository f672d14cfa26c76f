/// @file
/// Orders of a dataset's items in an epoch. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/keyed_order.hpp>
#include <rlhf/data/mt19937.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// The order of `torch.randperm(size)` under `torch.manual_seed(seed + epoch)`, bit for bit, for
/// runs that must see the data as a PyTorch run did.
///
/// Only the low 32 bits of seed + epoch count. Cost: 4 bytes an item; building an epoch takes one
/// draw and one swap an item, 9 ns of it at 10 million items. Sizes from (2^32 - 1) / 20 on are
/// refused: newer versions of torch draw otherwise there, so no order would equal all of them.
struct TorchOrder final {
  static constexpr std::string_view name = "torch";
  static constexpr std::int64_t largest_size = 0xffffffffLL / 20 - 1;

  template <class Late = void>
  class BasicPermutation {
   public:
    /// Errors: invalid_argument for a size below 0 or above `largest_size`.
    BasicPermutation(std::uint64_t seed, std::int64_t epoch, std::int64_t size) {
      if (size < 0 || size > largest_size) {
        fail(Errc::invalid_argument,
             text("TorchOrder serves datasets of 0 to ", largest_size, " items, not of ", size,
                  "; choose another order or split the dataset"));
      }
      std::uint32_t const count = static_cast<std::uint32_t>(size);
      items_.resize(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        items_[i] = i;
      }
      Mt19937 random(static_cast<std::uint32_t>(seed + static_cast<std::uint64_t>(epoch)));
      // Whom to swap with does not depend on the swaps before: memory is asked for ahead of them.
      constexpr std::uint32_t ahead = 64;
      std::uint32_t partners[ahead];
      for (std::uint32_t begin = 0; begin + 1 < count; begin += ahead) {
        std::uint32_t const now = count - 1 - begin < ahead ? count - 1 - begin : ahead;
        for (std::uint32_t i = 0; i < now; ++i) {
          partners[i] = begin + i + random.next() % (count - begin - i);
          __builtin_prefetch(items_.data() + partners[i], 1);
        }
        for (std::uint32_t i = 0; i < now; ++i) {
          std::swap(items_[begin + i], items_[partners[i]]);
        }
      }
    }
    [[nodiscard]] std::int64_t operator[](std::int64_t position) const noexcept {
      return items_[static_cast<std::size_t>(position)];
    }

   private:
    std::vector<rlhf::detail::late<std::uint32_t, Late>> items_;
  };
  using Permutation = BasicPermutation<>;
};

/// Items as the dataset has them, in every epoch.
struct SequentialOrder final {
  static constexpr std::string_view name = "sequential";

  class Permutation {
   public:
    constexpr Permutation(std::uint64_t /*seed*/, std::int64_t /*epoch*/,
                          std::int64_t /*size*/) noexcept {}
    [[nodiscard]] constexpr std::int64_t operator[](std::int64_t position) const noexcept {
      return position;
    }
  };
};

/// The name under which checkpoints store an order; `unnamed` where the order has none.
template <class Order>
[[nodiscard]] constexpr std::string_view order_name() noexcept {
  if constexpr (requires { std::string_view(Order::name); }) {
    return Order::name;
  } else {
    return "unnamed";
  }
}

/// The largest dataset that an order serves.
template <class Order>
[[nodiscard]] constexpr std::int64_t largest_size_of() noexcept {
  if constexpr (requires { std::int64_t{Order::largest_size}; }) {
    return Order::largest_size;
  } else {
    return INT64_MAX;
  }
}

}  // namespace rlhf::inline v0::data
