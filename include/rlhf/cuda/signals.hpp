/// @file
/// What ranks that store into each other's memory tell each other, as kernels see it. Layer: cuda.
#pragma once

#include <cstdint>

namespace rlhf::inline v0::cuda {

/// What a rank waits for in the direct route.
enum class Phase : std::uint32_t {
  none,
  ready,    ///< A destination has not begun: its memory may not be written yet.
  arrival,  ///< Bytes to pass on or to check have not arrived.
  done,     ///< A source has not said that all its bytes are there.
};

/// Told to the host through pinned memory.
struct Report {
  std::uint32_t phase = 0;            ///< The wait that ran out of time: a `Phase`,
  std::uint32_t whom = 0;             ///< and the rank it was for, or the flag of an arrival.
  std::uint32_t wrong = 0xffffffffU;  ///< First piece whose fingerprint is not what was sent.
};

namespace detail {

/// How long kernels wait and what happens then.
struct Waiting {
  std::uint32_t* failed = nullptr;  ///< Device memory: not 0 once a wait ran out.
  Report* report = nullptr;
  std::uint64_t limit_ns = 0;
};

/// Another rank's flags for this one.
struct Peer {
  std::uint32_t rank = 0;
  std::uint32_t* ready = nullptr;  ///< This rank may be written to.
  std::uint32_t* done = nullptr;   ///< All that this rank writes there is there.
};

/// A fingerprint that goes to another rank.
struct Echo {
  std::uint32_t sum = 0;
  unsigned long long* to = nullptr;
};

/// Everything that the kernels at both ends of a run need.
struct Meeting {
  std::uint32_t* epoch = nullptr;  ///< Runs so far.
  std::uint32_t* tickets = nullptr;
  Peer const* writers = nullptr;  ///< Ranks that write here.
  std::uint32_t writer_count = 0;
  Peer const* readers = nullptr;  ///< Ranks that are written to from here.
  std::uint32_t reader_count = 0;
  Peer const* others = nullptr;  ///< The rest that a delivery is shared with.
  std::uint32_t other_count = 0;
  std::uint32_t const* ready = nullptr;  ///< By rank, written by readers.
  std::uint32_t const* done = nullptr;   ///< By rank, written by writers.
  Echo const* echoes = nullptr;
  std::uint32_t echo_count = 0;
  unsigned long long const* sums = nullptr;      ///< Of what was sent.
  unsigned long long const* arrived = nullptr;   ///< Of what arrived,
  unsigned long long const* expected = nullptr;  ///< and what it should be.
  std::uint32_t expected_count = 0;
  Waiting waiting{};
};

}  // namespace detail
}  // namespace rlhf::inline v0::cuda
