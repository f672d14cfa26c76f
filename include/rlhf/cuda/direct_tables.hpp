/// @file
/// What ranks that write into each other's memory must know of each other, and the tables of jobs
/// that follow. Layer: cuda.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/delivery.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/cuda/peer_memory.hpp>
#include <rlhf/tensor/fingerprint.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::cuda::detail {

/// One end of a piece as another rank writes to it.
struct Place {
  std::int64_t delivery = 0;  ///< Its id,
  std::int64_t piece = 0;     ///< and the piece's number in it.
  MemoryCard card{};
  Walk walk{};
  std::int64_t dtype = 0;
  std::int64_t flag = -1;      ///< First of the piece's flags at its rank, or -1.
  std::int64_t expected = -1;  ///< Where its fingerprint is expected there, or -1.
};

/// A placed box as the end of a job.
[[nodiscard]] inline JobEnd end_of(PlacedBox const& placed) {
  JobEnd end;
  end.dtype = placed.local.dtype;
  std::int64_t const element = size_of(end.dtype);
  std::int64_t offset = 0;
  for (int d = placed.box.rank() - 1; d >= 0; --d) {
    offset += placed.local_start[d] * placed.local.strides[d];
    end.walk.push(placed.box.extent[d], placed.local.strides[d] * element);
  }
  end.data = static_cast<std::byte*>(placed.local.data) + offset * element;
  return end;
}

/// Everybody's bytes for everybody: `out[r]` goes to rank r, what came from there is returned.
/// Collective; host memory.
template <comm::Communicator C>
[[nodiscard]] std::vector<std::vector<std::byte>> exchange(
    C& world, std::vector<std::vector<std::byte>> const& out) {
  auto const ranks = static_cast<std::size_t>(world.size());
  std::vector<std::int64_t> mine(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    mine[r] = std::ssize(out[r]);
  }
  std::vector<std::int64_t> all(ranks * ranks);
  world.all_gather(mine.data(), all.data(), world.size(), DType::i64, {});
  comm::settle(world);
  auto const me = static_cast<std::size_t>(world.rank());
  std::vector<std::vector<std::byte>> in(ranks);
  comm::grouped(world, [&] {
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r != me && !out[r].empty()) {
        world.send(out[r].data(), std::ssize(out[r]), DType::u8, static_cast<int>(r), {});
      }
      in[r].resize(static_cast<std::size_t>(all[r * ranks + me]));
      if (r != me && !in[r].empty()) {
        world.recv(in[r].data(), std::ssize(in[r]), DType::u8, static_cast<int>(r), {});
      }
    }
  });
  comm::settle(world);
  in[me] = out[me];
  return in;
}

template <class Item>
void append(std::vector<std::byte>& bytes, Item const& item) {
  static_assert(std::is_trivially_copyable_v<Item>);
  auto const* const begin = reinterpret_cast<std::byte const*>(&item);
  bytes.insert(bytes.end(), begin, begin + sizeof item);
}
template <class Item>
[[nodiscard]] std::vector<Item> items_of(std::vector<std::byte> const& bytes) {
  std::vector<Item> out(bytes.size() / sizeof(Item));
  if (!out.empty()) {
    std::memcpy(out.data(), bytes.data(), out.size() * sizeof(Item));
  }
  return out;
}

/// Chunks of several lists, mixed so that every list is as far along as the others at any time: a
/// rank that writes to several keeps all their links busy.
class ChunkMix {
 public:
  /// The next list; `turn` orders lists that are equally far.
  void begin_list(int turn) { lists_.push_back({turn, {}}); }
  void add(Chunk const& chunk) { lists_.back().chunks.push_back(chunk); }

  [[nodiscard]] std::vector<Chunk> mixed() const {
    struct Entry {
      double at;
      int turn;
      Chunk chunk;
    };
    std::vector<Entry> entries;
    for (List const& list : lists_) {
      auto const size = static_cast<double>(list.chunks.size());
      for (std::size_t i = 0; i < list.chunks.size(); ++i) {
        entries.push_back({(static_cast<double>(i) + 0.5) / size, list.turn, list.chunks[i]});
      }
    }
    rlhf::detail::sort_by(entries, [](Entry const& a, Entry const& b) {
      return a.at != b.at ? a.at < b.at : a.turn < b.turn;
    });
    std::vector<Chunk> out;
    out.reserve(entries.size());
    for (Entry const& entry : entries) {
      out.push_back(entry.chunk);
    }
    return out;
  }

 private:
  struct List {
    int turn;
    std::vector<Chunk> chunks;
  };
  std::vector<List> lists_;
};

/// Appends the chunks of a job.
inline void add_chunks(ChunkMix& mix, Job const& job, std::uint32_t number, std::int64_t elements,
                       std::int64_t each, std::int64_t wait, std::int64_t signal) {
  for (std::int64_t c = 0; c < chunks_of(elements, each); ++c) {
    std::int64_t const end = (c + 1) * each < elements ? (c + 1) * each : elements;
    Chunk chunk;
    chunk.job = number;
    chunk.begin = static_cast<std::uint32_t>(c * each / job.width);
    chunk.end = static_cast<std::uint32_t>(end / job.width);
    chunk.wait = wait < 0 ? Chunk::none : static_cast<std::uint32_t>(wait + c);
    chunk.signal = signal < 0 ? Chunk::none : static_cast<std::uint32_t>(c);
    mix.add(chunk);
  }
}

}  // namespace rlhf::inline v0::cuda::detail
