/// @file
/// Counts what another communicator is asked to do. Layer: comm.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::comm {

/// Calls and bytes of one kind of operation on one rank.
struct Traffic {
  std::int64_t calls = 0;
  std::int64_t bytes = 0;  ///< Bytes of the buffer passed in (`count` x element size).

  constexpr bool operator==(Traffic const&) const noexcept = default;
};

/// What a rank asked of its communicator since the last `clear`.
struct Record {
  Traffic broadcast;
  Traffic all_reduce;
  Traffic all_gather;
  Traffic reduce_scatter;
  Traffic all_to_all;
  Traffic send;
  Traffic recv;
  std::int64_t groups = 0;
  std::int64_t barriers = 0;
  std::int64_t splits = 0;
  /// Ordered fingerprint of every call with its arguments (not its pointers): equal sequences of
  /// calls have equal fingerprints.
  std::uint64_t sequence = 0;

  constexpr bool operator==(Record const&) const noexcept = default;
};

/// A communicator that forwards every call to `Inner` and keeps a `Record`. Models `Communicator`.
///
/// Cost: a few additions a call, no allocation. A split communicator has a record of its own,
/// which starts empty. Thread safety: as `Inner`.
template <Communicator Inner>
class Recording {
 public:
  using Stream = typename Inner::Stream;

  Recording() = default;
  explicit Recording(Inner inner) : inner_(std::move(inner)) {}

  [[nodiscard]] Record const& record() const noexcept { return record_; }
  void clear() noexcept { record_ = {}; }
  [[nodiscard]] Inner& inner() noexcept { return inner_; }

  [[nodiscard]] int rank() const noexcept { return inner_.rank(); }
  [[nodiscard]] int size() const noexcept { return inner_.size(); }
  [[nodiscard]] int world_rank(int rank) const { return inner_.world_rank(rank); }

  void broadcast(void* data, std::int64_t count, DType dtype, int root, Stream stream = {}) {
    note(record_.broadcast, 1, count, dtype, root);
    inner_.broadcast(data, count, dtype, root, stream);
  }
  void all_reduce(void const* in, void* out, std::int64_t count, DType dtype, Reduce op,
                  Stream stream = {}) {
    note(record_.all_reduce, 2, count, dtype, static_cast<int>(op));
    inner_.all_reduce(in, out, count, dtype, op, stream);
  }
  void all_gather(void const* in, void* out, std::int64_t count, DType dtype, Stream stream = {}) {
    note(record_.all_gather, 3, count, dtype, 0);
    inner_.all_gather(in, out, count, dtype, stream);
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, DType dtype, Reduce op,
                      Stream stream = {}) {
    note(record_.reduce_scatter, 4, count, dtype, static_cast<int>(op));
    inner_.reduce_scatter(in, out, count, dtype, op, stream);
  }
  void all_to_all(void const* in, void* out, std::int64_t count, DType dtype, Stream stream = {}) {
    note(record_.all_to_all, 5, count, dtype, 0);
    inner_.all_to_all(in, out, count, dtype, stream);
  }
  void send(void const* data, std::int64_t count, DType dtype, int peer, Stream stream = {}) {
    note(record_.send, 6, count, dtype, peer);
    inner_.send(data, count, dtype, peer, stream);
  }
  void recv(void* data, std::int64_t count, DType dtype, int peer, Stream stream = {}) {
    note(record_.recv, 7, count, dtype, peer);
    inner_.recv(data, count, dtype, peer, stream);
  }
  void group_start() {
    ++record_.groups;
    append(8);
    inner_.group_start();
  }
  void group_end(Stream stream = {}) {
    append(9);
    inner_.group_end(stream);
  }
  void group_cancel() noexcept {
    append(10);
    inner_.group_cancel();
  }
  void barrier(Stream stream = {}) {
    ++record_.barriers;
    append(11);
    inner_.barrier(stream);
  }
  [[nodiscard]] Recording split(int color, int key) {
    ++record_.splits;
    append(12, color, key);
    return Recording(inner_.split(color, key));
  }
  void abort(std::string_view reason) noexcept { inner_.abort(reason); }

 private:
  void note(Traffic& traffic, std::uint64_t kind, std::int64_t count, DType dtype,
            int detail) noexcept {
    ++traffic.calls;
    traffic.bytes += count * size_of(dtype);
    append(kind, count, static_cast<std::int64_t>(dtype), detail);
  }
  void append(std::uint64_t kind, std::int64_t a = 0, std::int64_t b = 0,
              std::int64_t c = 0) noexcept {
    record_.sequence = Fingerprint{}
                           .add(record_.sequence)
                           .add(kind)
                           .add(static_cast<std::uint64_t>(a))
                           .add(static_cast<std::uint64_t>(b))
                           .add(static_cast<std::uint64_t>(c))
                           .value();
  }

  Inner inner_{};
  Record record_{};
};

}  // namespace rlhf::inline v0::comm
