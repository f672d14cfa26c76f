/// @file
/// Rows that lie dealt over shares, as files of a checkpoint. Layer: engine, private.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/columns.hpp>
#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace rlhf::inline v0::engine::detail {

/// Rows of one part: `engine/<what>.part-<part>.share-<share>`.
struct RowFiles {
  checkpoint::Store const* store;
  std::int64_t step;
  std::string what;
  std::int64_t part;

  [[nodiscard]] std::string name(int share) const {
    return text("engine/", what, ".part-", part, ".share-", share);
  }

  template <class... Values>
  void save(int share, Values const&... values) const {
    checkpoint::ArchiveWriter archive;
    int column = 0;
    (checkpoint::save_columns(archive, values, text(column++, "/")), ...);
    std::vector<std::byte> const bytes = archive.finish();
    store->write(step, name(share), {bytes.data(), bytes.size()});
  }

  /// Reads rows `wanted` of the `rows` that so many shares saved, however they were dealt.
  ///
  /// Errors: those of `Store::read`; corrupted where a share has another number of rows;
  /// invalid_argument for other columns.
  template <class... Values>
  void load(std::int64_t rows, int shares, IndexRange wanted, Values&... values) const {
    (clear_rows(values), ...);
    checkpoint::Manifest const files = store->manifest(step);
    for (int share = 0; share < shares; ++share) {
      IndexRange const own = split_evenly(rows, shares, share);
      std::int64_t const begin = own.begin < wanted.begin ? wanted.begin : own.begin;
      std::int64_t const end = own.end < wanted.end ? own.end : wanted.end;
      if (begin < end) {
        std::tuple<Values...> loaded = read<Values...>(files, share, own.size());
        [&]<std::size_t... V>(std::index_sequence<V...>) {
          (data::append_rows(values, std::get<V>(loaded), begin - own.begin, end - own.begin), ...);
        }
        (std::index_sequence_for<Values...>{});
      }
    }
  }

 private:
  template <class... Values>
  [[nodiscard]] std::tuple<Values...> read(checkpoint::Manifest const& files, int share,
                                           std::int64_t rows) const {
    std::vector<std::byte> const bytes = store->read(files, name(share));
    checkpoint::ArchiveReader const archive({bytes.data(), bytes.size()}, name(share));
    std::tuple<Values...> loaded;
    int column = 0;
    std::apply(
        [&, this](Values&... value) {
          (checkpoint::load_columns(archive, value, text(column++, "/")), ...);
          auto const check = [&, this](std::int64_t found) {
            if (found != rows) {
              fail(Errc::corrupted, text(name(share), " of the checkpoint of step ", step, " has ",
                                         found, " rows, ", rows, " were saved"));
            }
          };
          (check(data::row_count(value)), ...);
        },
        loaded);
    return loaded;
  }
};

}  // namespace rlhf::inline v0::engine::detail
