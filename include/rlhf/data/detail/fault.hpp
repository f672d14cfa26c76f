/// @file
/// An error on its way from the thread that met it to the one that is told. Layer: data, private.
#pragma once

#include <rlhf/core/error.hpp>

#include <exception>
#include <string>

namespace rlhf::inline v0::data::detail {

/// What an Error says, without an exception object that two threads would share.
struct Fault {
  bool set = false;
  Errc code = Errc::invalid_argument;
  int rank = -1;
  int native_code = 0;
  std::string message;

  /// Runs `body`; what it throws is recorded, behind what `where()` says.
  template <class Where, class Body>
  void record(Where&& where, Body&& body) {
    try {
      body();
    } catch (Error const& error) {
      *this = Fault{true, error.code(), error.rank(), error.native_code(),
                    text(where(), ": ", error.message())};
    } catch (std::exception const& error) {
      *this = Fault{true, Errc::invalid_argument, -1, 0, text(where(), ": ", error.what())};
    } catch (...) {
      *this = Fault{true, Errc::invalid_argument, -1, 0,
                    text(where(), ": an exception that is no std::exception")};
    }
  }
  /// Throws it, if there is one.
  void rethrow() const {
    if (set) {
      throw Error(code, message, rank, native_code);
    }
  }
};

}  // namespace rlhf::inline v0::data::detail
