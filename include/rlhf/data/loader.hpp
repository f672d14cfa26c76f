/// @file
/// Batches made ahead by threads, in the order of the draws. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/monitor.hpp>
#include <rlhf/core/thread_group.hpp>
#include <rlhf/data/collate.hpp>
#include <rlhf/data/detail/fault.hpp>
#include <rlhf/data/draws.hpp>
#include <rlhf/data/loader_options.hpp>
#include <rlhf/data/loader_state.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// Hands out batches: draws, fetches items, collates, ahead of the caller.
///
///     data::EpisodeDraws draws(sampler, replica, replicas);
///     data::Loader loader(draws, data::DatasetItems(prompts), Collate{}, {.batch_size = 32});
///     Batch batch;
///     while (loader.next(batch)) { ... }
///
/// Batches come in the order of the draws, whatever the number of threads. At most `ahead` of them
/// exist beside the caller's, and their memory goes round. An episode's share is cut into batches,
/// the last one with what is left; a replica without samples gets one empty batch an episode. Where
/// samples do not divide by replicas, shares differ by one, and numbers of batches may, too.
/// A checkpoint takes `state()`: the sampler is ahead, and belongs to the threads meanwhile.
///
/// Cost: a lock twice a batch; no allocation of its own in the steady state.
/// Thread safety: one caller; items and collate are used by all threads at a time.
template <DrawSource Draws, ItemSource Items, Collate<Items> Collator>
class Loader {
 public:
  using Sample = detail::SampleOf<Items>;
  using Batch = typename detail::BatchOf<Collator, Items>::type;

  /// Errors: invalid_argument for options out of range; io when the system refuses a thread.
  Loader(Draws draws, Items items, Collator collate, LoaderOptions const& options = {})
      : draws_(std::move(draws)),
        items_(std::move(items)),
        collate_(std::move(collate)),
        options_(options),
        slots_(slots_for(options)),
        worker_{this},
        threads_(worker_) {
    try {
      threads_.start(options.threads < options.ahead ? options.threads : options.ahead);
    } catch (...) {
      stop();
      throw;
    }
  }
  Loader(Loader const&) = delete;
  Loader& operator=(Loader const&) = delete;
  /// Waits for the items that threads are fetching or collating right now, for nothing else.
  ~Loader() { stop(); }

  /// Replaces `batch` by the next one. False at the end of the draws, which episodes do not have.
  ///
  /// Errors: what a dataset or the collate function threw for this batch, as an Error that names
  /// batch, dataset, item and sample; the next call goes on behind that batch, and `batch` holds
  /// nothing of use. What the draws threw, or that LoaderOptions::resume is no position in them:
  /// there is no more to come then, and the position stays.
  /// timeout when no batch came in time; it may be called again.
  bool next(Batch& batch) {
    Slot& slot = slots_[static_cast<std::size_t>(taken_) % slots_.size()];
    if (options_.threads == 0) {
      if (slot.state != State::end) {
        slot.state = make(job_, slot);
      }
    } else {
      wait_for(slot);
    }
    if (slot.state == State::end) {
      return false;
    }
    info_ = slot.info;
    position_ = slot.next;
    detail::Fault fault;
    std::swap(fault, slot.fault);
    std::swap(batch, slot.batch);
    {
      Hold const hold(monitor_);
      slot.state = State::empty;
      ++taken_;
      monitor_.notify_all();
    }
    fault.rethrow();
    return true;
  }

  /// Where a run that stops now goes on: behind the batch that `next` gave last.
  /// Errors: invalid_argument before the first batch, unless the draws or the options say where.
  [[nodiscard]] LoaderPosition position() const {
    expects(position_.consumed >= 0,
            "a loader of such draws has a position from its first batch on");
    return position_;
  }
  /// The position and which run it is of, to be saved. May be called while threads draw ahead.
  template <DrawsOfSampler D = Draws>
  [[nodiscard]] LoaderState state() const {
    LoaderState state{static_cast<D const&>(draws_).state(), position_};
    state.sampler.consumed = position_.consumed;
    return state;
  }
  /// Of the batch that `next` gave last.
  [[nodiscard]] BatchInfo const& info() const noexcept { return info_; }

