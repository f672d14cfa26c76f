/// @file
/// Typed collectives over spans, with the sizes checked. Layer: comm.
///
/// Each is one call of the communicator and nothing else. Errors: invalid_argument where the spans
/// do not fit together, otherwise what the communicator reports.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <cstdint>
#include <span>

namespace rlhf::inline v0::comm {
namespace detail {

template <class = void>
void expect_blocks(std::size_t whole, std::size_t block, int ranks, char const* operation) {
  if (whole != block * static_cast<std::size_t>(ranks)) {
    fail(Errc::invalid_argument, text(operation, " over ", ranks, " ranks needs ", ranks, " x ",
                                      block, " elements, the larger span has ", whole));
  }
}

}  // namespace detail

/// Root's elements arrive in everyone's span.
template <Communicator C, Element T>
void broadcast(C& comm, std::span<T> data, int root, typename C::Stream stream = {}) {
  comm.broadcast(data.data(), std::ssize(data), dtype_of<T>, root, stream);
}

/// Element-wise reduction over ranks, in place.
template <Communicator C, Element T>
void all_reduce(C& comm, std::span<T> data, Reduce op = Reduce::sum,
                typename C::Stream stream = {}) {
  comm.all_reduce(data.data(), data.data(), std::ssize(data), dtype_of<T>, op, stream);
}

/// `out` holds every rank's `in`, in rank order.   // out: (size, in)
template <Communicator C, Element T>
void all_gather(C& comm, std::span<T const> in, std::span<T> out, typename C::Stream stream = {}) {
  detail::expect_blocks(out.size(), in.size(), comm.size(), "all_gather");
  comm.all_gather(in.data(), out.data(), std::ssize(in), dtype_of<T>, stream);
}

/// Rank r gets block r of the sum (or max, min) of everyone's `in`.   // in: (size, out)
template <Communicator C, Element T>
void reduce_scatter(C& comm, std::span<T const> in, std::span<T> out, Reduce op = Reduce::sum,
                    typename C::Stream stream = {}) {
  detail::expect_blocks(in.size(), out.size(), comm.size(), "reduce_scatter");
  comm.reduce_scatter(in.data(), out.data(), std::ssize(out), dtype_of<T>, op, stream);
}

/// Block b of `in` goes to rank b.   // in, out: (size, block)
template <Communicator C, Element T>
void all_to_all(C& comm, std::span<T const> in, std::span<T> out, typename C::Stream stream = {}) {
  expects(comm.size() > 0, "this communicator is empty: the rank was split off with no_color");
  expects(in.size() == out.size(), "all_to_all needs as many elements in as out");
  auto const block = in.size() / static_cast<std::size_t>(comm.size());
  detail::expect_blocks(in.size(), block, comm.size(), "all_to_all");
  comm.all_to_all(in.data(), out.data(), static_cast<std::int64_t>(block), dtype_of<T>, stream);
}

/// Sends to `peer`, which must call `recv` of as many elements.
template <Communicator C, Element T>
void send(C& comm, std::span<T> data, int peer, typename C::Stream stream = {}) {
  comm.send(data.data(), std::ssize(data), dtype_of<T>, peer, stream);
}

/// Receives what `peer` sends to this rank next.
template <Communicator C, Element T>
void recv(C& comm, std::span<T> data, int peer, typename C::Stream stream = {}) {
  comm.recv(data.data(), std::ssize(data), dtype_of<T>, peer, stream);
}

/// Runs `body`; the sends and receives it makes progress together and are done on return.
///
/// When `body` throws, nothing of the group is sent.
template <Communicator C, class Body>
void grouped(C& comm, Body&& body, typename C::Stream stream = {}) {
  comm.group_start();
  try {
    body();
  } catch (...) {
    comm.group_cancel();
    throw;
  }
  comm.group_end(stream);
}

/// Returns when what `stream` has is done; at once where calls take effect before they return.
template <Communicator C>
void settle([[maybe_unused]] C& comm, [[maybe_unused]] typename C::Stream stream = {}) {
  if constexpr (RunsBehind<C>) {
    comm.wait(stream);
  }
}

}  // namespace rlhf::inline v0::comm
