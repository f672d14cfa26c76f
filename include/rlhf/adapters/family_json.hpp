/// @file
/// Reads tables of model families from JSON. Layer: adapters.
///
/// The format: one object with "family" (its name), optionally "trainer_vocab_multiple" and
/// "server_vocab_multiple", and "tensors". A row of those:
///
///     {"trainer": "decoder.layers.{l}.mlp.linear_fc1.weight",
///      "server": "model.layers.{l}.mlp.gate_up_proj.weight",
///      "canonical": [["model.layers.{l}.mlp.gate_proj.weight", "ffn"],
///                    ["model.layers.{l}.mlp.up_proj.weight", "ffn"]],
///      "columns": "hidden", "cut": "rows"}
///
/// "cut" is whole (where it is left out), rows, columns, heads or vocabulary; "place" layers (where
/// it is left out), first or last; "experts" and "untied_only" are true or false. Extents are
/// products of the names of `plan::ModelSizes`. "comment"s are for readers; other keys are refused.
#pragma once

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/family.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::plan {
namespace detail {

/// One table being read.
class FamilyReader {
 public:
  explicit FamilyReader(std::string origin) : origin_(std::move(origin)) {}

  [[nodiscard]] Family read(nlohmann::json const& file) {
    require(file.is_object(), "is not a JSON object");
    known(file,
          {"family", "trainer_vocab_multiple", "server_vocab_multiple", "tensors", "comment"});
    Family family;
    family.name = word(file, "family");
    family.trainer_vocab_multiple =
        multiple(file, "trainer_vocab_multiple", family.trainer_vocab_multiple);
    family.server_vocab_multiple =
        multiple(file, "server_vocab_multiple", family.server_vocab_multiple);
    require(file.contains("tensors") && file["tensors"].is_array(), "has no list \"tensors\"");
    for (nlohmann::json const& row : file["tensors"]) {
      ++row_;
      family.tensors.push_back(tensor(row));
    }
    try {
      check_family(family);
    } catch (Error const& error) {
      row_ = -1;
      refuse(text("is wrong: ", error.message()));
    }
    return family;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(Errc::invalid_argument, row_ < 0
                                     ? text("family file ", origin_, " ", what)
                                     : text("family file ", origin_, ", row ", row_, ": ", what));
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
  [[nodiscard]] std::string word(nlohmann::json const& object, char const* key) const {
    require(object.contains(key) && object[key].is_string(), text("needs a text \"", key, "\""));
    return object[key].get<std::string>();
  }
  [[nodiscard]] int multiple(nlohmann::json const& object, char const* key, int otherwise) const {
    if (!object.contains(key)) {
      return otherwise;
    }
    require(object[key].is_number_integer() && object[key].get<std::int64_t>() >= 1 &&
                object[key].get<std::int64_t>() <= (1 << 20),
            text("needs a whole number \"", key, "\" from 1 to ", 1 << 20));
    return object[key].get<int>();
  }
  [[nodiscard]] bool flag(nlohmann::json const& object, char const* key) const {
    require(!object.contains(key) || object[key].is_boolean(),
            text("\"", key, "\" must be true or false"));
    return object.contains(key) && object[key].get<bool>();
  }
  /// The number of a word in a list; 0 where the key is left out.
  [[nodiscard]] int choice(nlohmann::json const& object, char const* key,
                           std::initializer_list<std::string_view> words) const {
    if (!object.contains(key)) {
      return 0;
    }
    std::string const given = word(object, key);
    std::string all;
    int number = 0;
    for (std::string_view const one : words) {
      if (one == given) {
        return number;
      }
      ++number;
      all += text(all.empty() ? "" : ", ", one);
    }
    refuse(text("\"", key, "\" is ", given, "; use one of ", all));
  }

  [[nodiscard]] FamilyTensor tensor(nlohmann::json const& row) const {
    require(row.is_object(), "is not a JSON object");
    known(row, {"trainer", "server", "canonical", "columns", "cut", "place", "experts",
                "untied_only", "comment"});
    FamilyTensor out;
    out.trainer = word(row, "trainer");
    out.server = word(row, "server");
    require(row.contains("canonical") && row["canonical"].is_array(), "has no list \"canonical\"");
    for (nlohmann::json const& piece : row["canonical"]) {
      require(piece.is_array() && piece.size() == 2 && piece[0].is_string() && piece[1].is_string(),
              "\"canonical\" must be a list of [name, rows], two texts");
      out.pieces.push_back({piece[0].get<std::string>(), piece[1].get<std::string>()});
    }
    out.columns = row.contains("columns") ? word(row, "columns") : "";
    constexpr FamilyCut cuts[] = {FamilyCut::whole, FamilyCut::rows, FamilyCut::columns,
                                  FamilyCut::heads, FamilyCut::vocabulary};
    out.cut = cuts[choice(row, "cut", {"whole", "rows", "columns", "heads", "vocabulary"})];
    constexpr FamilyPlace places[] = {FamilyPlace::layers, FamilyPlace::first, FamilyPlace::last};
    out.place = places[choice(row, "place", {"layers", "first", "last"})];
    out.experts = flag(row, "experts");
    out.untied_only = flag(row, "untied_only");
    return out;
  }

  std::string origin_;
  int row_ = -1;
};

}  // namespace detail

/// Reads a family's table. `origin` is for messages.
///
/// Errors: invalid_argument naming the file, the row and what is wrong.
[[nodiscard]] inline Family read_family(std::string const& content, std::string const& origin) {
  return detail::FamilyReader(origin).read(
      adapters::detail::json_of(content, "family file", origin));
}

}  // namespace rlhf::inline v0::plan
