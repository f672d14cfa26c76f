/// @file
/// Where the bytes of a module are: rows by part, printable. Layer: runtime.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/runtime/offload_parts.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::runtime {

/// Where a part is. A part that a module has no tensors of is on the device.
enum class Residence : std::uint8_t { device, host };

[[nodiscard]] constexpr std::string_view to_string(Residence where) noexcept {
  return where == Residence::device ? "device" : "host";
}

/// One part of a module's memory.
struct PartMemory {
  Part part = Part::weights;
  Residence where = Residence::device;
  std::int64_t tensors = 0;
  std::int64_t device_bytes = 0;  ///< In the module's storages now.
  std::int64_t away_bytes = 0;    ///< That an onload brings back to the device.
  std::int64_t host_bytes = 0;    ///< Held on the host for it, kept for reuse included.
  bool operator==(PartMemory const&) const = default;
};

/// What one call of `offload` or `onload` moved.
struct OffloadReport {
  Parts moved;                     ///< Parts that changed sides; those there already do not count.
  std::int64_t tensors = 0;        ///< Of those parts.
  std::int64_t copied_bytes = 0;   ///< Between device and host.
  std::int64_t changed_bytes = 0;  ///< Device memory given back, or taken.
};

namespace detail {

[[nodiscard]] inline std::string padded_left(std::string_view what, std::size_t width) {
  return std::string(what.size() < width ? width - what.size() : 0, ' ') + std::string(what);
}

}  // namespace detail

/// A table with a line for each part and one for their sum; bytes.
template <class Row>
[[nodiscard]] std::string to_string(std::vector<Row> const& rows) requires requires(Row row) {
  row.away_bytes;
}
{
  std::string out =
      "part              where      tensors          device            away            host\n";
  Row sum;
  auto const line = [&](std::string_view name, std::string_view where, Row const& row) {
    out += name;
    out += detail::padded_left(where, 24 - name.size());
    out += detail::padded_left(text(row.tensors), 12);
    out += detail::padded_left(text(row.device_bytes), 16);
    out += detail::padded_left(text(row.away_bytes), 16);
    out += detail::padded_left(text(row.host_bytes), 16) + "\n";
  };
  for (Row const& row : rows) {
    line(to_string(row.part), to_string(row.where), row);
    sum.tensors += row.tensors;
    sum.device_bytes += row.device_bytes;
    sum.away_bytes += row.away_bytes;
    sum.host_bytes += row.host_bytes;
  }
  line("together", "", sum);
  return out;
}

}  // namespace rlhf::inline v0::runtime
