#include "server/engine/dtype_probe.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cosine_similarity.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>

#include <string>
#include <vector>

#include "server/base/status.h"
#include "server/engine/pooling.h"
#include "server/models/device.h"
#include "server/models/transformer.h"
#include "server/nn/cpu_capabilities.h"

namespace midlayer {

namespace {

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::vector<std::string> ProbeTexts() {
  return {
      "rain",
      "Which layer of the model is best?",
      "The train to the coast leaves at 7:45 a.m. and arrives a little after noon.",
      "Revenue fell by 12.3 % to $4.5 billion, while costs stayed where they had been the year before.",
      "for (int i = 0; i < n; ++i) { sum += values[i] * values[i]; }  // the square of the norm",
      "Der Zug an die Küste fährt um Viertel vor acht; wer ihn verpasst, wartet bis zum Abend.",
      "На берегу пустынных волн стоял он, дум великих полн.",
      "春天的早晨，河边的树都开花了。",
      Repeated(
          "A heart attack happens when the flow of blood to a part of the heart is blocked, most often by a clot. ", 8),
  };
}

absl::StatusOr<PackedTokens> Pack(const LoadedModel& model) {
  PackedTokens batch{.offsets = {0}};
  for (const std::string& text : ProbeTexts()) {
    MIDLAYER_ASSIGN_OR_RETURN(const Encoding encoding, model.tokenizer->Encode(text, Truncation::kRight));
    batch.ids.insert(batch.ids.end(), encoding.ids.begin(), encoding.ids.end());
    batch.offsets.push_back(batch.tokens());
    batch.last_layer.push_back(model.info.max_layer);
  }
  return batch;
}

}  // namespace

absl::StatusOr<at::Tensor> ProbeVectors(const LoadedModel& model) {
  MIDLAYER_ASSIGN_OR_RETURN(const PackedTokens batch, Pack(model));
  const Pooling served = model.info.description.default_pooling;
  const Pooling pooling = IsTrained(served) ? Pooling::kMean : served;
  std::vector<at::Tensor> layers;
  MIDLAYER_RETURN_IF_ERROR(CatchTorch([&] {
    const c10::InferenceMode inference;
    model.replicas[0].transformer->Run(batch, [&](int, const at::Tensor& states_PD) {
      std::vector<at::Tensor> vectors;
      for (int64_t row = 0; row < batch.rows(); ++row) {
        const at::Tensor states_TD =
            states_PD.narrow(0, batch.offsets[row], batch.offsets[row + 1] - batch.offsets[row]);
        vectors.push_back(Pool(states_TD, /*begin=*/0, pooling).to(at::kCPU, at::kFloat));
      }
      layers.push_back(at::stack(vectors));
      return true;
    });
  }));
  return at::stack(layers);
}

double LeastCosine(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor cosines = at::cosine_similarity(a.to(at::kDouble), b.to(at::kDouble), /*dim=*/-1);
  return at::nan_to_num(cosines).min().item<double>();
}

bool MultipliesBFloat16(at::Device device) {
  if (device.is_cuda()) return at::globalContext().userEnabledFlashSDP();  // see OpenDevices(): both need 8.0
  return CpuHasAnyOf({"avx512_bf16", "amx_bf16"});
}

}  // namespace midlayer
