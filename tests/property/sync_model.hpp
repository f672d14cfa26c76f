// A model whose elements are functions of (parameter, global index, version), so that any copy of
// it can be checked without a reference copy.
#pragma once

#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "property/cases.hpp"

namespace cases {

/// The bits that an element has in a version; the lowest bytes of it count.
inline std::uint64_t element_bits(std::size_t parameter, std::int64_t global, int version) {
  Dice dice(parameter * 1'000'003 + static_cast<std::uint64_t>(global) * 64 +
            static_cast<std::uint64_t>(version));
  return dice.word();
}

/// One rank's part of one side of a case. Owns memory where the rank belongs to the side's mesh.
template <class Sync>
class Model {
 public:
  using SyncPolicy = Sync;

  /// `gaps`: rows are further apart in memory than they are long.
  Model(Case const& pair, Side side, int world_rank, bool gaps = false)
      : mesh_(mesh_of(pair, side)),
        layout_(layout_of(pair, side)) {
    int const rank = mesh_.rank_of(world_rank);
    if (rank < 0) {
      return;
    }
    Coordinate const at = layout_.coordinate(rank);
    for (std::size_t p = 0; p < pair.parameters.size(); ++p) {
      Parameter const& parameter = pair.parameters[p];
      if (!present(pair, side, parameter, at)) {
        continue;
      }
      Held held;
      held.parameter = p;
      held.name = parameter.name;
      held.global = parameter.global;
      held.lists = slices_of(pair, side, parameter, at);
      RuleSpec const& spec = side == Side::source ? parameter.source : parameter.destination;
      held.rule = spec.rule(parameter.global);
      held.view.dtype = parameter.dtype;
      held.view.shape = shape_of(held.lists);
      held.view.strides = rlhf::Extents::filled(held.view.shape.rank(), 1);
      std::int64_t stride = 1;
      for (int d = held.view.shape.rank() - 1; d >= 0; --d) {
        held.view.strides[d] = stride;
        stride = stride * held.view.shape[d] +
                 (gaps && (p + static_cast<std::size_t>(d)) % 2 == 0 ? 1 : 0);
      }
      held.memory.assign(static_cast<std::size_t>((stride + 2) * rlhf::size_of(parameter.dtype)),
                         poison);
      held.view.data = held.memory.data();
      held_.push_back(std::move(held));
    }
  }

  [[nodiscard]] Mesh const& mesh() const noexcept { return mesh_; }
  [[nodiscard]] Layout layout() const noexcept { return layout_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (Held& held : held_) {
      visit(held.name, held.view, held.rule);
    }
  }

  /// Writes the elements of a version.
  void fill(int version) {
    for_each([version](Held& held, std::int64_t global, std::byte* at) {
      std::uint64_t const bits = element_bits(held.parameter, global, version);
      std::memcpy(at, &bits, static_cast<std::size_t>(rlhf::size_of(held.view.dtype)));
    });
  }
  /// Elements that are not those of the version, plus bytes between them that were written.
  [[nodiscard]] int wrong(int version) {
    int count = 0;
    std::vector<std::vector<std::byte>> rest;
    for (Held& held : held_) {
      rest.push_back(held.memory);
    }
    std::size_t index = 0;
    Held const* last = held_.data();
    for_each([&](Held& held, std::int64_t global, std::byte* at) {
      index += static_cast<std::size_t>(&held - last);
      last = &held;
      auto const size = static_cast<std::size_t>(rlhf::size_of(held.view.dtype));
      std::uint64_t const bits = element_bits(held.parameter, global, version);
      count += std::memcmp(at, &bits, size) == 0 ? 0 : 1;
      std::memset(rest[index].data() + (at - held.memory.data()), static_cast<int>(poison), size);
    });
    for (std::vector<std::byte> const& bytes : rest) {
      for (std::byte const byte : bytes) {
        count += byte == poison ? 0 : 1;
      }
    }
    return count;
  }
  /// Forgets all elements.
  void clear() {
    for (Held& held : held_) {
      std::memset(held.memory.data(), static_cast<int>(poison), held.memory.size());
    }
  }
  /// The same elements at other addresses.
  void move_memory() {
    for (Held& held : held_) {
      std::vector<std::byte> elsewhere(held.memory);
      std::memset(held.memory.data(), 0x11, held.memory.size());
      old_.push_back(std::move(held.memory));  // kept: what still writes there must not crash
      held.memory = std::move(elsewhere);
      held.view.data = held.memory.data();
    }
  }
  [[nodiscard]] bool old_memory_untouched() const {
    for (std::vector<std::byte> const& bytes : old_) {
      for (std::byte const byte : bytes) {
        if (byte != std::byte{0x11}) {
          return false;
        }
      }
    }
    return true;
  }

  struct Held {
    std::size_t parameter = 0;
    std::string name;
    Shape global{};
    Lists lists;
    rlhf::Shard rule{};
    rlhf::TensorView view{};
    std::vector<std::byte> memory;
  };
  [[nodiscard]] std::vector<Held>& held() noexcept { return held_; }

 private:
  static constexpr std::byte poison{0xA5};

  template <class Visit>
  void for_each(Visit&& visit) {
    for (Held& held : held_) {
      for_each_element(held.global, held.lists, [&](std::int64_t local, std::int64_t global) {
        std::int64_t offset = 0;
        for (int d = held.view.shape.rank() - 1; d >= 0; --d) {
          offset += local % held.view.shape[d] * held.view.strides[d];
          local /= held.view.shape[d];
        }
        visit(held, global, held.memory.data() + offset * rlhf::size_of(held.view.dtype));
      });
    }
  }

  Mesh mesh_;
  Layout layout_;
  std::vector<Held> held_;
  std::vector<std::vector<std::byte>> old_;
};

}  // namespace cases
