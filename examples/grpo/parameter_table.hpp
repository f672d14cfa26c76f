/// @file
/// All parameters of a rank in one buffer: names, places, how each is cut over the tensor ranks.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/parallel/shard.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "numerics.hpp"

namespace grpo {

/// Where a parameter lies in the rank's buffers of weights, gradients and moments.
struct Parameter {
  std::string name;
  rlhf::Shape shape;  ///< Of this rank's part.
  rlhf::Shard shard;  ///< How the whole is cut into the ranks' parts.
  Index offset = 0;
  Index elements = 0;

  /// Whether every tensor rank holds all of it.
  [[nodiscard]] bool replicated() const noexcept { return shard.count == 0; }
  /// Its part of a buffer.
  [[nodiscard]] std::span<float> in(std::span<float> buffer) const noexcept {
    return buffer.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(elements));
  }
};

/// The parameters of one rank, in the order in which they were added.
class ParameterTable {
 public:
  /// Adds a parameter, behind the others in the buffers. Returns its place in the table.
  std::size_t add(std::string name, rlhf::Shape shape, rlhf::Shard shard) {
    Index const elements = rlhf::element_count(shape);
    entries_.push_back({std::move(name), shape, shard, elements_, elements});
    elements_ += elements;
    return entries_.size() - 1;
  }
  [[nodiscard]] std::span<Parameter const> entries() const noexcept { return entries_; }
  [[nodiscard]] Parameter const& operator[](std::size_t place) const noexcept {
    return entries_[place];
  }
  /// Elements of all parameters: the length of a buffer.
  [[nodiscard]] Index elements() const noexcept { return elements_; }

 private:
  std::vector<Parameter> entries_;
  Index elements_ = 0;
};

/// Fills this rank's part of a parameter with uniform numbers of the given standard deviation.
///
/// A number depends on the seed, the parameter's name and the element's index in the *whole*
/// parameter, so that every layout starts from the same weights.
inline void initialise(Parameter const& parameter, std::span<float> weights, float deviation,
                       std::uint64_t seed, int tensor_rank, int tensor_size) {
  rlhf::CounterRandom const random(seed, rlhf::Fingerprint().add(parameter.name).value());
  float const bound = deviation * std::sqrt(3.0F);
  rlhf::Holding const holding =
      parameter.shard.holding(parameter.shape, rlhf::Layout{.tensor = tensor_size},
                              rlhf::Coordinate{.tensor = tensor_rank});
  for (rlhf::HeldBox const& held : holding.boxes) {  // all parameters are matrices (rows, columns)
    for (Index r = 0; r < held.box.extent[0]; ++r) {
      for (Index c = 0; c < held.box.extent[1]; ++c) {
        Index const global = (held.box.start[0] + r) * holding.global[1] + held.box.start[1] + c;
        Index const local =
            (held.local_start[0] + r) * parameter.shape[1] + held.local_start[1] + c;
        weights[static_cast<std::size_t>(local)] =
            bound * (2.0F * random.uniform(static_cast<std::uint64_t>(global)) - 1.0F);
      }
    }
  }
}

}  // namespace grpo
