/// @file
/// Rows of a rollout from the ranks that made them to those that need them. Layer: engine.
#pragma once

#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/engine/detail/wire.hpp>
#include <rlhf/engine/spread.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rlhf::inline v0::engine {

/// Moves the rows of one value between the shares of two modules.
///
/// Row r of an episode of `rows` rows lies in the producer's share `share_of_row`, on that share's
/// speaker; every rank of a consumer's share gets the rows that `deal` names for it, in its order.
/// Each row crosses once a rank that needs it; what a rank has itself is copied, and where a share
/// is wanted just as it lies, on its speaker, nothing is. Two messages a pair of ranks: bytes of
/// the rows, and their number before. Buffers are kept, so that episodes of equal sizes allocate
/// nothing.
///
/// Every rank of either module calls `run` with equal arguments but for `mine`; others may.
/// Thread safety: one caller per object.
template <data::ColumnBatch B>
class Exchange {
 public:
  /// @param mine This rank's share of the producer's rows; looked at on speakers only.
  /// @returns This rank's share of the consumer's rows, `mine` itself where that is it. Valid until
  /// the next call, or until `mine` changes. Empty on ranks that consume nothing.
  /// Errors: invalid_argument where `mine` has another number of rows than its share; what the
  /// communicator reports.
  template <comm::Communicator C>
  B const& run(C& world, Shares const& from, Shares const& to, std::int64_t rows, Deal const& deal,
               B const& mine) {
    int const me = world.rank();
    int const from_rank = from.mesh->rank_of(me);
    int const to_rank = to.mesh->rank_of(me);
    int const share = from_rank < 0 ? -1 : from.of(from_rank);
    bool const speaks = share >= 0 && from.speaker(share) == me;
    IndexRange const own = speaks ? split_evenly(rows, from.count(), share) : IndexRange{};
    if (speaks && data::row_count(mine) != own.size()) {
      fail(Errc::invalid_argument,
           text("a stage returned ", data::row_count(mine), " rows, it was given ", own.size(),
                "; return one row for each"));
    }
    if (speaks && to_rank >= 0 && is_as_it_lies(from, to, deal, own, to.of(to_rank)) &&
        to.mesh->size() == 1) {
      return mine;
    }
    listen(from, to, rows, deal, me, to_rank);
    if (speaks) {
      pack(to, deal, own, mine, me);
    }
    transfer(world);
    detail::clear_rows(out_);
    if (to_rank >= 0) {
      if (incoming_.empty() && speaks && is_as_it_lies(from, to, deal, own, to.of(to_rank))) {
        return mine;
      }
      assemble(from, rows, deal, to, to_rank, share, speaks, own, mine);
    }
    return out_;
  }

 private:
  struct Outgoing {
    int peer = 0;
    std::size_t buffer = 0;
    std::int64_t bytes = 0;
  };
  struct Incoming {
    int peer = 0;
    int share = 0;
    std::int64_t rows = 0;
    std::int64_t bytes = 0;
    detail::Bytes buffer{};
  };

  /// Whether this consumer's rows are the producer's share, in its order.
  [[nodiscard]] static bool is_as_it_lies(Shares const& from, Shares const& to, Deal const& deal,
                                          IndexRange own, int to_share) {
    return deal.order == nullptr && deal.shift == 0 &&
           deal.positions(to.count(), to_share) == own &&
           (own.size() > 0 || from.count() == to.count());
  }

  /// What comes from which speaker.
  void listen(Shares const& from, Shares const& to, std::int64_t rows, Deal const& deal, int me,
              int to_rank) {
    incoming_.resize(0);
    counts_.assign(static_cast<std::size_t>(from.count()), 0);
    if (to_rank < 0) {
      return;
    }
    IndexRange const wanted = deal.positions(to.count(), to.of(to_rank));
    for (std::int64_t p = wanted.begin; p < wanted.end; ++p) {
      ++counts_[static_cast<std::size_t>(share_of_row(rows, from.count(), deal.row(p)))];
    }
    std::size_t used = 0;
    for (int share = 0; share < from.count(); ++share) {
      int const speaker = from.speaker(share);
      if (counts_[static_cast<std::size_t>(share)] > 0 && speaker != me) {
        if (used == spare_.size()) {
          spare_.emplace_back();
        }
        incoming_.push_back(Incoming{speaker, share, counts_[static_cast<std::size_t>(share)], 0,
                                     std::move(spare_[used])});
        ++used;
      }
    }
  }

