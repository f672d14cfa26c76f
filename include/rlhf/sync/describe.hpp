/// @file
/// Turns a model's parameter list into the description that plans are made from, and exchanges it.
/// Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/plan/listing.hpp>
#include <rlhf/sync/concepts.hpp>
#include <rlhf/sync/detail/heads.hpp>
#include <rlhf/sync/detail/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::sync {

/// The views of one rank's parameters, with their holdings, in the model's order.
template <class T = void>
struct BasicLocalParameters {
  rlhf::detail::late_vector<TensorView, T> views;
  plan::BasicRankDescription<T> description;
};
using LocalParameters = BasicLocalParameters<>;

/// Whether a model may visit a parameter with arguments of these types. Reports nothing.
template <class... Arguments>
inline constexpr bool is_valid_visit = false;
template <class Name, class View, class Rule>
inline constexpr bool is_valid_visit<Name, View, Rule> =
    std::is_convertible_v<Name const&, std::string_view>&&
        std::is_convertible_v<View const&, TensorView>&& ShardRule<Rule>;

/// One assertion a rule for the arguments of a parameter visit.
template <class... Arguments>
struct CheckVisit {
  static_assert(sizeof...(Arguments) == 3,
                "[rlhf:sync.visit] a parameter visit takes (std::string_view name, "
                "rlhf::TensorView, shard); see sync/concepts.hpp");
};
template <class Name, class View, class Rule>
struct CheckVisit<Name, View, Rule> {
  static_assert(std::is_convertible_v<Name const&, std::string_view> &&
                    std::is_convertible_v<View const&, TensorView>,
                "[rlhf:sync.visit] a parameter visit takes (std::string_view name, "
                "rlhf::TensorView, shard); see sync/concepts.hpp");
  static_assert(ShardRule<Rule>,
                "[rlhf:sync.shard_rule] the third argument of a parameter visit must be a shard, "
                "such as rlhf::shard::rows(); see parallel/shard.hpp");
};

/// Errors: invalid_argument where a view cannot be read: elements without memory, or strides that
/// do not fit its shape.
template <class T = void>
void check_view(TensorView const& view) {
  bool const empty = element_count(view.shape) == 0;
  expects(empty || view.data != nullptr, "its view has elements but no memory (a null pointer)");
  bool strides_fit = view.strides.rank() == view.shape.rank();
  for (int d = 0; strides_fit && d < view.shape.rank(); ++d) {
    strides_fit = view.shape[d] <= 1 || view.strides[d] > 0;
  }
  expects(empty || strides_fit,
          "its view has no stride for every dimension; make views with rlhf::view");
}

namespace detail {

/// Two of a list's boxes that share elements, or -1 and -1. Cost: n log n, and the pairs that share
/// a place along the first dimension.
template <class T = void>
[[nodiscard]] std::pair<int, int> overlapping(std::span<rlhf::detail::late<Box, T> const> boxes) {
  rlhf::detail::late_vector<int, T> order(boxes.size());
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    order[i] = static_cast<int>(i);
  }
  auto const box = [&](int number) -> Box const& {
    return boxes[static_cast<std::size_t>(number)];
  };
  rlhf::detail::sort_by(order, [&](int a, int b) {
    return box(a).rank() != 0 && box(a).start[0] != box(b).start[0]
               ? box(a).start[0] < box(b).start[0]
               : a < b;
  });
  rlhf::detail::late_vector<int, T> open;
  for (int const number : order) {
    if (box(number).empty()) {
      continue;
    }
    std::size_t kept = 0;
    for (int const other : open) {
      if (box(number).rank() != 0 && box(other).end(0) <= box(number).start[0]) {
        continue;
      }
      if (!intersection(box(number), box(other)).empty()) {
        return {other, number};
      }
      open[kept++] = other;
    }
    open.resize(kept);
    open.push_back(number);
  }
  return {-1, -1};
}

}  // namespace detail

