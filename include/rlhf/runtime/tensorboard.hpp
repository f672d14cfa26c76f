/// @file
/// Event files that TensorBoard reads: scalars by step. Layer: runtime.
///
/// Source: tensorflow/core/lib/io/record_writer.h (framing), tensorflow/core/util/event.proto and
/// framework/summary.proto (fields), RFC 3720 B.4 (CRC-32C).
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/append_file.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <time.h>
#include <unistd.h>

namespace rlhf::inline v0::runtime {
namespace detail {

/// CRC-32C (Castagnoli), a bit at a time: events have tens of bytes.
[[nodiscard]] constexpr std::uint32_t crc32c(std::string_view bytes) noexcept {
  std::uint32_t crc = 0xffffffffU;
  for (char const byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    }
  }
  return ~crc;
}
/// As records hold it, so that a checksum of data with checksums in it is none of a simple kind.
[[nodiscard]] constexpr std::uint32_t masked_crc32c(std::string_view bytes) noexcept {
  std::uint32_t const crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

/// Fields of protocol buffers, and what frames them.
struct Protobuf {
  static void varint(std::string& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      out += static_cast<char>(value | 0x80U);
    }
    out += static_cast<char>(value);
  }
  template <class Integer>
  static void little_endian(std::string& out, Integer value) {
    for (std::size_t i = 0; i < sizeof value; ++i) {
      out += static_cast<char>(value >> (8 * i));
    }
  }
  static void tag(std::string& out, unsigned field, unsigned wire) {
    varint(out, field << 3 | wire);
  }
  static void integer(std::string& out, unsigned field, std::int64_t value) {
    tag(out, field, 0);
    varint(out, static_cast<std::uint64_t>(value));
  }
  static void real(std::string& out, unsigned field, double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    tag(out, field, 1);
    little_endian(out, bits);
  }
  static void real(std::string& out, unsigned field, float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    tag(out, field, 5);
    little_endian(out, bits);
  }
  static void bytes(std::string& out, unsigned field, std::string_view value) {
    tag(out, field, 2);
    varint(out, value.size());
    out += value;
  }
  /// A record of an event file.
  static void record(std::string& out, std::string_view data) {
    std::size_t const at = out.size();
    little_endian(out, static_cast<std::uint64_t>(data.size()));
    little_endian(out, masked_crc32c(std::string_view(out).substr(at, 8)));
    out += data;
    little_endian(out, masked_crc32c(data));
  }
};

}  // namespace detail

/// Writes scalars of a run into one event file of a directory.
///
///     rlhf::runtime::Tensorboard board("runs/a");
///     board.write(step, metrics.take(comm));          // on rank 0: others make no object
///
/// Each object makes a new file, `events.out.tfevents.<seconds>.rlhf.<process>.<number>`;
/// TensorBoard joins those of a directory, so a run that goes on simply makes another. Of a step
/// that is written twice it shows both. Values are stored as floats; NaN and infinity as such.
/// Cost: a write of 25 bytes and the name a value; the memory is used again. Thread safety: one
/// caller.
template <class Late = void>
class BasicTensorboard {
  using Values = std::vector<BasicMetric<rlhf::detail::late<void, Late>>>;

 public:
  /// Makes the directory and the file. Errors: io.
  explicit BasicTensorboard(std::string const& directory)
      : BasicTensorboard(directory, wall_time()) {}
  BasicTensorboard(std::string const& directory, double time)
      : file_(create(directory, static_cast<std::int64_t>(time))) {
    detail::Protobuf::real(event_, 1, time);
    detail::Protobuf::bytes(event_, 3, "brain.Event:2");
    put();
  }

  [[nodiscard]] std::string const& path() const noexcept { return file_.path(); }

  /// Writes one value. Errors: io.
  void scalar(std::string_view tag, double value, std::int64_t step) {
    scalar(tag, value, step, wall_time());
  }
  void scalar(std::string_view tag, double value, std::int64_t step, double time) {
    summary_.clear();
    add(tag, value);
    write_summary(step, time);
  }
  /// Writes the metrics of a step, in one event. Errors: io.
  void write(std::int64_t step, Values const& metrics) { write(step, metrics, wall_time()); }
  void write(std::int64_t step, Values const& metrics, double time) {
    summary_.clear();
    for (auto const& metric : metrics) {
      add(metric.name, metric.value);
    }
    write_summary(step, time);
  }

 private:
  [[nodiscard]] static double wall_time() noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  }
  [[nodiscard]] static BasicAppendFile<Late> create(std::string const& directory,
                                                    std::int64_t seconds) {
    make_directories(directory);
    std::string digits = text(seconds);
    digits.insert(0, digits.size() < 10 ? 10 - digits.size() : 0, '0');
    for (int number = 0;; ++number) {
      try {
        return BasicAppendFile<Late>(
            text(directory, "/events.out.tfevents.", digits, ".rlhf.", ::getpid(), ".", number),
            BasicAppendFile<Late>::Mode::create);
      } catch (Error const& error) {
        if (error.native_code() != EEXIST) {
          throw;
        }
      }
    }
  }
  void add(std::string_view tag, double value) {
    value_.clear();
    detail::Protobuf::bytes(value_, 1, tag);
    detail::Protobuf::real(value_, 2, static_cast<float>(value));
    detail::Protobuf::bytes(summary_, 1, value_);
  }
  void write_summary(std::int64_t step, double time) {
    event_.clear();
    detail::Protobuf::real(event_, 1, time);
    detail::Protobuf::integer(event_, 2, step);
    detail::Protobuf::bytes(event_, 5, summary_);
    put();
  }
  void put() {
    record_.clear();
    detail::Protobuf::record(record_, event_);
    file_.append(record_);
  }

  BasicAppendFile<Late> file_;
  std::string value_;
  std::string summary_;
  std::string event_;
  std::string record_;
};

using Tensorboard = BasicTensorboard<>;

}  // namespace rlhf::inline v0::runtime
