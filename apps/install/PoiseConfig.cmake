# find_package(Poise): Poise::models, Poise::engine, Poise::data, and below them Poise::io and Poise::kernels. Headers
# are included by their folders: #include "engine/nn/layers.h".
include(CMakeFindDependencyMacro)
find_dependency(OpenMP COMPONENTS CXX)
include("${CMAKE_CURRENT_LIST_DIR}/PoiseTargets.cmake")