/// Errors: invalid_argument where a rule gives a rank the same elements twice, or two boxes the
/// same place in its memory.
template <class T = void>
void check_disjoint(Holding const& holding) {
  if (holding.boxes.size() < 2) {
    return;
  }
  rlhf::detail::late_vector<Box, T> global;
  rlhf::detail::late_vector<Box, T> local;
  for (HeldBox const& held : holding.boxes) {
    global.push_back(held.box);
    if (!held.strided()) {  // where strided ones lie is the rule's own business
      local.push_back(Box{held.local_start, held.box.extent});
    }
  }
  auto const [first, second] = detail::overlapping<T>({global.data(), global.size()});
  if (first >= 0) {
    fail(Errc::invalid_argument,
         text("its rule lists elements twice: ", to_string(global[static_cast<std::size_t>(first)]),
              " and ", to_string(global[static_cast<std::size_t>(second)])));
  }
  auto const [one, other] = detail::overlapping<T>({local.data(), local.size()});
  if (one >= 0) {
    fail(Errc::invalid_argument,
         text("its rule puts two boxes into one place: ",
              to_string(local[static_cast<std::size_t>(one)]), " and ",
              to_string(local[static_cast<std::size_t>(other)]), " of the rank's tensor"));
  }
}

/// Errors: invalid_argument where a parameter of one module lies in memory of the other, so that a
/// sync would overwrite what it has still to send. Views with gaps are not looked at.
template <class T>
void check_apart(BasicLocalParameters<T> const& source,
                 BasicLocalParameters<T> const& destination) {
  struct Range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::string_view name{};
  };
  auto const ranges_of = [](BasicLocalParameters<T> const& side) {
    rlhf::detail::late_vector<Range, T> out;
    for (std::size_t i = 0; i < side.views.size(); ++i) {
      TensorView const& view = side.views[i];
      if (view.contiguous() && view.elements() != 0) {
        auto const begin = reinterpret_cast<std::uintptr_t>(view.data);
        out.push_back(Range{begin, begin + static_cast<std::uintptr_t>(view.bytes()),
                            side.description.parameters[i].name});
      }
    }
    rlhf::detail::sort_by(out, [](Range const& a, Range const& b) { return a.begin < b.begin; });
    return out;
  };
  auto const from = ranges_of(source);
  auto const to = ranges_of(destination);
  std::size_t s = 0;
  for (Range const& range : to) {
    while (s < from.size() && from[s].end <= range.begin) {
      ++s;
    }
    if (s < from.size() && from[s].begin < range.end) {
      fail(Errc::invalid_argument,
           text("weight sync: parameter ", range.name, " of the destination and ", from[s].name,
                " of the source share memory on rank ", source.description.world_rank,
                "; a sync needs memory of its own on both sides"),
           source.description.world_rank);
    }
  }
}

/// Errors: invalid_argument where a rule places a box outside the memory of its view.
template <class T = void>
void check_placement(TensorView const& view, Holding const& holding) {
  for (HeldBox const& held : holding.boxes) {
    Box const& box = held.box;
    bool inside = box.rank() == holding.global.rank() && Box::whole(holding.global).contains(box);
    if (inside && held.strided()) {
      std::int64_t last = held.offset;
      inside = held.strides.rank() == box.rank() && view.contiguous();
      for (int d = 0; inside && d < box.rank(); ++d) {
        inside = box.extent[d] <= 1 || held.strides[d] > 0;
        last += inside && !box.empty() ? (box.extent[d] - 1) * held.strides[d] : 0;
      }
      inside = inside && (box.empty() || last < element_count(view.shape));
    } else if (inside) {
      inside = held.local_start.rank() == view.shape.rank() && view.shape.rank() == box.rank() &&
               Box::whole(view.shape).contains(Box{held.local_start, box.extent});
    }
    if (!inside) {
      fail(Errc::invalid_argument,
           text("its rule places ", to_string(box), " of ", to_string(holding.global),
                " outside a tensor of shape ", to_string(view.shape),
                held.strided() ? ", or that tensor is not contiguous" : ""));
    }
  }
}

