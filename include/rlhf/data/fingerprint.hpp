/// @file
/// 64 bits that tell datasets apart, from their size and a sample of their items. Layer: data.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/concepts.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::data {

/// Items that a fingerprint looks at, unless told otherwise. Smaller datasets are read whole.
inline constexpr std::int64_t fingerprint_samples = 256;
/// Of an item longer than twice this, only so many bytes at its beginning and at its end count.
inline constexpr std::size_t fingerprint_bytes = 4096;

/// Which item the k-th look goes to, 0 <= k < samples <= size: one of each of `samples` equal
/// parts, the first and the last item among them. A function of its arguments alone.
[[nodiscard]] constexpr std::int64_t sampled_position(std::int64_t size, std::int64_t samples,
                                                      std::int64_t k) noexcept {
  IndexRange const part = split_evenly(size, samples, k);
  if (k == 0) {
    return 0;
  }
  if (k == samples - 1) {
    return size - 1;
  }
  std::uint64_t const word =
      mix64(mix64(static_cast<std::uint64_t>(size)) + static_cast<std::uint64_t>(k));
  return part.begin + static_cast<std::int64_t>(word % static_cast<std::uint64_t>(part.size()));
}

/// A fingerprint of `size` items of which `bytes_of(i)` gives the bytes, anything that becomes a
/// `std::string_view`.
///
/// Equal on every rank, run and compiler (as far as the bytes are). It notices another size for
/// certain, and other bytes in a sampled item with probability 1 - 2^-64. A change of items that
/// are not sampled goes unnoticed; `samples` of `size` or more looks at all of them.
/// Cost: `samples` items, at most 8 KiB of each.
template <class BytesOf>
[[nodiscard]] std::uint64_t sampled_fingerprint(std::int64_t size, BytesOf&& bytes_of,
                                                std::int64_t samples = fingerprint_samples) {
  samples = samples < size ? samples : size;
  Fingerprint print;
  print.add(static_cast<std::uint64_t>(size));
  for (std::int64_t k = 0; k < samples; ++k) {
    auto&& item = bytes_of(sampled_position(size, samples, k));
    std::string_view const bytes(item);
    if (bytes.size() <= 2 * fingerprint_bytes) {
      print.add(bytes);
    } else {
      print.add(static_cast<std::uint64_t>(bytes.size()))
          .add(bytes.substr(0, fingerprint_bytes))
          .add(bytes.substr(bytes.size() - fingerprint_bytes));
    }
  }
  return print.value();
}

/// A dataset that knows its fingerprint: `fingerprint()` is a `std::uint64_t` that is the same in
/// every run over the same items.
template <class D>
concept HasFingerprint = requires(D const& dataset) {
  { dataset.fingerprint() } -> detail::Same<std::uint64_t>;
};

/// What `SamplerOptions::dataset_fingerprints` and `dataset_sizes` take, of a list of datasets.
template <class D>
  requires Dataset<D> && HasFingerprint<D>
[[nodiscard]] std::vector<std::uint64_t> fingerprints_of(std::vector<D> const& datasets) {
  std::vector<std::uint64_t> out;
  for (D const& dataset : datasets) {
    out.push_back(dataset.fingerprint());
  }
  return out;
}
template <Dataset D>
[[nodiscard]] std::vector<std::int64_t> sizes_of(std::vector<D> const& datasets) {
  std::vector<std::int64_t> out;
  for (D const& dataset : datasets) {
    out.push_back(dataset.size());
  }
  return out;
}

}  // namespace rlhf::inline v0::data
