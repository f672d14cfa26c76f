/// @file
/// Marks functions that run on the host and in kernels. Layer: core.
///
/// An idiom of all headers: functions and classes marked `template <class = void>` compile only in
/// programs that use them. Compilers instantiate what ordinary inline functions use, vectors and
/// sorts for example, in every program that includes the header. Call them without arguments in
/// angle brackets. For the same reason spans of vectors are made as `{v.data(), v.size()}`, and
/// core/sort.hpp stands in for <algorithm>.
#pragma once

/// Expands to `__host__ __device__` where the language is CUDA, to nothing elsewhere.
#if defined(__CUDACC__)
#  define RLHF_HOST_DEVICE __host__ __device__
#else
#  define RLHF_HOST_DEVICE
#endif
