/// @file
/// From prompts to the rows that are trained on. Layer: engine, private.
#pragma once

#include <rlhf/core/math.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/engine/detail/residence.hpp>
#include <rlhf/engine/detail/run.hpp>
#include <rlhf/engine/detail/stage_files.hpp>
#include <rlhf/engine/detail/work.hpp>
#include <rlhf/engine/graph.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <utility>

namespace rlhf::inline v0::engine::detail {

/// How many rows an episode has, and which prompts are this rank's: every rank draws, so that all
/// know the first and are in the same state.
template <class R>
void draw(R& run, std::int64_t episode) {
  std::size_t const slot = run.progress.slot(episode);
  run.parts.for_each([&]<class Node>(Work<Node>& work) {
    if constexpr (Node::kind == NodeKind::prompts) {
      run.guarded(work.node.name, "draw", [&] {
        auto& model = *work.node.model;
        Shares const mine = shares_of(model);
        run.progress.rows[slot] =
            model.draw(run.draws, model.present() ? mine.of(model.rank()) : 0, mine.count());
      });
    }
  });
  run.progress.versions[slot] = run.versions.of_generation(run.progress.episode);
}

template <class R, class W, class From, class Exchange, class Value>
void gather_value(R& run, W& work, From& from, Exchange& exchange, Value const*& value,
                  std::int64_t episode, bool from_ahead) {
  if (from.ahead == from_ahead) {
    run.watch.run(work.node.name, "input", work.input_span, [&] {
      std::size_t const slot = run.progress.slot(episode);
      std::int64_t const rows = run.progress.rows[slot];
      value = &exchange.run(*run.world, shares_of(*from.node.model), shares_of(*work.node.model),
                            rows, Deal{0, rows}, from.made[slot]);
    });
  }
}
/// Brings a part's inputs, as far as they come from parts that are ahead, or are not.
template <std::size_t At, class R>
void gather(R& run, std::int64_t episode, bool from_ahead) {
  auto& work = run.parts.template at<At>();
  [&]<class... Values, std::size_t... V>(Inputs<Values...>, std::index_sequence<V...>) {
    (gather_value(run, work, run.parts.template maker<Values>(),
                  std::get<V>(work.received.exchanges), std::get<V>(work.received.values), episode,
                  from_ahead),
     ...);
  }(typename R::template NodeAt<At>::Inputs{},
    std::make_index_sequence<static_cast<std::size_t>(R::template NodeAt<At>::Inputs::count)>{});
}
/// What crosses from parts that are ahead to those that are not, while both are here.
template <class R>
void receive_from_ahead(R& run, std::int64_t episode) {
  R::AllParts::in_order([&]<std::size_t At>() {
    if (!run.parts.template at<At>().ahead) {
      gather<At>(run, episode, true);
    }
  });
}

/// Runs a stage on this rank's rows, in `calls` calls of nearly equal sizes; some are of no rows
/// where there are fewer.
template <class Node>
void run_stage(Work<Node>& work, std::int64_t rows, std::int64_t calls,
               typename Node::Output& out) {
  using Batch = BatchOf<typename Node::Model>;
  auto const call = [&](auto const&... values) {
    return hook::forward_step(*work.node.model, batch_of<Batch>(values...));
  };
  if (calls == 1) {
    out = std::apply([&](auto const*... values) { return call(*values...); }, work.received.values);
    return;
  }
  clear_rows(out);
  std::int64_t const most = work.node.options.batch;
  for (std::int64_t i = 0; i < calls; ++i) {
    IndexRange const part{i * most < rows ? i * most : rows,
                          (i + 1) * most < rows ? (i + 1) * most : rows};
    fill_range(work.rows, part);
    work.received.take(std::span<std::int64_t const>(work.rows));
    typename Node::Output const made = std::apply(call, work.received.chunk);
    expect_rows(work.node.name, data::row_count(made), part.size());
    data::append_rows(out, made, 0, part.size());
  }
}

/// Calls what a part runs, on this rank's rows. `largest` is the most rows that a share has.
template <class R, class Node>
void call_part(R& run, Work<Node>& work, std::int64_t rows, std::int64_t largest,
               typename Node::Output& out) {
  if constexpr (Node::kind == NodeKind::prompts) {
    run.watch.run(work.node.name, "prompts", work.node.name,
                  [&] { out = work.node.make(std::span<data::Draw const>(run.draws)); });
  } else if constexpr (Node::kind == NodeKind::stage) {
    run.watch.run(work.node.name, "forward_step", work.node.name, [&] {
      bring(run, *work.node.model, runtime::Part::weights);
      std::int64_t const most = work.node.options.batch;
      run_stage(work, rows, most <= 0 ? 1 : ceil_div(largest, most), out);
    });
  } else {
    run.watch.run(work.node.name, "compute", work.node.name, [&] {
      auto const call = [&](auto const*... values) { return work.node.function(*values...); };
      if constexpr (makes_value<Node>) {
        out = std::apply(call, work.received.values);
      } else {
        std::apply(call, work.received.values);
      }
    });
  }
}

/// One part of the rollout of an episode, on a rank of its model.
template <class R, class Node, class Observer>
void make_value(R& run, Work<Node>& work, std::int64_t episode, Observer& observer) {
  Shares const mine = shares_of(*work.node.model);
  int const share = mine.of(work.node.model->rank());
  std::int64_t const all = run.progress.rows[run.progress.slot(episode)];
  std::int64_t const rows = split_evenly(all, mine.count(), share).size();
  typename Node::Output& out = work.made[run.progress.slot(episode)];
  // Shares that work on their own are not asked without rows. Those of one copy of the weights
  // make the same number of calls, since they may meet in them.
  bool const together = mine.spread == Spread::data_sharded;
  std::int64_t const largest = together ? ceil_div<std::int64_t>(all, mine.count()) : rows;
  bool restored = false;
  if constexpr (Node::kind == NodeKind::stage) {
    restored = std::exchange(work.restored, false);
  }
  if (largest == 0) {
    clear_rows(out);
    return;
  }
  if (!restored) {
    call_part(run, work, rows, largest, out);
  }
  if (mine.speaker(share) == run.world->rank()) {
    run.watch.run(work.node.name, "result", "result", [&] {
      if constexpr (makes_value<Node>) {
        expect_rows(work.node.name, data::row_count(out), rows);
      }
      if constexpr (Node::kind == NodeKind::stage) {
        if (!restored) {
          save_stage(run, work, episode, out);
        }
      }
      if constexpr (requires { observer.made(out, work.node.name); }) {
        observer.made(out, work.node.name);
      }
    });
  }
}

/// The parts of an episode's rollout that are ahead, or are not.
template <class R, class Observer>
void make(R& run, std::int64_t episode, bool ahead, Observer& observer) {
  R::AllParts::in_order([&]<std::size_t At>() {
    if constexpr (is_of_rollout<typename R::template NodeAt<At>>) {
      auto& work = run.parts.template at<At>();
      if (work.ahead == ahead) {
        gather<At>(run, episode, ahead);
        if constexpr (R::template NodeAt<At>::kind == NodeKind::stage) {
          restore_stage(run, work, episode);
        }
        if (work.node.model->present()) {
          make_value(run, work, episode, observer);
        }
      }
    }
  });
}

}  // namespace rlhf::inline v0::engine::detail
