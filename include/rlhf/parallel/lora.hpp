/// @file
/// Adapters of low rank as parameters: how A and B are cut where the weight is cut, their names,
/// their start. Layer: parallel.
///
///     void parameters(auto&& visit) {  // a weight and its B cut by rows, its A whole
///       rlhf::lora::parameters(visit, weight, {.a = a, .b = b}, [&](auto&& each) {
///         each("mlp.up_proj.weight", weight, rlhf::shard::rows());
///       });
///     }
///
/// A rank holds the columns of A and the rows of B that its part of the weight needs, whatever the
/// rule: column- and row-parallel layers, vocabularies, whole heads, fused tensors, experts, FSDP
/// chunks. Fusing therefore needs no communication.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/low_rank.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0 {

/// Which factor of an adapter.
enum class Factor : std::uint8_t {
  a,  ///< (dim, in): cut as the weight's columns are.
  b,  ///< (out, dim): cut as the weight's rows are.
};

/// The rule of a factor, derived from the rule of its weight. Made by `shard::lora_a`, `lora_b`.
template <class Base>
struct LoraShard {
  Base base{};
  Shape weight{};  ///< Of the tensor that the rank holds of the weight.
  Factor factor = Factor::a;

  /// Errors: invalid_argument where the factor's shape does not fit the weight's, or the weight is
  /// a flat shard; what `base` reports.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    int const rank = weight.rank();
    int const along = factor == Factor::a ? rank - 2 : rank - 1;  // the low rank's dimension
    bool fits = rank >= 2 && local.rank() == rank;
    for (int d = 0; fits && d < rank; ++d) {
      fits = d == along || local[d] == weight[d];
    }
    if (!fits) {
      fail(Errc::invalid_argument,
           text("factor ", factor == Factor::a ? "A" : "B", " of shape ", to_string(local),
                " does not fit a weight of shape ", to_string(weight)));
    }
    Holding const of_weight = base.holding(weight, layout, at);
    Holding out{of_weight.global, {}};
    expects(out.global.rank() == rank,
            "adapters need the weight's own dimensions, not a flat shard");
    out.global[along] = local[along];
    for (HeldBox held : of_weight.boxes) {
      expects(!held.strided(),
              "adapters of flat shards have no rule; cut the weight by its dimensions");
      held.box.start[along] = 0;
      held.box.extent[along] = local[along];
      held.local_start[along] = 0;
      bool known = false;
      for (HeldBox const& other : out.boxes) {
        known = known || other == held;
      }
      if (!known) {
        out.boxes.push_back(held);
      }
    }
    return out;
  }
};

namespace shard {

/// The rule of A, (dim, in), of a weight cut by `base` of which the rank's tensor has shape
/// `weight`.
template <ShardRule Base>
[[nodiscard]] LoraShard<Base> lora_a(Base const& base, Shape const& weight) {
  return {base, weight, Factor::a};
}
/// The rule of B, (out, dim).
template <ShardRule Base>
[[nodiscard]] LoraShard<Base> lora_b(Base const& base, Shape const& weight) {
  return {base, weight, Factor::b};
}

}  // namespace shard

