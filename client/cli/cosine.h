// Cosine similarity.
#ifndef MIDLAYER_CLIENT_CLI_COSINE_H_
#define MIDLAYER_CLIENT_CLI_COSINE_H_

#include <span>
#include <string>

namespace midlayer::cli {

// The cosine of the angle between two vectors of the same size, of any length. NaN where one of them is all zeros.
double Cosine(std::span<const float> a, std::span<const float> b);

// A cosine for a table: "0.8123", "-0.0410", and "n/a" for NaN.
std::string FormatCosine(double cosine);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_COSINE_H_
