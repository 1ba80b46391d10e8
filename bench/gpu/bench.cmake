# Programs that bench/gpu/run builds; they need the CUDA backend, or its emulation.
if(NOT TPO_CUDA_KIND STREQUAL "off")
  add_executable(bench_gpu_kernels EXCLUDE_FROM_ALL bench/gpu/kernels.c bench/gpu/jobs.c bench/gpu/families.c
                 bench/gpu/harness.c)
  target_link_libraries(bench_gpu_kernels PRIVATE tpo_flags tpo_backend)
  add_executable(bench_gpu_model EXCLUDE_FROM_ALL bench/gpu/model.c)
  target_link_libraries(bench_gpu_model PRIVATE tpo_flags tpo_train)
endif()
