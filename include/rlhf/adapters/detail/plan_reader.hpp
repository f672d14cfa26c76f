/// @file
/// Plans from JSON, checked. Layer: adapters, private.
#pragma once

#include <rlhf/adapters/detail/plan_fields.hpp>
#include <rlhf/adapters/detail/plan_format.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule_size.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::plan::detail {

/// Reads a plan and checks all that code which uses plans relies on.
class PlanReader : PlanFields {
 public:
  explicit PlanReader(std::string_view origin) : PlanFields(origin) {}

  [[nodiscard]] Plan read(nlohmann::json const& file) {
    require(file.is_object(), "", "expected a JSON object");
    std::int64_t const format = number(file, "format", 0, 1 << 30);
    require(format == plan_format, "format", text("expected ", plan_format, ", found ", format));
    known(file,
          {"format", "fingerprint", "route", "bucket_bytes", "slots", "world", "source_ranks",
           "destination_ranks", "bytes_needed", "bytes_local", "bytes_moved", "bytes_on_links",
           "rank_sets", "parameters", "unused", "kinds", "paths", "moves", "copies"});
    plan_.route =
        one_of(file, "route",
               {Route::point_to_point, Route::broadcast, Route::two_stage, Route::hierarchical});
    plan_.bucket_bytes = number(file, "bucket_bytes", 256, most_bytes);
    plan_.slots = static_cast<int>(number(file, "slots", 2, 1 << 30));
    std::int64_t staging = 0;
    require(
        plan_.slots % 2 == 0 && !__builtin_mul_overflow(plan_.bucket_bytes, plan_.slots, &staging),
        "slots", "expected an even number of slots that fit in memory");
    plan_.world = static_cast<int>(number(file, "world", 1, most_world_ranks));
    read_rank_sets(file);
    plan_.source_ranks = set(file, "source_ranks");
    plan_.destination_ranks = set(file, "destination_ranks");
    check_ranks();
    plan_.parameters = names(file, "parameters");
    plan_.unused = names(file, "unused");
    read_kinds(file);
    read_paths(file);
    read_moves(file);
    read_copies(file);
    read_totals(file);
    check_size();
    std::string const print = fingerprint_text(fingerprint(plan_));
    require(word(file, "fingerprint") == print, "fingerprint",
            text("expected ", print, ", which is what the rest of the file says, found ",
                 shown(word(file, "fingerprint")), "; the file was changed or damaged"));
    return std::move(plan_);
  }

 private:
  [[nodiscard]] std::vector<int> ranks(Json const& value, char const* key) {
    return numbers<int>(value, key, 0, plan_.world - 1, plan_.world);
  }
  [[nodiscard]] std::int32_t set(Json const& object, char const* key) const {
    return static_cast<std::int32_t>(number(object, key, 0, std::ssize(plan_.rank_sets) - 1));
  }

  void read_rank_sets(Json const& file) {
    mark_.assign(static_cast<std::size_t>(plan_.world), -1);
    Json const& all = list(file, "rank_sets");
    list_ = "rank_sets";
    for (item_ = 0; item_ < all.size(); ++item_) {
      plan_.rank_sets.push_back(ranks(all[item_], ""));
      require(!plan_.rank_sets.back().empty(), "", "expected at least one rank");
      for (int const rank : plan_.rank_sets.back()) {
        mark_once(rank, static_cast<std::int64_t>(item_), "");
      }
    }
    list_ = nullptr;
  }
  void mark_once(int rank, std::int64_t mark, char const* key) {
    auto& place = mark_[static_cast<std::size_t>(rank)];
    require(place != mark, key, text("rank ", rank, " is there twice"));
    place = mark;
  }
  /// Which ranks each side has, and which sets lie inside of it.
  void check_ranks() {
    auto const side = [&, this](std::int32_t number) {
      std::vector<std::uint8_t> has(static_cast<std::size_t>(plan_.world), 0);
      for (int const rank : plan_.rank_sets[static_cast<std::size_t>(number)]) {
        has[static_cast<std::size_t>(rank)] = 1;
        highest_ = rank > highest_ ? rank : highest_;
      }
      return has;
    };
    is_source_ = side(plan_.source_ranks);
    is_destination_ = side(plan_.destination_ranks);
    require(plan_.world == highest_ + 1, "world",
            text("expected ", highest_ + 1, ", one more than the highest rank of both sides"));
    auto const inside = [&, this](std::vector<std::uint8_t> const& has) {
      std::vector<std::uint8_t> out;
      for (auto const& set : plan_.rank_sets) {
        bool all = true;
        for (int const rank : set) {
          all = all && has[static_cast<std::size_t>(rank)] != 0;
        }
        out.push_back(static_cast<std::uint8_t>(all));
      }
      return out;
    };
    in_source_ = inside(is_source_);
    in_destination_ = inside(is_destination_);
  }

