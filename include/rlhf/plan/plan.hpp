/// @file
/// All moves of one sync, as plain data. Layer: plan.
#pragma once

#include <rlhf/core/hash.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/tensor/box.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0::plan {

/// How the bytes of a flow leave their source.
enum class Method : std::uint8_t {
  send,       ///< One send to each receiver.
  broadcast,  ///< One broadcast to all receivers.
};

/// A parameter that the destination holds.
struct PlannedParameter {
  std::string name;
  DType dtype = DType::f32;
  Shape global{};

  bool operator==(PlannedParameter const&) const = default;
};

/// A box of a parameter that moves as one.
struct Piece {
  std::int32_t parameter = 0;
  Box box{};

  bool operator==(Piece const&) const = default;
};

/// A receiver that passes a bucket on.
struct Forward {
  int from = 0;
  int to = 0;

  bool operator==(Forward const&) const = default;
};

/// A path that bytes take: from one source rank to the ranks that need them. World ranks.
struct Flow {
  int source = 0;
  Method method = Method::send;
  std::vector<int> receivers;     ///< First hop, from the source.
  std::vector<Forward> forwards;  ///< Second hop.
  std::vector<int> destinations;  ///< Ranks that keep the bytes; the others only forward.
  std::int64_t bytes = 0;

  bool operator==(Flow const&) const = default;
};

/// Bytes of one flow that move together, pieces one after the other.
struct Bucket {
  std::int32_t flow = 0;
  std::int32_t wave = 0;
  std::int64_t bytes = 0;
  std::vector<Piece> pieces;

  bool operator==(Bucket const&) const = default;
};

/// A piece that a rank has in its source module and needs in its destination module.
struct LocalCopy {
  int rank = 0;
  Piece piece;

  bool operator==(LocalCopy const&) const = default;
};

/// All moves of one sync. The same on every rank, run and compiler.
///
/// Buckets are ordered by wave. A wave's first hops run together; its second hops run with the next
/// wave's first hops. A rank takes part in at most `slots` buckets of a wave, so no rank stages
/// more than 2 x slots x bucket_bytes.
struct Plan {
  std::vector<PlannedParameter> parameters;
  std::vector<std::string> unused;  ///< Source parameters that the destination does not hold.
  std::vector<Flow> flows;
  std::vector<Bucket> buckets;
  std::vector<LocalCopy> local_copies;
  std::int64_t bucket_bytes = 0;
  int slots = 0;
  int waves = 0;
  std::int64_t bytes_needed = 0;    ///< Bytes that all destination ranks hold.
  std::int64_t bytes_local = 0;     ///< Of those, already on the same rank: copied, not sent.
  std::int64_t bytes_moved = 0;     ///< Bytes entering destination ranks that lacked them.
  std::int64_t bytes_on_links = 0;  ///< Bytes entering any rank, forwarders included.

  bool operator==(Plan const&) const = default;
};

template <class = void>
[[nodiscard]] std::int64_t bytes_of(Plan const& plan, Piece const& piece) {
  return piece.box.elements() *
         size_of(plan.parameters[static_cast<std::size_t>(piece.parameter)].dtype);
}

namespace detail {

template <class = void>
void add(Fingerprint& print, Extents const& extents) {
  print.add(static_cast<std::uint64_t>(extents.rank()));
  for (int d = 0; d < extents.rank(); ++d) {
    print.add(static_cast<std::uint64_t>(extents[d]));
  }
}
template <class = void>
void add(Fingerprint& print, Piece const& piece) {
  print.add(static_cast<std::uint64_t>(piece.parameter));
  add(print, piece.box.start);
  add(print, piece.box.extent);
}
template <class = void>
void add(Fingerprint& print, std::vector<int> const& ranks) {
  print.add(static_cast<std::uint64_t>(ranks.size()));
  for (int const rank : ranks) {
    print.add(static_cast<std::uint64_t>(rank));
  }
}

}  // namespace detail

/// Fingerprint of one parameter's identity: name, type, global shape.
template <class = void>
[[nodiscard]] std::uint64_t fingerprint(PlannedParameter const& parameter) {
  Fingerprint print;
  print.add(parameter.name).add(static_cast<std::uint64_t>(parameter.dtype));
  detail::add(print, parameter.global);
  return print.value();
}

/// Fingerprint of everything in a plan. Equal plans, and in practice only those, have equal ones.
template <class = void>
[[nodiscard]] std::uint64_t fingerprint(Plan const& plan) {
  Fingerprint print;
  for (PlannedParameter const& parameter : plan.parameters) {
    print.add(fingerprint(parameter));
  }
  print.add(static_cast<std::uint64_t>(plan.flows.size()));
  for (Flow const& flow : plan.flows) {
    print.add(static_cast<std::uint64_t>(flow.source)).add(static_cast<std::uint64_t>(flow.method));
    detail::add(print, flow.receivers);
    detail::add(print, flow.destinations);
    for (Forward const& forward : flow.forwards) {
      print.add(static_cast<std::uint64_t>(forward.from));
      print.add(static_cast<std::uint64_t>(forward.to));
    }
  }
  for (Bucket const& bucket : plan.buckets) {
    print.add(static_cast<std::uint64_t>(bucket.flow)).add(static_cast<std::uint64_t>(bucket.wave));
    for (Piece const& piece : bucket.pieces) {
      detail::add(print, piece);
    }
  }
  for (LocalCopy const& copy : plan.local_copies) {
    print.add(static_cast<std::uint64_t>(copy.rank));
    detail::add(print, copy.piece);
  }
  print.add(static_cast<std::uint64_t>(plan.bucket_bytes));
  print.add(static_cast<std::uint64_t>(plan.slots));
  return print.value();
}

/// The plan in a few lines a person can read: totals, then a line for each flow.
template <class = void>
[[nodiscard]] std::string to_string(Plan const& plan) {
  std::string out =
      text("plan: ", plan.parameters.size(), " parameters, ", plan.bytes_needed, " bytes needed, ",
           plan.bytes_local, " already there, ", plan.bytes_moved, " moved, ", plan.bytes_on_links,
           " on links; ", plan.flows.size(), " flows, ", plan.buckets.size(), " buckets of up to ",
           plan.bucket_bytes, " bytes in ", plan.waves, " waves\n");
  for (Flow const& flow : plan.flows) {
    out += text("  ", flow.source, flow.method == Method::broadcast ? " => " : " -> ",
                list_text({flow.receivers.data(), flow.receivers.size()}));
    for (Forward const& forward : flow.forwards) {
      out += text(", then ", forward.from, " -> ", forward.to);
    }
    out += text(": ", flow.bytes, " bytes\n");
  }
  return out;
}

}  // namespace rlhf::inline v0::plan
