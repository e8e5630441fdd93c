// The metrics of single texts, of matrices and of sets of texts against the files of their names. What is defined as a
// skip here (fewer than 3 tokens, tokens without direction) is compared with that, not with what the original answered.
#include <ATen/ops/mean.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sub.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/scoring/center.h"
#include "server/scoring/curvature.h"
#include "server/scoring/dataset_entropy.h"
#include "server/scoring/dime.h"
#include "server/scoring/entropy.h"
#include "server/scoring/intrinsic_dimension.h"
#include "server/scoring/prompt_metrics.h"
#include "server/scoring/rank_metrics.h"
#include "server/scoring/spectrum.h"
#include "tests/reference/scoring_golden.h"

namespace midlayer::reference {
namespace {

using nlohmann::json;

// Rounding-level eigenvalues show where alpha is below 1.
double ToleranceAt(const Golden& golden, double alpha) {
  return alpha < 1 ? std::max(golden.tolerance(), IsFloat32(golden) ? 5e-2 : 1e-5) : golden.tolerance();
}

// --- of one text -----------------------------------------------------------------------------------------------------

void CheckNormalize(const Golden& golden) {
  const json& layers = golden.input().at("layers");
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const at::Tensor got = CenterNormalize(Matrix(layers[layer], IsFloat32(golden))).value();
    const json& expected = golden.expected().at("normalized").at(layer);
    for (size_t t = 0; t < expected.size(); ++t) {
      for (size_t i = 0; i < expected[t].size(); ++i) {
        ExpectClose(got[static_cast<int64_t>(t)][static_cast<int64_t>(i)].item<double>(), expected[t][i],
                    golden.tolerance(), Of("token " + std::to_string(t), layer));
      }
    }
  }
}

// Where the original failed or answered -0: what is left of the tokens decides.
void CheckDegeneratePrompt(const Golden& golden) {
  for (const json& layer : golden.input().at("layers")) {
    const at::Tensor x = Matrix(layer, IsFloat32(golden));
    EXPECT_FALSE(PromptEntropy(x, {.mode = Mode::kDefinition}).ok());
    const TokenMetrics metrics =
        Measure(x, {.normalization = EntropyNormalization::kRaw, .mode = Mode::kReference2024});
    EXPECT_GT(metrics.dropped_tokens, 0);
    ASSERT_EQ(metrics.prompt_entropy.ok(), metrics.dropped_tokens < x.size(0));
    if (metrics.prompt_entropy.ok()) {
      EXPECT_NEAR(*metrics.prompt_entropy, std::log(2), 1e-12) << "two opposite tokens, clamped";
    }
  }
}

void CheckPromptEntropy(const Golden& golden) {
  if (golden.file.value("degenerate", false)) return CheckDegeneratePrompt(golden);
  for (const auto& [alpha, expected] : golden.expected().at("by_alpha").items()) {
    for (const auto& [name, values] : expected.items()) {
      const EntropyOptions options = {
          .alpha = std::stod(alpha), .normalization = Normalizations().at(name), .mode = Mode::kReference2024};
      for (size_t layer = 0; layer < values.size(); ++layer) {
        const at::Tensor x = Matrix(golden.input().at("layers").at(layer), IsFloat32(golden));
        const double tolerance = ToleranceAt(golden, options.alpha);
        const std::string what = Of("alpha " + alpha + " " + name, layer);
        ExpectClose(PromptEntropy(x, options).value(), values[layer], tolerance, what);
        ExpectClose(Measure(x, options).prompt_entropy.value(), values[layer], tolerance, what + " together");
      }
    }
  }
}

void CheckUnclamped(const Golden& golden) {
  for (const auto& [alpha, layers] : golden.expected().at("by_alpha").items()) {
    const EntropyOptions options = {.alpha = std::stod(alpha), .normalization = EntropyNormalization::kRaw};
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      const at::Tensor x = Matrix(golden.input().at("layers").at(layer), IsFloat32(golden)).to(at::kDouble);
      const std::string what = Of("alpha " + alpha, layer);
      const auto expect = [&](const absl::StatusOr<double>& got, const char* name) {
        ExpectClose(got.value(), layers[layer].at(name), golden.tolerance(), what + " " + name);
      };
      if (x.size(0) < 3) {
        EXPECT_FALSE(PromptEntropy(x, options).ok()) << what;
      } else {
        expect(PromptEntropy(x, options), "normalized_unclamped");
        expect(Measure(x, options).prompt_entropy, "normalized_unclamped");
      }
      expect(MatrixEntropy(SmallerGram(x), options.alpha), "raw_gram");
      expect(MatrixEntropy(SmallerGram(at::sub(x, at::mean(x, 0))), options.alpha), "centered_gram");
    }
  }
}