  void read_kinds(Json const& file) {
    std::vector<std::uint8_t> seen(plan_.parameters.size(), 0);
    auto const types = {DType::f32, DType::bf16, DType::f16, DType::f64,
                        DType::i64, DType::i32,  DType::u8};
    each(file, "kinds", [&, this](Json const& item) {
      known(item, {"source_dtype", "destination_dtype", "global", "parameters"});
      Kind kind;
      kind.source_dtype = one_of(item, "source_dtype", types);
      kind.destination_dtype = one_of(item, "destination_dtype", types);
      kind.global = extents(item, "global");
      std::int64_t elements = 1;
      for (int d = 0; d < kind.global.rank(); ++d) {
        require(!__builtin_mul_overflow(elements, kind.global[d], &elements) &&
                    elements <= std::int64_t{1} << 55,
                "global", "has more elements than any tensor");
      }
      kind.parameters =
          numbers<std::int32_t>(at(item, "parameters"), "parameters", 0,
                                std::ssize(plan_.parameters) - 1, std::ssize(plan_.parameters));
      require(!kind.parameters.empty(), "parameters", "expected at least one parameter");
      for (std::size_t i = 0; i < kind.parameters.size(); ++i) {
        require(i == 0 || kind.parameters[i - 1] < kind.parameters[i], "parameters",
                "expected numbers that ascend");
        require(seen[static_cast<std::size_t>(kind.parameters[i])]++ == 0, "parameters",
                text("parameter ", kind.parameters[i], " belongs to an earlier kind already"));
      }
      plan_.kinds.push_back(std::move(kind));
    });
    for (std::size_t p = 0; p < seen.size(); ++p) {
      require(seen[p] != 0, "kinds",
              text("parameter ", p, " (", shown(plan_.parameters[p]), ") belongs to no kind"));
    }
  }

  void read_paths(Json const& file) {
    mark_.assign(static_cast<std::size_t>(plan_.world), -1);
    each(file, "paths", [&, this](Json const& item) {
      known(item, {"method", "receivers", "forward_from", "forward_to", "destinations"});
      Path path;
      path.method = one_of(item, "method", {Method::send, Method::broadcast});
      path.receivers = ranks(at(item, "receivers"), "receivers");
      path.destinations = ranks(at(item, "destinations"), "destinations");
      auto const from = ranks(at(item, "forward_from"), "forward_from");
      auto const to = ranks(at(item, "forward_to"), "forward_to");
      require(from.size() == to.size(), "forward_to",
              text("expected ", from.size(), " ranks, as in forward_from, found ", to.size()));
      require(!path.receivers.empty(), "receivers", "expected at least one rank");
      // Marks of this path: received, reached by a forward, kept.
      std::int64_t const received = static_cast<std::int64_t>(item_) * 3;
      for (int const rank : path.receivers) {
        check_destination(rank, "receivers");
        mark_once(rank, received, "receivers");
      }
      for (std::size_t i = 0; i < from.size(); ++i) {
        check_destination(to[i], "forward_to");
        require(mark_[static_cast<std::size_t>(from[i])] == received, "forward_from",
                text("rank ", from[i], " forwards what it does not receive"));
        require(mark_[static_cast<std::size_t>(to[i])] < received, "forward_to",
                text("rank ", to[i], " is reached twice"));
        mark_[static_cast<std::size_t>(to[i])] = received + 1;
        path.forwards.push_back(Forward{from[i], to[i]});
      }
      for (int const rank : path.destinations) {
        auto& mark = mark_[static_cast<std::size_t>(rank)];
        require(mark == received || mark == received + 1, "destinations",
                text("rank ", rank, " is not reached, or is there twice"));
        mark = received + 2;
      }
      plan_.paths.push_back(std::move(path));
    });
  }
  void check_destination(int rank, char const* key) const {
    require(is_destination_[static_cast<std::size_t>(rank)] != 0, key,
            text("rank ", rank, " is none of the destination's"));
  }

  [[nodiscard]] std::int32_t kind(Json const& item) const {
    return static_cast<std::int32_t>(number(item, "kind", 0, std::ssize(plan_.kinds) - 1));
  }
  [[nodiscard]] Box box(Json const& item, std::int32_t number) const {
    Shape const& global = plan_.kinds[static_cast<std::size_t>(number)].global;
    Box const out{extents(item, "start"), extents(item, "extent")};
    bool right = out.start.rank() == global.rank() && out.extent.rank() == global.rank();
    for (int d = 0; right && d < global.rank(); ++d) {
      right = out.extent[d] >= 1 && out.end(d) <= global[d];
    }
    require(right, "extent", text("expected a box inside of ", to_string(global)));
    return out;
  }

