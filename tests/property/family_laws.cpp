// Families of models: a trainer whose memory is laid out by hand as Megatron does it is synced to a
// server laid out as vLLM does it, over other ranks; every element is what slicing the canonical
// tensor gives.
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/plan/families.hpp>
#include <rlhf/sync/families.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

namespace {

namespace plan = rlhf::plan;
namespace sync = rlhf::sync;
using plan::FamilyStyle;
using rlhf::Coordinate;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Shape;

constexpr float untouched = -3.0F;
constexpr float padding = -7.0F;

/// An element of a canonical tensor.
float canonical(std::string const& name, std::int64_t row, std::int64_t column) {
  std::uint64_t const word = rlhf::Fingerprint()
                                 .add(name)
                                 .add(static_cast<std::uint64_t>(row))
                                 .add(static_cast<std::uint64_t>(column))
                                 .value();
  return static_cast<float>(word % 1'000'000);
}

bool has(std::string const& name, char const* part) {
  return name.find(part) != std::string::npos;
}

/// The number behind a word.
int number_behind(std::string const& name, std::string const& word) {
  return std::stoi(name.substr(name.find(word) + word.size()));
}

/// One rank of one side, in plain numbers.
struct Place {
  FamilyStyle style = FamilyStyle::trainer;
  plan::ModelSizes sizes;
  std::int64_t tensor = 1;
  std::int64_t tensor_rank = 0;
  std::int64_t expert_tensor = 1;
  std::int64_t expert_tensor_rank = 0;
  std::vector<int> layers;   // of this rank
  std::vector<int> experts;  // of this rank

  /// The element (row, column) of the tensor that the side calls `name`; of slot `slot` where
  /// experts are stacked. Written down from how Megatron and vLLM lay out their tensors.
  [[nodiscard]] float operator()(std::string const& name, std::int64_t slot, std::int64_t row,
                                 std::int64_t column) const {
    bool const trainer = style == FamilyStyle::trainer;
    if (style == FamilyStyle::canonical) {  // whole tensors only
      bool const vocabulary = has(name, "embed_tokens") || has(name, "lm_head");
      return vocabulary && row >= sizes.vocab ? padding : canonical(name, row, column);
    }
    if (has(name, "word_embeddings") || has(name, "embed_tokens") || has(name, "output_layer") ||
        has(name, "lm_head")) {
      bool const output = has(name, "output_layer") || has(name, "lm_head");
      return row < sizes.vocab
                 ? canonical(output ? "lm_head.weight" : "model.embed_tokens.weight", row, column)
                 : padding;
    }
    if (has(name, "final_layernorm") || name == "model.norm.weight") {
      return canonical("model.norm.weight", row, column);
    }
    int const here = number_behind(name, "layers.");
    int const layer = trainer ? layers[static_cast<std::size_t>(here)] : here;
    std::string const prefix = "model.layers." + std::to_string(layer) + ".";
    if (has(name, "linear_qkv.layer_norm_weight") || has(name, "input_layernorm")) {
      return canonical(prefix + "input_layernorm.weight", row, column);
    }
    if (has(name, "linear_fc1.layer_norm_weight") || has(name, "pre_mlp_layernorm") ||
        has(name, "post_attention_layernorm")) {
      return canonical(prefix + "post_attention_layernorm.weight", row, column);
    }
    if (has(name, "q_layernorm") || has(name, "q_norm")) {
      return canonical(prefix + "self_attn.q_norm.weight", row, column);
    }
    if (has(name, "k_layernorm") || has(name, "k_norm")) {
      return canonical(prefix + "self_attn.k_norm.weight", row, column);
    }
    if (has(name, "router") || has(name, "mlp.gate.weight")) {
      return canonical(prefix + "mlp.gate.weight", row, column);
    }
    if (has(name, "linear_qkv.") || has(name, "qkv_proj.")) {
      return qkv(prefix + "self_attn.", has(name, "bias") ? "_proj.bias" : "_proj.weight", row,
                 column);
    }
    if (has(name, "linear_proj") || has(name, "o_proj")) {
      std::int64_t const columns = sizes.heads * sizes.head_dim / tensor;
      return canonical(prefix + "self_attn.o_proj.weight", row, tensor_rank * columns + column);
    }
    bool const of_expert = has(name, "experts");
    std::string const mlp = prefix + "mlp." + (of_expert ? expert_prefix(name, slot) : "");
    std::int64_t const inner = of_expert ? sizes.expert_ffn / expert_tensor : sizes.ffn / tensor;
    std::int64_t const first = inner * (of_expert ? expert_tensor_rank : tensor_rank);
    if (has(name, "linear_fc1") || has(name, "gate_up") || has(name, "w13")) {
      bool const up = row >= inner;
      return canonical(mlp + (up ? "up_proj.weight" : "gate_proj.weight"),
                       first + (up ? row - inner : row), column);
    }
    return canonical(mlp + "down_proj.weight", row, first + column);
  }

