#include "report.hpp"

#include <rlhf/adapters/plan_json.hpp>

#include <algorithm>
#include <cstddef>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "rank_report.hpp"
#include "units.hpp"

namespace planner {
namespace {

std::string topology_text(Study const& study) {
  std::set<int> domains;
  for (int const rank : study.source_ranks()) {
    domains.insert(study.topology.domain_of(rank));
  }
  for (int const rank : study.destination_ranks()) {
    domains.insert(study.topology.domain_of(rank));
  }
  std::string const calls = fmt::format("{} a call", seconds_text(study.topology.call_seconds));
  std::string const fast = fmt::format("{:.4g} GB/s", study.topology.fast_bytes_per_second * 1e-9);
  return domains.size() == 1
             ? fmt::format("1 domain: {}, {}", fast, calls)
             : fmt::format("{} domains: {} inside, {:.4g} GB/s between, {}", domains.size(), fast,
                           study.topology.slow_bytes_per_second * 1e-9, calls);
}

std::string side_text(std::string const& layout, std::vector<int> const& ranks) {
  return fmt::format("{}{}{} rank{}: {}", layout, layout.empty() ? "" : ", ", ranks.size(),
                     ranks.size() == 1 ? "" : "s", ranks_text(ranks));
}

std::string unused_text(std::vector<std::string> const& names) {
  constexpr std::size_t most = 3;
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < most; ++i) {
    out += i == 0 ? "" : ", ";
    out += names[i];
  }
  return names.size() > most ? out + ", ..." : out;
}

}  // namespace

std::vector<Row> rows_of(Study const& study) {
  auto const& plan = study.plan;
  std::vector<Row> rows;
  auto const bytes = [&](char const* what, std::int64_t count) {
    rows.push_back({what, bytes_text(count), fmt::format("{} B", count)});
  };
  rows.push_back(
      {"model", study.title,
       fmt::format("{} parameters of {} kinds", plan.parameters.size(), plan.kinds.size())});
  if (!plan.unused.empty()) {
    rows.push_back({"left over", fmt::format("{} parameters", plan.unused.size()),
                    "that no destination takes: " + unused_text(plan.unused)});
  }
  rows.push_back({"source", side_text(study.source, study.source_ranks()), ""});
  rows.push_back({"destination", side_text(study.destination, study.destination_ranks()), ""});
  rows.push_back({"topology", topology_text(study), ""});
  rows.push_back({"route", std::string(rlhf::plan::to_string(plan.route)),
                  fmt::format("{} moves, {} copies", plan.moves.size(), plan.copies.size())});
  rows.push_back({"bytes", "", "", true});
  bytes("needed", plan.bytes_needed);
  bytes("already there", plan.bytes_local);
  bytes("moved", plan.bytes_moved);
  if (study.bytes_minimum) {
    bytes("minimum", *study.bytes_minimum);
  }
  bytes("on all links", plan.bytes_on_links);
  bytes("over slow links", study.prediction.bytes_slow_link);
  if (study.bytes_slow_link_minimum) {
    bytes("slow link minimum", *study.bytes_slow_link_minimum);
  }
  rows.push_back({"balance and memory", "", "", true});
  rows.push_back(
      {"sent, most over mean", fmt::format("{:.3f}", study.prediction.send_max_over_mean), ""});
  rows.push_back({"received, most over mean",
                  fmt::format("{:.3f}", study.prediction.receive_max_over_mean), ""});
  rows.push_back({"links, most over mean",
                  fmt::format("{:.3f}", study.prediction.link_max_over_mean),
                  "of the pairs of ranks that exchange bytes"});
  rows.push_back(
      {"staging of a rank", memory_text(study.staging_bytes),
       fmt::format("at most, {} buckets of {}", plan.slots, memory_text(plan.bucket_bytes))});
  if (study.peak_rank_bytes) {
    rows.push_back({"peak of a rank", memory_text(*study.peak_rank_bytes), "weights and staging"});
  }
  rows.push_back({"time", "", "", true});
  rows.push_back({"predicted", seconds_text(study.prediction.seconds),
                  fmt::format("rank {} is last", study.prediction.slowest)});
  rows.push_back({"planning", seconds_text(study.plan_seconds),
                  fmt::format("{} resident", memory_text(study.peak_rss_bytes))});
  rows.push_back({"checks", "", "", true});
  rows.push_back({"proof", study.proof, ""});
  rows.push_back({"fingerprint", rlhf::plan::detail::fingerprint_text(study.fingerprint), ""});
  return rows;
}

std::string text_report(Study const& study, std::optional<int> rank) {
  std::string out;
  for (Row const& row : rows_of(study)) {
    std::string line = row.heading ? fmt::format("\n{}", row.what)
                       : row.exact.empty()
                           ? fmt::format("  {:<25} {}", row.what, row.value)
                           : fmt::format("  {:<25} {:<14}  {}", row.what, row.value, row.exact);
    out += (row.heading ? line : one_line(line)) + "\n";
  }
  return rank ? out + "\n" + rank_text(rank_report(study, *rank)) : out;
}

std::string json_report(Study const& study, std::optional<int> rank) {
  using Json = nlohmann::ordered_json;
  auto const known = [](auto const& value) { return value ? Json(*value) : Json(nullptr); };
  auto const& plan = study.plan;
  Json out{{"bytes_needed", plan.bytes_needed},
           {"bytes_local", plan.bytes_local},
           {"bytes_moved", plan.bytes_moved},
           {"bytes_minimum", known(study.bytes_minimum)},
           {"bytes_slow_link", study.prediction.bytes_slow_link},
           {"bytes_slow_link_minimum", known(study.bytes_slow_link_minimum)},
           {"send_max_over_mean", study.prediction.send_max_over_mean},
           {"receive_max_over_mean", study.prediction.receive_max_over_mean},
           {"staging_bytes", study.staging_bytes},
           {"plan_seconds", study.plan_seconds},
           {"peak_rss_bytes", study.peak_rss_bytes},
           {"proof", study.proof},
           {"fingerprint", rlhf::plan::detail::fingerprint_text(study.fingerprint)},
           {"predicted_seconds", study.prediction.seconds},
           {"link_max_over_mean", study.prediction.link_max_over_mean},
           {"peak_rank_bytes", known(study.peak_rank_bytes)},
           {"bytes_on_links", plan.bytes_on_links},
           {"slowest_rank", study.prediction.slowest},
           {"model", study.title},
           {"parameters", plan.parameters.size()},
           {"kinds", plan.kinds.size()},
           {"moves", plan.moves.size()},
           {"copies", plan.copies.size()},
           {"unused", plan.unused},
           {"source", study.source},
           {"destination", study.destination},
           {"source_ranks", study.source_ranks().size()},
           {"destination_ranks", study.destination_ranks().size()},
           {"route", rlhf::plan::to_string(plan.route)},
           {"bucket_bytes", plan.bucket_bytes},
           {"slots", plan.slots}};
  if (rank) {
    RankReport const own = rank_report(study, *rank);
    Json transfers = Json::array();
    for (Transfer const& transfer : own.transfers) {
      transfers.push_back({{"round", transfer.round},
                           {"action", transfer.action},
                           {"peers", transfer.peers},
                           {"bytes", transfer.bytes},
                           {"pieces", transfer.pieces}});
    }
    out["rank"] = {{"rank", own.rank},
                   {"sends_bytes", own.sent},
                   {"receives_bytes", own.received},
                   {"copies_bytes", own.copied},
                   {"copies", own.copies.size()},
                   {"transfers", std::move(transfers)}};
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace planner
