/// @file
/// Agrees over ranks on one list of names. Layer: runtime, private.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/detail/name_table.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime::detail {

/// The names that any rank has, in the order of the first rank that has them, with what each is.
///
/// Cost of an update: an all-gather of 16 bytes a rank where no rank has a new name, and nothing is
/// allocated; else two more, of all names.
template <class Late = void>
class NameUnion {
 public:
  /// Collective. This rank's names are `name(i)` for i below `count`; `kind(i)` says what each is,
  /// and `words(kind)` how messages call that.
  ///
  /// Errors: rank_mismatch, on every rank, where ranks have a name of different kinds.
  template <comm::Communicator C, class Name, class Kind, class Words>
  void update(C& comm, int count, Name&& name, Kind&& kind, Words&& words) {
    auto const ranks = static_cast<std::size_t>(comm.size());
    Fingerprint own;
    for (int i = 0; i < count; ++i) {
      own.add(name(i)).add(static_cast<std::uint64_t>(kind(i)));
    }
    // Lists made before serve again only where all ranks made theirs of these very names.
    std::int64_t const mine[2] = {static_cast<std::int64_t>(own.value()), known_};
    gathered_.resize(2 * ranks);
    comm.all_gather(mine, gathered_.data(), 2, DType::i64, {});
    Fingerprint all;
    for (std::size_t r = 0; r < ranks; ++r) {
      all.add(static_cast<std::uint64_t>(gathered_[2 * r]));
    }
    bool known = true;
    for (std::size_t r = 0; r < ranks; ++r) {
      known = known && gathered_[2 * r + 1] == static_cast<std::int64_t>(all.value());
    }
    if (known) {
      return;
    }
    known_ = 0;
    exchange(comm, count, name, kind);
    join(comm, words);
    place_.resize(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      place_[static_cast<std::size_t>(i)] = names_.find(name(i));
    }
    known_ = static_cast<std::int64_t>(all.value());
  }

  [[nodiscard]] int size() const noexcept { return names_.size(); }
  [[nodiscard]] std::string_view name(int number) const noexcept { return names_[number]; }
  [[nodiscard]] int kind(int number) const noexcept {
    return kinds_[static_cast<std::size_t>(number)];
  }
  /// The number of this rank's i-th name.
  [[nodiscard]] int place(int i) const noexcept { return place_[static_cast<std::size_t>(i)]; }

 private:
  template <class C, class Name, class Kind>
  void exchange(C& comm, int count, Name& name, Kind& kind) {
    packed_.clear();
    for (int i = 0; i < count; ++i) {
      std::string_view const words = name(i);
      append(static_cast<std::int64_t>(words.size()));
      append(static_cast<std::int64_t>(kind(i)));
      packed_ += words;
    }
    auto const ranks = static_cast<std::size_t>(comm.size());
    sizes_.resize(ranks);
    auto const size = static_cast<std::int64_t>(packed_.size());
    comm.all_gather(&size, sizes_.data(), 1, DType::i64, {});
    most_ = 0;
    for (std::int64_t const one : sizes_) {
      most_ = one > most_ ? one : most_;
    }
    packed_.resize(static_cast<std::size_t>(most_));
    everybody_.resize(ranks * static_cast<std::size_t>(most_));
    if (most_ > 0) {
      comm.all_gather(packed_.data(), everybody_.data(), most_, DType::u8, {});
    }
  }
  void append(std::int64_t value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    packed_.append(static_cast<char const*>(bytes), sizeof bytes);
  }

  template <class C, class Words>
  void join(C& comm, Words& words) {
    names_.clear();
    kinds_.clear();
    owners_.clear();
    for (int rank = 0; rank < comm.size(); ++rank) {
      char const* at = everybody_.data() + rank * most_;
      char const* const end = at + sizes_[static_cast<std::size_t>(rank)];
      while (at != end) {
        std::int64_t head[2];
        std::memcpy(head, at, sizeof head);
        std::string_view const name(at + sizeof head, static_cast<std::size_t>(head[0]));
        at += sizeof head + name.size();
        auto const number = static_cast<std::size_t>(names_.of(name));
        if (number == kinds_.size()) {
          kinds_.push_back(static_cast<int>(head[1]));
          owners_.push_back(rank);
        } else if (kinds_[number] != static_cast<int>(head[1])) {
          fail(Errc::rank_mismatch,
               text(name, " is ", words(kinds_[number]), " on rank ", owners_[number], " and ",
                    words(static_cast<int>(head[1])), " on rank ", rank,
                    "; a name needs one meaning on all ranks"),
               comm.world_rank(rank));
        }
      }
    }
  }

  NameTable<Late> names_;
  std::vector<rlhf::detail::late<int, Late>> kinds_;
  std::vector<rlhf::detail::late<int, Late>> owners_;
  std::vector<rlhf::detail::late<int, Late>> place_;
  std::vector<rlhf::detail::late<std::int64_t, Late>> gathered_;
  std::vector<rlhf::detail::late<std::int64_t, Late>> sizes_;
  std::vector<rlhf::detail::late<char, Late>> everybody_;
  std::string packed_;
  std::int64_t most_ = 0;
  std::int64_t known_ = 0;  // of which lists of all ranks the union is
};

}  // namespace rlhf::inline v0::runtime::detail