 private:
  enum class State : std::uint8_t { empty, ready, end };
  struct Slot {
    State state = State::empty;
    BatchInfo info;
    LoaderPosition next;
    detail::Fault fault;
    Batch batch{};
  };
  /// What one thread needs for a batch; its memory is used again.
  struct Job {
    std::vector<Draw> draws;
    std::vector<Sample> samples;
    BatchInfo info;
    LoaderPosition next;
    detail::Fault fault;
  };
  struct Worker {
    Loader* loader;
    void operator()(int) const noexcept { loader->work(); }
  };

  [[nodiscard]] static std::size_t slots_for(LoaderOptions const& options) {
    expects(options.threads >= 0, "LoaderOptions::threads must be 0 (none) or more");
    expects(options.ahead >= 1, "LoaderOptions::ahead must be 1 or more");
    expects(options.batch_size >= 0, "LoaderOptions::batch_size must be 0 (all) or more");
    expects(!options.resume || (options.resume->consumed >= 0 && options.resume->taken >= 0),
            "the numbers of LoaderOptions::resume must be 0 or more");
    return static_cast<std::size_t>(options.threads == 0 ? 1 : options.ahead);
  }

  /// Where the first batch begins; at -1 where that is not known.
  [[nodiscard]] LoaderPosition beginning() const {
    if (options_.resume && options_.resume->taken > 0) {
      return *options_.resume;
    }
    if constexpr (DrawsOfSampler<Draws>) {
      return {draws_.state().consumed, 0, 0, 0};
    } else {
      return options_.resume.value_or(LoaderPosition{-1, 0, 0, 0});
    }
  }

  void stop() noexcept {
    {
      Hold const hold(monitor_);
      stopped_.store(true, std::memory_order_relaxed);
      monitor_.notify_all();
    }
    threads_.join();
  }
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  void wait_for(Slot const& slot) {
    Hold const hold(monitor_);
    Deadline const deadline = Deadline::after(options_.timeout);
    while (slot.state == State::empty) {
      if (!monitor_.wait(deadline) && slot.state == State::empty) {
        fail(Errc::timeout,
             text("batch ", taken_, " was not ready within ", options_.timeout.count,
                  " ms; a dataset or the collate function is slow or waits for something"));
      }
    }
  }

  /// What a thread does until it is told to stop or the draws end.
  void work() noexcept {
    Job job;
    State state = State::ready;
    while (state == State::ready) {
      {
        Hold const hold(monitor_);
        while (!stopped() && started_ - taken_ >= static_cast<std::int64_t>(slots_.size())) {
          monitor_.wait();
        }
        if (stopped()) {
          return;
        }
        ++started_;  // no more batches are begun than there are slots
      }
      Slot* slot = nullptr;
      {
        Hold const hold(drawing_);  // which slot and what goes into it belong together
        slot = &slots_[static_cast<std::size_t>(drawn_++) % slots_.size()];
        state = draw(job);
      }
      fill(job, *slot, state);
      Hold const hold(monitor_);
      slot->state = state;
      monitor_.notify_all();
    }
  }
  /// The same for one batch, on the caller's thread.
  [[nodiscard]] State make(Job& job, Slot& slot) {
    State const state = draw(job);
    fill(job, slot, state);
    return state;
  }

