/// @file
/// Traces as files for chrome://tracing and ui.perfetto.dev. Layer: adapters.
#pragma once

#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/runtime/trace.hpp>
#include <rlhf/runtime/trace_gather.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace rlhf::inline v0::adapters {
namespace detail {

/// As a JSON string; what is not UTF-8 becomes the replacement character.
[[nodiscard]] inline std::string quoted(std::string_view words) {
  return nlohmann::json(words).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Nanoseconds as microseconds, without rounding.
inline void append_microseconds(std::string& out, std::int64_t nanoseconds) {
  char room[48];
  int const size =
      std::snprintf(room, sizeof room, "%lld.%03lld", static_cast<long long>(nanoseconds / 1000),
                    static_cast<long long>(nanoseconds % 1000));
  out.append(room, static_cast<std::size_t>(size));
}

}  // namespace detail

/// The traces of ranks in the Trace Event Format: a process a rank, a thread a lane. Times are
/// microseconds from the first event on.
///
/// Counters that are NaN or infinite are shown as 0 under the name `<name> (not finite)`, since the
/// format has no such numbers. What was dropped, and how far clocks are apart, stands in
/// `otherData`. Source: "Trace Event Format" of the Chromium project.
[[nodiscard]] inline std::string trace_json(std::vector<runtime::RankTrace> const& ranks) {
  std::int64_t first = (std::numeric_limits<std::int64_t>::max)();
  for (runtime::RankTrace const& trace : ranks) {
    for (runtime::TraceEvent const& event : trace.events) {
      first = event.begin < first ? event.begin : first;
    }
  }
  std::string out = R"({"displayTimeUnit":"ms","traceEvents":[)";
  char const* separator = "\n";
  auto const begin = [&](char const* phase, int rank, std::int32_t lane) {
    out += text(separator, R"({"ph":")", phase, R"(","pid":)", rank, R"(,"tid":)", lane);
    separator = ",\n";
  };
  std::string others;
  for (runtime::RankTrace const& trace : ranks) {
    std::vector<std::string> names;
    std::vector<std::string> bad_names;
    for (std::string const& name : trace.names) {
      names.push_back(detail::quoted(name));
      bad_names.push_back(detail::quoted(name + " (not finite)"));
    }
    begin("M", trace.rank, 0);
    out += text(R"(,"name":"process_name","args":{"name":"rank )", trace.rank, R"("}})");
    begin("M", trace.rank, 0);
    out += text(R"(,"name":"process_sort_index","args":{"sort_index":)", trace.rank, "}}");
    for (std::size_t i = 0; i < trace.lanes.size(); ++i) {
      begin("M", trace.rank, trace.lanes[i]);
      out += text(R"(,"name":"thread_name","args":{"name":)",
                  names[static_cast<std::size_t>(trace.lane_names[i])], "}}");
    }
    for (runtime::TraceEvent const& event : trace.events) {
      std::string const& name = names[static_cast<std::size_t>(event.name)];
      std::string const& category = names[static_cast<std::size_t>(event.category)];
      switch (event.kind) {
        case runtime::TraceKind::span:
          begin("X", trace.rank, event.lane);
          out += R"(,"dur":)";
          detail::append_microseconds(out, event.end - event.begin);
          break;
        case runtime::TraceKind::instant:
          begin("i", trace.rank, event.lane);
          out += R"(,"s":"t")";
          break;
        case runtime::TraceKind::counter:
          begin("C", trace.rank, event.lane);
          break;
      }
      out += R"(,"ts":)";
      detail::append_microseconds(out, event.begin - first);
      if (event.kind == runtime::TraceKind::counter) {
        constexpr double most = (std::numeric_limits<double>::max)();
        bool const finite = event.value >= -most && event.value <= most;
        out += text(R"(,"name":)", finite ? name : bad_names[static_cast<std::size_t>(event.name)],
                    R"(,"args":{"value":)", finite ? nlohmann::json(event.value).dump() : "0", "}");
      } else {
        out += text(R"(,"name":)", name);
        if (category.size() > 2) {
          out += text(R"(,"cat":)", category);
        }
      }
      out += '}';
    }
    others += text(others.empty() ? "" : ",", R"("rank )", trace.rank, R"(":{"dropped":)",
                   trace.dropped, R"(,"clock_offset_ns":)", trace.clock.offset,
                   R"(,"clock_precision_ns":)", trace.clock.precision, "}");
  }
  out += text("\n],\"otherData\":{", others, "}}\n");
  return out;
}

/// Writes the file anew; at any moment it is the old one or the new one. Errors: io.
inline void write_trace(std::string const& path, std::vector<runtime::RankTrace> const& ranks) {
  checkpoint::write_atomically(path, checkpoint::as_bytes(trace_json(ranks)));
}

}  // namespace rlhf::inline v0::adapters
