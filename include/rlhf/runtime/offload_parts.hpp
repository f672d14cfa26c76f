/// @file
/// The parts of a module's memory that can leave the device: names, sets of them. Layer: runtime.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::runtime {

/// What a tensor of a module is for. Source: the reference's flags of the same names.
enum class Part : std::uint8_t {
  weights,           ///< What a forward pass reads.
  main_weights,      ///< The optimizer's copy in higher precision.
  optimizer_states,  ///< Moments.
  gradient_buffers,  ///< Freed and made anew, zeroed; their contents are never kept.
};

inline constexpr int part_count = 4;

[[nodiscard]] constexpr std::string_view to_string(Part part) noexcept {
  constexpr std::string_view names[part_count] = {"weights", "main_weights", "optimizer_states",
                                                  "gradient_buffers"};
  return names[static_cast<int>(part)];
}

/// A set of parts. `Part::weights | Part::gradient_buffers`; one part is a set, too.
class Parts {
 public:
  constexpr Parts() noexcept = default;
  constexpr Parts(Part part) noexcept  // NOLINT: implicit, a part is a set of one
      : bits_(static_cast<std::uint8_t>(1U << static_cast<unsigned>(part))) {}

  [[nodiscard]] static constexpr Parts all() noexcept {
    return Parts(static_cast<std::uint8_t>((1U << static_cast<unsigned>(part_count)) - 1U), {});
  }
  [[nodiscard]] constexpr bool has(Part part) const noexcept {
    return (bits_ & Parts(part).bits_) != 0;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
  /// This set without those.
  [[nodiscard]] constexpr Parts without(Parts other) const noexcept {
    return Parts(static_cast<std::uint8_t>(bits_ & ~other.bits_), {});
  }
  friend constexpr Parts operator|(Parts a, Parts b) noexcept {
    return Parts(static_cast<std::uint8_t>(a.bits_ | b.bits_), {});
  }
  friend constexpr Parts operator&(Parts a, Parts b) noexcept {
    return Parts(static_cast<std::uint8_t>(a.bits_ & b.bits_), {});
  }
  constexpr bool operator==(Parts const&) const noexcept = default;

 private:
  struct FromBits {};
  constexpr Parts(std::uint8_t bits, FromBits) noexcept : bits_(bits) {}

  std::uint8_t bits_ = 0;
};

[[nodiscard]] constexpr Parts operator|(Part a, Part b) noexcept {
  return Parts(a) | Parts(b);
}

/// The order in which parts leave. Gradients first: freeing them needs no copy and makes room for
/// what copies may need on the device; weights last, because copying them needs the most.
inline constexpr Part offload_order[part_count] = {Part::gradient_buffers, Part::main_weights,
                                                   Part::optimizer_states, Part::weights};
/// The order in which parts come back. Weights first: a forward pass needs nothing else, so that a
/// module that runs out of memory later on can still generate; optimizer states last, because
/// nothing reads them before the gradients are there.
inline constexpr Part onload_order[part_count] = {Part::weights, Part::gradient_buffers,
                                                  Part::main_weights, Part::optimizer_states};

/// `weights, optimizer_states`; `nothing` for the empty set.
template <class = void>
[[nodiscard]] std::string to_string(Parts parts) {
  std::string out;
  for (int i = 0; i < part_count; ++i) {
    auto const part = static_cast<Part>(i);
    if (parts.has(part)) {
      out += out.empty() ? "" : ", ";
      out += to_string(part);
    }
  }
  return out.empty() ? "nothing" : out;
}

}  // namespace rlhf::inline v0::runtime
