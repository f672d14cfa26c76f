/// @file
/// Memory that can be given back and taken anew, and where its contents wait meanwhile. Layer:
/// runtime.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace rlhf::inline v0::runtime {

/// Owns the memory of one tensor: `std::vector` of a trivial type, `cuda::DeviceBuffer`, your own.
///
/// | expression | meaning |
/// |---|---|
/// | `s.data()`, `s.size()` | the elements and their number |
/// | `S()` | owns nothing |
/// | `S(n)` | owns memory for `n` elements |
/// | `s = S(n)`, `s = S()` | what `s` owned is given back; assigning is noexcept |
template <class S>
concept TensorStorage = std::default_initializable<S> && std::constructible_from<S, std::size_t> &&
    std::is_nothrow_move_assignable_v<S> && requires(S& s, S const& c) {
  { *s.data() } -> std::same_as<std::remove_cvref_t<decltype(*s.data())>&>;
  requires std::is_trivially_copyable_v<std::remove_cvref_t<decltype(*s.data())>>;
  { c.size() } -> std::convertible_to<std::size_t>;
};

/// Where the contents of offloaded memory wait, and how they get there and back.
///
/// | expression | meaning |
/// |---|---|
/// | `typename S::Range` | `{std::byte* data, std::size_t bytes}` |
/// | `typename S::Stream` | the order of the work; default-constructible |
/// | `s.offload(ranges, free, stream)` | copies all, then `free(index, range)` for each |
/// | `s.onload(allocate, stream)` | copies all to `allocate(index, bytes)` |
/// | `S::zero(data, bytes, stream)` | fills memory of the device |
/// | `s.host_bytes()` | what the space holds at the moment, kept for reuse included |
/// | `s.release_host()` | gives back what is kept for reuse; nothing may be offloaded |
///
/// `offload` that throws before the first `free`, and `onload` that throws, leave the contents
/// where they were. Models: `HostSpace`, `cuda::Offload` (pinned, overlapped).
template <class S>
concept OffloadSpace = std::default_initializable<S> &&
    requires(S& s, S const& c, std::byte* data, typename S::Stream stream) {
  typename S::Range;
  {S::zero(data, std::size_t{}, stream)};
  { c.host_bytes() } -> std::convertible_to<std::int64_t>;
  {s.release_host()};
};

/// A space that cannot copy from the memory of devices, and a storage there (it has `device()`).
template <class Space, class S>
concept OutOfReach = requires(S const& storage) {
  requires Space::host_only;
  storage.device();
};

/// A copy in ordinary memory: for modules whose device is the host. Frees the copy when its
/// contents have come back.
///
/// Cost: two copies of the bytes while they move. Thread safety: one caller per object.
template <class T = void>
class BasicHostSpace {
 public:
  struct Range {
    std::byte* data = nullptr;
    std::size_t bytes = 0;
  };
  struct Stream {};
  static constexpr bool host_only = true;  ///< Cannot copy from device memory.

  template <class Free>
  void offload(std::span<Range const> ranges, Free&& free, Stream = {}) {
    std::size_t total = 0;
    rlhf::detail::late_vector<std::size_t, T> sizes;
    for (Range const& range : ranges) {
      total += range.bytes;
      sizes.push_back(range.bytes);
    }
    rlhf::detail::late_vector<std::byte, T> kept(total);
    std::size_t at = 0;
    for (Range const& range : ranges) {
      if (range.bytes != 0) {
        std::memcpy(kept.data() + at, range.data, range.bytes);
      }
      at += range.bytes;
    }
    kept_.swap(kept);
    sizes_.swap(sizes);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      free(i, ranges[i]);
    }
  }
  template <class Allocate>
  void onload(Allocate&& allocate, Stream = {}) {
    std::size_t at = 0;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      std::byte* const to = allocate(i, sizes_[i]);
      if (sizes_[i] != 0) {
        std::memcpy(to, kept_.data() + at, sizes_[i]);
      }
      at += sizes_[i];
    }
    sizes_.clear();
    rlhf::detail::late_vector<std::byte, T>().swap(kept_);
  }
  static void zero(std::byte* data, std::size_t bytes, Stream = {}) noexcept {
    if (bytes != 0) {
      std::memset(data, 0, bytes);
    }
  }
  [[nodiscard]] std::int64_t host_bytes() const noexcept {
    return static_cast<std::int64_t>(kept_.size());
  }
  static void release_host() noexcept {}

 private:
  rlhf::detail::late_vector<std::byte, T> kept_;
  rlhf::detail::late_vector<std::size_t, T> sizes_;
};
using HostSpace = BasicHostSpace<>;

}  // namespace rlhf::inline v0::runtime
