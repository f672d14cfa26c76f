/// @file
/// Reads parameter lists of models from JSON. Layer: adapters.
///
/// The format: one object with "layers", optionally "model" and "experts", and "entries". An entry
/// is one parameter, or many: `"ranges"` gives half-open ranges for `{l}` (layer) and `{e}`
/// (expert) in its `"name"`. `"shape"` and `"dtype"` are the global tensor's; `"split": {"tensor":
/// d}` names the dimension that tensor parallelism cuts, `"heads"` the heads along it; `"expert":
/// "e"` says that {e} numbers experts; `"tied_to"` names the parameter that is the same memory;
/// `"padded"` is the extent of the cut dimension with its padding, which may differ per side.
/// Numbers about the whole model (`"hidden"`, `"parameters"`, ...) and `"comment"`s are for
/// readers; other keys are refused, and so are keys that are there twice.
#pragma once

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/model.hpp>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::plan {
namespace detail {

/// One entry of a parameter list being read.
class ModelReader {
 public:
  explicit ModelReader(std::string origin) : origin_(std::move(origin)) {}

  [[nodiscard]] ModelList read(nlohmann::json const& file) {
    require(file.is_object(), "is not a JSON object");
    known(file, {"model", "layers", "experts", "entries", "comment", "hidden", "attention_heads",
                 "key_value_heads", "head_dim", "tensors", "parameters"});
    ModelList model;
    model.name = file.contains("model") && file["model"].is_string()
                     ? file["model"].get<std::string>()
                     : origin_;
    model.layers = number(file, "layers", 0, 1 << 20);
    model.experts = file.contains("experts") ? number(file, "experts", 0, 1 << 20) : 0;
    require(file.contains("entries") && file["entries"].is_array(), "has no list \"entries\"");
    for (nlohmann::json const& entry : file["entries"]) {
      add(entry, model);
      ++entry_;
    }
    return model;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(Errc::invalid_argument,
         entry_ < 0 ? text("model file ", origin_, " ", what)
                    : text("model file ", origin_, ", entry ", entry_, name_.empty() ? "" : " (",
                           name_, name_.empty() ? "" : ")", ": ", what));
  }
  void require(bool right, std::string_view what) const {
    if (!right) {
      refuse(what);
    }
  }
  void known(nlohmann::json const& object, std::initializer_list<std::string_view> keys) const {
    std::string const wrong = adapters::detail::unknown_key(object, keys);
    require(wrong.empty(), wrong);
  }
  [[nodiscard]] int number(nlohmann::json const& object, char const* key, std::int64_t least,
                           std::int64_t most) const {
    require(object.contains(key) && object[key].is_number_integer() &&
                object[key].get<std::int64_t>() >= least && object[key].get<std::int64_t>() <= most,
            text("needs a whole number \"", key, "\" from ", least, " to ", most));
    return object[key].get<int>();
  }
  [[nodiscard]] std::string word(nlohmann::json const& object, char const* key) const {
    require(object.contains(key) && object[key].is_string(), text("needs a text \"", key, "\""));
    return object[key].get<std::string>();
  }

  static constexpr std::int64_t max_elements = std::int64_t{1} << 44;  // 16 T
  static constexpr std::int64_t max_model =
      std::int64_t{1} << 45;  // bytes of a model, so that those of 131072 ranks can be counted

  struct Range {
    int begin = 0;
    int end = 1;
    bool given = false;
  };
  [[nodiscard]] Range range(nlohmann::json const& entry, char const* key) const {
    if (!entry.contains("ranges")) {
      return {};
    }
    require(entry["ranges"].is_object(), "\"ranges\" must be an object");
    known(entry["ranges"], {"l", "e"});
    if (!entry["ranges"].contains(key)) {
      return {};
    }
    nlohmann::json const& pair = entry["ranges"][key];
    require(pair.is_array() && pair.size() == 2 && pair[0].is_number_integer() &&
                pair[1].is_number_integer(),
            text("the range of ", key, " must be [first, one behind the last]"));
    auto const begin = pair[0].get<std::int64_t>();
    auto const end = pair[1].get<std::int64_t>();
    require(begin >= 0 && begin <= end && end <= (1 << 20),
            text("the range of ", key, " must ascend from 0 or more"));
    return {static_cast<int>(begin), static_cast<int>(end), true};
  }

  /// `name` with every `{key}` replaced.
  [[nodiscard]] static std::string filled(std::string name, std::string_view key, int value) {
    std::string const with = std::to_string(value);
    for (std::size_t at = name.find(key); at != std::string::npos; at = name.find(key, at)) {
      name.replace(at, key.size(), with);
      at += with.size();
    }
    return name;
  }

  void add(nlohmann::json const& entry, ModelList& model) {
    entry_ = entry_ < 0 ? 0 : entry_;
    name_.clear();
    require(entry.is_object(), "is not a JSON object");
    name_ = word(entry, "name");
    require(!name_.empty(), "has an empty \"name\"");
    known(entry, {"name", "shape", "dtype", "split", "heads", "ranges", "expert", "tied_to",
                  "padded", "comment"});
    ModelParameter parameter;
    parameter.dtype = dtype(word(entry, "dtype"));
    require(entry.contains("shape") && entry["shape"].is_array() &&
                entry["shape"].size() <= static_cast<std::size_t>(max_rank),
            "needs a list \"shape\" of at most 6 extents");
    std::int64_t elements = 1;
    for (nlohmann::json const& extent : entry["shape"]) {
      require(extent.is_number_integer() && extent.get<std::int64_t>() >= 0 &&
                  extent.get<std::int64_t>() <= max_elements &&
                  !__builtin_mul_overflow(elements, extent.get<std::int64_t>(), &elements) &&
                  elements <= max_elements,
              text("has an impossible extent in \"shape\"; a parameter has at most ", max_elements,
                   " elements"));
      parameter.shape.push_back(extent.get<std::int64_t>());
    }
    if (entry.contains("split")) {
      require(entry["split"].is_object(), "\"split\" must be an object");
      known(entry["split"], {"tensor"});
      if (entry["split"].contains("tensor")) {
        require(parameter.shape.rank() > 0,
                "is a scalar, which no \"split\" can cut; leave it out");
        parameter.tensor_dimension =
            number(entry["split"], "tensor", 0, parameter.shape.rank() - 1);
      }
    }
    if (entry.contains("heads") && parameter.tensor_dimension >= 0) {
      parameter.heads = number(entry, "heads", 1, 1 << 20);
    }
    if (entry.contains("padded")) {
      require(parameter.tensor_dimension >= 0, "is \"padded\" but not cut");
      parameter.padded =
          number(entry, "padded", parameter.shape[parameter.tensor_dimension], INT32_MAX);
    }
    Range const layers = range(entry, "l");
    Range const experts = range(entry, "e");
    bool const is_expert = entry.contains("expert");
    require(!is_expert || word(entry, "expert") == "e", R"(must say "expert": "e")");
    require(!is_expert || experts.given, "is an expert but gives no range of e");
    require(!layers.given || layers.end <= model.layers, "reaches beyond the model's \"layers\"");
    require(!is_expert || experts.end <= model.experts, "reaches beyond the model's \"experts\"");
    std::string const tied = entry.contains("tied_to") ? word(entry, "tied_to") : "";
    for (std::string const& name : {name_, tied}) {
      require(layers.given || name.find("{l}") == std::string::npos,
              "names {l} but gives no range of l; add \"ranges\": {\"l\": [first, one behind the "
              "last]}");
      require(experts.given || name.find("{e}") == std::string::npos,
              "names {e} but gives no range of e; add \"ranges\": {\"e\": [first, one behind the "
              "last]}");
    }
    layered_ = layered_ || layers.given;
    parameter.behind_layers = layered_;
    require(model.parameters.size() + static_cast<std::size_t>(layers.end - layers.begin) *
                                          static_cast<std::size_t>(experts.end - experts.begin) <=
                (std::size_t{1} << 20),
            "makes more than a million parameters");
    std::int64_t bytes = elements * size_of(parameter.dtype);
    require(!__builtin_mul_overflow(
                bytes, std::int64_t{layers.end - layers.begin} * (experts.end - experts.begin),
                &bytes) &&
                bytes <= max_model && (bytes_ += bytes) <= max_model,
            text("makes a model of more than ", max_model, " bytes"));
    for (int layer = layers.begin; layer < layers.end; ++layer) {
      for (int expert = experts.begin; expert < experts.end; ++expert) {
        ModelParameter one = parameter;
        one.name = filled(filled(name_, "{l}", layer), "{e}", expert);
        one.tied_to = filled(filled(tied, "{l}", layer), "{e}", expert);
        one.layer = layers.given ? layer : -1;
        one.expert = is_expert ? expert : -1;
        model.parameters.push_back(std::move(one));
      }
    }
  }

  [[nodiscard]] DType dtype(std::string const& name) const {
    for (DType const one :
         {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i64, DType::i32, DType::u8}) {
      if (rlhf::to_string(one) == name) {
        return one;
      }
    }
    refuse(text("has an unknown dtype ", name, "; use f32, bf16, f16, f64, i64, i32 or u8"));
  }

  std::string origin_;
  std::string name_;
  int entry_ = -1;
  bool layered_ = false;
  std::int64_t bytes_ = 0;  // of all parameters so far
};

}  // namespace detail

/// Reads a parameter list. `origin` is for messages.
///
/// Errors: invalid_argument naming the file, the entry and what is wrong.
[[nodiscard]] inline ModelList read_model(std::string const& content, std::string const& origin) {
  return detail::ModelReader(origin).read(adapters::detail::json_of(content, "model file", origin));
}

/// The same from a file. Errors: io where it cannot be read.
[[nodiscard]] inline ModelList read_model_file(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    fail(Errc::io, text("model file ", path, " cannot be opened; is the path right?"));
  }
  std::string content;
  char block[4096];
  while (file.read(block, sizeof block) || file.gcount() > 0) {  // throws nothing, for a folder too
    content.append(block, static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) {
    fail(Errc::io, text("model file ", path, " cannot be read; is it a folder?"));
  }
  return read_model(content, path);
}

}  // namespace rlhf::inline v0::plan
