/// @file
/// What a kernel moves: boxes as strided rows of vectors, and chunks of them. Layer: cuda.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>

namespace rlhf::inline v0::cuda {

/// The elements of a box in row-major order, as offsets: extents and strides, innermost first.
/// Dimensions of one element are left out, neighbours that touch are one.
struct Walk {
  static constexpr int most = max_rank + 1;
  int dims = 0;
  std::int64_t extent[most] = {};
  std::int64_t stride[most] = {};

  /// Adds the next dimension outwards.
  constexpr void push(std::int64_t count, std::int64_t step) noexcept {
    if (count == 1) {
      return;
    }
    if (dims != 0 && step == extent[dims - 1] * stride[dims - 1]) {
      extent[dims - 1] *= count;
      return;
    }
    extent[dims] = count;
    stride[dims++] = step;
  }
  [[nodiscard]] constexpr std::int64_t elements() const noexcept {
    std::int64_t out = 1;
    for (int d = 0; d < dims; ++d) {
      out *= extent[d];
    }
    return out;
  }
};

/// A region's elements, as bytes from its beginning.
[[nodiscard]] inline Walk walk_of(Region const& region) {
  Walk out;
  out.push(region.run_bytes / size_of(region.dtype), size_of(region.dtype));
  for (int d = region.counts.rank() - 1; d >= 0; --d) {
    out.push(region.counts[d], region.byte_strides[d]);
  }
  return out;
}
/// Elements one after the other.
[[nodiscard]] inline Walk packed_walk(std::int64_t elements, DType dtype) {
  Walk out;
  out.push(elements, size_of(dtype));
  return out;
}
/// A box's elements, as indices in its global tensor from the box's first.
[[nodiscard]] inline Walk index_walk(Box const& box, Shape const& global) {
  Walk out;
  Extents const strides = row_major_strides(global);
  for (int d = box.rank() - 1; d >= 0; --d) {
    out.push(box.extent[d], strides[d]);
  }
  return out;
}
[[nodiscard]] inline std::uint64_t first_index(Box const& box, Shape const& global) {
  Extents const strides = row_major_strides(global);
  std::int64_t out = 0;
  for (int d = 0; d < box.rank(); ++d) {
    out += box.start[d] * strides[d];
  }
  return static_cast<std::uint64_t>(out);
}

/// One end of a job.
struct JobEnd {
  std::byte* data = nullptr;
  DType dtype = DType::u8;
  Walk walk{};
};

/// A box as a kernel moves it: rows of vectors of `width` elements, from one place to another.
///
/// Vectors are numbered in row-major order of the box. Plain data, copied to the device as it is.
struct Job {
  static constexpr int most_outer = max_rank;
  static constexpr std::uint32_t no_sum = 0xffffffffU;

