// rlhf-golden FILE...: replays files of what the reference was recorded doing.
//
// One line for each entry in which the library differs, one for each section that nothing here
// checks, and at the end `N passed, M failed`. Status: 0 when all passed, 1 when some failed, 2
// when a file is no such file. Where the reference is wrong, or we differ on purpose, the library
// is compared with what it documents instead; the checks say where.
#include <cstddef>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "replay/section.hpp"

using replay::json;

namespace {

struct Count {
  int passed = 0;
  int failed = 0;
};

/// What is wrong with a file.
struct BadFile {
  std::string reason;
};

std::string name_of(std::string const& section, json const& entry, std::size_t number) {
  std::string name = section + "[" + std::to_string(number) + "]";
  for (char const* const key : {"id", "note"}) {
    if (entry.is_object() && entry.contains(key) && entry[key].is_string() && entry[key] != "") {
      return name + " " + entry[key].get<std::string>();
    }
  }
  return name;
}

void replay_entry(replay::Section const& section, std::string const& name, json const& entry,
                  Count& count) {
  replay::Entry result;
  std::string failure;
  try {
    section.check(entry, result);
    failure = result.failure();
  } catch (json::exception const& error) {
    throw BadFile{name + ": " + error.what()};
  } catch (std::exception const& error) {
    failure = std::string("unexpected error: ") + error.what();
  }
  if (!failure.empty()) {
    std::cout << "FAILED " << name << ": " << failure << "\n";
    ++count.failed;
  } else if (!result.skipped().empty()) {
    std::cout << "skipped " << name << ": " << result.skipped() << "\n";
  } else {
    ++count.passed;
  }
}

void replay_file(std::string const& path, Count& count) {
  std::ifstream file(path, std::ios::binary);
  std::string const content((std::istreambuf_iterator<char>(file)), {});
  if (!file) {
    throw BadFile{"it cannot be read"};
  }
  json const recorded = json::parse(content);
  if (!recorded.is_object() || recorded.empty()) {
    throw BadFile{"expected an object of sections"};
  }
  for (auto const& [name, entries] : recorded.items()) {
    if (name == "meta") {
      continue;
    }
    replay::Section const* known = nullptr;
    for (replay::Section const& section : replay::sections()) {
      known = section.name == name ? &section : known;
    }
    if (known == nullptr) {
      std::cout << "skipped section " << name << ": nothing here checks it\n";
    } else if (!entries.is_array()) {
      replay_entry(*known, name, entries, count);
    } else {
      for (std::size_t i = 0; i < entries.size(); ++i) {
        replay_entry(*known, name_of(name, entries[i], i), entries[i], count);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: rlhf-golden FILE...   (a file as those in tests/golden)\n";
    return 2;
  }
  Count count;
  for (int i = 1; i < argc; ++i) {
    try {
      replay_file(argv[i], count);
    } catch (BadFile const& bad) {
      std::cerr << argv[i] << ": " << bad.reason << "\n";
      return 2;
    } catch (json::exception const& error) {
      std::cerr << argv[i] << " is no JSON: " << error.what() << "\n";
      return 2;
    }
  }
  std::cout << count.passed << " passed, " << count.failed << " failed\n";
  return count.failed == 0 ? 0 : 1;
}
