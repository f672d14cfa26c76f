/// @file
/// Families of models: what their tensors are called and how they are fused on each side. Layer:
/// plan.
///
/// A family is a table. One row is one tensor as a trainer (Megatron) and a server (vLLM) have it,
/// and the canonical tensors in it (Hugging Face). `{l}` stands for a layer, `{e}` for an expert.
/// plan/families.hpp has those of Llama and Qwen; adapters/family_json.hpp reads others.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/plan/model_list.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::plan {

/// The numbers of a model. Extents of a family's table are products of their names.
struct ModelSizes {
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;  ///< Of queries.
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t ffn = 0;         ///< Rows of gate_proj of a dense layer.
  std::int64_t experts = 0;     ///< 0: a dense model.
  std::int64_t expert_ffn = 0;  ///< Rows of gate_proj of an expert.
  std::int64_t vocab = 0;       ///< Without padding.
  bool tied = false;            ///< The output layer is the embedding.
};

/// How tensor parallelism cuts a row of the table.
enum class FamilyCut : std::uint8_t {
  whole,       ///< Not at all.
  rows,        ///< Every canonical tensor along dimension 0 (gate|up).
  columns,     ///< Along dimension 1.
  heads,       ///< Query, key and value by whole heads, fused in the side's order.
  vocabulary,  ///< Along dimension 0, padded.
};

/// Where in the pipeline a row is.
enum class FamilyPlace : std::uint8_t { first, layers, last };

/// How a side names and fuses tensors.
enum class FamilyStyle : std::uint8_t {
  trainer,    ///< Megatron: layers and experts numbered on the rank; query|key|value by group.
  server,     ///< vLLM: global layers; query|key|value one after the other; experts stacked.
  canonical,  ///< Hugging Face: nothing fused, an expert each.
};

[[nodiscard]] constexpr std::string_view to_string(FamilyStyle style) noexcept {
  return style == FamilyStyle::trainer  ? "trainer"
         : style == FamilyStyle::server ? "server"
                                        : "canonical";
}

/// A canonical tensor in a row.
struct FamilyPiece {
  std::string name;  ///< `model.layers.{l}.self_attn.q_proj.weight`
  std::string rows;  ///< Its extent of dimension 0: `heads*head_dim`, of all ranks together.
};

/// A row of a family's table.
template <class T = void>
struct BasicFamilyTensor {
  std::string trainer;  ///< `decoder.layers.{l}.self_attention.linear_qkv.weight`
  std::string server;   ///< `model.layers.{l}.self_attn.qkv_proj.weight`
  rlhf::detail::late_vector<FamilyPiece, T> pieces{};  ///< In the order in which they are fused.
  std::string columns{};  ///< Extent of dimension 1; empty: the tensor has one dimension.
  FamilyCut cut = FamilyCut::whole;
  FamilyPlace place = FamilyPlace::layers;
  bool experts = false;      ///< One for each expert, stacked on servers.
  bool untied_only = false;  ///< Not where the output layer is the embedding.
};
using FamilyTensor = BasicFamilyTensor<>;

/// A family of models.
template <class T = void>
struct BasicFamily {
  std::string name{};
  rlhf::detail::late_vector<BasicFamilyTensor<T>, T> tensors{};
  /// A trainer pads the vocabulary to a multiple of this times its tensor ranks (Megatron's
  /// make-vocab-size-divisible-by), a server to a multiple of this that its tensor ranks divide.
  int trainer_vocab_multiple = 128;
  int server_vocab_multiple = 64;
};
using Family = BasicFamily<>;

/// The value of a product of names of sizes and numbers: `2*kv_heads*head_dim`.
///
/// Errors: invalid_argument naming the word that is no size, or the size that is below 1.
template <class = void>
[[nodiscard]] std::int64_t extent_of(std::string_view product, ModelSizes const& sizes) {
  std::pair<std::string_view, std::int64_t> const known[] = {
      {"hidden", sizes.hidden},     {"heads", sizes.heads},   {"kv_heads", sizes.kv_heads},
      {"head_dim", sizes.head_dim}, {"ffn", sizes.ffn},       {"experts", sizes.experts},
      {"vocab", sizes.vocab},       {"layers", sizes.layers}, {"expert_ffn", sizes.expert_ffn}};
  std::int64_t value = 1;
  std::string_view rest = product;
  for (;;) {
    std::size_t const star = rest.find('*');
    std::string_view const word = rest.substr(0, star);
    std::int64_t factor = -1;
    for (auto const& size : known) {
      factor = size.first == word ? size.second : factor;
    }
    bool is_number = !word.empty() && word.size() < 16;
    for (char const c : word) {
      is_number = is_number && c >= '0' && c <= '9';
    }
    if (is_number) {
      factor = 0;
      for (char const c : word) {
        factor = factor * 10 + (c - '0');
      }
    } else if (factor == -1) {
      fail(Errc::invalid_argument,
           text("extent ", product, ": ", word.empty() ? "nothing" : word,
                " is no size of a model; use hidden, heads, kv_heads, head_dim, ffn, experts, "
                "expert_ffn, vocab, layers or a number, joined by *"));
    }
    if (factor < 1) {
      fail(Errc::invalid_argument, text("extent ", product, ": ", word, " is ", factor,
                                        "; give the model's sizes, from 1"));
    }
    value = checked_multiply(value, factor);
    if (star == std::string_view::npos) {
      return value;
    }
    rest.remove_prefix(star + 1);
  }
}

