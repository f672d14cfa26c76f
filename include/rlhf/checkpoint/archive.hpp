/// @file
/// Named tensors and blobs in one buffer: what a rank saves of its model. Layer: checkpoint.
///
/// Little-endian; every entry begins at a multiple of 64 bytes:
///     magic "rlhfarc\0"; u32 version; u32 entries
///     per entry: u32 name length; u8 dtype; u8 dimensions; u16 0; i64 extents[dimensions];
///                u64 bytes; name; padding to 64; the bytes; padding to 64
///     u64 checksum of all before it, in every version
#pragma once

#include <rlhf/checkpoint/checksum.hpp>
#include <rlhf/checkpoint/detail/archive_format.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// Collects tensors and blobs under names. Use it as `ArchiveWriter`.
template <class Late = void>
class BasicArchiveWriter {
  using Byte = rlhf::detail::late<std::byte, Late>;

 public:
  BasicArchiveWriter() {
    put(detail::archive_magic.data(), detail::archive_magic.size());
    put_value(detail::archive_version);
    put_value(std::uint32_t{0});  // number of entries, known at the end
    pad();
  }

  /// Copies a tensor in host memory. Errors: invalid_argument when the name is empty or taken, or
  /// the tensor is not contiguous, not on the host, or has a negative extent.
  void add(std::string_view name, TensorView const& tensor) {
    if (tensor.device.kind != Device::Kind::host || !tensor.contiguous()) {
      fail(Errc::invalid_argument,
           text("the tensor ", name, " must be contiguous in host memory; copy it there first"));
    }
    add(name, tensor.dtype, tensor.shape,
        {static_cast<Byte const*>(tensor.data), static_cast<std::size_t>(tensor.bytes())});
  }
  /// Copies bytes; as a tensor they are one-dimensional, of type u8.
  void add(std::string_view name, std::span<Byte const> bytes) {
    add(name, DType::u8, Shape{static_cast<std::int64_t>(bytes.size())}, bytes);
  }
  /// The archive. The writer is then empty and of no further use.
  [[nodiscard]] std::vector<Byte> finish() {
    std::uint32_t const count = static_cast<std::uint32_t>(names_.size());
    std::memcpy(buffer_.data() + detail::archive_magic.size() + 4, &count, sizeof count);
    put_value(checksum({buffer_.data(), buffer_.size()}));
    return std::move(buffer_);
  }

 private:
  void add(std::string_view name, DType dtype, Shape const& shape, std::span<Byte const> bytes) {
    expects(!name.empty() && name.size() < 65536,
            "the name of an archive's entry must have 1 to 65535 characters");
    for (int d = 0; d < shape.rank(); ++d) {
      expects(shape[d] >= 0, "a tensor extent must not be negative");
    }
    auto const name_at = [&, this](std::int64_t i) {
      return std::string_view(names_[static_cast<std::size_t>(i)]);
    };
    if (!index_.add(name, name_at)) {
      fail(Errc::invalid_argument, text("the archive already has an entry ", name));
    }
    names_.emplace_back(name);
    put_value(static_cast<std::uint32_t>(name.size()));
    put_value(static_cast<std::uint8_t>(dtype));
    put_value(static_cast<std::uint8_t>(shape.rank()));
    put_value(std::uint16_t{0});
    for (int d = 0; d < shape.rank(); ++d) {
      put_value(shape[d]);
    }
    put_value(static_cast<std::uint64_t>(bytes.size()));
    put(name.data(), name.size());
    pad();
    put(bytes.data(), bytes.size());
    pad();
  }
  void put(void const* data, std::size_t size) {
    Byte const* const bytes = static_cast<Byte const*>(data);
    buffer_.insert(buffer_.end(), bytes, bytes + size);
  }
  template <class Value>
  void put_value(Value value) {
    put(&value, sizeof value);
  }
  void pad() { buffer_.resize(align_up(buffer_.size(), detail::archive_alignment)); }

  std::vector<Byte> buffer_;
  std::vector<rlhf::detail::late<std::string, Late>> names_;
  detail::NameIndex<Late> index_;
};

using ArchiveWriter = BasicArchiveWriter<>;

/// One entry of an archive, in the archive's memory. Use it as `ArchiveEntry`.
template <class Late = void>
struct BasicArchiveEntry {
  std::string_view name;
  DType dtype = DType::u8;
  Shape shape{};
  std::span<rlhf::detail::late<std::byte, Late> const> bytes;
};

using ArchiveEntry = BasicArchiveEntry<>;

/// Reads an archive from memory that outlives it. Copies nothing; entries lie at multiples of 64
/// bytes from the beginning.
///
/// Safe for any input: every length is checked against what is there before it is used. Use it as
/// `ArchiveReader`.
template <class Late = void>
class BasicArchiveReader {
  using Byte = rlhf::detail::late<std::byte, Late>;
  using Entry = BasicArchiveEntry<Late>;

