/// @file
/// What one thread does of a job: load, convert, fingerprint, store. Layer: cuda.
///
/// Runs on the device in kernels (kernels.cuh), and on the host in tests of the same code.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/fingerprint.hpp>

#include <cstddef>
#include <cstdint>

namespace rlhf::inline v0::cuda::detail {

/// Bytes that one instruction loads and stores.
template <std::size_t Bytes>
struct alignas(Bytes) Vector {
  unsigned char bytes[Bytes];
};
template <>
struct alignas(16) Vector<16> {
  std::uint32_t words[4];
};
template <>
struct alignas(8) Vector<8> {
  std::uint32_t words[2];
};
template <>
struct alignas(4) Vector<4> {
  std::uint32_t words[1];
};
template <>
struct alignas(2) Vector<2> {
  std::uint16_t half;
};

/// Where a vector lies, from the beginning of both ends, and the global index of its first element.
struct At {
  std::int64_t from;
  std::int64_t to;
  std::uint64_t index;
};

/// A vector of a job that has rows, found by steps of `lanes`: one division at the beginning, none
/// on the way.
struct Cursor {
  std::uint32_t row;
  std::uint32_t column;

  RLHF_HOST_DEVICE Cursor(Job const& job, std::uint32_t vector) noexcept
      : row(vector / job.per_row),
        column(vector - row * job.per_row) {}
  /// `step`: where the vector `lanes` from a row's beginning is.
  RLHF_HOST_DEVICE void advance(Job const& job, Cursor const& step) noexcept {
    row += step.row;
    column += step.column;
    if (column >= job.per_row) {
      column -= job.per_row;
      ++row;
    }
  }
};
RLHF_HOST_DEVICE inline At locate(Job const& job, Cursor const& cursor) noexcept {
  std::int64_t const element = std::int64_t{cursor.column} * job.width;
  At at{element * size_of(job.from_type), element * size_of(job.to_type),
        job.index + static_cast<std::uint64_t>(element)};
  if (job.outer == 1) {
    at.from += cursor.row * job.from_stride[0];
    at.to += cursor.row * job.to_stride[0];
    at.index += static_cast<std::uint64_t>(cursor.row * job.index_stride[0]);
    return at;
  }
  std::uint32_t row = cursor.row;
#ifdef __CUDA_ARCH__
#  pragma unroll 1
#endif
  for (int d = 0; d < job.outer; ++d) {
    std::uint32_t const above = d + 1 < job.outer ? row / job.counts[d] : 0;
    auto const here = static_cast<std::int64_t>(row - above * job.counts[d]);
    at.from += here * job.from_stride[d];
    at.to += here * job.to_stride[d];
    at.index += static_cast<std::uint64_t>(here * job.index_stride[d]);
    row = above;
  }
  return at;
}

/// What `Count` elements of `Word`, one after the other from a global index, add to a fingerprint.
template <class Word, std::size_t Count, class Bytes>
RLHF_HOST_DEVICE std::uint64_t print_vector(Bytes const& vector, std::uint64_t key,
                                            std::uint64_t index) noexcept {
  static_assert(sizeof(Bytes) == sizeof(Word) * Count);
  Word words[Count];
  memcpy(words, &vector, sizeof words);
  constexpr auto size = static_cast<std::uint64_t>(fingerprint_group);
  std::uint64_t number = index / size;
  auto lane = static_cast<std::uint32_t>(index % size);
  std::uint64_t group = group_fingerprint(key, number);
  std::uint64_t sum = 0;
  if constexpr (sizeof(Word) <= 4 && Count > 1 && size % Count == 0) {
    if (lane % Count == 0) {  // nearly always: within one group, so that places are constants
      std::uint64_t const base = group + lane * fingerprint_lane_step;
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
      for (std::size_t i = 0; i < Count; ++i) {
        sum += element_fingerprint(base, static_cast<std::uint32_t>(i), words[i]);
      }
      return sum;
    }
  }
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
  for (std::size_t i = 0; i < Count; ++i) {
    if (lane == fingerprint_group) {
      lane = 0;
      group = group_fingerprint(key, ++number);
    }
    sum += element_fingerprint(group, lane++, words[i]);
  }
  return sum;
}

struct NoPrint {
  static constexpr std::size_t in_flight = 8;
  template <class Bytes>
  RLHF_HOST_DEVICE std::uint64_t operator()(Bytes const&, std::uint64_t) const noexcept {
    return 0;
  }
};

/// Vectors begin + lane, begin + lane + lanes, ... of a job: `Load` bytes each become `Store` bytes
/// by `change`, are added to a fingerprint by `print` and stored where the job has a place for
/// them. Returns the sum. `InFlight`: loads of a thread before its first store.
template <std::size_t InFlight, std::size_t Load, std::size_t Store, class Change, class Print>
RLHF_HOST_DEVICE std::uint64_t move_flat(Job const& job, std::byte const* from, std::byte* to,
                                         std::uint64_t first, std::uint32_t end,
                                         std::uint32_t lanes, Change const& change,
                                         Print const& print) {
  std::uint64_t sum = 0;
  auto const put = [&](Vector<Load> const& loaded, std::uint64_t vector) {
    Vector<Store> const changed = change(loaded);
    sum += print(changed, job.index + vector * job.width);
    if (to != nullptr) {
      *reinterpret_cast<Vector<Store>*>(to + vector * Store) = changed;
    }
  };
  for (; first + (InFlight - 1) * lanes < end; first += InFlight * lanes) {
    Vector<Load> loaded[InFlight];
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
    for (std::size_t i = 0; i < InFlight; ++i) {
      loaded[i] = *reinterpret_cast<Vector<Load> const*>(from + (first + i * lanes) * Load);
    }
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
    for (std::size_t i = 0; i < InFlight; ++i) {
      put(loaded[i], first + i * lanes);
    }
  }
#ifdef __CUDA_ARCH__
#  pragma unroll 1
#endif
  for (; first < end; first += lanes) {
    put(*reinterpret_cast<Vector<Load> const*>(from + first * Load), first);
  }
  return sum;
}
template <std::size_t InFlight, std::size_t Load, std::size_t Store, class Change, class Print>
RLHF_HOST_DEVICE std::uint64_t move_rows(Job const& job, std::byte const* from, std::byte* to,
                                         std::uint64_t first, std::uint32_t end,
                                         std::uint32_t lanes, Change const& change,
                                         Print const& print) {
  std::uint64_t sum = 0;
  if (first >= end) {
    return 0;
  }
  auto left = static_cast<std::uint32_t>((end - first + lanes - 1) / lanes);
  Cursor const step(job, lanes);
  Cursor cursor(job, static_cast<std::uint32_t>(first));
  auto const load = [&](Cursor const& where) {
    return *reinterpret_cast<Vector<Load> const*>(from + locate(job, where).from);
  };
  auto const put = [&](Vector<Load> const& loaded, Cursor const& where) {
    At const at = locate(job, where);  // again: cheaper than kept
    Vector<Store> const changed = change(loaded);
    sum += print(changed, at.index);
    if (to != nullptr) {
      *reinterpret_cast<Vector<Store>*>(to + at.to) = changed;
    }
  };
  for (; left >= InFlight; left -= static_cast<std::uint32_t>(InFlight)) {
    Cursor reading = cursor;
    Vector<Load> loaded[InFlight];
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
    for (std::size_t i = 0; i < InFlight; ++i) {
      loaded[i] = load(reading);
      reading.advance(job, step);
    }
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
    for (std::size_t i = 0; i < InFlight; ++i) {
      put(loaded[i], cursor);
      cursor.advance(job, step);
    }
  }
#ifdef __CUDA_ARCH__
#  pragma unroll 1
#endif
  for (; left != 0; --left) {
    put(load(cursor), cursor);
    cursor.advance(job, step);
  }
  return sum;
}
template <std::size_t Load, std::size_t Store, class Change, class Print>
RLHF_HOST_DEVICE std::uint64_t move_vectors(Job const& job, std::byte const* from, std::byte* to,
                                            std::uint32_t begin, std::uint32_t end,
                                            std::uint32_t lane, std::uint32_t lanes,
                                            Change const& change, Print const& print) {
  // Narrow vectors are rare, and not worth the code; as many as leave two blocks a multiprocessor.
  constexpr bool narrow = Load < 16 && Store < 16;
  constexpr std::size_t in_flat = narrow ? 1 : Print::in_flight;
  constexpr std::size_t in_rows = narrow ? 1 : 4;
  std::uint64_t const first = std::uint64_t{begin} + lane;
  if (job.outer == 0) {
    return move_flat<in_flat, Load, Store>(job, from, to, first, end, lanes, change, print);
  }
  return move_rows<in_rows, Load, Store>(job, from, to, first, end, lanes, change, print);
}

template <DType Type>
inline constexpr std::size_t bytes_of = static_cast<std::size_t>(size_of(Type));

struct Unchanged {
  template <class Bytes>
  RLHF_HOST_DEVICE Bytes operator()(Bytes const& bytes) const noexcept {
    return bytes;
  }
};
template <class Word, std::size_t Count>
struct PrintWords {
  static constexpr std::size_t in_flight = 4;
  std::uint64_t key;
  template <class Bytes>
  RLHF_HOST_DEVICE std::uint64_t operator()(Bytes const& bytes,
                                            std::uint64_t index) const noexcept {
    return print_vector<Word, Count>(bytes, key, index);
  }
};
template <DType From, DType To, std::size_t Count>
struct Cast {
  RLHF_HOST_DEVICE auto operator()(Vector<Count * bytes_of<From>> const& in) const noexcept {
    Vector<Count * bytes_of<To>> out;
    auto const* const read = reinterpret_cast<std::byte const*>(&in);
    auto* const write = reinterpret_cast<std::byte*>(&out);
#ifdef __CUDA_ARCH__
#  pragma unroll
#endif
    for (std::size_t i = 0; i < Count; ++i) {
      rlhf::detail::put_float(To, write + i * bytes_of<To>,
                              rlhf::detail::as_float(From, read + i * bytes_of<From>));
    }
    return out;
  }
};

/// The part of [begin, end) that thread `lane` of `lanes` does, elements as they are.
template <bool Prints>
RLHF_HOST_DEVICE std::uint64_t move_plain(Job const& job, std::byte const* from, std::byte* to,
                                          std::uint32_t begin, std::uint32_t end,
                                          std::uint32_t lane, std::uint32_t lanes) {
  auto const size = static_cast<int>(size_of(job.to_type));
  int const bytes = job.width * size;
  if constexpr (Prints) {
    bool const full = job.width != 1;
#define RLHF_MOVE(Word, elements)                                     \
  move_vectors<sizeof(Word) * (elements), sizeof(Word) * (elements)>( \
      job, from, to, begin, end, lane, lanes, Unchanged{}, PrintWords<Word, (elements)>{job.key})
    switch (size) {
      case 1:
        return full ? RLHF_MOVE(std::uint8_t, 16) : RLHF_MOVE(std::uint8_t, 1);
      case 2:
        return full ? RLHF_MOVE(std::uint16_t, 8) : RLHF_MOVE(std::uint16_t, 1);
      case 4:
        return full ? RLHF_MOVE(std::uint32_t, 4) : RLHF_MOVE(std::uint32_t, 1);
      default:
        return full ? RLHF_MOVE(std::uint64_t, 2) : RLHF_MOVE(std::uint64_t, 1);
    }
#undef RLHF_MOVE
  } else {
    switch (bytes) {
      case 16:
        return move_vectors<16, 16>(job, from, to, begin, end, lane, lanes, Unchanged{}, NoPrint{});
      case 8:
        return move_vectors<8, 8>(job, from, to, begin, end, lane, lanes, Unchanged{}, NoPrint{});
      case 4:
        return move_vectors<4, 4>(job, from, to, begin, end, lane, lanes, Unchanged{}, NoPrint{});
      case 2:
        return move_vectors<2, 2>(job, from, to, begin, end, lane, lanes, Unchanged{}, NoPrint{});
      default:
        return move_vectors<1, 1>(job, from, to, begin, end, lane, lanes, Unchanged{}, NoPrint{});
    }
  }
}

template <DType From, DType To, bool Prints, std::size_t Count>
RLHF_HOST_DEVICE std::uint64_t move_cast_by(Job const& job, std::byte const* from, std::byte* to,
                                            std::uint32_t begin, std::uint32_t end,
                                            std::uint32_t lane, std::uint32_t lanes) {
  constexpr std::size_t load = Count * bytes_of<From>;
  constexpr std::size_t store = Count * bytes_of<To>;
  if constexpr (!Prints) {
    return move_vectors<load, store>(job, from, to, begin, end, lane, lanes,
                                     Cast<From, To, Count>{}, NoPrint{});
  } else if constexpr (size_of(To) == 4) {
    return move_vectors<load, store>(job, from, to, begin, end, lane, lanes,
                                     Cast<From, To, Count>{},
                                     PrintWords<std::uint32_t, Count>{job.key});
  } else {
    return move_vectors<load, store>(job, from, to, begin, end, lane, lanes,
                                     Cast<From, To, Count>{},
                                     PrintWords<std::uint16_t, Count>{job.key});
  }
}
template <DType From, DType To, bool Prints>
RLHF_HOST_DEVICE std::uint64_t move_cast(Job const& job, std::byte const* from, std::byte* to,
                                         std::uint32_t begin, std::uint32_t end, std::uint32_t lane,
                                         std::uint32_t lanes) {
  constexpr std::size_t full = 16 / (bytes_of<From> < bytes_of<To> ? bytes_of<To> : bytes_of<From>);
  return job.width == full
             ? move_cast_by<From, To, Prints, full>(job, from, to, begin, end, lane, lanes)
             : move_cast_by<From, To, Prints, 1>(job, from, to, begin, end, lane, lanes);
}

/// The part of [begin, end) of a job that thread `lane` of `lanes` does. Returns what it adds to
/// the job's fingerprint, 0 unless `Prints`. Addresses are the job's own, or offsets from these.
template <bool Prints>
RLHF_HOST_DEVICE std::uint64_t move(Job const& job, std::byte const* from, std::byte* to,
                                    std::uint32_t begin, std::uint32_t end, std::uint32_t lane,
                                    std::uint32_t lanes) {
  if (job.from_type == job.to_type) {
    return move_plain<Prints>(job, from, to, begin, end, lane, lanes);
  }
#define RLHF_CAST(From, To)                                                                   \
  if (job.from_type == DType::From && job.to_type == DType::To) {                             \
    return move_cast<DType::From, DType::To, Prints>(job, from, to, begin, end, lane, lanes); \
  }
  RLHF_CAST(f32, bf16)
  RLHF_CAST(bf16, f32)
  RLHF_CAST(f32, f16)
  RLHF_CAST(f16, f32)
  RLHF_CAST(bf16, f16)
  RLHF_CAST(f16, bf16)
#undef RLHF_CAST
  return 0;
}

}  // namespace rlhf::inline v0::cuda::detail
