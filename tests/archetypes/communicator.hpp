// The least that a user may write for a communicator: the expressions of the concept, no default
// arguments, no copies.
#pragma once

#include <rlhf/comm/local.hpp>

#include <utility>

namespace archetype {

/// Forwards to threads of one process.
class Communicator {
 public:
  struct Stream {
    int number = 0;
  };

  explicit Communicator(rlhf::comm::Local inner) : inner_(std::move(inner)) {}
  Communicator(Communicator&&) = default;
  Communicator(Communicator const&) = delete;
  Communicator& operator=(Communicator const&) = delete;
  Communicator& operator=(Communicator&&) = delete;
  ~Communicator() = default;

  int rank() const noexcept { return inner_.rank(); }
  int size() const noexcept { return inner_.size(); }
  int world_rank(int rank) const { return inner_.world_rank(rank); }

  void broadcast(void* data, std::int64_t count, rlhf::DType dtype, int root, Stream) {
    inner_.broadcast(data, count, dtype, root);
  }
  void all_reduce(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                  rlhf::comm::Reduce op, Stream) {
    inner_.all_reduce(in, out, count, dtype, op);
  }
  void all_gather(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream) {
    inner_.all_gather(in, out, count, dtype);
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                      rlhf::comm::Reduce op, Stream) {
    inner_.reduce_scatter(in, out, count, dtype, op);
  }
  void all_to_all(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream) {
    inner_.all_to_all(in, out, count, dtype);
  }
  void send(void const* data, std::int64_t count, rlhf::DType dtype, int peer, Stream) {
    inner_.send(data, count, dtype, peer);
  }
  void recv(void* data, std::int64_t count, rlhf::DType dtype, int peer, Stream) {
    inner_.recv(data, count, dtype, peer);
  }
  void group_start() { inner_.group_start(); }
  void group_end(Stream) { inner_.group_end(); }
  void group_cancel() noexcept { inner_.group_cancel(); }
  void barrier(Stream) { inner_.barrier(); }
  Communicator split(int color, int key) { return Communicator(inner_.split(color, key)); }
  void abort(std::string_view reason) noexcept { inner_.abort(reason); }

 private:
  rlhf::comm::Local inner_;
};

}  // namespace archetype
