/// @file
/// Marks functions that run on the host and in kernels. Layer: core.
///
/// An idiom of all headers: functions and classes marked `template <class = void>` compile only in
/// programs that use them. Compilers instantiate what ordinary inline functions use, vectors and
/// sorts for example, in every program that includes the header. Call them without arguments in
/// angle brackets. For the same reason spans of vectors are made as `{v.data(), v.size()}`, and
/// core/sort.hpp stands in for <algorithm>.
///
/// Even unused, such a template costs what its expressions need that do not depend on a template
/// argument: the vectors and spans it names are instantiated where it is read. Where they are many,
/// classes are therefore templates as a whole (`BasicLocal`, with `using Local = BasicLocal<>`),
/// functions name their parameter (`template <class Late = void>`), and `detail::late` makes the
/// element types depend on it.
#pragma once

/// Expands to `__host__ __device__` where the language is CUDA, to nothing elsewhere.
#if defined(__CUDACC__)
#  define RLHF_HOST_DEVICE __host__ __device__
#else
#  define RLHF_HOST_DEVICE
#endif

namespace rlhf::inline v0::detail {

template <class T, class Late>
struct LateType {
  using type = T;
};

/// `T`, which the compiler does not know before it knows `Late`: `std::vector<late<int, Late>>`
/// costs nothing in a template that nobody uses.
template <class T, class Late>
using late = typename LateType<T, Late>::type;

}  // namespace rlhf::inline v0::detail