  /// The rows of each share that wants some of this speaker's, once, for all of its ranks.
  void pack(Shares const& to, Deal const& deal, IndexRange own, B const& mine, int me) {
    outgoing_.clear();
    std::size_t used = 0;
    for (int share = 0; share < to.count(); ++share) {
      IndexRange const wanted = deal.positions(to.count(), share);
      local_.clear();
      for (std::int64_t p = wanted.begin; p < wanted.end; ++p) {
        std::int64_t const row = deal.row(p);
        if (row >= own.begin && row < own.end) {
          local_.push_back(row - own.begin);
        }
      }
      if (local_.empty()) {
        continue;
      }
      bool packed = false;
      for (int rank = 0; rank < to.mesh->size(); ++rank) {
        int const peer = to.mesh->world_rank(rank);
        if (to.of(rank) != share || peer == me) {
          continue;
        }
        if (!packed) {
          packed = true;
          if (used == buffers_.size()) {
            buffers_.emplace_back();
          }
          buffers_[used].clear();
          detail::encode(mine, std::span<std::int64_t const>(local_), buffers_[used]);
          ++used;
        }
        outgoing_.push_back(
            Outgoing{peer, used - 1, static_cast<std::int64_t>(buffers_[used - 1].size())});
      }
    }
  }

  template <comm::Communicator C>
  void transfer(C& world) {
    if (incoming_.empty() && outgoing_.empty()) {
      return;
    }
    comm::grouped(world, [&, this] {
      for (Outgoing& one : outgoing_) {
        world.send(&one.bytes, 1, DType::i64, one.peer);
      }
      for (Incoming& one : incoming_) {
        world.recv(&one.bytes, 1, DType::i64, one.peer);
      }
    });
    comm::settle(world);
    for (Incoming& one : incoming_) {
      one.buffer.resize(static_cast<std::size_t>(one.bytes));
    }
    comm::grouped(world, [&, this] {
      for (Outgoing const& one : outgoing_) {
        if (one.bytes > 0) {
          world.send(buffers_[one.buffer].data(), one.bytes, DType::u8, one.peer);
        }
      }
      for (Incoming& one : incoming_) {
        if (one.bytes > 0) {
          world.recv(one.buffer.data(), one.bytes, DType::u8, one.peer);
        }
      }
    });
    comm::settle(world);
    outgoing_.clear();
  }

  /// Puts the rows of all speakers one after the other, then in the order of the deal.
  void assemble(Shares const& from, std::int64_t rows, Deal const& deal, Shares const& to,
                int to_rank, int my_share, bool speaks, IndexRange own, B const& mine) {
    IndexRange const wanted = deal.positions(to.count(), to.of(to_rank));
    B& gathered = deal.order == nullptr ? out_ : gathered_;
    detail::clear_rows(gathered);
    std::size_t next = 0;
    for (int share = 0; share < from.count(); ++share) {
      if (speaks && share == my_share) {
        local_.clear();
        for (std::int64_t p = wanted.begin; p < wanted.end; ++p) {
          std::int64_t const row = deal.row(p);
          if (row >= own.begin && row < own.end) {
            local_.push_back(row - own.begin);
          }
        }
        detail::append_listed(gathered, mine, std::span<std::int64_t const>(local_));
      } else if (next < incoming_.size() && incoming_[next].share == share) {
        Incoming const& one = incoming_[next++];
        detail::decode(std::span<std::byte const>(one.buffer), one.rows, part_);
        all_.resize(static_cast<std::size_t>(one.rows));
        for (std::int64_t r = 0; r < one.rows; ++r) {
          all_[static_cast<std::size_t>(r)] = r;
        }
        detail::append_listed(gathered, part_, std::span<std::int64_t const>(all_));
      }
    }
    give_back();
    if (deal.order == nullptr) {
      return;
    }
    std::int64_t begin = 0;  // where each share's rows begin in `gathered`
    for (std::int64_t& count : counts_) {
      std::int64_t const size = count;
      count = begin;
      begin += size;
    }
    all_.clear();
    for (std::int64_t p = wanted.begin; p < wanted.end; ++p) {
      all_.push_back(
          counts_[static_cast<std::size_t>(share_of_row(rows, from.count(), deal.row(p)))]++);
    }
    detail::append_listed(out_, gathered_, std::span<std::int64_t const>(all_));
  }
  void give_back() {
    for (std::size_t i = 0; i < incoming_.size(); ++i) {
      spare_[i] = std::move(incoming_[i].buffer);
    }
    incoming_.clear();
  }

  std::vector<Incoming> incoming_;
  std::vector<Outgoing> outgoing_;
  std::vector<detail::Bytes> spare_;
  std::vector<detail::Bytes> buffers_;
  std::vector<std::int64_t> counts_;
  std::vector<std::int64_t> local_;
  std::vector<std::int64_t> all_;
  B part_{};
  B gathered_{};
  B out_{};
};

}  // namespace rlhf::inline v0::engine