/// Adapters as parameters of a model.
namespace lora {

/// The name of a factor of a weight, as PEFT has it: `up_proj.weight` -> `up_proj.lora_A.weight`.
template <class = void>
[[nodiscard]] std::string name_of(std::string_view weight, Factor factor) {
  constexpr std::string_view suffix = ".weight";
  char const* const middle = factor == Factor::a ? ".lora_A.weight" : ".lora_B.weight";
  return weight.ends_with(suffix) ? text(weight.substr(0, weight.size() - suffix.size()), middle)
                                  : text(weight, middle);
}

/// Whether a name is that of a factor: for `LinkOptions::wanted`, to sync adapters alone.
[[nodiscard]] inline bool is_factor(std::string_view name) noexcept {
  return name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
}

/// Lists a weight's factors beside the weight. `list(each)` visits the canonical tensors of
/// `weight`, once each, with `each(name, view, rule)`: the weight itself, or what the functions of
/// `fused` make of it, which have one A together, under a name for each, and the rows of B that are
/// theirs. `each` visits the canonical tensor, its A and its B.
///
/// Errors: invalid_argument where `expect_adapter` says so, or a view that `list` visits is neither
/// the weight nor whole rows of it.
template <class Visit, class List>
void parameters(Visit&& visit, TensorView const& weight, Adapter const& adapter, List&& list) {
  auto const each = [&](std::string_view name, TensorView const& view, auto const& rule) {
    expect_adapter(name, weight, adapter);
    Adapter mine = adapter;
    if (view.shape != weight.shape) {  // rows of it, or slots of experts and rows of those
      std::int64_t elements = 0;
      if (view.data != nullptr) {
        elements = (static_cast<std::byte const*>(view.data) -
                    static_cast<std::byte const*>(weight.data)) /
                   size_of(weight.dtype);
      }
      if (view.shape.rank() + 1 == weight.shape.rank()) {
        std::int64_t const slot = elements / weight.strides[0];
        elements -= slot * weight.strides[0];
        mine = {fused::slot(adapter.a, slot), fused::slot(adapter.b, slot)};
      }
      int const out = mine.b.shape.rank() - 2;
      std::int64_t const row =
          view.elements() == 0 ? 0 : elements / weight.strides[weight.shape.rank() - 2];
      bool const whole_rows = view.shape.rank() == mine.b.shape.rank() &&
                              view.shape[out + 1] == weight.shape[weight.shape.rank() - 1];
      if (!whole_rows) {
        fail(Errc::invalid_argument,
             text("adapter of ", name, ": a tensor of shape ", to_string(view.shape),
                  " is not made of whole rows of one of shape ", to_string(weight.shape)));
      }
      mine.b = fused::slice(mine.b, out, row, view.shape[out]);
    }
    visit(name, view, rule);
    visit(name_of(name, Factor::a), mine.a, shard::lora_a(rule, view.shape));
    visit(name_of(name, Factor::b), mine.b, shard::lora_b(rule, view.shape));
  };
  list(each);
}

/// Writes the start of A into the rank's part of it: uniform in (-bound, bound), bound =
/// 1 / sqrt(in), which is Kaiming-uniform with a = sqrt(5). An element is a function of `seed`,
/// `name` and its global index: every rank makes its own part of the same tensor. B starts at zero.
///
/// `holding` is what A's rule gives for this rank; padding becomes zero. `name` is the tensor's,
/// one for all ranks and layouts. Errors: invalid_argument where A is not of f32, bf16 or f16.
/// Cost: one Philox a few elements. Source: He et al., ICCV 2015; torch.nn.init.kaiming_uniform_.
template <class = void>
void fill_a(TensorView const& a, Holding const& holding, std::uint64_t seed,
            std::string_view name) {
  expects(detail::is_float_type(a.dtype), "A of an adapter must be f32, bf16 or f16");
  std::int64_t const element_bytes = size_of(a.dtype);
  auto const address = [&](Extents const& at) {
    std::int64_t offset = 0;
    for (int d = 0; d < at.rank(); ++d) {
      offset += at[d] * a.strides[d];
    }
    return static_cast<std::byte*>(a.data) + offset * element_bytes;
  };
  // Every index of `extent`, counted up.
  auto const each = [](Extents const& extent, auto&& call) {
    std::int64_t const count = element_count(extent);
    Extents at = Extents::filled(extent.rank(), 0);
    for (std::int64_t i = 0; i < count; ++i) {
      call(at);
      for (int d = extent.rank() - 1; d >= 0 && ++at[d] == extent[d]; --d) {
        at[d] = 0;
      }
    }
  };
  each(a.shape, [&](Extents const& at) { detail::put_float(a.dtype, address(at), 0.0F); });
  CounterRandom const random(seed, Fingerprint().add(name).value());
  auto const in = static_cast<double>(holding.global[holding.global.rank() - 1]);
  auto const bound = static_cast<float>(1.0 / __builtin_sqrt(in));
  Extents const strides = row_major_strides(holding.global);
  for (HeldBox const& held : holding.boxes) {
    each(held.box.extent, [&](Extents const& at) {
      Extents local = at;
      std::int64_t global = 0;
      for (int d = 0; d < at.rank(); ++d) {
        local[d] += held.local_start[d];
        global += (held.box.start[d] + at[d]) * strides[d];
      }
      float const unit = 2.0F * random.uniform(static_cast<std::uint64_t>(global)) - 1.0F;
      detail::put_float(a.dtype, address(local), unit * bound);
    });
  }
}

}  // namespace lora
}  // namespace rlhf::inline v0
