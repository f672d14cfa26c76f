/// @file
/// What ranks tell of themselves before they exchange descriptions. Layer: sync, private.
#pragma once

#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/sync/detail/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace rlhf::inline v0::sync::detail {

/// What one rank sends first: three numbers of 64 bits.
struct Head {
  std::int64_t list_print = 0;  ///< Fingerprint of its list's bytes.
  std::int64_t list_bytes = 0;
  std::int64_t own_bytes = 0;

  static constexpr std::int64_t numbers = 3;
};
static_assert(sizeof(Head) == Head::numbers * sizeof(std::int64_t) &&
              std::is_trivially_copyable_v<Head>);

/// The distinct lists of a world. Each comes from the lowest rank that has it, whatever a rank
/// takes a mesh for, so that ranks that disagree about one make the same calls all the same.
template <class T>
class DistinctLists {
 public:
  explicit DistinctLists(rlhf::detail::late_vector<Head, T> const& heads) {
    constexpr std::int64_t most = std::int64_t{1} << 40;  // so that no sum overflows
    rlhf::detail::HashIndex<T> by_print;
    for (std::size_t r = 0; r < heads.size(); ++r) {
      Head const& head = heads[r];
      expect_readable(head.list_bytes >= 0 && head.list_bytes < most);
      expect_readable(head.own_bytes >= 0 && head.own_bytes < most);
      longest_own_ = head.own_bytes > longest_own_ ? head.own_bytes : longest_own_;
      auto const print = static_cast<std::uint64_t>(head.list_print);
      auto const size = static_cast<std::size_t>(head.list_bytes);
      int list = by_print.find(print, [&, this](int number) {
        return lists_[static_cast<std::size_t>(number)].size == size;
      });
      if (list < 0) {
        list = static_cast<int>(lists_.size());
        by_print.add(print, list);
        lists_.push_back(Sent{static_cast<int>(r), total_, size});
        total_ += size;
      }
      list_of_.push_back(list);
    }
  }
  [[nodiscard]] std::int64_t longest_own() const noexcept { return longest_own_; }
  /// Bytes of all lists.
  [[nodiscard]] std::size_t total() const noexcept { return total_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(lists_.size()); }
  [[nodiscard]] int list_of(int rank) const { return list_of_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] int sender(int list) const { return lists_[static_cast<std::size_t>(list)].rank; }
  /// Where one list lies among all of them.
  [[nodiscard]] std::span<std::byte> in(rlhf::detail::late_vector<std::byte, T>& all,
                                        int list) const {
    Sent const& sent = lists_[static_cast<std::size_t>(list)];
    return {all.data() + sent.offset, sent.size};
  }

 private:
  struct Sent {
    int rank = 0;
    std::size_t offset = 0;
    std::size_t size = 0;
  };
  rlhf::detail::late_vector<Sent, T> lists_;
  rlhf::detail::late_vector<int, T> list_of_;  // of every rank
  std::size_t total_ = 0;
  std::int64_t longest_own_ = 0;
};

}  // namespace rlhf::inline v0::sync::detail
