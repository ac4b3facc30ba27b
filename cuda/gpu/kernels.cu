// Every GPU kernel of the project, as one text for nvcc or NVRTC. No CUDA or C++ library headers are needed.
#include "project.cuh"
#include "blend.cuh"
#include "blend_backward.cuh"
#include "project_backward.cuh"
#include "bases.cuh"
#include "loss.cuh"
#include "adam.cuh"
