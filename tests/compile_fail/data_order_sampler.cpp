// expected-error: [rlhf:data.order] the order of a Sampler must have a Permutation
// max-errors: 1
// A sampler of an order that cannot be asked for a position.
#include <rlhf/data/sampler.hpp>

struct Backwards {
  struct Permutation {
    Permutation(std::uint64_t, std::int64_t, std::int64_t size) : size_(size) {}
#ifdef RLHF_CONTROL
    std::int64_t operator[](std::int64_t position) const {
      return size_ - 1 - position;
    }
#else
    std::int64_t at(std::int64_t position) const {
      return size_ - 1 - position;
    }
#endif
    std::int64_t size_;
  };
};

int main() {
  rlhf::data::Sampler<Backwards> sampler({.dataset_sizes = {8}, .samples_per_episode = 4});
  std::vector<rlhf::data::Draw> prompts;
  sampler.next(0, 1, prompts);
  sampler.restore(sampler.state());
  return static_cast<int>(sampler.consumed());
}