  void read_moves(Json const& file) {
    each(file, "moves", [&, this](Json const& item) {
      known(item, {"kind", "start", "extent", "begin", "end", "sources", "paths", "first"});
      Move move;
      move.kind = kind(item);
      auto const all = std::ssize(plan_.kinds[static_cast<std::size_t>(move.kind)].parameters);
      move.box = box(item, move.kind);
      move.begin = static_cast<std::int32_t>(number(item, "begin", 0, all - 1));
      move.end = static_cast<std::int32_t>(number(item, "end", move.begin + 1, all));
      move.sources = set(item, "sources");
      require(in_source_[static_cast<std::size_t>(move.sources)] != 0, "sources",
              "expected ranks of the source only");
      move.paths = numbers<std::int32_t>(at(item, "paths"), "paths", 0, std::ssize(plan_.paths) - 1,
                                         std::ssize(plan_.paths));
      require(!move.paths.empty(), "paths", "expected at least one path");
      auto const sources = std::ssize(plan_.rank_sets[static_cast<std::size_t>(move.sources)]);
      std::int64_t const units = move.parameters() * std::ssize(move.paths);
      move.first = numbers<std::int64_t>(at(item, "first"), "first", 0, units, sources + 1);
      bool right = std::ssize(move.first) == sources + 1 && move.first.front() == 0 &&
                   move.first.back() == units;
      for (std::size_t s = 1; right && s < move.first.size(); ++s) {
        right = move.first[s - 1] <= move.first[s];
      }
      require(right, "first",
              text("expected ", sources + 1, " numbers that ascend from 0 to ", units));
      plan_.moves.push_back(std::move(move));
    });
  }

  void read_copies(Json const& file) {
    each(file, "copies", [&, this](Json const& item) {
      known(item, {"kind", "start", "extent", "ranks"});
      Copy copy;
      copy.kind = kind(item);
      copy.box = box(item, copy.kind);
      copy.ranks = set(item, "ranks");
      require(in_source_[static_cast<std::size_t>(copy.ranks)] != 0 &&
                  in_destination_[static_cast<std::size_t>(copy.ranks)] != 0,
              "ranks", "expected ranks of both sides only");
      plan_.copies.push_back(copy);
    });
  }

  /// The totals are what moves and copies add up to.
  void read_totals(Json const& file) {
    std::int64_t local = 0;
    std::int64_t moved = 0;
    std::int64_t on_links = 0;
    auto const add = [&, this](std::int64_t& sum, std::int32_t kind, Box const& box,
                               std::int64_t parameters, std::int64_t times) {
      std::int64_t bytes = wire_bytes(plan_.kinds[static_cast<std::size_t>(kind)], box);
      require(!__builtin_mul_overflow(bytes, parameters, &bytes) &&
                  !__builtin_mul_overflow(bytes, times, &bytes) &&
                  !__builtin_add_overflow(sum, bytes, &sum) && sum <= most_bytes,
              "moves", "add up to more bytes than fit in 62 bits");
    };
    for (Copy const& copy : plan_.copies) {
      add(local, copy.kind, copy.box,
          std::ssize(plan_.kinds[static_cast<std::size_t>(copy.kind)].parameters),
          std::ssize(plan_.rank_sets[static_cast<std::size_t>(copy.ranks)]));
    }
    for (Move const& move : plan_.moves) {
      std::int64_t kept = 0;
      std::int64_t reached = 0;
      for (std::int32_t const p : move.paths) {
        Path const& path = plan_.paths[static_cast<std::size_t>(p)];
        kept += std::ssize(path.destinations);
        reached += std::ssize(path.receivers) + std::ssize(path.forwards);
      }
      add(moved, move.kind, move.box, move.parameters(), kept);
      add(on_links, move.kind, move.box, move.parameters(), reached);
    }
    auto const same = [&, this](char const* key, std::int64_t sum) {
      std::int64_t const found = number(file, key, 0, (std::numeric_limits<std::int64_t>::max)());
      require(found == sum, key,
              text("expected ", sum, ", as moves and copies add up to, found ", found));
      return found;
    };
    plan_.bytes_local = same("bytes_local", local);
    plan_.bytes_moved = same("bytes_moved", moved);
    plan_.bytes_on_links = same("bytes_on_links", on_links);
    plan_.bytes_needed = same("bytes_needed", local + moved);
  }

  /// What every rank's schedule needs memory for.
  void check_size() const {
    std::string const pieces = find_piece_fault(plan_);
    require(pieces.empty(), "moves", pieces);
    std::string const buckets = find_bucket_fault(plan_);
    require(buckets.empty(), "bucket_bytes", buckets);
  }

  int highest_ = -1;
  std::vector<std::int64_t> mark_;            // of every world rank
  std::vector<std::uint8_t> is_source_;       // of every world rank
  std::vector<std::uint8_t> is_destination_;  // of every world rank
  std::vector<std::uint8_t> in_source_;       // of every rank set
  std::vector<std::uint8_t> in_destination_;  // of every rank set
  Plan plan_;
};

}  // namespace rlhf::inline v0::plan::detail
