// How sharply the path of a text's tokens turns, in radians.
#ifndef MIDLAYER_SERVER_SCORING_CURVATURE_H_
#define MIDLAYER_SERVER_SCORING_CURVATURE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace midlayer {

// Mean angle between neighbouring steps v_t = x_{t+1} - x_t (Hosseini, Fedorenko 2023, "Large language models
// implicitly learn to straighten neural sentence trajectories"), 0 to pi; an angle beside a step of length 0 counts as
// 0. `folded`: of the absolute cosine, 0 to pi/2. x: float64, T >= 3.
double TurningAngle(const at::Tensor& x_TD, bool folded);

// Mean angle between the vectors z_t and z_{t+k} themselves; cosines are clamped to [-1, 1]. z: float64, rows of length
// 1, T > k >= 1.
double NeighbourAngle(const at::Tensor& z_TD, int64_t k);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SCORING_CURVATURE_H_
