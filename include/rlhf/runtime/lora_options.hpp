/// @file
/// What a module's adapters are: every argument of the reference, as a plain struct. Layer:
/// runtime.
#pragma once

#include <rlhf/core/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::runtime {

/// The kinds of layers that adapters know.
enum class LayerKind : std::uint8_t {
  linear,
  column_parallel_linear,
  row_parallel_linear,
  embedding,
  vocab_parallel_embedding,
};
inline constexpr int layer_kind_count = 5;

/// The reference's class names.
[[nodiscard]] constexpr std::string_view to_string(LayerKind kind) noexcept {
  constexpr std::string_view names[layer_kind_count] = {"LinearLayer", "ColumnParallelLinear",
                                                        "RowParallelLinear", "Embedding",
                                                        "VocabParallelEmbedding"};
  return names[static_cast<int>(kind)];
}

/// A module's adapters. `adapts` says which layers have one; making them is the model's.
struct LoraOptions {
  bool enable_lora = false;
  std::string part_module_name{};  ///< Only layers whose name contains it. Empty: all.
  int lora_dim = 8;                ///< The low rank.
  double lora_dropout = 0.0;       ///< Of the adapter's output in training; applied by the model.
  double lora_scaling = 1.0;
  /// Kinds of layers, separated by commas.
  std::string lora_layer =
      "ColumnParallelLinear,Embedding,LinearLayer,RowParallelLinear,VocabParallelEmbedding";
  bool column_only_qkv = false;  ///< Of column-parallel layers only query|key|value.

  /// What B A is multiplied by.
  [[nodiscard]] float scale() const noexcept { return static_cast<float>(lora_scaling / lora_dim); }
  /// Errors: invalid_argument naming the argument, its value and what is accepted.
  template <class = void>
  void check() const {
    if (lora_dim < 1) {
      fail(Errc::invalid_argument, text("lora_dim is ", lora_dim, "; it must be at least 1"));
    }
    if (!(lora_dropout >= 0 && lora_dropout < 1)) {
      fail(Errc::invalid_argument,
           text("lora_dropout is ", lora_dropout, "; it must be at least 0 and below 1"));
    }
    if (!(lora_scaling > -1e30 && lora_scaling < 1e30)) {
      fail(Errc::invalid_argument, text("lora_scaling is ", lora_scaling, "; it must be finite"));
    }
    each_kind([](std::string_view name) {
      std::string all;
      for (int kind = 0; kind < layer_kind_count; ++kind) {
        std::string_view const known = to_string(static_cast<LayerKind>(kind));
        if (known == name) {
          return;
        }
        all += text(all.empty() ? "" : ", ", known);
      }
      fail(Errc::invalid_argument,
           text("lora_layer names ", name.empty() ? "nothing between commas" : name, "; known are ",
                all));
    });
  }
  /// Whether a layer has an adapter. `name` is that of the layer or of its weight.
  template <class = void>
  [[nodiscard]] bool adapts(std::string_view name, LayerKind kind) const {
    bool listed = false;
    each_kind([&](std::string_view one) { listed = listed || one == to_string(kind); });
    return enable_lora && listed && name.find(part_module_name) != std::string_view::npos &&
           (kind != LayerKind::column_parallel_linear || !column_only_qkv || is_qkv(name));
  }

  /// Whether a name is that of a query, key or value projection, fused or not.
  [[nodiscard]] static constexpr bool is_qkv(std::string_view name) noexcept {
    constexpr std::string_view words[] = {"qkv",    "query_key_value", "q_proj",
                                          "k_proj", "v_proj",          "c_attn"};
    for (std::string_view const word : words) {
      if (name.find(word) != std::string_view::npos) {
        return true;
      }
    }
    return false;
  }

 private:
  template <class Call>
  void each_kind(Call&& call) const {
    std::string_view rest = lora_layer;
    for (;;) {
      std::size_t const comma = rest.find(',');
      std::string_view one = rest.substr(0, comma);
      while (one.starts_with(' ')) {
        one.remove_prefix(1);
      }
      while (one.ends_with(' ')) {
        one.remove_suffix(1);
      }
      call(one);
      if (comma == std::string_view::npos) {
        return;
      }
      rest.remove_prefix(comma + 1);
    }
  }
};

}  // namespace rlhf::inline v0::runtime
