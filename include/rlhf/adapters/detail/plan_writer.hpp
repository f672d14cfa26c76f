/// @file
/// Plans as the text of a JSON object. Layer: adapters, private.
#pragma once

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/adapters/detail/plan_format.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::plan::detail {

/// Writes a plan, members in a fixed order.
template <class T>
class PlanWriter {
 public:
  [[nodiscard]] std::string write(BasicPlan<T> const& plan) {
    std::string const print = fingerprint_text(fingerprint(plan));
    out_ += '{';
    member("format", plan_format);
    member("fingerprint", std::string_view(print));
    member("route", to_string(plan.route));
    member("bucket_bytes", plan.bucket_bytes);
    member("slots", plan.slots);
    member("world", plan.world);
    member("source_ranks", plan.source_ranks);
    member("destination_ranks", plan.destination_ranks);
    member("bytes_needed", plan.bytes_needed);
    member("bytes_local", plan.bytes_local);
    member("bytes_moved", plan.bytes_moved);
    member("bytes_on_links", plan.bytes_on_links);
    items("rank_sets", plan.rank_sets, [&, this](auto const& set) { this->numbers(set); });
    items("parameters", plan.parameters, [&, this](auto const& name) { this->quoted(name); });
    items("unused", plan.unused, [&, this](auto const& name) { this->quoted(name); });
    items("kinds", plan.kinds, [&, this](Kind const& kind) {
      out_ += '{';
      member("source_dtype", rlhf::to_string(kind.source_dtype));
      member("destination_dtype", rlhf::to_string(kind.destination_dtype));
      key("global");
      extents(kind.global);
      key("parameters");
      numbers(kind.parameters);
      out_ += '}';
    });
    items("paths", plan.paths, [&, this](Path const& path) {
      std::vector<int> from;
      std::vector<int> to;
      for (Forward const& forward : path.forwards) {
        from.push_back(forward.from);
        to.push_back(forward.to);
      }
      out_ += '{';
      member("method", path.method == Method::send ? "send" : "broadcast");
      key("receivers");
      numbers(path.receivers);
      key("forward_from");
      numbers(from);
      key("forward_to");
      numbers(to);
      key("destinations");
      numbers(path.destinations);
      out_ += '}';
    });
    items("moves", plan.moves, [&, this](Move const& move) {
      out_ += '{';
      member("kind", move.kind);
      box(move.box);
      member("begin", move.begin);
      member("end", move.end);
      member("sources", move.sources);
      key("paths");
      numbers(move.paths);
      key("first");
      numbers(move.first);
      out_ += '}';
    });
    items("copies", plan.copies, [&, this](Copy const& copy) {
      out_ += '{';
      member("kind", copy.kind);
      box(copy.box);
      member("ranks", copy.ranks);
      out_ += '}';
    });
    out_ += "}\n";
    return std::move(out_);
  }

 private:
  void key(char const* name) {
    out_ += text(out_.back() == '{' ? "" : inside_ ? "," : ",\n", '"', name, "\":");
  }
  void member(char const* name, std::int64_t value) {
    key(name);
    out_ += text(value);
  }
  void member(char const* name, std::string_view words) {
    key(name);
    out_ += text('"', words, '"');
  }
  template <class Item, class Write>
  void items(char const* name, std::vector<Item> const& all, Write&& write) {
    key(name);
    out_ += '[';
    inside_ = true;
    for (std::size_t i = 0; i < all.size(); ++i) {
      out_ += i == 0 ? "\n" : ",\n";
      write(all[i]);
    }
    inside_ = false;
    out_ += ']';
  }
  void quoted(std::string const& name) {
    if (!adapters::detail::append_quoted(out_, name)) {
      fail(Errc::invalid_argument,
           text("a plan with the parameter ", name, " cannot be JSON: the name is not UTF-8"));
    }
  }
  void extents(Extents const& values) {
    out_ += '[';
    for (int d = 0; d < values.rank(); ++d) {
      out_ += text(d == 0 ? "" : ",", values[d]);
    }
    out_ += ']';
  }
  void box(Box const& one) {
    key("start");
    extents(one.start);
    key("extent");
    extents(one.extent);
  }
  template <class Number>
  void numbers(std::vector<Number> const& all) {
    out_ += '[';
    for (std::size_t i = 0; i < all.size();) {
      out_ += i == 0 ? "" : ",";
      std::size_t end = i + 1;
      while (end < all.size() && i + 1 < all.size() &&
             all[end] - all[end - 1] == all[i + 1] - all[i]) {
        ++end;
      }
      if (end - i >= 4) {
        out_ += text("[", all[i], ",", all[i + 1] - all[i], ",", end - i, "]");
        i = end;
      } else {
        out_ += text(all[i++]);
      }
    }
    out_ += ']';
  }

  std::string out_;
  bool inside_ = false;  // of a list's item, which stays on one line
};

}  // namespace rlhf::inline v0::plan::detail
