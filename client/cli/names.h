// The words of the command line for the enums of the wire, and back.
#ifndef MIDLAYER_CLIENT_CLI_NAMES_H_
#define MIDLAYER_CLIENT_CLI_NAMES_H_

#include <map>
#include <string>

#include "midlayer/v1/embedding.pb.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

inline const std::map<std::string, v1::Pooling> kPoolings = {{"cls", v1::POOLING_CLS},
                                                             {"mean", v1::POOLING_MEAN},
                                                             {"last", v1::POOLING_LAST},
                                                             {"max", v1::POOLING_MAX},
                                                             {"weighted_mean", v1::POOLING_WEIGHTED_MEAN},
                                                             {"trained_last", v1::POOLING_TRAINED_LAST},
                                                             {"trained_multi", v1::POOLING_TRAINED_MULTI}};
inline const std::map<std::string, v1::State> kStates = {{"raw", v1::STATE_RAW}, {"normed", v1::STATE_NORMED}};
inline const std::map<std::string, v1::Truncate> kTruncates = {
    {"none", v1::TRUNCATE_NONE}, {"left", v1::TRUNCATE_LEFT}, {"right", v1::TRUNCATE_RIGHT}};

inline const std::map<std::string, v1::MetricMode> kMetricModes = {{"definition", v1::METRIC_MODE_DEFINITION},
                                                                   {"reference-2024", v1::METRIC_MODE_REFERENCE_2024},
                                                                   {"reference-2025", v1::METRIC_MODE_REFERENCE_2025}};
inline const std::map<std::string, v1::EntropyNormalization> kNormalizations = {
    {"raw", v1::ENTROPY_NORMALIZATION_RAW},
    {"log-n", v1::ENTROPY_NORMALIZATION_LOG_N},
    {"log-d", v1::ENTROPY_NORMALIZATION_LOG_D},
    {"max-entropy", v1::ENTROPY_NORMALIZATION_MAX_ENTROPY},
    {"log-n-log-d", v1::ENTROPY_NORMALIZATION_LOG_N_LOG_D}};

// "mean"; "pooling 9" for one that is newer than this program.
std::string PoolingName(v1::Pooling pooling);

// The layers of an output: "6", or "3+6" for several.
std::string LayersName(const v1::OutputInfo& output);

// "layer 6 mean"; "layer 6 mean normed" where the state is not the raw one.
std::string OutputName(const v1::OutputInfo& output);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_NAMES_H_
