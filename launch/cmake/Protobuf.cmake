# Protocol buffers as C, by protobuf-c's compiler.
find_program(PROTOC_C protoc-c REQUIRED)

# Compiles src/<layer>/<name>.proto into `target`, whose sources include "<layer>/<name>.pb-c.h".
function(tpo_protobuf target layer name)
  set(from ${CMAKE_SOURCE_DIR}/src/${layer})
  set(to ${CMAKE_BINARY_DIR}/generated/${layer})
  file(MAKE_DIRECTORY ${to})
  add_custom_command(OUTPUT ${to}/${name}.pb-c.c ${to}/${name}.pb-c.h DEPENDS ${from}/${name}.proto VERBATIM
    COMMAND ${PROTOC_C} --proto_path=${from} --c_out=${to} ${name}.proto)
  target_sources(${target} PRIVATE ${to}/${name}.pb-c.c)
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated)
endfunction()
