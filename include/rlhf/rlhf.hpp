/// @file
/// Modules, their layouts, policies and weight syncs, plans, orders of prompts, checkpoints: what
/// most programs use. Including it stays cheap (benchmarks/compile_time) because it leaves out what
/// only some use and include on their own: datasets, loaders, batches, padding, packing and balance
/// (data/), rollouts, outputs of stages and lines (checkpoint/), plans of model lists
/// (plan/model.hpp, plan/minimum.hpp), launchers' variables (comm/launch.hpp); runtime/, config/,
/// engine/, cuda/, nccl/, adapters/.
#pragma once

// IWYU pragma: begin_exports
#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/local.hpp>
#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/comm/recording.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/data/evaluation.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/sampler.hpp>
#include <rlhf/data/state.hpp>
#include <rlhf/module/describe.hpp>
#include <rlhf/module/hooks.hpp>
#include <rlhf/module/module.hpp>
#include <rlhf/parallel/experts.hpp>
#include <rlhf/parallel/flat.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/parallel/grid.hpp>
#include <rlhf/parallel/groups.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/parallel/on_layout.hpp>
#include <rlhf/parallel/replica.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/parallel/stages.hpp>
#include <rlhf/parallel/uneven.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/tensor/tensor_view.hpp>
#include <rlhf/version.hpp>
// IWYU pragma: end_exports
