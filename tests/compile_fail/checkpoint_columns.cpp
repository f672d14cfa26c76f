// expected-error: [rlhf:checkpoint.columns] a column that is saved must be of plain values
// Truth values as std::vector packs them have no address of their own.
#include <rlhf/checkpoint/columns.hpp>

struct Answers {
#ifdef RLHF_CONTROL
  std::vector<std::uint8_t> right;
#else
  std::vector<bool> right;
#endif
  template <class Visit>
  void columns(Visit&& visit) {
    visit("right", right);
  }
};

int main() {
  rlhf::checkpoint::ArchiveWriter archive;
  rlhf::checkpoint::save_columns(archive, Answers{});
  return 0;
}
