# Every tests/<layer>/mpi_<what>.c is a program that holds at any number of ranks; each is run with 1 to 4.
# tests/comm/faults checks what is left of a job when a rank fails, tests/comm/two_hosts the way between hosts.
# Open MPI unloads its plugins with memory still allocated, so leaks are looked for only in programs without it.
set(mpi_environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ASAN_OPTIONS=detect_leaks=0)
if(TPO_SANITIZE STREQUAL "thread")
  # A long history: a suppression can't match a stack that is forgotten.
  list(APPEND mpi_environment TSAN_OPTIONS=history_size=7:suppressions=${CMAKE_SOURCE_DIR}/tests/comm/tsan.supp)
endif()

function(tpo_mpi_program layer target source)
  add_executable(${target} ${source})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${target} PRIVATE tpo_${layer} tpo_flags PkgConfig::CMOCKA)
  target_compile_definitions(${target} PRIVATE TPO_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  tpo_group_test(${target} ${layer} mpi)
endfunction()

function(tpo_mpi_test name ranks)
  add_test(NAME ${name}.${ranks}_ranks
           COMMAND ${TIMEOUT} -k 2 60 ${MPIRUN} --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n ${ranks}
                   ${ARGN})
  set(processors 2)
  if(ranks EQUAL 1)
    set(processors 1)
  endif()
  set_tests_properties(${name}.${ranks}_ranks PROPERTIES TIMEOUT 90 PROCESSORS ${processors} ENVIRONMENT "${mpi_environment}")
endfunction()

foreach(layer IN LISTS TPO_LAYERS)
  file(GLOB mpi_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${layer}/mpi_*.c)
  foreach(source IN LISTS mpi_sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^mpi_" "" name ${name})
    tpo_mpi_program(${layer} mpi_${layer}_${name} ${source})
    foreach(ranks 1 2 3 4)
      tpo_mpi_test(${layer}.${name} ${ranks} $<TARGET_FILE:mpi_${layer}_${name}>)
    endforeach()
  endforeach()
endforeach()

if(TARGET tpo_comm)
  tpo_mpi_program(comm mpi_comm_faulty ${CMAKE_SOURCE_DIR}/tests/comm/faulty.c)
  add_test(NAME comm.faults COMMAND ${CMAKE_SOURCE_DIR}/tests/comm/faults $<TARGET_FILE:mpi_comm_faulty> ${MPIRUN})
  set(between_hosts $<TARGET_FILE:mpi_comm_queue>)
  if(NOT TPO_SANITIZE STREQUAL "thread") # which is for the service's thread, that the queue needs
    list(PREPEND between_hosts $<TARGET_FILE:mpi_comm_collectives>)
  endif()
  add_test(NAME comm.two_hosts COMMAND ${CMAKE_SOURCE_DIR}/tests/comm/two_hosts ${MPIRUN} $<TARGET_FILE:mpi_comm_faulty>
                                       ${between_hosts})
  set(alone comm.faults comm.two_hosts)
  if(TPO_CUDA_KIND STREQUAL "emulated")
    add_test(NAME comm.faults_cuda COMMAND ${CMAKE_SOURCE_DIR}/tests/comm/faults $<TARGET_FILE:mpi_comm_faulty> ${MPIRUN} cuda)
    list(APPEND alone comm.faults_cuda)
  endif()
  set_tests_properties(${alone} PROPERTIES TIMEOUT 120 RUN_SERIAL ON SKIP_RETURN_CODE 77
                                                             ENVIRONMENT "${mpi_environment}")
endif()

# The same programs with the CUDA backend, emulated: NCCL between several GPUs, and ranks that share one.
if(TPO_CUDA_KIND STREQUAL "emulated")
  set(host_environment ${mpi_environment})
  set(mpi_environment ${host_environment} TPO_TEST_BACKEND=cuda TPO_EMULATION_DEVICES=4)
  foreach(ranks 1 2 3)
    tpo_mpi_test(comm.tensors_cuda ${ranks} $<TARGET_FILE:mpi_comm_tensors>)
  endforeach()
  tpo_mpi_test(train.train_cuda 1 $<TARGET_FILE:mpi_train_train>)
  tpo_mpi_test(train.train_cuda 3 $<TARGET_FILE:mpi_train_train>)
  tpo_mpi_test(train.families_cuda 2 $<TARGET_FILE:mpi_train_families> gemma3)
  tpo_mpi_test(train.resume_cuda 2 $<TARGET_FILE:mpi_train_resume>)
  tpo_mpi_test(train.updates_cuda 2 $<TARGET_FILE:mpi_train_updates>)
  set(mpi_environment ${host_environment} TPO_TEST_BACKEND=cuda TPO_CUDA_SHARE_GPU=1)
  tpo_mpi_test(comm.tensors_shared 3 $<TARGET_FILE:mpi_comm_tensors>)
  tpo_mpi_test(train.train_shared 2 $<TARGET_FILE:mpi_train_train>)
  set(mpi_environment ${host_environment})
endif()
