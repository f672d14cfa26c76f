// The main function of the GPU tests: exit code 77, which ctest reports as skipped, on a machine
// without a device.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>
#include <cstdlib>

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

int main(int argc, char** argv) {
  // Tests run several ranks on one device: their kernels must not stand in one queue.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  int devices = 0;
  cudaError_t const status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    std::printf("skipped: no CUDA device (%s)\n", cudaGetErrorString(status));
    return 77;
  }
  return doctest::Context{argc, argv}.run();
}
