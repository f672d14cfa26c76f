// A communicator written by a user: forwards to comm::Local, counts the bytes of all groups split
// from it in one ledger, and fails on request.
#pragma once

#include <rlhf/comm/local.hpp>

#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <sched.h>

namespace ranks {

struct Ledger {
  std::int64_t bytes_in = 0;   ///< Bytes that other ranks brought here.
  std::int64_t bytes_out = 0;  ///< The same, counted where they come from.
  std::int64_t calls = 0;
  std::int64_t throw_at = -1;  ///< The call that throws, counted from 0.
};

class Spy {
 public:
  using Stream = rlhf::comm::Local::Stream;

  Spy() = default;
  Spy(rlhf::comm::Local inner, Ledger& ledger) : inner_(std::move(inner)), ledger_(&ledger) {}

  [[nodiscard]] int rank() const noexcept { return inner_.rank(); }
  [[nodiscard]] int size() const noexcept { return inner_.size(); }
  [[nodiscard]] int world_rank(int rank) const { return inner_.world_rank(rank); }

  void broadcast(void* data, std::int64_t count, rlhf::DType dtype, int root, Stream = {}) {
    call();
    std::int64_t const bytes = count * rlhf::size_of(dtype);
    if (root == rank()) {
      ledger_->bytes_out += bytes * (size() - 1);
    } else {
      ledger_->bytes_in += bytes;
    }
    inner_.broadcast(data, count, dtype, root);
  }
  void all_reduce(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                  rlhf::comm::Reduce op, Stream = {}) {
    inner_.all_reduce(in, out, count, dtype, op);
  }
  void all_gather(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream = {}) {
    inner_.all_gather(in, out, count, dtype);
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                      rlhf::comm::Reduce op, Stream = {}) {
    inner_.reduce_scatter(in, out, count, dtype, op);
  }
  void all_to_all(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream = {}) {
    inner_.all_to_all(in, out, count, dtype);
  }
  void send(void const* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    call();
    ledger_->bytes_out += count * rlhf::size_of(dtype);
    inner_.send(data, count, dtype, peer);
  }
  void recv(void* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    call();
    ledger_->bytes_in += count * rlhf::size_of(dtype);
    inner_.recv(data, count, dtype, peer);
  }
  void group_start() { inner_.group_start(); }
  void group_end(Stream = {}) { inner_.group_end(); }
  void group_cancel() noexcept { inner_.group_cancel(); }
  void barrier(Stream = {}) { inner_.barrier(); }
  [[nodiscard]] Spy split(int color, int key) { return {inner_.split(color, key), *ledger_}; }
  void abort(std::string_view reason) noexcept { inner_.abort(reason); }

 private:
  void call() {
    std::int64_t const number = ledger_->calls++;
    if (number == ledger_->throw_at) {
      throw std::runtime_error("planned failure");
    }
    if ((number * 7 + rank() * 3) % 5 == 0) {
      sched_yield();  // ranks meet in ever other orders
    }
  }

  rlhf::comm::Local inner_;
  Ledger* ledger_ = nullptr;
};

static_assert(rlhf::comm::Communicator<Spy>);

}  // namespace ranks
