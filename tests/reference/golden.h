// Golden files: inputs with the values that the original code (or scipy, scikit-learn) computed from them.
#ifndef MIDLAYER_TESTS_REFERENCE_GOLDEN_H_
#define MIDLAYER_TESTS_REFERENCE_GOLDEN_H_

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace midlayer::reference {

// {"metric", "params", "input", "expected", "source", ["tolerance"], ["notes"], …}
struct Golden {
  std::string name;  // of the file
  nlohmann::json file;

  const nlohmann::json& params() const { return file.at("params"); }
  const nlohmann::json& input() const { return file.at("input"); }
  const nlohmann::json& expected() const { return file.at("expected"); }
  double tolerance() const { return file.at("tolerance").get<double>(); }
};

// Compares one file with what the server computes.
using Handler = void (*)(const Golden&);
// By the value of "metric". One table a part of the server.
const std::map<std::string, Handler>& RepresentationHandlers();
const std::map<std::string, Handler>& ViewHandlers();
const std::map<std::string, Handler>& LabelledHandlers();
const std::map<std::string, Handler>& StatisticsHandlers();
const std::map<std::string, Handler>& PoolingHandlers();

// A number of a golden file: "NaN", "Infinity" and "-Infinity" are strings there.
inline double Number(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  const std::string text = value.get<std::string>();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  ADD_FAILURE() << "not a number: " << text;
  return 0;
}

// The pass rule of the files: |got - expected| <= tolerance * max(1, |expected|); NaN where NaN is expected.
inline void ExpectClose(double got, const nlohmann::json& expected, double tolerance, const std::string& what) {
  const double want = Number(expected);
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << what << ": " << got;
  } else if (std::isinf(want)) {
    EXPECT_EQ(got, want) << what;
  } else {
    EXPECT_NEAR(got, want, tolerance * std::fmax(1, std::fabs(want))) << what;
  }
}

}  // namespace midlayer::reference

#endif  // MIDLAYER_TESTS_REFERENCE_GOLDEN_H_
