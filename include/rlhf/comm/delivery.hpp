/// @file
/// Pieces on their way from the rank that has them to ranks that need them, for couriers that put
/// them there without a transfer. Layer: comm.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/tensor/fingerprint.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rlhf::inline v0::comm {

/// What one rank sends to others, as one of them sees it. World ranks.
///
/// `from` lists the pieces where this rank is the source, `to` where it is a destination, in the
/// same order on all of them; a rank that copies to itself has both.
template <class T = void>
struct BasicDelivery {
  std::int64_t id = 0;  ///< The same on all ranks of the delivery, and of no other.
  int source = 0;
  std::vector<int> destinations;  ///< Ascending: ranks may pass bytes on to the next.
  rlhf::detail::late_vector<PlacedBox, T> from;
  rlhf::detail::late_vector<PlacedBox, T> to;
};

/// A packer that comes with a courier: something that moves pieces straight into other ranks'
/// memory. Optional.
///
/// | expression | meaning |
/// |---|---|
/// | `P::Courier<C>(world, packer, views)` | collective; `views` are this rank's destination memory |
/// | `c.takes(source, destinations)` | whether it can serve them: the same answer on every rank; asked for copies of a rank to itself, too |
/// | `c.bind(deliveries)` | collective: prepares to deliver these, at every run |
/// | `c.start(stream)`, `c.join(stream)` | begins behind what the stream has; the stream goes on behind it |
/// | `c.check_run(name)` | when the stream is done: throws what went wrong; `name(delivery, piece)` says what |
template <class P, class C>
concept HasCourier = requires {
  typename P::template Courier<C>;
};

}  // namespace rlhf::inline v0::comm