void CheckCurvatureDifference(const Golden& golden) {
  for (const auto& [variant, expected] : golden.expected().items()) {
    const bool folded = variant.starts_with("abs"), raw = variant.ends_with("raw");
    for (size_t layer = 0; layer < expected.at("raw").size(); ++layer) {
      const at::Tensor x = Matrix(golden.input().at("layers").at(layer), IsFloat32(golden)).to(at::kDouble);
      if (x.size(0) < 3) {
        EXPECT_FALSE(Curvature(x, Mode::kDefinition).ok());
        EXPECT_EQ(Curvature(x, Mode::kReference2025).value(), 0);
        continue;
      }
      const double got = TurningAngle(raw ? x : CenterNormalize(x).value(), folded);
      ExpectClose(got, expected.at("raw")[layer], golden.tolerance(), Of(variant, layer));
      if (expected.contains("logD")) {
        ExpectClose(Normalize(got, EntropyNormalization::kLogD, x.size(0), x.size(1)).value(),
                    expected.at("logD")[layer], golden.tolerance(), Of(variant, layer));
      }
      if (raw != folded) {
        EXPECT_EQ(Curvature(x, folded ? Mode::kReference2025 : Mode::kDefinition).value(), got) << Of(variant, layer);
      }
    }
  }
}

void CheckNeighbourAngle(const Golden& golden) {
  for (const auto& [k, expected] : golden.expected().at("by_k_clamped").items()) {
    for (size_t layer = 0; layer < expected.size(); ++layer) {
      const at::Tensor x = Matrix(golden.input().at("layers").at(layer), IsFloat32(golden));
      if (x.size(0) <= std::stoll(k)) continue;  // no such neighbours; the original answers 0
      const double got = NeighbourAngle(CenterNormalize(x).value(), std::stoll(k));
      ExpectClose(got, expected[layer], golden.tolerance(), Of("k " + k, layer));
      if (k == "1") {
        EXPECT_EQ(Curvature(x, Mode::kReference2024).value(), got) << Of("k 1", layer);
      }
      const json& by_log_d = golden.expected().at("by_k").at(k).at("logD").at(layer);
      if (!by_log_d.is_number()) continue;  // NaN: the original does not clamp
      ExpectClose(Normalize(got, EntropyNormalization::kLogD, x.size(0), x.size(1)).value(), by_log_d,
                  golden.tolerance(), Of("logD, k " + k, layer));
    }
  }
}

void CheckIntrinsicDimension(const Golden& golden) {
  const at::Tensor x = Matrix(golden.input().at("X"), IsFloat32(golden));
  const double dimension = IntrinsicDimension(x).value();
  ExpectClose(dimension, golden.expected().at("id"), golden.tolerance(), "dimension");
  ExpectClose(Normalize(dimension, EntropyNormalization::kLogN, x.size(0), x.size(1)).value(),
              golden.expected().at("logN"), golden.tolerance(), "over log N");
  EXPECT_NEAR(Measure(x, {}).intrinsic_dimension.value(), dimension, 1e-9);
}

// --- of matrices -----------------------------------------------------------------------------------------------------

void CheckEigenvalues(const std::vector<double>& got, const json& expected, double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) ExpectClose(got[i], expected[i], tolerance, "eigenvalue");
}

