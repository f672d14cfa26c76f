/// @file
/// Which tensors share a bucket by the reference's rule. Layer: plan.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0::plan {

/// One thing to put into a bucket.
struct BucketItem {
  std::int64_t bytes = 0;
  DType dtype = DType::f32;
};

/// For programs that must agree with the reference on buckets; plans fill theirs by cutting
/// (plan/schedule.hpp).
///
/// Groups items, in order, into buckets of one dtype and at most `limit_bytes`; returns the indices
/// of each bucket's items, in the order in which buckets close, open ones last by first appearance.
///
/// An item larger than the limit gets a bucket of its own; empty items join the open bucket of
/// their dtype; exactly the limit fits; a limit of 0 or less means one bucket a dtype. Cost: one
/// pass. Source: the reference's `bucket_tensors`, equal to its recorded results.
template <class T = void>
[[nodiscard]] rlhf::detail::late_vector<std::vector<std::int32_t>, T> fill_buckets(
    rlhf::detail::late_vector<BucketItem, T> const& items, std::int64_t limit_bytes) {
  struct Open {
    DType dtype{};
    std::int64_t bytes = 0;
    rlhf::detail::late_vector<std::int32_t, T> items;
  };
  rlhf::detail::late_vector<Open, T> open;  // one a dtype, by first appearance
  rlhf::detail::late_vector<std::vector<std::int32_t>, T> closed;
  for (std::size_t i = 0; i < items.size(); ++i) {
    BucketItem const& item = items[i];
    expects(item.bytes >= 0, "a bucket item must not have negative bytes");
    std::size_t at = 0;
    while (at < open.size() && open[at].dtype != item.dtype) {
      ++at;
    }
    if (at == open.size()) {
      open.push_back(Open{item.dtype, 0, {}});
    }
    Open& bucket = open[at];
    if (limit_bytes > 0 && bucket.bytes > 0 && bucket.bytes + item.bytes > limit_bytes) {
      closed.push_back(static_cast<rlhf::detail::late_vector<std::int32_t, T>&&>(bucket.items));
      bucket.items.clear();
      bucket.bytes = 0;
    }
    bucket.items.push_back(static_cast<std::int32_t>(i));
    bucket.bytes += item.bytes;
  }
  for (Open& bucket : open) {
    if (!bucket.items.empty()) {
      closed.push_back(static_cast<rlhf::detail::late_vector<std::int32_t, T>&&>(bucket.items));
    }
  }
  return closed;
}

}  // namespace rlhf::inline v0::plan
