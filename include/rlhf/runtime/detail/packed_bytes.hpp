/// @file
/// Values as bytes, for messages between ranks. Layer: runtime, private.
#pragma once

#include <rlhf/core/config.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime::detail {

/// Values and texts, one behind the other, for ranks of one program.
template <class Late>
class PackedBytes {
 public:
  template <class T>
  void put(T const* values, std::size_t count) {
    std::size_t const at = bytes.size();
    bytes.resize(at + count * sizeof(T));
    if (count != 0) {
      std::memcpy(bytes.data() + at, values, count * sizeof(T));
    }
  }
  template <class T>
  void get(T* values, std::size_t count) {
    if (count != 0) {
      std::memcpy(values, bytes.data() + read_, count * sizeof(T));
    }
    read_ += count * sizeof(T);
  }
  void put_text(std::string_view words) {
    auto const size = static_cast<std::int64_t>(words.size());
    put(&size, 1);
    put(words.data(), words.size());
  }
  void get_text(std::string& words) {
    std::int64_t size = 0;
    get(&size, 1);
    words.resize(static_cast<std::size_t>(size));
    get(words.data(), words.size());
  }

  std::vector<rlhf::detail::late<char, Late>> bytes;

 private:
  std::size_t read_ = 0;
};

}  // namespace rlhf::inline v0::runtime::detail