void CheckMatrixEntropy(const Golden& golden) {
  const at::Tensor k = Matrix(golden.input().at("K"), false);
  const std::vector<double> eigenvalues = SymmetricEigenvalues(k).value();
  const json& expected = golden.expected();
  CheckEigenvalues(eigenvalues, expected.at("eigenvalues"), golden.tolerance());
  const bool zero = PositiveEigenvalues(eigenvalues).empty();
  for (const auto& [name, value] : expected.at("entropy_by_alpha").items()) {
    const double alpha = std::stod(name);
    const absl::StatusOr<double> got = MatrixEntropy(k, alpha, Mode::kReference2024);
    EXPECT_EQ(got.ok(), !zero);
    if (got.ok()) ExpectClose(*got, value, ToleranceAt(golden, alpha), "alpha " + name);
  }
  if (zero) return;
  ExpectClose(MatrixEntropy(k, 1).value(), expected.at("von_neumann"), golden.tolerance(), "von Neumann");
  for (const auto& [name, value] : expected.at("gip_by_alpha").items()) {
    if (name == "1" || name == "2") continue;  // 1 of any matrix; the shortcut, seen above
    const double alpha = std::stod(name);      // of "2_no_shortcut" too
    ExpectClose(std::exp((1 - alpha) * RenyiEntropy(eigenvalues, alpha).value()), value, ToleranceAt(golden, alpha),
                "information potential " + name);
  }
}

void CheckJointEntropy(const Golden& golden) {
  const at::Tensor kx = Matrix(golden.input().at("Kx"), false), ky = Matrix(golden.input().at("Ky"), false);
  for (const auto& [name, joint] : golden.expected().at("joint").items()) {
    const double alpha = std::stod(name);
    const double got = JointEntropy(kx, ky, alpha).value();
    ExpectClose(got, joint, golden.tolerance(), "joint, alpha " + name);
    ExpectClose(got - MatrixEntropy(ky, alpha).value(), golden.expected().at("conditional_x_given_y").at(name),
                golden.tolerance(), "conditional, alpha " + name);
    ExpectClose(MutualInformation(kx, ky, alpha).value(), golden.expected().at("mutual_information").at(name),
                golden.tolerance(), "mutual information, alpha " + name);
  }
}

void CheckDifferenceOfEntropies(const Golden& golden) {
  const Dime dime =
      DifferenceOfEntropies(Matrix(golden.input().at("Kx"), false), Matrix(golden.input().at("Ky"), false),
                            PermutationsOf(golden.input().at("permutations")),
                            {golden.params().at("alpha").get<double>(), Mode::kReference2024})
          .value();
  ExpectClose(dime.value, golden.expected().at("doe"), golden.tolerance(), "difference");
  ExpectClose(dime.joint_entropy, golden.expected().at("joint_entropy"), golden.tolerance(), "joint");
  ExpectClose(dime.shuffled_entropy, golden.expected().at("mean_permuted_joint_entropy"), golden.tolerance(),
              "shuffled");
}

void CheckEntropyNormalization(const Golden& golden) {
  const json& rows = golden.input().at("rows");
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const auto& [name, value] : golden.expected().at("rows").at(i).items()) {
      const absl::StatusOr<double> got = Normalize(rows[i].at("entropy").get<double>(), Normalizations().at(name),
                                                   rows[i].at("N").get<int64_t>(), rows[i].at("D").get<int64_t>());
      ExpectClose(got.value(), value, golden.tolerance(), name);
    }
  }
}

void CheckRankMetrics(const Golden& golden) {
  const at::Tensor z = Matrix(golden.input().at("Z"), false);
  const RankMetrics metrics = MeasureRank(z);
  const std::map<std::string, absl::StatusOr<double>> got = {
      {"effective_rank_roy_vetterli_sigma", metrics.roy_vetterli},
      {"effective_rank_exp_S1_lambda", metrics.effective_rank},
      {"rankme_eps1e-7", metrics.rank_me},
      {"nesum_covariance", metrics.ne_sum},
      {"nesum_uncentered", metrics.stable_rank},
      {"self_cluster", metrics.self_cluster},
      {"stable_rank", metrics.stable_rank},
      {"participation_ratio", metrics.participation_ratio},
  };
  for (const auto& [name, value] : golden.expected().items()) {
    ExpectClose(got.at(name).value(), value, golden.tolerance(), name);
  }
}

// --- from states to values -------------------------------------------------------------------------------------------

