/// @file
/// The tables of Llama, Qwen2, Qwen3 and Qwen3-MoE. Layer: plan.
///
/// Names: Megatron-Core with Transformer Engine (layer norms in the linear layers behind them),
/// vLLM, Hugging Face Transformers. Source: those projects' checkpoints; the reference's name
/// tables.
#pragma once

#include <rlhf/plan/family.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::plan {
namespace detail {

/// A row with one canonical tensor, which a server calls the same.
template <class T>
[[nodiscard]] BasicFamilyTensor<T> plain_row(std::string_view trainer, std::string_view canonical,
                                             std::string_view rows, std::string_view columns,
                                             FamilyCut cut,
                                             FamilyPlace place = FamilyPlace::layers) {
  BasicFamilyTensor<T> row;
  row.trainer = trainer;
  row.server = canonical;
  row.pieces.push_back({std::string(canonical), std::string(rows)});
  row.columns = columns;
  row.cut = cut;
  row.place = place;
  return row;
}

/// Query, key and value: weight or bias.
template <class T>
[[nodiscard]] BasicFamilyTensor<T> qkv_row(std::string_view what, std::string_view columns) {
  BasicFamilyTensor<T> row;
  row.trainer = text("decoder.layers.{l}.self_attention.linear_qkv.", what);
  row.server = text("model.layers.{l}.self_attn.qkv_proj.", what);
  row.pieces.push_back({text("model.layers.{l}.self_attn.q_proj.", what), "heads*head_dim"});
  row.pieces.push_back({text("model.layers.{l}.self_attn.k_proj.", what), "kv_heads*head_dim"});
  row.pieces.push_back({text("model.layers.{l}.self_attn.v_proj.", what), "kv_heads*head_dim"});
  row.columns = columns;
  row.cut = FamilyCut::heads;
  return row;
}

/// Gate and up.
template <class T>
[[nodiscard]] BasicFamilyTensor<T> gate_up_row(std::string_view trainer, std::string_view server,
                                               std::string_view canonical, std::string_view rows) {
  BasicFamilyTensor<T> row;
  row.trainer = trainer;
  row.server = server;
  row.pieces.push_back({text(canonical, ".gate_proj.weight"), std::string(rows)});
  row.pieces.push_back({text(canonical, ".up_proj.weight"), std::string(rows)});
  row.columns = "hidden";
  row.cut = FamilyCut::rows;
  return row;
}

template <class T>
[[nodiscard]] BasicFamily<T> decoder_family(std::string_view name, bool qkv_bias, bool qk_norm,
                                            bool experts) {
  BasicFamily<T> family;
  family.name = name;
  auto& rows = family.tensors;
  rows.push_back(plain_row<T>("embedding.word_embeddings.weight", "model.embed_tokens.weight",
                              "vocab", "hidden", FamilyCut::vocabulary, FamilyPlace::first));
  rows.push_back(plain_row<T>("decoder.layers.{l}.self_attention.linear_qkv.layer_norm_weight",
                              "model.layers.{l}.input_layernorm.weight", "hidden", "",
                              FamilyCut::whole));
  rows.push_back(qkv_row<T>("weight", "hidden"));
  if (qkv_bias) {
    rows.push_back(qkv_row<T>("bias", ""));
  }
  if (qk_norm) {
    rows.push_back(plain_row<T>("decoder.layers.{l}.self_attention.q_layernorm.weight",
                                "model.layers.{l}.self_attn.q_norm.weight", "head_dim", "",
                                FamilyCut::whole));
    rows.push_back(plain_row<T>("decoder.layers.{l}.self_attention.k_layernorm.weight",
                                "model.layers.{l}.self_attn.k_norm.weight", "head_dim", "",
                                FamilyCut::whole));
  }
  rows.push_back(plain_row<T>("decoder.layers.{l}.self_attention.linear_proj.weight",
                              "model.layers.{l}.self_attn.o_proj.weight", "hidden",
                              "heads*head_dim", FamilyCut::columns));
  rows.push_back(plain_row<T>(experts ? "decoder.layers.{l}.pre_mlp_layernorm.weight"
                                      : "decoder.layers.{l}.mlp.linear_fc1.layer_norm_weight",
                              "model.layers.{l}.post_attention_layernorm.weight", "hidden", "",
                              FamilyCut::whole));
  if (experts) {
    rows.push_back(plain_row<T>("decoder.layers.{l}.mlp.router.weight",
                                "model.layers.{l}.mlp.gate.weight", "experts", "hidden",
                                FamilyCut::whole));
    rows.push_back(
        gate_up_row<T>("decoder.layers.{l}.mlp.experts.local_experts.{e}.linear_fc1.weight",
                       "model.layers.{l}.mlp.experts.w13_weight",
                       "model.layers.{l}.mlp.experts.{e}", "expert_ffn"));
    rows.back().experts = true;
    rows.push_back(
        plain_row<T>("decoder.layers.{l}.mlp.experts.local_experts.{e}.linear_fc2.weight",
                     "model.layers.{l}.mlp.experts.{e}.down_proj.weight", "hidden", "expert_ffn",
                     FamilyCut::columns));
    rows.back().server = "model.layers.{l}.mlp.experts.w2_weight";
    rows.back().experts = true;
  } else {
    rows.push_back(gate_up_row<T>("decoder.layers.{l}.mlp.linear_fc1.weight",
                                  "model.layers.{l}.mlp.gate_up_proj.weight",
                                  "model.layers.{l}.mlp", "ffn"));
    rows.push_back(plain_row<T>("decoder.layers.{l}.mlp.linear_fc2.weight",
                                "model.layers.{l}.mlp.down_proj.weight", "hidden", "ffn",
                                FamilyCut::columns));
  }
  rows.push_back(plain_row<T>("decoder.final_layernorm.weight", "model.norm.weight", "hidden", "",
                              FamilyCut::whole, FamilyPlace::last));
  rows.push_back(plain_row<T>("output_layer.weight", "lm_head.weight", "vocab", "hidden",
                              FamilyCut::vocabulary, FamilyPlace::last));
  rows.back().untied_only = true;
  return family;
}

}  // namespace detail

/// Llama 2 and 3 and what has their shape (Mistral).
template <class T = void>
[[nodiscard]] BasicFamily<T> llama() {
  return detail::decoder_family<T>("llama", false, false, false);
}
/// Qwen2 and Qwen2.5: biases of query, key and value.
template <class T = void>
[[nodiscard]] BasicFamily<T> qwen2() {
  return detail::decoder_family<T>("qwen2", true, false, false);
}
/// Qwen3: norms of queries and keys.
template <class T = void>
[[nodiscard]] BasicFamily<T> qwen3() {
  return detail::decoder_family<T>("qwen3", false, true, false);
}
/// Qwen3-MoE: experts in every layer.
template <class T = void>
[[nodiscard]] BasicFamily<T> qwen3_moe() {
  return detail::decoder_family<T>("qwen3_moe", false, true, true);
}

/// A family by its name. Errors: invalid_argument listing the names.
template <class T = void>
[[nodiscard]] BasicFamily<T> family_named(std::string_view name) {
  if (name == "llama") {
    return llama<T>();
  }
  if (name == "qwen2") {
    return qwen2<T>();
  }
  if (name == "qwen3") {
    return qwen3<T>();
  }
  if (name == "qwen3_moe") {
    return qwen3_moe<T>();
  }
  fail(Errc::invalid_argument,
       text("no family is called ", name, "; known are llama, qwen2, qwen3 and qwen3_moe"));
}

}  // namespace rlhf::inline v0::plan
