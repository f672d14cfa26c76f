/// @file
/// A section of `models`: one module's ranks, layout and memory. Layer: config.
#pragma once

#include <rlhf/config/episode_settings.hpp>
#include <rlhf/config/limits.hpp>
#include <rlhf/config/value.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/replica.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

/// Layers that get adapters.
enum class LoraLayer : std::uint8_t {
  linear,
  column_parallel,
  row_parallel,
  embedding,
  vocab_parallel_embedding,
};
template <>
struct Choices<LoraLayer> {
  static constexpr std::string_view names[] = {"LinearLayer", "ColumnParallelLinear",
                                               "RowParallelLinear", "Embedding",
                                               "VocabParallelEmbedding"};
};

/// The section `lora` of a model.
struct Lora {
  bool enable_lora = false;
  std::string part_module_name{};  ///< Only layers whose name contains it; empty: all.
  int lora_dim = 8;                ///< Rank of the adapters; from 1.
  double lora_dropout = 0;         ///< From 0, below 1.
  double lora_scaling = 1;         ///< Adapters count lora_scaling / lora_dim.
  std::vector<LoraLayer> lora_layer{LoraLayer::column_parallel, LoraLayer::row_parallel,
                                    LoraLayer::linear, LoraLayer::embedding,
                                    LoraLayer::vocab_parallel_embedding};
  bool column_only_qkv = false;  ///< Of column-parallel layers, only query, key and value.

  bool operator==(Lora const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("enable_lora", self.enable_lora, anything(), "trains adapters in place of the weights");
    visit("part_module_name", self.part_module_name, anything(),
          "only layers whose name contains it; empty: all");
    visit("lora_dim", self.lora_dim, between(1, 1 << 16), "rank of the adapters");
    visit("lora_dropout", self.lora_dropout, up_to(0.0, 1.0), "dropout of the adapters' output");
    visit("lora_scaling", self.lora_scaling, anything(),
          "adapters count lora_scaling / lora_dim times their product");
    visit("lora_layer", self.lora_layer, anything(), "classes of layers that get adapters");
    visit("column_only_qkv", self.column_only_qkv, anything(),
          "of column-parallel layers, only query, key and value");
  }
};

/// The section `batch_generation` of a model.
struct BatchGeneration {
  bool ranking = false;                ///< Prompts of an episode by falling length.
  std::int64_t min_prompt_length = 0;  ///< Tokens; from 0.

  bool operator==(BatchGeneration const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("ranking", self.ranking, anything(), "no effect: nothing is reordered by length");
    visit("min_prompt_length", self.min_prompt_length, between(0, largest_batch),
          "tokens that every prompt is generated from together before they part");
  }
};

/// One module of the run: every argument of the reference's model section under its name, and the
/// model arguments that the reference itself reads. A rank is a GPU, or `cpu_per_process` cores.
struct Model {
  int num_gpu = 0;                       ///< Ranks on GPUs. This or `num_cpu` must be positive.
  int num_cpu = 0;                       ///< Cores of a module without GPUs.
  int gpu_per_process = 1;               ///< A rank drives one GPU.
  int cpu_per_process = 1;               ///< Cores of a rank; divides `num_cpu`.
  int num_replica = 0;                   ///< 0: as many as the ranks make; else it must be that.
  bool trainable = false;                ///< A trainable module is one replica.
  int tensor_model_parallel_size = 1;    ///< From 1.
  int pipeline_model_parallel_size = 1;  ///< From 1.
  int expert_model_parallel_size = 1;    ///< From 1.
  int data_parallel_size = 0;            ///< 0: as many as the ranks make.
  int zero_size = 1;                     ///< From 1.
  int fsdp_size = 1;                     ///< From 1; -1: all ranks.
  std::optional<std::int64_t> generation_batch_size{};  ///< null: the runtime section's.
  std::int64_t sync_frequency = 1;            ///< Weights come every so many episodes; 0: never.
  std::int64_t num_inference_per_prompt = 1;  ///< Copies of each prompt; from 1.
  std::string vllm_prompt_key = "prompt";     ///< Not empty.
  bool drop_last = false;            ///< What fills no batch is left out: `data_exhaustion` drop.
  bool enable_stage_resume = false;  ///< Keeps stage outputs of an unfinished episode.
  bool offload_weights = false;
  bool free_grad_buffers = false;
  bool offload_optimizer_states = false;
  bool free_memory = false;        ///< All of the three; of a frozen module, its weights.
  bool force_free_memory = false;  ///< Also where the module shares its ranks with none, as engines
                                   ///< do in any case.
  Lora lora{};
  BatchGeneration batch_generation{};
  Value model_args{};  ///< The program's own keys. See `read_section`.