/// Lists what this rank holds of a model.
///
/// Errors: invalid_argument naming the parameter where a name repeats, is empty, or a view does not
/// fit its shard rule.
template <Endpoint M>
[[nodiscard]] BasicLocalParameters<rlhf::detail::late<void, M>> local_parameters(M& model,
                                                                                 int world_rank) {
  BasicLocalParameters<rlhf::detail::late<void, M>> local;
  local.description.world_rank = world_rank;
  Layout const layout = model.layout();
  Coordinate const at = layout.coordinate(model.mesh().rank_of(world_rank));
  auto const add = [&](std::string_view name, TensorView view, auto const& rule) {
    expects(!name.empty(), "a parameter needs a name");
    try {
      check_view(view);
      plan::HeldParameter held{std::string(name), view.dtype, rule.holding(view.shape, layout, at)};
      check_placement(view, held.holding);
      check_disjoint(held.holding);
      local.description.parameters.push_back(std::move(held));
    } catch (Error const& error) {
      fail(error.code(), text("parameter ", name, " on rank ", world_rank, ": ", error.what()),
           world_rank);
    }
    local.views.push_back(view);
  };
  model.parameters([&](auto const&... arguments) {
    using Check = CheckVisit<std::remove_cvref_t<decltype(arguments)>...>;
    static_assert(sizeof(Check) != 0);
    if constexpr (is_valid_visit<std::remove_cvref_t<decltype(arguments)>...>) {
      add(arguments...);
    }
  });
  rlhf::detail::late_vector<std::string_view, M> names;
  for (plan::HeldParameter const& held : local.description.parameters) {
    names.push_back(held.name);
  }
  rlhf::detail::sort(names);
  for (std::size_t i = 1; i < names.size(); ++i) {
    if (names[i] == names[i - 1]) {
      fail(Errc::invalid_argument,
           text("parameter ", names[i], " is listed twice on rank ", world_rank), world_rank);
    }
  }
  return local;
}

/// Exchanges descriptions: every rank gets what each rank of `mesh` holds. Collective over `world`;
/// ranks outside the mesh pass an empty description.
///
/// Names and types of parameters are sent once for all ranks that list the same ones; which ranks
/// do is found by fingerprints of 64 bits. Where boxes lie in a rank's own memory is not sent.
///
/// Errors: invalid_argument where the mesh reaches beyond the world; corrupted where what a rank
/// sent cannot be read.
/// Cost: an all-gather of 24 bytes a rank, one of the most that a rank has of its own (tens of
/// bytes a kind of parameter), a broadcast of each distinct list.
template <comm::Communicator C>
[[nodiscard]] plan::BasicListing<rlhf::detail::late<void, C>> gather_description(
    C& world, Mesh const& mesh, Layout const& layout,
    plan::BasicRankDescription<rlhf::detail::late<void, C>> const& mine) {
  using Late = rlhf::detail::late<void, C>;
  using Bytes = rlhf::detail::late_vector<std::byte, C>;
  for (int const rank : mesh.world_ranks()) {
    if (rank >= world.size()) {
      fail(Errc::invalid_argument,
           text("a mesh lists world rank ", rank, ", the world has ", world.size(), " ranks"));
    }
  }
  Bytes my_list;
  Bytes my_own;
  {
    plan::BasicRankListing<Late> const listing = plan::listing_of(mine);
    my_list = detail::bytes_of(listing.list);
    my_own = detail::own_bytes_of(listing);
  }
  detail::Head const head{detail::print_of({my_list.data(), my_list.size()}), std::ssize(my_list),
                          std::ssize(my_own)};
  rlhf::detail::late_vector<detail::Head, C> heads(static_cast<std::size_t>(world.size()));
  world.all_gather(&head, heads.data(), detail::Head::numbers, DType::i64, {});
  comm::settle(world);
  detail::DistinctLists<Late> const lists(heads);

  my_own.resize(static_cast<std::size_t>(lists.longest_own()));
  Bytes own(my_own.size() * heads.size());
  world.all_gather(my_own.data(), own.data(), lists.longest_own(), DType::u8, {});
  Bytes all(lists.total());
  for (int list = 0; list < lists.size(); ++list) {
    auto const bytes = lists.in(all, list);
    if (lists.sender(list) == world.rank()) {
      detail::expect_readable(bytes.size() == my_list.size());
      std::memcpy(bytes.data(), my_list.data(), bytes.size());
    }
    world.broadcast(bytes.data(), std::ssize(bytes), DType::u8, lists.sender(list), {});
  }
  comm::settle(world);

  detail::ListingReader<Late> reader(layout);
  rlhf::detail::late_vector<std::int32_t, C> number_of(static_cast<std::size_t>(lists.size()), -1);
  for (int const rank : mesh.world_ranks()) {
    std::int32_t& number = number_of[static_cast<std::size_t>(lists.list_of(rank))];
    if (number < 0) {
      number = reader.add_list(lists.in(all, lists.list_of(rank)));
    }
    auto const index = static_cast<std::size_t>(rank);
    reader.add_rank(
        rank, number,
        {own.data() + index * my_own.size(), static_cast<std::size_t>(heads[index].own_bytes)});
  }
  return reader.take();
}

}  // namespace rlhf::inline v0::sync
