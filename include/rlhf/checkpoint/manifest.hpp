/// @file
/// The list of files that makes a checkpoint complete, as readable text. Layer: checkpoint.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// One file of a checkpoint.
struct ManifestEntry {
  std::string name;
  std::int64_t bytes = 0;
  std::uint64_t checksum = 0;

  bool operator==(ManifestEntry const&) const = default;
};

/// What a complete checkpoint consists of. Use it as `Manifest`.
template <class Late = void>
struct BasicManifest {
  std::int64_t step = 0;
  std::vector<rlhf::detail::late<ManifestEntry, Late>> files;

  /// The file of this name, or nullptr.
  [[nodiscard]] ManifestEntry const* find(std::string_view name) const noexcept {
    for (ManifestEntry const& file : files) {
      if (file.name == name) {
        return &file;
      }
    }
    return nullptr;
  }
  /// The files' names, for messages; the first eight where there are more.
  [[nodiscard]] std::string names_text() const {
    std::string out;
    for (std::size_t i = 0; i < files.size() && i < 8; ++i) {
      out += text(i == 0 ? "" : ", ", files[i].name);
    }
    return files.size() <= 8 ? out : text(out, ", ... (", files.size(), " in all)");
  }
  bool operator==(BasicManifest const&) const = default;
};

using Manifest = BasicManifest<>;

inline constexpr std::string_view manifest_format = "rlhf-checkpoint";
inline constexpr std::int64_t manifest_version = 1;

/// Whether a name can be that of a file of a checkpoint: letters, digits, `.`, `_`, `-`, at most
/// 200 of them, not beginning with `.`, and not the manifest's own.
template <class = void>
[[nodiscard]] bool is_file_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 200 || name[0] == '.' || name == "MANIFEST") {
    return false;
  }
  for (char const c : name) {
    bool const letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') {
      return false;
    }
  }
  return true;
}

/// Whether a name is that of a file, or of one in a directory: `actor/rank-3`.
template <class = void>
[[nodiscard]] bool is_entry_name(std::string_view name) noexcept {
  std::size_t const slash = name.find('/');
  return slash == std::string_view::npos
             ? is_file_name(name)
             : is_file_name(name.substr(0, slash)) && is_file_name(name.substr(slash + 1));
}

/// `<name> <bytes> <checksum>`.
template <class = void>
[[nodiscard]] std::string to_text(ManifestEntry const& entry) {
  return text(entry.name, " ", entry.bytes, " ", data::hex_text(entry.checksum));
}

/// Reads such a line. False, and `out` is not to be used, unless it is one.
template <class = void>
[[nodiscard]] bool parse_manifest_entry(std::string_view line, ManifestEntry& out) {
  std::size_t const first = line.find(' ');
  std::size_t const last = line.rfind(' ');
  std::uint64_t bytes = 0;
  if (first == std::string_view::npos || first == last || !is_entry_name(line.substr(0, first)) ||
      !data::parse_number(line.substr(first + 1, last - first - 1), bytes) ||
      bytes > static_cast<std::uint64_t>(INT64_MAX) ||
      !data::parse_hex(line.substr(last + 1), out.checksum)) {
    return false;
  }
  out.name = line.substr(0, first);
  out.bytes = static_cast<std::int64_t>(bytes);
  return true;
}

template <class Late>
[[nodiscard]] std::string to_text(BasicManifest<Late> const& manifest) {
  data::TextRecordWriter writer(manifest_format, manifest_version);
  writer.field("step", manifest.step);
  for (ManifestEntry const& file : manifest.files) {
    writer.field("file", to_text(file));
  }
  return writer.finish();
}

/// Reads what `to_text` wrote. `origin`, a path, is for messages.
///
/// Errors: corrupted when the text is truncated or damaged; invalid_argument when a newer version
/// wrote it.
template <class Late = void>
[[nodiscard]] BasicManifest<Late> parse_manifest(std::string_view text, std::string_view origin) {
  data::TextRecordReader reader(text, manifest_format, manifest_version, origin);
  BasicManifest<Late> manifest;
  manifest.step = reader.next_count("step");
  while (reader.at("file")) {
    ManifestEntry entry;
    if (!parse_manifest_entry(reader.next("file"), entry)) {
      reader.bad_value("file", "a name, a number of bytes and a checksum");
    }
    manifest.files.push_back(entry);
  }
  reader.finish();
  return manifest;
}

}  // namespace rlhf::inline v0::checkpoint
