// rlhf-golden FILE...: replays files of what the reference was recorded doing.
//
// One line for each entry in which the library differs or that is no such entry, one for each
// section that nothing here checks, and at the end `N passed, M failed`. Status: 0 when all passed,
// 1 when some failed, 2 when a file is no such file or has nothing that is checked here. Where the
// reference is wrong, or we differ on purpose, the library is compared with what it documents
// instead; the checks say where.
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "replay/section.hpp"
#include <sys/wait.h>
#include <unistd.h>

using replay::json;

namespace {

constexpr unsigned longest_seconds = 60;

struct Count {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
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

/// `passed`, `FAILED: why` or `skipped: why`.
std::string outcome_of(replay::Section const& section, json const& entry) {
  replay::Entry result;
  try {
    section.check(entry, result);
  } catch (json::exception const& error) {
    return std::string("FAILED: bad entry: ") + error.what();
  } catch (replay::BadEntry const& error) {
    return std::string("FAILED: bad entry: ") + error.what();
  } catch (std::exception const& error) {
    return std::string("FAILED: unexpected error: ") + error.what();
  }
  return !result.failure().empty()   ? "FAILED: " + result.failure()
         : !result.skipped().empty() ? "skipped: " + result.skipped()
                                     : "passed";
}

/// The same from a process of its own: whatever an entry leads to, the others are checked, too.
std::string outcome_apart(replay::Section const& section, json const& entry) {
  int ends[2];
  std::cout.flush();
  pid_t const child = ::pipe(ends) == 0 ? ::fork() : -1;
  if (child < 0) {
    return std::string("FAILED: no process to check it in: ") + std::strerror(errno);
  }
  if (child == 0) {
    ::alarm(longest_seconds);
    std::string const outcome = outcome_of(section, entry);
    for (std::size_t at = 0; at < outcome.size();) {
      ssize_t const written = ::write(ends[1], outcome.data() + at, outcome.size() - at);
      if (written <= 0) {
        ::_exit(1);
      }
      at += static_cast<std::size_t>(written);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string outcome;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = ::read(ends[0], buffer, sizeof buffer)) > 0) {
    outcome.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return "FAILED: it was not done within " + std::to_string(longest_seconds) + " s";
  }
  if (WIFSIGNALED(status)) {
    return std::string("FAILED: the check was ended by a signal: ") + ::strsignal(WTERMSIG(status));
  }
  return WEXITSTATUS(status) == 0 && !outcome.empty()
             ? outcome
             : "FAILED: the check ended with status " + std::to_string(WEXITSTATUS(status));
}

void replay_entry(replay::Section const& section, std::string const& name, json const& entry,
                  Count& count) {
  std::string const outcome = outcome_apart(section, entry);
  if (outcome == "passed") {
    ++count.passed;
    return;
  }
  std::size_t const word = outcome.find(':');
  std::cout << outcome.substr(0, word) << " " << name << outcome.substr(word) << "\n";
  ++(outcome.starts_with("FAILED") ? count.failed : count.skipped);
}

/// Reads JSON; a key that is there twice would hide what stands under the first.
json parse(std::string const& content) {
  std::vector<std::set<std::string>> keys;
  return json::parse(content, [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key &&
               !keys.back().insert(value.get<std::string>()).second) {
      throw BadFile{"the key " + value.get<std::string>() + " is twice in one object"};
    }
    return true;
  });
}

Count replay_file(std::string const& path) {
  std::string content;
  try {
    std::ifstream file(path, std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(file), {});
    if (!file) {
      throw BadFile{"it cannot be read"};
    }
  } catch (std::exception const&) {  // of a directory
    throw BadFile{"it cannot be read"};
  }
  json const recorded = parse(content);
  if (!recorded.is_object() || recorded.empty()) {
    throw BadFile{"expected an object of sections"};
  }
  Count count;
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
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: rlhf-golden FILE...   (a file as those in tests/golden)\n";
    return 2;
  }
  Count all;
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    std::string reason;
    try {
      Count const count = replay_file(argv[i]);
      all.passed += count.passed;
      all.failed += count.failed;
      if (count.passed + count.failed + count.skipped == 0) {
        reason = ": it has no entry of a section that is checked here";
      }
    } catch (BadFile const& bad) {
      reason = ": " + bad.reason;
    } catch (json::exception const& error) {
      reason = std::string(" is no JSON: ") + error.what();
    }
    if (!reason.empty()) {
      std::cout.flush();
      std::cerr << argv[i] << reason << std::endl;
      good = false;
    }
  }
  std::cout << all.passed << " passed, " << all.failed << " failed\n";
  return !good ? 2 : all.failed == 0 ? 0 : 1;
}
