/// @file
/// Staging memory in two halves that steps fill in turn: who may touch which, and when. Layer:
/// sync.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace rlhf::inline v0::sync {

/// Counts fillings of staging memory over the life of an executor; 0 is never.
using Generation = std::uint64_t;

/// The two halves of an executor's slots.
///
/// Step n fills half n % 2 with a new generation, and whoever reads a half says which generation it
/// means: bytes that were put there for another step, or by a sync that failed, are an error and
/// never travel or reach a parameter. Where the packer has lanes (tensor/pack.hpp), packing,
/// transfers and unpacking run beside each other, and a half is filled again only when all who read
/// it are done; else everything is in the order of one stream and there is nothing to wait for.
/// Cost: two comparisons a step, or up to six events. Thread safety: one caller.
template <Packer P>
class Slots {
 public:
  using Stream = typename P::Stream;
  static constexpr bool has_lanes = HasLanes<P>;

  /// For runs of that many steps. `apart`: what steps pack and what they receive lie in memory of
  /// their own, so that packing waits for no unpacking.
  void prepare([[maybe_unused]] P& packer, std::size_t steps, bool apart = false) {
    steps_ = steps;
    apart_ = apart;
    if constexpr (has_lanes) {
      while (transferred_.size() < steps) {
        transferred_.push_back(packer.fence());
      }
      fences(packer);
      for (Lane const lane : {Lane::pack, Lane::unpack, Lane::copy}) {
        static_cast<void>(packer.lane(lane));  // made now, not while kernels run
      }
    }
  }

  /// A run begins behind what `stream` has.
  void begin([[maybe_unused]] P& packer, [[maybe_unused]] Stream stream) {
    step_ = 0;
    if constexpr (has_lanes) {
      fences(packer);
      packer.record(fences_[start], stream);
      for (Lane const lane : {Lane::pack, Lane::unpack, Lane::copy}) {
        packer.wait(packer.lane(lane), fences_[start]);
      }
      passed_on_ = false;
      unpacked_[0] = unpacked_[1] = false;
    }
  }
  /// The stream that goes on when all lanes are done.
  void end([[maybe_unused]] P& packer, [[maybe_unused]] Stream stream) {
    if constexpr (has_lanes) {
      Lane const lanes[] = {Lane::pack, Lane::unpack, Lane::copy};
      for (std::size_t i = 0; i < 3; ++i) {
        packer.record(fences_[last + i], packer.lane(lanes[i]));
        packer.wait(stream, fences_[last + i]);
      }
    }
  }

  /// The next step takes its half: a new generation.
  Generation open() {
    ++step_;
    return generation_[half()] = ++newest_;
  }
  /// Where the open step packs.
  [[nodiscard]] Stream to_pack([[maybe_unused]] P& packer, Stream stream) {
    if constexpr (has_lanes) {
      Stream const lane = packer.lane(Lane::pack);
      if (step_ > 2) {
        packer.wait(lane, transferred_[step_ - 3]);
      }
      if (passed_on_ && !apart_) {  // the step before read this half
        packer.wait(lane, transferred_[step_ - 2]);
      }
      if (unpacked_[half()] && !apart_) {
        packer.wait(lane, fences_[unpacked + half()]);
      }
      return lane;
    } else {
      return stream;
    }
  }
  /// Transfers of the open step may begin: what it packed is there, what it overwrites is read.
  /// `passes_on`: it sends what the step before it received.
  void to_transfer([[maybe_unused]] P& packer, bool packs, bool passes_on,
                   [[maybe_unused]] Stream stream) {
    if (passes_on) {
      expect(1 - half(), newest_ - 1);
    }
    if constexpr (has_lanes) {
      if (packs) {
        packer.record(fences_[packed + half()], packer.lane(Lane::pack));
        packer.wait(stream, fences_[packed + half()]);
      }
      if (unpacked_[half()]) {
        packer.wait(stream, fences_[unpacked + half()]);
      }
      passed_on_ = passes_on;
    }
  }
  /// Transfers of the open step are on their way; where it unpacks.
  [[nodiscard]] Stream to_unpack([[maybe_unused]] P& packer, Generation mine, bool unpacks,
                                 Stream stream) {
    expect(half(), mine);
    if constexpr (has_lanes) {
      packer.record(transferred_[step_ - 1], stream);
      if (unpacks) {
        packer.wait(packer.lane(Lane::unpack), transferred_[step_ - 1]);
      }
      return packer.lane(Lane::unpack);
    } else {
      return stream;
    }
  }
  void close([[maybe_unused]] P& packer, [[maybe_unused]] bool unpacks) {
    if constexpr (has_lanes) {
      if (unpacks) {
        packer.record(fences_[unpacked + half()], packer.lane(Lane::unpack));
      }
      unpacked_[half()] = unpacks;
    }
  }

  /// Where copies between parameters of this rank go.
  [[nodiscard]] Stream to_copy([[maybe_unused]] P& packer, Stream stream) {
    if constexpr (has_lanes) {
      return packer.lane(Lane::copy);
    } else {
      return stream;
    }
  }

  /// The first step whose transfers are not done, or the number of steps. Only lanes run behind.
  [[nodiscard]] std::size_t unfinished([[maybe_unused]] P& packer) const {
    if constexpr (has_lanes) {
      for (std::size_t s = 0; s < steps_; ++s) {
        if (!packer.done(transferred_[s])) {
          return s;
        }
      }
    }
    return steps_;
  }

  [[nodiscard]] Generation newest() const noexcept { return newest_; }
  /// Errors: corrupted where a half does not hold what its reader was promised.
  void expect(std::size_t half, Generation wanted) const {
    if (generation_[half] != wanted) {
      fail(Errc::corrupted,
           text("weight sync: half ", half, " of the slots holds generation ", generation_[half],
                " of staged bytes, generation ", wanted, " was to be read"));
    }
  }

 private:
  enum : std::size_t {
    start,
    packed,
    unpacked = packed + 2,
    last = unpacked + 2,
    count = last + 3
  };

  [[nodiscard]] std::size_t half() const noexcept { return (step_ + 1) % 2; }
  void fences([[maybe_unused]] P& packer) {
    if constexpr (has_lanes) {
      while (fences_.size() < count) {
        fences_.push_back(packer.fence());
      }
    }
  }

  struct NoFence {};
  template <class Q>
  struct FenceOf {
    using type = NoFence;
  };
  template <HasLanes Q>
  struct FenceOf<Q> {
    using type = typename Q::Fence;
  };
  using Fence = typename FenceOf<P>::type;

  Generation generation_[2] = {0, 0};
  Generation newest_ = 0;
  std::size_t step_ = 0;  // of this run, from 1
  std::size_t steps_ = 0;
  rlhf::detail::late_vector<Fence, P> fences_;
  rlhf::detail::late_vector<Fence, P> transferred_;  // of each step of a run
  bool apart_ = false;
  bool passed_on_ = false;
  bool unpacked_[2] = {false, false};
};

}  // namespace rlhf::inline v0::sync
