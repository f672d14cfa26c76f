#include <rlhf/plan/families.hpp>
#include <rlhf/sync/families.hpp>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace plan = rlhf::plan;
namespace sync = rlhf::sync;
using plan::FamilyStyle;
using rlhf::Coordinate;
using rlhf::Shape;

namespace {

plan::ModelSizes const sizes{4, 8, 8, 2, 2, 16, 4, 6, 100, false};

/// What a rank's tensors are called, with their shapes; one of them may be of another shape.
struct Listed {
  std::vector<std::string> tensors;
  std::vector<std::string> canonical;
};
Listed list(plan::Family const& family, FamilyStyle style, plan::Side const& side,
            Coordinate const& at, std::string const& other = "", plan::ModelSizes of = sizes) {
  Listed out;
  std::deque<std::vector<float>> memory;
  sync::visit_family(
      family, of, style, side, at,
      [&](std::string_view name, Shape const& shape) {
        out.tensors.push_back(rlhf::text(name, " ", to_string(shape)));
        Shape given = shape;
        if (name == other) {
          given[given.rank() - 1] += 1;
        }
        memory.emplace_back(static_cast<std::size_t>(rlhf::element_count(given)));
        return rlhf::view(memory.back(), given);
      },
      [&](std::string_view name, rlhf::TensorView const& view, auto const& rule) {
        out.canonical.push_back(
            rlhf::text(name, " ", to_string(rule.holding(view.shape, side.layout, at).global)));
      });
  return out;
}

template <class Call>
std::string failure(Call&& call) {
  try {
    call();
  } catch (rlhf::Error const& error) {
    return std::string(error.message());
  }
  return "nothing was thrown";
}

bool holds(std::vector<std::string> const& all, char const* one) {
  for (std::string const& entry : all) {
    if (entry == one) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("a trainer's rank: layers and experts as it numbers them, fused shapes, padded rows") {
  plan::Side side;
  side.layout = {.tensor = 2, .pipeline = 2, .expert = 2};
  Coordinate at;
  at.tensor = 1;
  at.expert = 1;
  at.pipeline = 1;
  Listed const listed = list(plan::qwen3_moe(), FamilyStyle::trainer, side, at);
  CHECK(holds(listed.tensors, "decoder.layers.0.self_attention.linear_qkv.weight (12, 8)"));
  CHECK(holds(listed.tensors, "decoder.layers.1.self_attention.linear_proj.weight (8, 8)"));
  CHECK(holds(listed.tensors,
              "decoder.layers.1.mlp.experts.local_experts.1.linear_fc1.weight (6, 8)"));
  CHECK(holds(listed.tensors, "output_layer.weight (128, 8)"));  // 100 padded to 256
  CHECK(!holds(listed.tensors, "embedding.word_embeddings.weight (128, 8)"));
  CHECK(listed.tensors.size() == 2 * (8 + 2 * 2 - 1) + 2);
  CHECK(holds(listed.canonical, "model.layers.3.self_attn.k_proj.weight (4, 8)"));
  CHECK(holds(listed.canonical, "model.layers.2.mlp.experts.3.up_proj.weight (6, 8)"));
  CHECK(!holds(listed.canonical, "model.layers.2.mlp.experts.0.up_proj.weight (6, 8)"));
  CHECK(holds(listed.canonical, "lm_head.weight (100, 8)"));
}

TEST_CASE("a server's rank: global layers, stacked experts, the embedding where it is tied") {
  plan::Side side;
  side.layout = {.tensor = 2, .pipeline = 2};
  side.expert_tensor = 1;
  Coordinate at;
  at.pipeline = 1;
  Listed const listed = list(plan::qwen3_moe(), FamilyStyle::server, side, at);
  CHECK(holds(listed.tensors, "model.layers.3.mlp.experts.w13_weight (2, 12, 8)"));
  CHECK(holds(listed.tensors, "model.layers.2.mlp.experts.w2_weight (2, 8, 6)"));
  CHECK(holds(listed.tensors, "lm_head.weight (64, 8)"));
  CHECK(holds(listed.canonical, "model.layers.3.mlp.experts.1.down_proj.weight (8, 6)"));
  plan::ModelSizes tied = sizes;
  tied.tied = true;
  Listed const with_tie = list(plan::qwen2(), FamilyStyle::server, side, at, "", tied);
  CHECK(holds(with_tie.tensors, "model.embed_tokens.weight (64, 8)"));
  CHECK(!holds(with_tie.tensors, "lm_head.weight (64, 8)"));
  CHECK(holds(with_tie.tensors, "model.layers.2.self_attn.qkv_proj.bias (12)"));
  Listed const trainer = list(plan::qwen2(), FamilyStyle::trainer, side, at, "", tied);
  CHECK(!holds(trainer.canonical, "model.embed_tokens.weight (100, 8)"));
}

TEST_CASE("canonical models: nothing fused") {
  plan::Side side;
  side.layout = {.tensor = 2};
  Listed const listed = list(plan::llama(), FamilyStyle::canonical, side, Coordinate{});
  CHECK(holds(listed.tensors, "model.layers.3.self_attn.q_proj.weight (8, 8)"));
  CHECK(holds(listed.tensors, "model.layers.3.self_attn.v_proj.weight (2, 8)"));
  CHECK(holds(listed.tensors, "model.layers.0.mlp.up_proj.weight (8, 8)"));
  CHECK(holds(listed.canonical, "model.layers.0.mlp.up_proj.weight (16, 8)"));
  CHECK(listed.tensors.size() == listed.canonical.size());
  CHECK(listed.tensors.size() == 1 + 4 * 9 + 2);
}

TEST_CASE("adapters of fused tensors: factors under the names of the canonical ones") {
  plan::Side side;
  side.layout = {.tensor = 2};
  Coordinate at;
  at.tensor = 1;
  std::deque<std::vector<float>> memory;
  auto const make = [&](Shape const& shape) {
    memory.emplace_back(static_cast<std::size_t>(rlhf::element_count(shape)));
    return rlhf::view(memory.back(), shape);
  };
  for (FamilyStyle const style : {FamilyStyle::trainer, FamilyStyle::server}) {
    std::vector<std::string> seen;
    sync::visit_family(
        plan::qwen3_moe(), sizes, style, side, at,
        [&](std::string_view name, Shape const& shape) {
          Shape a = shape;
          Shape b = shape;
          bool const adapted = name.find("qkv") != std::string_view::npos && shape.rank() == 2;
          bool const of_experts = name.find("fc1.weight") != std::string_view::npos ||
                                  name.find("w13") != std::string_view::npos;
          if (!adapted && !of_experts) {
            return sync::FoundTensor(make(shape));
          }
          a[shape.rank() - 2] = 3;
          b[shape.rank() - 1] = 3;
          return sync::FoundTensor(make(shape), {.a = make(a), .b = make(b)});
        },
        [&](std::string_view name, rlhf::TensorView const& view, auto const& rule) {
          auto const holding = rule.holding(view.shape, side.layout, at);
          if (rlhf::lora::is_factor(name)) {
            seen.push_back(rlhf::text(name, " ", to_string(holding.global), " from ",
                                      holding.boxes.front().box.start[0]));
          }
        });
    CHECK(seen.size() == 4 * 2 * 3 + 4 * 4 * 2 * 2);
    CHECK(holds(seen, "model.layers.3.self_attn.q_proj.lora_B.weight (16, 3) from 8"));
    CHECK(holds(seen, "model.layers.3.self_attn.v_proj.lora_B.weight (4, 3) from 2"));
    CHECK(holds(seen, "model.layers.3.self_attn.v_proj.lora_A.weight (3, 8) from 0"));
    CHECK(holds(seen, "model.layers.2.mlp.experts.3.up_proj.lora_B.weight (6, 3) from 3"));
    CHECK(holds(seen, "model.layers.2.mlp.experts.3.gate_proj.lora_A.weight (3, 8) from 0"));
  }
}

TEST_CASE("tensors of another shape, and layouts that do not fit, are named") {
  plan::Side side;
  side.layout = {.tensor = 2};
  CHECK(failure([&] {
          list(plan::llama(), FamilyStyle::trainer, side, Coordinate{},
               "decoder.layers.0.mlp.linear_fc2.weight");
        }) ==
        "family llama: trainer tensor decoder.layers.0.mlp.linear_fc2.weight has shape (8, 9); by "
        "the sizes and the layout it should be (8, 8)");
  side.layout = {.tensor = 32};
  CHECK(failure([&] {
          list(plan::llama(), FamilyStyle::server, side, Coordinate{});
        }).find("8 query and 2 key/value heads do not fit 32 tensor ranks") != std::string::npos);
  side.layout = {.tensor = 8};
  CHECK(failure([&] { list(plan::qwen3_moe(), FamilyStyle::trainer, side, Coordinate{}); }) ==
        "family qwen3_moe, decoder.layers.{l}.mlp.experts.local_experts.{e}.linear_fc1.weight: "
        "expert_ffn = 6 does not divide over 8 tensor ranks");
  side.layout = {.tensor = 1, .expert = 3};
  CHECK(failure([&] { list(plan::qwen3_moe(), FamilyStyle::server, side, Coordinate{}); }) ==
        "4 experts cannot be dealt to 3 expert ranks");
  side = {};
  side.stage_of_layer = {0, 0};
  CHECK(failure([&] { list(plan::llama(), FamilyStyle::server, side, Coordinate{}); }) ==
        "the stage map has 2 layers, the model 4");
}
