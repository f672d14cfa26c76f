/// @file
/// What ranks hold as bytes, for the exchange between ranks. Layer: sync, private.
///
/// Numbers are sent seven bits a byte, lowest first; the highest bit says that more follow.
/// A list:  how many types; dtype and global shape of each; how many parameters; type and length of
///          the name of each; the names.
/// A rank:  length of the runs; runs of parameters, how many and which kind of their types, from 1;
///          0 for parameters that are not held; for each kind, by first appearance, how many boxes;
///          start and extent of each.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/listing.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::sync::detail {

template <class T>
void write(rlhf::detail::late_vector<std::byte, T>& out, std::size_t value) {
  for (; value >= 128; value >>= 7) {
    out.push_back(static_cast<std::byte>(value | 128));
  }
  out.push_back(static_cast<std::byte>(value));
}
template <class T>
void write(rlhf::detail::late_vector<std::byte, T>& out, Extents const& extents) {
  write<T>(out, static_cast<std::size_t>(extents.rank()));
  for (int d = 0; d < extents.rank(); ++d) {
    write<T>(out, static_cast<std::size_t>(extents[d]));
  }
}
template <class T>
void write_bytes(rlhf::detail::late_vector<std::byte, T>& out, void const* data, std::size_t size) {
  auto const* const bytes = static_cast<std::byte const*>(data);
  out.insert(out.end(), bytes, bytes + size);
}

/// A list as bytes.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<std::byte, T> bytes_of(
    plan::BasicParameterList<T> const& list) {
  rlhf::detail::late_vector<std::byte, T> out;
  out.reserve(list.names.size() + 4 * list.entries.size() + 16 * list.types.size() + 16);
  write<T>(out, list.types.size());
  for (plan::ParameterType const& type : list.types) {
    write<T>(out, static_cast<std::size_t>(type.dtype));
    write<T>(out, type.global);
  }
  write<T>(out, list.entries.size());
  std::size_t begin = 0;
  for (auto const& entry : list.entries) {
    write<T>(out, static_cast<std::size_t>(entry.type));
    write<T>(out, entry.name_end - begin);
    begin = entry.name_end;
  }
  write_bytes<T>(out, list.names.data(), list.names.size());
  return out;
}

/// What a rank has of its own as bytes.
template <class T>
[[nodiscard]] rlhf::detail::late_vector<std::byte, T> own_bytes_of(
    plan::BasicRankListing<T> const& rank) {
  rlhf::detail::late_vector<std::byte, T> runs;
  std::size_t begin = 0;
  for (auto const& run : rank.grouping.runs) {
    write<T>(runs, run.end - begin);
    write<T>(runs, static_cast<std::size_t>(run.kind));
    begin = run.end;
  }
  rlhf::detail::late_vector<std::byte, T> out;
  write<T>(out, runs.size());
  write_bytes<T>(out, runs.data(), runs.size());
  for (auto const& boxes : rank.holdings) {
    write<T>(out, boxes.size());
    for (Box const& box : boxes) {
      write<T>(out, box.start);
      write<T>(out, box.extent);
    }
  }
  return out;
}

template <class = void>
void expect_readable(bool fits) {
  if (!fits) {
    fail(Errc::corrupted,
         "the description of a rank cannot be read; do all ranks run the same "
         "version of the program?");
  }
}

/// Reads numbers and bytes; throws where they are not there or too large.
template <class = void>
class Reader {
 public:
  explicit Reader(std::span<std::byte const> bytes) : bytes_(bytes) {}

  /// Below 2^62, so that two of them can be added.
  [[nodiscard]] std::int64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      auto const byte = static_cast<std::uint64_t>(*take(1));
      value |= (byte & 127U) << shift;
      if (byte < 128) {
        expect_readable(value >> 62 == 0);
        return static_cast<std::int64_t>(value);
      }
    }
    expect_readable(false);
    return 0;
  }
  [[nodiscard]] std::size_t index(std::size_t size) {
    auto const value = static_cast<std::size_t>(number());
    expect_readable(value < size);
    return value;
  }
  /// A count of things that each take at least `bytes_each` more bytes.
  [[nodiscard]] std::size_t count(std::size_t bytes_each) {
    auto const value = static_cast<std::size_t>(number());
    expect_readable(value <= bytes_.size() / bytes_each);
    return value;
  }
  [[nodiscard]] Extents extents() {
    std::int64_t const rank = number();
    expect_readable(rank <= max_rank);
    Extents out;
    for (std::int64_t d = 0; d < rank; ++d) {
      out.push_back(number());
    }
    return out;
  }
  [[nodiscard]] std::span<std::byte const> bytes(std::size_t size) { return {take(size), size}; }
  [[nodiscard]] bool done() const noexcept { return bytes_.empty(); }

 private:
  std::byte const* take(std::size_t size) {
    expect_readable(size <= bytes_.size());
    std::byte const* const at = bytes_.data();
    bytes_ = bytes_.subspan(size);
    return at;
  }

  std::span<std::byte const> bytes_;
};

