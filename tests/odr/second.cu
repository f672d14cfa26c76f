// The half of the program that nvcc compiles: the library and, where they exist, the layers for
// CUDA and NCCL.
#include "everything.hpp"

#if __has_include(<rlhf/cuda/buffer.hpp>)
#  include <rlhf/cuda/buffer.hpp>
#endif
#if __has_include(<rlhf/cuda/packer.cuh>)
#  include <rlhf/cuda/packer.cuh>
#endif
#if __has_include(<rlhf/nccl/communicator.hpp>) && __has_include(<nccl.h>)
#  include <rlhf/nccl/communicator.hpp>
#endif

Report second() {
  return report();
}
