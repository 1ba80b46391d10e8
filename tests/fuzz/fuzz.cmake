# Every tests/fuzz/fuzz_<what>.c is one libFuzzer program, build/fuzz/fuzz/<what>; `fuzzers` is all that tests/fuzz/run
# needs.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
add_custom_target(fuzzers)

function(tpo_fuzz_program target name source)
  add_executable(${target} ${source})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${target} PRIVATE tpo_flags libtpo_static)
  target_compile_definitions(${target} PRIVATE TPO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  add_dependencies(fuzzers ${target})
endfunction()

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(target ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" name ${target})
  tpo_fuzz_program(${target} ${name} ${source})
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
endforeach()
tpo_fuzz_program(seeds seeds ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds.c) # what the store's tests make, for the targets
target_link_libraries(seeds PRIVATE PkgConfig::CMOCKA)

# No target computes: the backend's kernels, which clang takes minutes over when it instruments them, go without.
file(GLOB_RECURSE backend_sources ${CMAKE_SOURCE_DIR}/src/backend/*.c)
set_property(SOURCE ${backend_sources} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=all)

# The tests are read by this compiler too, for its warnings, but not linked: they run elsewhere.
file(GLOB test_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/*/test_*.c ${CMAKE_SOURCE_DIR}/tests/*/mpi_*.c)
list(FILTER test_sources EXCLUDE REGEX "/test_cuda_")
add_library(tests_read OBJECT ${test_sources})
target_include_directories(tests_read PRIVATE ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(tests_read PRIVATE tpo_flags PkgConfig::CMOCKA ${TPO_EXTERNAL})
target_compile_definitions(tests_read PRIVATE TPO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
set_property(SOURCE ${test_sources} PROPERTY COMPILE_OPTIONS -O0;-g0;-fno-sanitize=all;-Wno-missing-prototypes)