template <class = void>
[[nodiscard]] std::string_view text_of(std::span<std::byte const> bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

/// By which lists are compared.
template <class = void>
[[nodiscard]] std::int64_t print_of(std::span<std::byte const> list) {
  return static_cast<std::int64_t>(Fingerprint().add(text_of(list)).value());
}

/// Reads what `bytes_of` wrote; anything else is an Error, never undefined.
template <class T = void>
[[nodiscard]] plan::BasicParameterList<T> read_list(std::span<std::byte const> bytes) {
  Reader reader(bytes);
  plan::BasicParameterList<T> out;
  for (std::size_t left = reader.count(2); left > 0; --left) {
    auto const dtype = static_cast<DType>(reader.index(static_cast<std::size_t>(DType::u8) + 1));
    out.types.push_back(plan::ParameterType{dtype, reader.extents()});
  }
  std::size_t const count = reader.count(2);
  out.entries.reserve(count);
  std::size_t end = 0;
  for (std::size_t p = 0; p < count; ++p) {
    auto const type = static_cast<std::int32_t>(reader.index(out.types.size()));
    end += reader.count(1);  // at most what is left, so the sum fits, too
    out.entries.push_back({end, type});
  }
  out.names = text_of(reader.bytes(end));
  expect_readable(reader.done());
  return out;
}

/// Reads a listing rank by rank. The bytes given to `add_rank` must stay until the last call.
template <class T = void>
class ListingReader {
 public:
  explicit ListingReader(Layout const& layout) : builder_(layout) {}

  /// The number of the list that `bytes_of` wrote.
  [[nodiscard]] std::int32_t add_list(std::span<std::byte const> bytes) {
    return builder_.list(read_list<T>(bytes));
  }
  /// The next rank of the module, as `own_bytes_of` wrote it, with that list.
  void add_rank(int world_rank, std::int32_t list, std::span<std::byte const> bytes) {
    Reader reader(bytes);
    std::int32_t const number = grouping(list, reader.bytes(reader.count(1)));
    auto const& types = builder_.listing().lists[static_cast<std::size_t>(list)].types;
    rlhf::detail::late_vector<int, T> holdings;
    for (int const type : builder_.listing().groupings[static_cast<std::size_t>(number)].type_of) {
      Box const whole = Box::whole(types[static_cast<std::size_t>(type)].global);
      std::vector<Box> boxes;
      std::size_t const count = reader.count(2);
      expect_readable(count > 0);
      boxes.reserve(count);
      for (std::size_t b = 0; b < count; ++b) {
        Box box{reader.extents(), {}};
        box.extent = reader.extents();
        expect_readable(box.rank() == whole.rank() && whole.contains(box));
        boxes.push_back(box);
      }
      holdings.push_back(builder_.holding(std::move(boxes)));
    }
    expect_readable(reader.done());
    builder_.add_rank(world_rank, number, std::move(holdings));
  }
  [[nodiscard]] plan::BasicListing<T> take() { return builder_.take(); }

 private:
  struct Known {
    std::int32_t list = 0;
    std::string_view runs;
    std::int32_t grouping = 0;
  };

  /// The grouping of these runs of a list. Peers have equal ones, which are read once.
  [[nodiscard]] std::int32_t grouping(std::int32_t list, std::span<std::byte const> runs) {
    std::string_view const text = text_of(runs);
    std::uint64_t const hash =
        Fingerprint().add(static_cast<std::uint64_t>(list)).add(text).value();
    int const found = known_index_.find(hash, [&, this](int number) {
      Known const& known = known_[static_cast<std::size_t>(number)];
      return known.list == list && known.runs == text;
    });
    if (found >= 0) {
      return known_[static_cast<std::size_t>(found)].grouping;
    }
    std::int32_t const number = builder_.grouping(read_grouping(list, runs));
    known_index_.add(hash, static_cast<int>(known_.size()));
    known_.push_back(Known{list, text, number});
    return number;
  }
  [[nodiscard]] plan::BasicGrouping<T> read_grouping(std::int32_t number,
                                                     std::span<std::byte const> runs) const {
    auto const& list = builder_.listing().lists[static_cast<std::size_t>(number)];
    rlhf::detail::late_vector<std::int64_t, T> kinds(list.types.size(), 0);  // of each type
    plan::BasicGrouping<T> out;
    out.list = number;
    std::size_t p = 0;
    for (Reader<> reader(runs); !reader.done();) {
      auto const length = static_cast<std::size_t>(reader.number());
      std::int64_t const kind = reader.number();
      expect_readable(length > 0 && length <= list.entries.size() - p);
      out.runs.push_back({p + length, static_cast<std::int32_t>(kind)});
      for (p = kind == 0 ? out.runs.back().end : p; p < out.runs.back().end; ++p) {
        int const type = list.entries[p].type;
        std::int64_t& known = kinds[static_cast<std::size_t>(type)];
        expect_readable(kind <= known + 1);
        if (kind > known) {
          known = kind;
          out.type_of.push_back(type);
        }
      }
    }
    expect_readable(p == list.entries.size());
    return out;
  }

  plan::ListingBuilder<T> builder_;
  rlhf::detail::late_vector<Known, T> known_;
  rlhf::detail::HashIndex<T> known_index_;
};

}  // namespace rlhf::inline v0::sync::detail
