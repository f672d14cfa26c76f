// Any bytes are lines like a naive splitter's; each is a row, or refused with an Error that names
// it; and what is skipped is what is refused.
#include <rlhf/adapters/jsonl_dataset.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/line_index.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

void expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}

struct Line {
  std::string_view text;
  std::int64_t number;
};
std::vector<Line> lines_of(std::string_view content) {
  std::vector<Line> out;
  std::int64_t number = 1;
  while (!content.empty()) {
    std::size_t const end = content.find('\n');
    std::string_view line = content.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      if (line.back() == '\r') {
        line.remove_suffix(1);
      }
      out.push_back({line, number});
    }
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
    ++number;
  }
  return out;
}

/// A file in memory that holds the bytes, by a name.
class Content {
 public:
  explicit Content(std::string_view content) : file_(::memfd_create("fuzz", 0)) {
    expect(file_ >= 0);
    expect(::write(file_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  Content(Content const&) = delete;
  Content& operator=(Content const&) = delete;
  ~Content() { ::close(file_); }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const content(reinterpret_cast<char const*>(data), size);
  std::vector<Line> const lines = lines_of(content);
  rlhf::data::LineIndex const index(content);
  expect(index.size() == static_cast<std::int64_t>(lines.size()));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::int64_t const at = static_cast<std::int64_t>(i);
    expect(index.line(content, at) == lines[i].text);
    expect(index.line_number(at) == lines[i].number);
  }
  Content const file(content);
  std::vector<std::int64_t> good;
  try {
    rlhf::adapters::JsonlDataset const rows(file.path());
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      try {
        good.push_back(rows[i].line());
      } catch (rlhf::Error const& error) {
        expect(error.message().find("line " + std::to_string(index.line_number(i)) + ": ") !=
               std::string_view::npos);
      }
    }
    static_cast<void>(rows.fingerprint());
  } catch (rlhf::Error const&) {
    expect(lines.empty());
  }
  try {
    rlhf::adapters::JsonlDataset const rows(file.path(),
                                            {.bad_lines = rlhf::adapters::BadLines::skip});
    expect(rows.size() == static_cast<std::int64_t>(good.size()));
    expect(rows.skipped() == static_cast<std::int64_t>(lines.size() - good.size()));
    for (std::size_t i = 0; i < good.size(); ++i) {
      expect(rows[static_cast<std::int64_t>(i)].line() == good[i]);
    }
  } catch (rlhf::Error const&) {
    expect(good.empty());
  }
  return 0;
}
