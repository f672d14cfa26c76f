// Sections of a file of recorded behaviour, and how each is compared with the library.
//
// A file <layer>_sections.cpp of this folder checks the sections of one layer:
//
//     void check_split(json const& entry, replay::Entry& result) {
//       result.equal("ranges", ranges_of(entry.at("args")), entry.at("out").get<Ranges>());
//     }
//     replay::Registration const split("split_index", check_split);
//
// A check is called once for every entry of the section's list, or once with the whole section
// where it is no list. What `at`, `get` and `require` throw means that the entry is bad, which
// counts as a failure of its own; an entry of which nothing was compared is one, too.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace replay {

using nlohmann::json;

/// What is wrong with an entry.
struct BadEntry : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline void require(bool holds, std::string const& what) {
  if (!holds) {
    throw BadEntry(what);
  }
}

/// What came out of one entry. The first difference is what counts.
class Entry {
 public:
  /// Ours must be what was recorded, or what the check says is right in its place.
  template <class Value>
  void equal(std::string_view what, Value const& ours, Value const& expected) {
    compared_ = true;
    if (failure_.empty() && !(ours == expected)) {
      failure_ = std::string(what) + ": expected " + shortened(json(expected).dump()) + ", got " +
                 shortened(json(ours).dump());
    }
  }
  /// `holds` must be true.
  void right(std::string_view what, bool holds) {
    compared_ = true;
    if (failure_.empty() && !holds) {
      failure_ = what;
    }
  }
  /// The entry asks for something that the library cannot be asked; nothing was compared.
  void not_expressible(std::string_view why) { skipped_ = why; }

  [[nodiscard]] std::string failure() const {
    return failure_.empty() && skipped_.empty() && !compared_ ? "nothing was compared" : failure_;
  }
  [[nodiscard]] std::string const& skipped() const { return skipped_; }

 private:
  static std::string shortened(std::string value) {
    if (value.size() > 300) {
      value.replace(300, value.npos, "...");
    }
    return value;
  }

  std::string failure_;
  std::string skipped_;
  bool compared_ = false;
};

using Check = void (*)(json const& entry, Entry& result);

struct Section {
  std::string_view name;  ///< Its key in the file.
  Check check;
};

/// Every section that some file of this folder checks.
inline std::vector<Section>& sections() {
  static std::vector<Section> table;
  return table;
}

/// Adds a section to the table, as a constant of a file.
struct Registration {
  Registration(std::string_view name, Check check) { sections().push_back({name, check}); }
};

}  // namespace replay