/// A name of the table for a layer and an expert.
template <class = void>
[[nodiscard]] std::string name_of(std::string_view pattern, std::int64_t layer,
                                  std::int64_t expert = -1) {
  std::string out;
  while (!pattern.empty()) {
    bool const is_layer = pattern.starts_with("{l}");
    if (is_layer || pattern.starts_with("{e}")) {
      out += text(is_layer ? layer : expert);
      pattern.remove_prefix(3);
    } else {
      out += pattern.front();
      pattern.remove_prefix(1);
    }
  }
  return out;
}

/// Errors: invalid_argument naming the row of a table that cannot be right, and why.
template <class T>
void check_family(BasicFamily<T> const& family) {
  auto const has = [](std::string_view name, std::string_view mark) {
    return name.find(mark) != std::string_view::npos;
  };
  if (family.trainer_vocab_multiple < 1 || family.server_vocab_multiple < 1) {
    fail(Errc::invalid_argument,
         text("family ", family.name, ": a vocabulary is padded to a multiple of at least 1"));
  }
  for (std::size_t r = 0; r < family.tensors.size(); ++r) {
    auto const& row = family.tensors[r];
    auto const require = [&](bool right, std::string_view what) {
      if (!right) {
        fail(Errc::invalid_argument,
             text("family ", family.name, ", row ", r, " (", row.trainer, "): ", what));
      }
    };
    bool const layers = row.place == FamilyPlace::layers;
    require(!row.trainer.empty() && !row.server.empty(), "needs a name on both sides");
    require(!row.pieces.empty(), "holds no canonical tensor");
    require(row.cut != FamilyCut::heads || row.pieces.size() == 3,
            "is cut by heads, but does not hold three tensors: query, key, value");
    require(row.cut != FamilyCut::vocabulary || (row.pieces.size() == 1 && !row.experts),
            "is cut as a vocabulary, but does not hold one tensor");
    require(row.cut != FamilyCut::columns || !row.columns.empty(),
            "is cut by columns, but has one dimension");
    require(!row.experts || (layers && row.cut != FamilyCut::heads),
            "is of experts, which are in layers and not cut by heads");
    require(has(row.trainer, "{l}") == layers && has(row.server, "{l}") == layers,
            layers ? "is in layers, but a name has no {l}" : "is in no layer, but a name has {l}");
    require(has(row.trainer, "{e}") == row.experts && !has(row.server, "{e}"),
            row.experts ? "is of experts: the trainer's name needs {e}, the server's stacks them"
                        : "is not of experts, but a name has {e}");
    ModelSizes const any{1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (FamilyPiece const& piece : row.pieces) {
      require(
          has(piece.name, "{l}") == layers && has(piece.name, "{e}") == row.experts,
          text("canonical name ", piece.name, " has {l} or {e} where it should not, or lacks it"));
      try {
        static_cast<void>(extent_of(piece.rows, any));
        static_cast<void>(row.columns.empty() ? 1 : extent_of(row.columns, any));
      } catch (Error const& error) {
        require(false, error.message());
      }
    }
  }
}

namespace detail {

/// One canonical parameter: a piece of a row, of one layer and expert.
template <class Row>
[[nodiscard]] ModelParameter canonical_parameter(Row const& row, FamilyPiece const& piece,
                                                 std::int64_t layer, std::int64_t expert,
                                                 ModelSizes const& sizes) {
  ModelParameter one;
  one.name = name_of(piece.name, layer, expert);
  one.shape.push_back(extent_of(piece.rows, sizes));
  if (!row.columns.empty()) {
    one.shape.push_back(extent_of(row.columns, sizes));
  }
  one.tensor_dimension = row.cut == FamilyCut::whole ? -1 : row.cut == FamilyCut::columns ? 1 : 0;
  if (row.cut == FamilyCut::heads) {
    one.heads = narrow<int>(one.shape[0] / extent_of("head_dim", sizes));
  }
  one.layer = row.place == FamilyPlace::layers ? static_cast<int>(layer) : -1;
  one.behind_layers = row.place == FamilyPlace::last;
  one.expert = row.experts ? static_cast<int>(expert) : -1;
  return one;
}

}  // namespace detail

/// The canonical parameters of a model of a family, as `place` and plans take them. Tied ones are
/// listed with what they are tied to.
///
/// Errors: as `check_family` and `extent_of`.
template <class T>
[[nodiscard]] BasicModelList<T> canonical_model(BasicFamily<T> const& family,
                                                ModelSizes const& sizes,
                                                DType dtype = DType::bf16) {
  check_family(family);
  BasicModelList<T> model;
  model.name = family.name;
  model.layers = narrow<int>(sizes.layers);
  model.experts = narrow<int>(sizes.experts);
  std::string embedding;  // what the output layer is tied to
  for (auto const& row : family.tensors) {
    if (row.place == FamilyPlace::first && row.cut == FamilyCut::vocabulary && embedding.empty() &&
        !row.pieces.empty()) {
      embedding = row.pieces.front().name;
    }
  }
  for (auto const& row : family.tensors) {
    std::int64_t const layers = row.place == FamilyPlace::layers ? sizes.layers : 1;
    std::int64_t const experts = row.experts ? sizes.experts : 1;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      for (std::int64_t expert = 0; expert < experts; ++expert) {
        for (FamilyPiece const& piece : row.pieces) {
          ModelParameter one = detail::canonical_parameter(row, piece, layer, expert, sizes);
          one.dtype = dtype;
          if (row.untied_only && sizes.tied) {
            one.tied_to = embedding;
          }
          model.parameters.push_back(std::move(one));
        }
      }
    }
  }
  return model;
}

}  // namespace rlhf::inline v0::plan