  /// Takes the draws of the next batch.
  [[nodiscard]] State draw(Job& job) {
    job.draws.clear();
    job.fault.set = false;
    if (ended_) {
      return State::end;
    }
    std::int64_t const wanted = episode_ + 1;
    job.fault.record([&] { return text("drawing episode ", wanted); },
                     [&, this] {
                       if (!fresh_ && at_ == share_size()) {
                         ended_ = true;  // unless there is more
                         ended_ = !draws_.next(share_);
                         if (!ended_) {
                           begin_share();
                         }
                       }
                     });
    if (ended_ && !job.fault.set) {
      return State::end;
    }
    std::int64_t const left = job.fault.set ? 0 : share_size() - at_;
    std::int64_t const size = options_.batch_size;
    std::int64_t const count = size == 0 || left < size ? left : size;
    for (std::int64_t i = 0; i < count; ++i) {
      job.draws.push_back(share_.draws[static_cast<std::size_t>(at_ + i)]);
    }
    job.info = BatchInfo{episode_, batch_, count == left, count, share_.first_id + at_};
    at_ += count;
    ++batch_;
    fresh_ = false;
    if (!job.fault.set) {
      behind_ = job.info.last ? LoaderPosition{share_.after, 0, 0, 0}
                              : LoaderPosition{share_.before, at_, share_.first_id, share_size()};
    }
    job.next = behind_;
    return State::ready;
  }
  [[nodiscard]] std::int64_t share_size() const noexcept {
    return static_cast<std::int64_t>(share_.draws.size());
  }
  void begin_share() {
    ++episode_;
    fresh_ = true;
    at_ = 0;
    batch_ = 0;
    if (episode_ == 0 && options_.resume) {
      ended_ = true;  // unless there is such a position
      check_position(*options_.resume, share_);
      ended_ = false;
      at_ = options_.resume->taken;
      batch_ = at_ == 0 || options_.batch_size == 0 ? at_ : ceil_div(at_, options_.batch_size);
    }
  }
  /// Fetches and collates what was drawn.
  void fill(Job& job, Slot& slot, State state) {
    if (state == State::end) {
      return;
    }
    slot.info = job.info;
    slot.next = job.next;
    job.samples.clear();
    std::size_t at = 0;
    if (!job.fault.set) {
      job.fault.record([&] { return sample_text(job, at); },
                       [&, this] {
                         for (; at < job.draws.size() && !stopped(); ++at) {
                           Draw const& drawn = job.draws[at];
                           job.samples.emplace_back(
                               drawn, job.info.first_id + static_cast<std::int64_t>(at),
                               items_(drawn.dataset, drawn.index));
                         }
                       });
    }
    if (!job.fault.set && !stopped()) {
      job.fault.record([&] { return batch_text(job); },
                       [&, this] {
                         if constexpr (CollatesInto<Collator, Items>) {
                           collate_(std::span<Sample>(job.samples), slot.batch);
                         } else {
                           slot.batch = collate_(std::span<Sample>(job.samples));
                         }
                       });
    }
    job.samples.clear();
    std::swap(slot.fault, job.fault);
  }
  [[nodiscard]] static std::string sample_text(Job const& job, std::size_t at) {
    Draw const& drawn = job.draws[at];
    return text("batch ", job.info.batch, " of episode ", job.info.episode, ", sample ", at,
                " of it (id ", job.info.first_id + static_cast<std::int64_t>(at), "): item ",
                drawn.index, " of dataset ", drawn.dataset);
  }
  [[nodiscard]] static std::string batch_text(Job const& job) {
    std::string const which =
        job.draws.empty()
            ? std::string("no samples")
            : text(job.draws.size(), " samples from id ", job.info.first_id, ", the first is item ",
                   job.draws.front().index, " of dataset ", job.draws.front().dataset);
    return text("batch ", job.info.batch, " of episode ", job.info.episode, " (", which,
                "): collate");
  }

  Draws draws_;
  Items items_;
  Collator collate_;
  LoaderOptions options_;

  Monitor drawing_;  ///< Guards what follows, up to the next one.
  DrawnShare share_;
  std::int64_t at_ = 0;  ///< Samples of the share that were given out.
  std::int64_t episode_ = -1;
  std::int64_t batch_ = 0;
  std::int64_t drawn_ = 0;
  bool fresh_ = false;  ///< Nothing of the share was given out, though it may be empty.
  bool ended_ = false;
  LoaderPosition behind_ = beginning();  ///< Of what was drawn last.

  Monitor monitor_;  ///< Guards the slots' states and both counts.
  std::vector<Slot> slots_;
  std::int64_t started_ = 0;
  std::int64_t taken_ = 0;
  std::atomic<bool> stopped_{false};

  Job job_;  ///< Of the caller, when there are no threads.
  BatchInfo info_{-1, 0, false, 0, 0};
  LoaderPosition position_ = beginning();
  Worker worker_;
  ThreadGroup<Worker> threads_;
};

}  // namespace rlhf::inline v0::data