 public:
  /// @param origin A path, for messages.
  /// Errors: corrupted when these bytes are not, or no longer, what a writer made;
  /// invalid_argument when a newer version made them.
  explicit BasicArchiveReader(std::span<Byte const> archive, std::string_view origin = "archive")
      : origin_(origin),
        archive_(archive) {
    if (archive_.size() < detail::archive_magic.size() ||
        std::memcmp(archive_.data(), detail::archive_magic.data(), detail::archive_magic.size()) !=
            0) {
      bad("does not begin like an archive");
    }
    position_ = detail::archive_magic.size();
    std::uint32_t const version = take_value<std::uint32_t>();
    if (archive_.size() < position_ + sizeof(std::uint64_t)) {
      bad("is truncated");
    }
    std::span<Byte const> const content = archive_.first(archive_.size() - 8);
    std::uint64_t stored = 0;
    std::memcpy(&stored, archive_.data() + content.size(), sizeof stored);
    if (checksum(content) != stored) {
      bad("is truncated or was damaged: its checksum does not fit its content");
    }
    if (version > detail::archive_version) {
      fail(Errc::invalid_argument,
           text(origin_, " is an archive of version ", version,
                ", this program reads versions up to ", detail::archive_version,
                "; use the newer program that wrote it"));
    }
    if (version == 0) {
      bad("has no version");
    }
    archive_ = content;
    std::uint32_t const count = take_value<std::uint32_t>();
    skip_padding();
    for (std::uint32_t i = 0; i < count; ++i) {
      take_entry();
    }
    if (position_ != archive_.size()) {
      bad("goes on behind its last entry");
    }
  }

  [[nodiscard]] std::vector<Entry> const& entries() const noexcept { return entries_; }
  /// The entry of this name, or nullptr.
  [[nodiscard]] Entry const* find(std::string_view name) const {
    std::int64_t const index = index_.find(name, NameOf{entries_});
    return index < 0 ? nullptr : &entries_[static_cast<std::size_t>(index)];
  }
  /// The entry of this name. Errors: invalid_argument when there is none.
  [[nodiscard]] Entry const& at(std::string_view name) const {
    Entry const* const entry = find(name);
    if (entry == nullptr) {
      fail(Errc::invalid_argument,
           text(origin_, " has no entry ", name, " among its ", entries_.size(), " entries"));
    }
    return *entry;
  }
  /// Copies an entry into a tensor in host memory.
  ///
  /// Errors: invalid_argument when there is no such entry, it has another dtype or shape, or the
  /// tensor is not contiguous in host memory.
  void read(std::string_view name, TensorView const& tensor) const {
    Entry const& entry = at(name);
    if (entry.dtype != tensor.dtype || !(entry.shape == tensor.shape)) {
      fail(Errc::invalid_argument,
           text("the entry ", name, " of ", origin_, " is ", to_string(entry.dtype), " ",
                to_string(entry.shape), ", the tensor to fill is ", to_string(tensor.dtype), " ",
                to_string(tensor.shape)));
    }
    if (tensor.device.kind != Device::Kind::host || !tensor.contiguous()) {
      fail(Errc::invalid_argument,
           text("the tensor ", name, " must be contiguous in host memory to be filled"));
    }
    if (!entry.bytes.empty()) {
      std::memcpy(tensor.data, entry.bytes.data(), entry.bytes.size());
    }
  }

 private:
  struct NameOf {
    std::vector<Entry> const& entries;
    std::string_view operator()(std::int64_t i) const noexcept {
      return entries[static_cast<std::size_t>(i)].name;
    }
  };

  [[noreturn]] void bad(std::string_view how) const {
    fail(Errc::corrupted, text(origin_, " ", how, "; use another copy"));
  }
  [[nodiscard]] std::span<Byte const> take(std::uint64_t size) {
    if (size > archive_.size() - position_) {
      bad("is truncated inside an entry");
    }
    std::span<Byte const> const taken = archive_.subspan(position_, static_cast<std::size_t>(size));
    position_ += static_cast<std::size_t>(size);
    return taken;
  }
  template <class Value>
  [[nodiscard]] Value take_value() {
    Value value{};
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  void skip_padding() {
    for (Byte const b : take(align_up(position_, detail::archive_alignment) - position_)) {
      if (b != Byte{0}) {
        bad("has bytes between its entries");
      }
    }
  }
  void take_entry() {
    Entry entry;
    std::uint32_t const name_size = take_value<std::uint32_t>();
    std::uint8_t const dtype = take_value<std::uint8_t>();
    std::uint8_t const rank = take_value<std::uint8_t>();
    if (take_value<std::uint16_t>() != 0 || dtype > static_cast<std::uint8_t>(DType::u8) ||
        rank > max_rank) {
      bad("has an entry of an unknown type or with too many dimensions");
    }
    entry.dtype = static_cast<DType>(dtype);
    std::int64_t bytes = size_of(entry.dtype);
    for (int d = 0; d < rank; ++d) {
      std::int64_t const extent = take_value<std::int64_t>();
      if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) {
        bad("has an entry of an impossible shape");
      }
      entry.shape.push_back(extent);
    }
    std::uint64_t const size = take_value<std::uint64_t>();
    if (size != static_cast<std::uint64_t>(bytes)) {
      bad("has an entry whose size does not fit its shape");
    }
    std::span<Byte const> const name = take(name_size);
    entry.name = std::string_view(reinterpret_cast<char const*>(name.data()), name.size());
    skip_padding();
    entry.bytes = take(size);
    skip_padding();
    if (entry.name.empty() || !index_.add(entry.name, NameOf{entries_})) {
      bad("has an entry without a name or two entries of one name");
    }
    entries_.push_back(entry);
  }

  std::string origin_;
  std::span<Byte const> archive_;
  std::size_t position_ = 0;
  std::vector<Entry> entries_;
  detail::NameIndex<Late> index_;
};

using ArchiveReader = BasicArchiveReader<>;

}  // namespace rlhf::inline v0::checkpoint