  bool operator==(Model const&) const = default;

  /// Keys of files that are no settings: a file with keys of this section.
  static constexpr std::string_view file_keys[] = {"model_config_file"};

  /// Ranks of the module.
  [[nodiscard]] int ranks() const noexcept {
    return num_gpu > 0 ? num_gpu : num_cpu / (cpu_per_process > 0 ? cpu_per_process : 1);
  }
  /// The layout that was asked for; `data` may be `Layout::any`. For `RuntimeGrid` modules.
  [[nodiscard]] Layout layout() const noexcept {
    return {.tensor = tensor_model_parallel_size,
            .pipeline = pipeline_model_parallel_size,
            .expert = expert_model_parallel_size,
            .data = data_parallel_size,
            .fsdp = fsdp_size == -1 ? ranks() : fsdp_size,
            .zero = zero_size};
  }
  /// Replicas that prompts are dealt to. Errors: incompatible_policy where the layout does not fit.
  [[nodiscard]] Replicas replicas() const {
    return rlhf::replicas(layout(), ranks(), trainable ? Role::trainer : Role::inference);
  }
  /// Whether the part is away while other modules work.
  [[nodiscard]] bool offloads_weights() const noexcept { return offload_weights || free_memory; }
  [[nodiscard]] bool frees_gradients() const noexcept {
    return free_grad_buffers || (free_memory && trainable);
  }
  [[nodiscard]] bool offloads_optimizer() const noexcept {
    return offload_optimizer_states || (free_memory && trainable);
  }

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("num_gpu", self.num_gpu, between(0, largest_size), "GPUs of the module, one a rank");
    visit("num_cpu", self.num_cpu, between(0, largest_size),
          "processor cores of a module without GPUs");
    visit("gpu_per_process", self.gpu_per_process, between(1, 1), "GPUs of a rank");
    visit("cpu_per_process", self.cpu_per_process, between(1, largest_size),
          "processor cores of a rank of a module without GPUs");
    visit("num_replica", self.num_replica, between(0, largest_size),
          "replicas that prompts are dealt to; 0: as many as the ranks make");
    visit("trainable", self.trainable, anything(), "the module trains; it is one replica");
    visit("tensor_model_parallel_size", self.tensor_model_parallel_size, between(1, largest_size),
          "ranks that a layer's matrices are cut over");
    visit("pipeline_model_parallel_size", self.pipeline_model_parallel_size,
          between(1, largest_size), "ranks that layers are dealt to");
    visit("expert_model_parallel_size", self.expert_model_parallel_size, between(1, largest_size),
          "ranks that a layer's experts are dealt to");
    visit("data_parallel_size", self.data_parallel_size, between(0, largest_size),
          "copies of the module that see different data; 0: as many as the ranks make");
    visit("zero_size", self.zero_size, between(1, largest_size),
          "ranks that parameters are sharded over by ZeRO");
    visit("fsdp_size", self.fsdp_size, between(-1, largest_size),
          "ranks that parameters are sharded over by FSDP; -1: all");
    visit("generation_batch_size", self.generation_batch_size, between(-1, largest_batch),
          "samples of one forward_step; 0 or -1: not split; null: the runtime section's");
    visit("sync_frequency", self.sync_frequency, between(0, largest_count),
          "episodes between syncs into the module; 0: never");
    visit("num_inference_per_prompt", self.num_inference_per_prompt, between(1, largest_batch),
          "copies of each prompt");
    visit("vllm_prompt_key", self.vllm_prompt_key, at_least(1), "key of a sample's prompt");
    visit("drop_last", self.drop_last, anything(),
          "prompts that fill no episode at a dataset's end are left out");
    visit("enable_stage_resume", self.enable_stage_resume, anything(),
          "keeps the outputs of an unfinished episode's stages");
    visit("offload_weights", self.offload_weights, anything(),
          "weights are on the host while other modules work");
    visit("free_grad_buffers", self.free_grad_buffers, anything(),
          "gradient buffers are freed while other modules work");
    visit("offload_optimizer_states", self.offload_optimizer_states, anything(),
          "optimizer states are on the host while other modules work");
    visit("free_memory", self.free_memory, anything(),
          "all of the three for a trainable module, weights for others");
    visit("force_free_memory", self.force_free_memory, anything(),
          "also where the module shares its ranks with no other");
    visit("lora", self.lora, anything(), "low-rank adapters");
    visit("batch_generation", self.batch_generation, anything(), "order of generation");
    visit("model_args", self.model_args, anything(), "the program's own keys for this module");
  }

 private:
  static constexpr int largest_size = 1 << 20;
};

}  // namespace rlhf::inline v0::config