 private:
  [[nodiscard]] std::string expert_prefix(std::string const& name, std::int64_t slot) const {
    std::int64_t const at =
        style == FamilyStyle::trainer ? number_behind(name, "local_experts.") : slot;
    return "experts." + std::to_string(experts[static_cast<std::size_t>(at)]) + ".";
  }
  [[nodiscard]] float qkv(std::string const& attention, std::string const& what, std::int64_t row,
                          std::int64_t column) const {
    std::int64_t const dim = sizes.head_dim;
    std::int64_t const queries = sizes.heads / tensor;
    std::int64_t const groups = sizes.kv_heads < tensor ? 1 : sizes.kv_heads / tensor;
    std::int64_t const first_query = tensor_rank * queries;
    std::int64_t const first_group =
        sizes.kv_heads < tensor ? tensor_rank * sizes.kv_heads / tensor : tensor_rank * groups;
    std::int64_t const head = row / dim;
    std::int64_t const in_head = row % dim;
    auto const of = [&](char const* letter, std::int64_t global) {
      return canonical(attention + letter + what, global * dim + in_head, column);
    };
    if (style == FamilyStyle::trainer) {  // each group: its queries, key, value
      std::int64_t const in_group = queries / groups + 2;
      std::int64_t const group = head / in_group;
      std::int64_t const place = head % in_group;
      return place < in_group - 2    ? of("q", first_query + group * (in_group - 2) + place)
             : place == in_group - 2 ? of("k", first_group + group)
                                     : of("v", first_group + group);
    }
    return head < queries            ? of("q", first_query + head)
           : head < queries + groups ? of("k", first_group + head - queries)
                                     : of("v", first_group + head - queries - groups);
  }
};

struct Case {
  plan::Family family;
  plan::ModelSizes sizes;
  plan::Side trainer;
  plan::Side server;
  FamilyStyle from = FamilyStyle::trainer;
  FamilyStyle to = FamilyStyle::server;
};

/// What ranks hold, found by dividing anew.
Place place_of(Case const& one, FamilyStyle style, plan::Side const& side, Coordinate const& at) {
  Place place;
  place.style = style;
  place.sizes = one.sizes;
  place.tensor = side.layout.tensor;
  place.tensor_rank = at.tensor;
  for (int layer = 0; layer < one.sizes.layers; ++layer) {
    int const pipeline = side.layout.pipeline;
    auto const layers = static_cast<int>(one.sizes.layers);
    int const longer = layers % pipeline;
    int const each = layers / pipeline;
    int const stage = !side.stage_of_layer.empty()
                          ? side.stage_of_layer[static_cast<std::size_t>(layer)]
                      : layer < longer * (each + 1) ? layer / (each + 1)
                                                    : longer + (layer - longer * (each + 1)) / each;
    if (stage == at.pipeline) {
      place.layers.push_back(layer);
    }
  }
  int const inner = at.expert * side.layout.tensor + at.tensor;
  place.expert_tensor = side.expert_tensor == 0 ? side.layout.tensor : side.expert_tensor;
  place.expert_tensor_rank = inner % place.expert_tensor;
  std::int64_t const ranks = side.layout.tensor * side.layout.expert / place.expert_tensor;
  auto slots = side.expert_slots;
  for (int expert = 0; side.expert_slots.empty() && expert < one.sizes.experts; ++expert) {
    slots.push_back(expert);
  }
  std::int64_t const each = std::ssize(slots) / ranks;
  for (std::int64_t slot = 0; slot < each; ++slot) {
    place.experts.push_back(
        slots[static_cast<std::size_t>(inner / place.expert_tensor * each + slot)]);
  }
  return place;
}

struct Model : rlhf::Module<rlhf::RuntimeGrid, sync::Reshard<>> {
  struct Tensor {
    std::string name;
    Shape shape{};
    std::vector<float> memory;
  };
  Case const* one;
  FamilyStyle style;
  plan::Side const* side;
  std::deque<Tensor> tensors;

  Model(Mesh mesh, int rank, Case const& of, bool source)
      : Module(std::move(mesh), rank, source ? of.trainer.layout : of.server.layout),
        one(&of),
        style(source ? of.from : of.to),
        side(source ? &of.trainer : &of.server) {}

