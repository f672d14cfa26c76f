/// @file
/// The steps that a rank takes at every sync, and where their bytes lie. Layer: sync, private.
#pragma once

#include <rlhf/core/late_vector.hpp>

#include <cstddef>
#include <cstdint>

namespace rlhf::inline v0::sync::detail {

/// Memory of a bucket: the parameters' own, in one run or in regions, or an offset into its step's
/// half of the staging.
struct Place {
  std::byte* direct = nullptr;
  std::int64_t offset = 0;
  std::int64_t table = -1;  // the parameters' regions as they lie
  std::int64_t group = -1;  // pieces that are broadcast where they lie
  bool received = false;    // what the offset counts from

  [[nodiscard]] bool staged() const noexcept { return direct == nullptr && table < 0 && group < 0; }
};

/// One half of the staging: what steps pack, then what they receive, so that packing a step does
/// not wait for the unpacking of another. With fewer than four slots both lie in one place.
struct Area {
  std::int64_t packed = 0;
  std::int64_t received = 0;
  bool apart = true;

  [[nodiscard]] std::int64_t bytes() const noexcept {
    return apart ? packed + received : packed < received ? received : packed;
  }
};

struct Transfer {
  Place place{};
  std::int64_t bytes = 0;
  int peer = 0;  // world rank; for broadcasts the flow
  bool passes_on = false;
  std::byte* data = nullptr;
};

/// One of a group of broadcasts.
struct Lying {
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
};

/// A table of regions that is packed into a place, or unpacked out of it.
struct Packing {
  std::size_t table = 0;
  Place place{};
  std::byte* data = nullptr;
};

/// Either broadcasts, one after the other, or sends and receives, all at once.
template <class T>
struct Step {
  rlhf::detail::late_vector<Packing, T> packs;
  rlhf::detail::late_vector<Transfer, T> broadcasts;
  rlhf::detail::late_vector<Transfer, T> sends;
  rlhf::detail::late_vector<Transfer, T> recvs;
  rlhf::detail::late_vector<Packing, T> unpacks;
  std::int32_t first_bucket = 0;
  std::int32_t turn = -1;  // of what it sends or receives first hand, not of what it passes on
  std::int64_t used[2] = {0, 0};  // bytes of its half: packed, received
  int staged[2] = {0, 0};
  bool odd = false;
  bool passes_on = false;  // out of the other half

  [[nodiscard]] std::size_t transfers() const noexcept {
    return broadcasts.size() + sends.size() + recvs.size();
  }
};

/// All steps of a rank, with tables of the packer `P`.
template <class P, class T>
struct Steps {
  rlhf::detail::late_vector<Step<T>, T> steps;
  rlhf::detail::late_vector<typename P::Table, T> tables;
  rlhf::detail::late_vector<rlhf::detail::late_vector<Lying, T>, T> lying;
  Area areas[2];

  [[nodiscard]] std::int64_t staging_bytes() const noexcept {
    return areas[0].bytes() + areas[1].bytes();
  }
  /// Writes into transfers and packings where they find their bytes.
  void place_at(std::byte* staging) {
    for (Step<T>& step : steps) {
      for (auto* const list : {&step.broadcasts, &step.sends, &step.recvs}) {
        for (Transfer& transfer : *list) {
          transfer.data = address(transfer.place, step.odd != transfer.passes_on, staging);
        }
      }
      for (auto* const list : {&step.packs, &step.unpacks}) {
        for (Packing& packing : *list) {
          packing.data = address(packing.place, step.odd, staging);
        }
      }
    }
  }

 private:
  [[nodiscard]] std::byte* address(Place const& place, bool odd, std::byte* staging) const {
    if (!place.staged()) {
      return place.direct;
    }
    Area const& area = areas[odd ? 1 : 0];
    return staging + (odd ? areas[0].bytes() : 0) +
           (place.received && area.apart ? area.packed : 0) + place.offset;
  }
};

}  // namespace rlhf::inline v0::sync::detail
