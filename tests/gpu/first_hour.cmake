# What tests/gpu/run --first-hour runs, as one target: the program, the tests of the operations and of NCCL, the benches.
get_property(every_target DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
list(FILTER every_target INCLUDE REGEX "^(tpo|bench_gpu_.*|test_backend_.*|(test|mpi)_.*nccl)$")
add_custom_target(gpu_first_hour DEPENDS ${every_target})