// Means over prompts of what Measure gives; prompts[i][layer] is (T, D).
void CheckPromptMeans(const Golden& golden, const json& prompts, size_t layer) {
  const json& expected = golden.expected();
  const auto count = static_cast<double>(prompts.size());
  std::map<std::string, double> entropy;
  double by_2024 = 0, by_2025 = 0;
  int64_t d = 0;
  for (const json& prompt : prompts) {
    const at::Tensor x = Matrix(prompt.at(layer), IsFloat32(golden));
    for (const auto& [name, normalization] : Normalizations()) {
      entropy[name] += PromptEntropy(x, {.normalization = normalization, .mode = Mode::kReference2024}).value() / count;
    }
    by_2024 += Measure(x, {.mode = Mode::kReference2024}).curvature.value() / count;
    by_2025 += Measure(x, {.mode = Mode::kReference2025}).curvature.value() / count;
    d = x.size(1);
  }
  for (const auto& [name, value] : expected.at("prompt_entropy_mean_over_prompts").items()) {
    ExpectClose(entropy.at(name), value.at(layer), golden.tolerance(), Of(name, layer));
  }
  for (const auto& [curve, got] : {std::pair{"curvature_k1_mean_over_prompts", by_2024},
                                   std::pair{"curvature_difference_abs_mean_over_prompts", by_2025}}) {
    ExpectClose(got, expected.at(curve).at("raw").at(layer), golden.tolerance(), Of(curve, layer));
    ExpectClose(Normalize(got, EntropyNormalization::kLogD, 2, d).value(), expected.at(curve).at("logD").at(layer),
                golden.tolerance(), Of(curve, layer));
  }
}

// The vectors of all prompts at a layer, and their entropy.
void CheckDatasetEntropy(const Golden& golden, const json& prompts, size_t layer) {
  const json& expected = golden.expected();
  std::vector<at::Tensor> pooled;
  for (size_t prompt = 0; prompt < prompts.size(); ++prompt) {
    pooled.push_back(PooledCentered(Matrix(prompts[prompt].at(layer), IsFloat32(golden))).value());
    const json& vector = expected.at("pooled_means").at(prompt).at(layer);
    for (size_t i = 0; i < vector.size(); ++i) {
      ExpectClose(pooled.back()[static_cast<int64_t>(i)].item<double>(), vector[i], golden.tolerance(),
                  Of("pooled", layer));
    }
  }
  const at::Tensor x = at::stack(pooled);
  for (const auto& [name, value] : expected.at("dataset_entropy").items()) {
    const EntropyOptions options = {.normalization = Normalizations().at(name), .mode = Mode::kReference2024};
    ExpectClose(MeasureDatasetEntropy(x, options).as_is.value(), value.at(layer), golden.tolerance(), Of(name, layer));
  }
  ExpectClose(MeasureDatasetEntropy(x, {.normalization = EntropyNormalization::kRaw}).as_is.value(),
              expected.at("dataset_entropy_unclamped_alpha1_raw").at(layer), golden.tolerance(), "unclamped");
}

void CheckPipeline(const Golden& golden) {
  const json& prompts = golden.input().at("prompts");
  for (size_t layer = 0; layer < prompts.at(0).size(); ++layer) {
    CheckPromptMeans(golden, prompts, layer);
    CheckDatasetEntropy(golden, prompts, layer);
  }
}

}  // namespace

const std::map<std::string, Handler>& RepresentationHandlers() {
  static const std::map<std::string, Handler> handlers = {
      {"curvature_difference", CheckCurvatureDifference},
      {"curvature_k_angle", CheckNeighbourAngle},
      {"difference_of_entropies", CheckDifferenceOfEntropies},
      {"entropy_normalization", CheckEntropyNormalization},
      {"intrinsic_dimension_twonn", CheckIntrinsicDimension},
      {"joint_entropy", CheckJointEntropy},
      {"matrix_alpha_entropy", CheckMatrixEntropy},
      {"normalize", CheckNormalize},
      {"pipeline_unaugmented", CheckPipeline},
      {"prompt_entropy", CheckPromptEntropy},
      {"prompt_entropy_unclamped", CheckUnclamped},
      {"published_rank_metrics", CheckRankMetrics},
  };
  return handlers;
}

}  // namespace midlayer::reference
