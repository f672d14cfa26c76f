#include "rank_report.hpp"

#include <rlhf/plan/schedule.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "units.hpp"

namespace planner {
namespace {

namespace plan = rlhf::plan;

constexpr std::size_t most_copies_shown = 20;

std::string piece_text(plan::Plan const& made, plan::Piece const& piece) {
  return one_line(made.parameters[static_cast<std::size_t>(piece.parameter)]) + " " +
         rlhf::to_string(piece.box);
}

}  // namespace

RankReport rank_report(Study const& study, int rank) {
  RankReport out;
  out.rank = rank;
  plan::Plan const& made = study.plan;
  plan::Schedule const own = plan::schedule(made, rank);
  for (plan::Bucket const& bucket : own.buckets) {
    plan::Flow const& flow = own.flows[static_cast<std::size_t>(bucket.flow)];
    plan::Path const& path = made.paths[static_cast<std::size_t>(flow.path)];
    auto const add = [&](char const* action, std::vector<int> peers) {
      out.transfers.push_back({bucket.round, action, std::move(peers), bucket.bytes,
                               bucket.pieces.size(), piece_text(made, bucket.pieces.front())});
    };
    if (flow.source == rank) {
      bool const together = path.method == plan::Method::broadcast;
      out.sent += bucket.bytes * (together ? 1 : std::ssize(path.receivers));
      add(together ? "broadcast" : "send", path.receivers);
    }
    if (std::find(path.receivers.begin(), path.receivers.end(), rank) != path.receivers.end()) {
      out.received += bucket.bytes;
      add("receive", {flow.source});
    }
    std::vector<int> next;
    for (plan::Forward const& forward : path.forwards) {
      if (forward.to == rank) {
        out.received += bucket.bytes;
        add("receive", {forward.from});
      }
      if (forward.from == rank) {
        out.sent += bucket.bytes;
        next.push_back(forward.to);
      }
    }
    if (!next.empty()) {
      add("forward", std::move(next));
    }
  }
  auto const kind_of = plan::kinds_of(made);
  for (plan::LocalCopy const& copy : own.copies) {
    auto const kind = kind_of[static_cast<std::size_t>(copy.piece.parameter)];
    out.copied += plan::wire_bytes(made.kinds[static_cast<std::size_t>(kind)], copy.piece.box);
    out.copies.push_back(piece_text(made, copy.piece));
  }
  return out;
}

std::string rank_text(RankReport const& report) {
  std::string out = fmt::format("rank {}: sends {}, receives {}, copies {} in {} pieces\n",
                                report.rank, bytes_text(report.sent), bytes_text(report.received),
                                bytes_text(report.copied), report.copies.size());
  if (!report.transfers.empty()) {
    out += fmt::format("  {:>5} {:>6}  {:<9}  {:<16} {:>10} {:>7}  {}\n", "#", "round", "action",
                       "with ranks", "bytes", "pieces", "first piece");
  }
  for (std::size_t i = 0; i < report.transfers.size(); ++i) {
    Transfer const& one = report.transfers[i];
    out += fmt::format("  {:>5} {:>6}  {:<9}  {:<16} {:>10} {:>7}  {}\n", i, one.round, one.action,
                       ranks_text(one.peers, 3), bytes_text(one.bytes), one.pieces, one.first);
  }
  for (std::size_t i = 0; i < report.copies.size() && i < most_copies_shown; ++i) {
    out += fmt::format("  copy   {}\n", report.copies[i]);
  }
  if (report.copies.size() > most_copies_shown) {
    out += fmt::format("  ... and {} more copies\n", report.copies.size() - most_copies_shown);
  }
  return out;
}

}  // namespace planner
