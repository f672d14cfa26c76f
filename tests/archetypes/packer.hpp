// The least that a user may write for a packer: the expressions of the concept, with types of its
// own for table and memory.
#pragma once

#include <rlhf/tensor/pack.hpp>

#include <memory>
#include <span>
#include <utility>

namespace archetype {

/// Host memory, moved by the stock packer. `S` is the stream of the communicator.
template <class S>
class Packer {
 public:
  using Stream = S;
  class Table {
   public:
    Table() = default;

   private:
    friend Packer;
    typename rlhf::HostPacker<S>::Table regions_;
  };
  class Pairs {
   public:
    Pairs() = default;

   private:
    friend Packer;
    typename rlhf::HostPacker<S>::Pairs regions_;
  };
  class Memory {
   public:
    Memory() = default;
    std::byte* data() { return bytes_.get(); }

   private:
    friend Packer;
    std::unique_ptr<std::byte[]> bytes_;
  };

  Table prepare(std::span<rlhf::Region const> regions) {
    Table table;
    table.regions_ = host_.prepare(regions);
    return table;
  }
  void pack(Table const& table, std::byte* to, Stream stream) {
    host_.pack(table.regions_, to, stream);
  }
  void unpack(Table const& table, std::byte const* from, Stream stream) {
    host_.unpack(table.regions_, from, stream);
  }
  Pairs pair(std::span<rlhf::Region const> from, std::span<rlhf::Region const> to) {
    Pairs pairs;
    pairs.regions_ = host_.pair(from, to);
    return pairs;
  }
  void copy(Pairs const& pairs, Stream stream) { host_.copy(pairs.regions_, stream); }
  void fingerprints(std::span<rlhf::PlacedBox const> placed, std::uint64_t* out) {
    host_.fingerprints(placed, out);
  }
  bool equal(std::byte const* a, std::byte const* b, std::int64_t bytes) {
    return host_.equal(a, b, bytes);
  }
  Memory allocate(std::int64_t bytes) {
    Memory memory;
    memory.bytes_ = std::make_unique<std::byte[]>(static_cast<std::size_t>(bytes));
    return memory;
  }

 private:
  rlhf::HostPacker<S> host_;
};

}  // namespace archetype
