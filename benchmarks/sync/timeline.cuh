// When the lanes of one sync are busy: a packer that records an event at both ends of all that it
// and the communicator are asked for. For finding out what a slow sync waits for; the events
// themselves cost a few microseconds a step.
#pragma once

#include <rlhf/cuda/event.hpp>
#include <rlhf/cuda/packer.cuh>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace timeline {

namespace cuda = rlhf::cuda;

/// One rank's record of one sync.
class Record {
 public:
  enum Kind { pack, unpack, copy, transfer, kinds };

  void start(cuda::StreamView stream) {
    spans_.clear();
    main_ = stream;
    on_ = true;
    begin_.record(stream);
    open_transfer_ = nothing;
    open(transfer, stream);
  }
  void stop() { on_ = false; }
  [[nodiscard]] bool on() const noexcept { return on_; }
  [[nodiscard]] cuda::StreamView main() const noexcept { return main_; }

  /// A transfer is open from the end of the one before it, and later after every wait.
  void open(Kind kind, cuda::StreamView stream) {
    if (kind == transfer && open_transfer_ < spans_.size()) {
      spans_[open_transfer_].begin.record(stream);
      return;
    }
    spans_.emplace_back();
    spans_.back().kind = kind;
    spans_.back().begin.record(stream);
    if (kind == transfer) {
      open_transfer_ = spans_.size() - 1;
    }
  }
  void close(Kind kind, cuda::StreamView stream) {
    Span& span = kind == transfer ? spans_[open_transfer_] : spans_.back();
    span.end.record(stream);
    span.closed = true;
    if (kind == transfer) {
      open_transfer_ = nothing;
      open(transfer, stream);
    }
  }

  /// `{"timeline":...,"rank":...,"pack":[begin,end,...],...}`, microseconds from the beginning.
  void print(std::FILE* out, std::string const& what, int rank) const {
    char const* const names[kinds] = {"pack", "unpack", "copy", "transfer"};
    std::fprintf(out, "{\"timeline\":\"%s\",\"rank\":%d", what.c_str(), rank);
    for (int kind = 0; kind < kinds; ++kind) {
      std::fprintf(out, ",\"%s\":[", names[kind]);
      char const* comma = "";
      for (Span const& span : spans_) {
        if (span.kind == kind && span.closed) {
          std::fprintf(out, "%s%.0f,%.0f", comma, 1e3 * elapsed_ms(begin_, span.begin),
                       1e3 * elapsed_ms(begin_, span.end));
          comma = ",";
        }
      }
      std::fprintf(out, "]");
    }
    std::fprintf(out, "}\n");
  }

 private:
  static constexpr std::size_t nothing = ~std::size_t{0};
  struct Span {
    Kind kind = pack;
    cuda::Event begin{cuda::Timing::on};
    cuda::Event end{cuda::Timing::on};
    bool closed = false;
  };
  bool on_ = false;
  cuda::StreamView main_{};
  cuda::Event begin_{cuda::Timing::on};
  std::vector<Span> spans_;
  std::size_t open_transfer_ = nothing;
};

/// The library's packer, with a record.
class Packer : public cuda::Packer {
 public:
  Packer(cuda::PackerOptions options, std::shared_ptr<Record> record)
      : cuda::Packer(options),
        record_(std::move(record)) {}

  void pack(Table const& table, std::byte* to, Stream stream = {}) const {
    around(Record::pack, stream, [&, this] { cuda::Packer::pack(table, to, stream); });
  }
  void unpack(Table const& table, std::byte const* from, Stream stream = {}) const {
    around(Record::unpack, stream, [&, this] { cuda::Packer::unpack(table, from, stream); });
  }
  void copy(Pairs const& pairs, Stream stream = {}) const {
    around(Record::copy, stream, [&, this] { cuda::Packer::copy(pairs, stream); });
  }
  void record(Fence& fence, Stream stream) const {
    if (record_->on() && stream == record_->main()) {
      record_->close(Record::transfer, stream);
    }
    cuda::Packer::record(fence, stream);
  }
  void wait(Stream stream, Fence const& fence) const {
    cuda::Packer::wait(stream, fence);
    if (record_->on() && stream == record_->main()) {
      record_->open(Record::transfer, stream);
    }
  }

 private:
  template <class Body>
  void around(Record::Kind kind, Stream stream, Body&& body) const {
    if (record_->on()) {
      record_->open(kind, stream);
      body();
      record_->close(kind, stream);
    } else {
      body();
    }
  }

  std::shared_ptr<Record> record_;
};

}  // namespace timeline
