/// @file
/// Names and their numbers. Layer: runtime, private.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime::detail {

/// Gives each name, inside the scope of a number, a number of its own, in the order they come.
///
/// Cost: one hash of the name; allocates for new names only. Thread safety: one caller.
template <class Late = void>
class NameTable {
 public:
  [[nodiscard]] int size() const noexcept { return static_cast<int>(names_.size()); }
  /// Valid until a new name comes.
  [[nodiscard]] std::string_view operator[](int number) const noexcept {
    return names_[static_cast<std::size_t>(number)];
  }
  /// The number of a name, or -1.
  [[nodiscard]] int find(std::string_view name, int scope = -1) const {
    return find(hash_of(name, scope), name, scope);
  }
  /// The number of a name, a new one where it has not come before.
  [[nodiscard]] int of(std::string_view name, int scope = -1) {
    std::uint64_t const hash = hash_of(name, scope);
    int number = find(hash, name, scope);
    if (number < 0) {
      number = size();
      names_.emplace_back(name);
      scopes_.push_back(scope);
      index_.add(hash, number);
    }
    return number;
  }
  void clear() {
    names_.clear();
    scopes_.clear();
    index_ = {};
  }

 private:
  [[nodiscard]] static std::uint64_t hash_of(std::string_view name, int scope) noexcept {
    return Fingerprint{}.add(static_cast<std::uint64_t>(scope) + 1).add(name).value();
  }
  [[nodiscard]] int find(std::uint64_t hash, std::string_view name, int scope) const {
    return index_.find(hash, [&, this](int number) {
      auto const at = static_cast<std::size_t>(number);
      return scopes_[at] == scope && names_[at] == name;
    });
  }

  std::vector<rlhf::detail::late<std::string, Late>> names_;
  std::vector<rlhf::detail::late<int, Late>> scopes_;
  rlhf::detail::HashIndex<Late> index_;
};

}  // namespace rlhf::inline v0::runtime::detail