  std::byte const* from = nullptr;
  std::byte* to = nullptr;         ///< Null: only the fingerprint is taken.
  std::uint32_t* flags = nullptr;  ///< Where chunks are reported: the receiver's flags of this job.
  std::uint64_t key = 0;           ///< Of the fingerprint: the parameter's,
  std::uint64_t index = 0;         ///< and the first element's global index.
  std::int64_t from_stride[most_outer] = {};  ///< Bytes; innermost row dimension first.
  std::int64_t to_stride[most_outer] = {};
  std::int64_t index_stride[most_outer] = {};  ///< Elements.
  std::uint32_t counts[most_outer] = {};
  std::uint32_t per_row = 0;  ///< Vectors of a row.
  std::uint32_t vectors = 0;  ///< Vectors of the box.
  std::uint32_t sum = 0;      ///< Slot of its fingerprint, or `no_sum`.
  DType from_type = DType::u8;
  DType to_type = DType::u8;
  std::uint8_t outer = 0;  ///< Row dimensions.
  std::uint8_t width = 1;  ///< Elements of a vector.
};

/// Vectors [begin, end) of a job, which one block moves.
struct Chunk {
  static constexpr std::uint32_t none = 0xffffffffU;
  std::uint32_t job = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t wait = none;    ///< Own flag that must be raised first.
  std::uint32_t signal = none;  ///< Flag of the job's receiver that is raised afterwards.
};

namespace detail {

/// Whether a value of some bytes fits everywhere a job's vectors lie.
[[nodiscard]] constexpr bool fits(std::uintptr_t address, std::int64_t const* strides, int outer,
                                  std::int64_t bytes) noexcept {
  bool out = address % static_cast<std::uintptr_t>(bytes) == 0;
  for (int d = 0; d < outer; ++d) {
    out = out && strides[d] % bytes == 0;
  }
  return out;
}

}  // namespace detail

/// The job that moves elements from one end to the other, both of as many, converting their type
/// where it differs. `prints`: it also takes the fingerprint of what it writes; then `indices` must
/// say where the elements are in the global tensor. Rows are as long as all of these are
/// contiguous.
///
/// Errors: invalid_argument where a box has 2^32 vectors or more. `from.data` and `to.data` may be
/// offsets that kernels add to an address; then addresses must be multiples of 16.
[[nodiscard]] inline Job make_job(JobEnd const& from, JobEnd const& to, bool prints = false,
                                  Walk const& indices = {}) {
  Job job;
  job.from = from.data;
  job.to = to.data;
  job.from_type = from.dtype;
  job.to_type = to.dtype;
  Walk const* const walks[] = {&from.walk, &to.walk, &indices};
  int const sides = prints ? 3 : 2;
  int at[3] = {0, 0, 0};
  std::int64_t done[3] = {1, 1, 1};  // of the dimension each side is in
  std::int64_t row = 1;
  bool in_row = true;
  std::int64_t const unit[] = {size_of(from.dtype), size_of(to.dtype), 1};
  for (;;) {
    std::int64_t step = 0;
    std::int64_t stride[3] = {};
    for (int s = 0; s < sides; ++s) {
      if (at[s] == walks[s]->dims) {
        continue;
      }
      std::int64_t const left = walks[s]->extent[at[s]] / done[s];
      step = step == 0 || left < step ? left : step;
      stride[s] = walks[s]->stride[at[s]] * done[s];
    }
    if (step == 0) {
      break;
    }
    for (int s = 0; s < sides; ++s) {
      if (at[s] == walks[s]->dims) {
        fail(Errc::invalid_argument, "both ends of a job must have as many elements");
      }
      done[s] *= step;
      if (done[s] == walks[s]->extent[at[s]]) {
        ++at[s];
        done[s] = 1;
      }
    }
    for (int s = 0; s < sides; ++s) {
      in_row = in_row && stride[s] == row * unit[s];
    }
    if (in_row) {
      row *= step;
      continue;
    }
    if (job.outer == Job::most_outer) {
      fail(Errc::invalid_argument, "a box is cut too often for a job");
    }
    job.from_stride[job.outer] = stride[0];
    job.to_stride[job.outer] = stride[1];
    job.index_stride[job.outer] = stride[2];
    job.counts[job.outer++] = static_cast<std::uint32_t>(step);
  }
  std::int64_t rows = 1;
  for (int d = 0; d < job.outer; ++d) {
    rows *= job.counts[d];
  }
  // The widest vector that both ends allow; with types to convert, or elements to read one by one
  // for the fingerprint, only full vectors and single elements are worth code.
  std::int64_t const larger = unit[0] < unit[1] ? unit[1] : unit[0];
  bool const plain = from.dtype == to.dtype && !prints;
  for (std::int64_t width = 16 / larger; width >= 1; width /= plain ? 2 : width) {
    if (row % width == 0 &&
        detail::fits(reinterpret_cast<std::uintptr_t>(from.data), job.from_stride, job.outer,
                     width * unit[0]) &&
        detail::fits(reinterpret_cast<std::uintptr_t>(to.data), job.to_stride, job.outer,
                     width * unit[1])) {
      job.width = static_cast<std::uint8_t>(width);
      break;
    }
    if (width == 1) {
      fail(Errc::invalid_argument, "elements are not aligned to their size");
    }
  }
  constexpr std::int64_t limit = 0xffffffffU;
  if (rows > limit || row > limit || row / job.width > limit / (rows == 0 ? 1 : rows)) {
    fail(Errc::invalid_argument,
         text("a box of ", rows * row, " elements is too large for one job; use smaller buckets"));
  }
  job.per_row = static_cast<std::uint32_t>(row / job.width);
  job.vectors = static_cast<std::uint32_t>(rows) * job.per_row;
  return job;
}

/// Elements of a chunk of about `chunk_bytes`: the same for both ends of a job, whatever its width.
[[nodiscard]] constexpr std::int64_t chunk_elements(std::int64_t chunk_bytes,
                                                    DType dtype) noexcept {
  std::int64_t const elements = chunk_bytes / size_of(dtype) / 16 * 16;
  return elements < 16 ? 16 : elements;
}
[[nodiscard]] constexpr std::int64_t chunks_of(std::int64_t elements, std::int64_t each) noexcept {
  return (elements + each - 1) / each;
}

}  // namespace rlhf::inline v0::cuda
