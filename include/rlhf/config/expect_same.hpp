/// @file
/// Makes sure that all ranks were given the same configuration. Layer: config.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/config/member_types.hpp>
#include <rlhf/config/write.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {
namespace detail {

/// The text of one rank on all ranks.
template <comm::Communicator C>
[[nodiscard]] std::string broadcast_text(C& world, std::string text, int root) {
  auto size = static_cast<std::int64_t>(text.size());
  world.broadcast(&size, 1, DType::i64, root, {});
  comm::settle(world);
  text.resize(static_cast<std::size_t>(size));
  if (size > 0) {
    world.broadcast(text.data(), size, DType::u8, root, {});
    comm::settle(world);
  }
  return text;
}

/// The text up to the next zero byte, taken off `rest`.
[[nodiscard]] inline std::string_view next_part(std::string_view& rest) {
  std::size_t const end = rest.find('\0');
  std::string_view const part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return part;
}

/// The first setting that differs between two lists of them, with both values.
[[nodiscard]] inline std::string first_difference(std::string_view ours, std::string_view theirs,
                                                  int rank) {
  while (!ours.empty() || !theirs.empty()) {
    std::string_view const path = next_part(ours);
    std::string_view const value = next_part(ours);
    std::string_view const other_path = next_part(theirs);
    std::string_view const other_value = next_part(theirs);
    if (path != other_path) {
      return text(path.empty() ? "nothing more" : path, " on rank 0 where rank ", rank, " has ",
                  other_path.empty() ? "nothing more" : other_path);
    }
    if (value != other_value) {
      return text(path, " is ", value.substr(0, 200), " on rank 0 and ", other_value.substr(0, 200),
                  " on rank ", rank);
    }
  }
  return "no setting, only fingerprints differ";
}

}  // namespace detail

/// Compares sections over all ranks of `world`; collective. Usually that of a whole `Config`.
///
/// Errors: rank_mismatch, on every rank, naming the ranks that differ from rank 0, and the first
/// setting that does with both values. Cost: one all-gather of 8 bytes a rank where all agree.
template <comm::Communicator C, IsSection Section>
void expect_same(C& world, Section const& section) {
  auto const ranks = static_cast<std::size_t>(world.size());
  auto const mine = static_cast<std::int64_t>(fingerprint(section));
  std::vector<std::int64_t> all(ranks);
  world.all_gather(&mine, all.data(), 1, DType::i64, {});
  comm::settle(world);
  std::vector<int> others;
  for (std::size_t r = 0; r < ranks; ++r) {
    if (all[r] != all[0]) {
      others.push_back(static_cast<int>(r));
    }
  }
  if (others.empty()) {
    return;
  }
  std::string written;
  for (Setting const& setting : settings_of(section)) {
    (((written += setting.path) += '\0') += setting.value) += '\0';
  }
  std::string const first = detail::broadcast_text(world, written, 0);
  std::string const other = detail::broadcast_text(world, written, others.front());
  fail(Errc::rank_mismatch,
       text("configuration: ranks ", list_text({others.data(), others.size()}),
            " were given another one than rank 0: ",
            detail::first_difference(first, other, others.front()),
            "; give every rank the same files, environment and options"),
       others.front());
}

}  // namespace rlhf::inline v0::config