  template <class Visit>
  void parameters(Visit&& visit) {
    sync::visit_family(
        one->family, one->sizes, style, *side, coordinate(),
        [&](std::string_view name, Shape const& shape) {
          for (Tensor& tensor : tensors) {
            if (tensor.name == name) {
              return rlhf::view(tensor.memory, shape);
            }
          }
          tensors.push_back({std::string(name), shape,
                             std::vector<float>(
                                 static_cast<std::size_t>(rlhf::element_count(shape)), untouched)});
          return rlhf::view(tensors.back().memory, shape);
        },
        visit);
  }
  /// Calls `visit(element, what it should be)` for all elements.
  template <class Visit>
  void each(Visit&& visit) {
    Place const place = place_of(*one, style, *side, coordinate());
    for (Tensor& tensor : tensors) {
      int const rank = tensor.shape.rank();
      bool const vocabulary = has(tensor.name, "embed") || has(tensor.name, "output_layer") ||
                              has(tensor.name, "lm_head");
      std::int64_t const columns = rank == 1 ? 1 : tensor.shape[rank - 1];
      std::int64_t const rows = rank == 3 ? tensor.shape[1] : tensor.shape[0];
      for (std::size_t i = 0; i < tensor.memory.size(); ++i) {
        auto const at = static_cast<std::int64_t>(i);
        std::int64_t row = at / columns % rows;
        row += vocabulary ? place.tensor_rank * rows : 0;
        visit(tensor.memory[i], place(tensor.name, at / columns / rows, row, at % columns));
      }
    }
  }
};

void check(Case const& one) {
  int const trainers = one.trainer.layout.ranks();
  int const servers = one.server.layout.ranks();
  CAPTURE(one.family.name);
  CAPTURE(to_string(one.trainer.layout));
  CAPTURE(to_string(one.server.layout));
  std::atomic<int> wrong{0};
  std::atomic<int> seen{0};
  ranks::WorldEnd const end = ranks::run_world(trainers + servers, [&](rlhf::comm::Local& world) {
    Model from(Mesh::range(0, trainers), world.rank(), one, true);
    Model to(Mesh::range(trainers, servers), world.rank(), one, false);
    sync::Link link(world, from, to);
    if (from.present()) {
      from.each([](float& element, float expected) { element = expected; });
    }
    link.sync(rlhf::Version{1});
    link.verify();
    wrong += link.plan().unused.empty() ? 0 : 1;
    if (to.present()) {
      to.each([&](float const& element, float expected) {
        wrong += element == (expected == padding ? untouched : expected) ? 0 : 1;
        ++seen;
      });
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(wrong == 0);
  CHECK(seen > 500);
}

plan::Family small_padding(plan::Family family) {
  family.trainer_vocab_multiple = 8;
  family.server_vocab_multiple = 4;
  return family;
}

}  // namespace

TEST_CASE("Megatron-style trainers to vLLM-style servers: every element by slicing") {
  plan::ModelSizes const sizes{.layers = 3,
                               .hidden = 6,
                               .heads = 24,
                               .kv_heads = 4,
                               .head_dim = 2,
                               .ffn = 24,
                               .experts = 6,
                               .expert_ffn = 8,
                               .vocab = 21};
  plan::ModelSizes tied = sizes;
  tied.tied = true;
  plan::ModelSizes few = sizes;  // fewer key/value heads than ranks
  few.kv_heads = 2;
  Case one{small_padding(plan::llama()), sizes, {}, {}};
  one.trainer.layout = {.tensor = 2, .pipeline = 2};
  one.server.layout = {.tensor = 4};
  check(one);
  one = {small_padding(plan::qwen2()), tied, {}, {}};
  one.trainer.layout = {.tensor = 4, .data = 2};
  one.server.layout = {.tensor = 2, .pipeline = 3};
  check(one);
  one = {small_padding(plan::qwen3()), few, {}, {}};
  one.trainer.layout = {.tensor = 4, .pipeline = 3};
  one.trainer.stage_of_layer = {2, 0, 2};
  one.server.layout = {.tensor = 8};
  check(one);
  one = {small_padding(plan::qwen3_moe()), sizes, {}, {}};
  one.trainer.layout = {.tensor = 2, .pipeline = 2, .expert = 3};
  one.server.layout = {.tensor = 2};
  one.server.expert_tensor = 1;  // experts whole, dealt over the tensor ranks
  check(one);
  one.server.layout = {};
  one.to = FamilyStyle::canonical;
  check(one);
  one.to = FamilyStyle::server;
  one.trainer.layout = {.tensor = 4, .expert = 2};
  one.trainer.expert_tensor = 4;
  one.server.layout = {.tensor = 2, .expert = 2};
  one.server.expert_tensor = 2;
  one.server.expert_slots = {5, 1, 0, 2, 3, 5, 4, 0};  // two experts twice
  check(one);
  one.from = FamilyStyle::canonical;  // a trainer of the canonical model, on copies
  one.trainer = {};
  one.trainer.layout = {.data = 3};
  check(one);
}
