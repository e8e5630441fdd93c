// How the numbers of a vector are sent.
#ifndef MIDLAYER_SERVER_SERVICE_VECTOR_FORMAT_H_
#define MIDLAYER_SERVER_SERVICE_VECTOR_FORMAT_H_

#include <vector>

#include "midlayer/v1/embedding.pb.h"

namespace midlayer {

// Writes `values` to `vector` in a valid format (not unspecified), as types.proto says.
void EncodeVector(const std::vector<float>& values, v1::VectorFormat format, v1::Vector* vector);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_VECTOR_FORMAT_H_
