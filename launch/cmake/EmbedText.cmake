# Text files as C strings. As a module it defines embed_thoughts() and embed_page(); as a script (cmake -P) it writes
# the C file:
#   cmake -DOUT=FILE.c -DDIR=FOLDER -DNAMES=a,b -P EmbedText.cmake
#   cmake -DOUT=FILE.c -DDIR=FOLDER -DPAGE=ON -P EmbedText.cmake
if(CMAKE_SCRIPT_MODE_FILE AND PAGE)
  set(code "/* Generated from src/report/. */\n#include \"report/page.h\"\n\n")
  foreach(kind css js)
    file(READ ${DIR}/page.${kind} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND code "const char page_${kind}[] = {${bytes}0};\n")
  endforeach()
  file(SHA256 ${DIR}/page.js hash)
  file(WRITE ${OUT} "${code}const char page_js_sha256[] = \"${hash}\";\n")
  return()
endif()
if(CMAKE_SCRIPT_MODE_FILE)
  set(code "/* Generated from configs/thought/. */\n#include \"config/keys.h\"\n\n")
  set(table "")
  set(count 0)
  string(REPLACE "," ";" NAMES "${NAMES}")
  foreach(name IN LISTS NAMES)
    file(READ ${DIR}/${name}.yaml bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(MAKE_C_IDENTIFIER text_of_${name} variable)
    string(APPEND code "static const unsigned char ${variable}[] = {${bytes}0};\n")
    string(APPEND table "    {\"${name}\", (const char *)${variable}},\n")
    math(EXPR count "${count} + 1")
  endforeach()
  string(APPEND code "\nconst struct config_builtin config_builtins[] = {\n${table}};\n"
                     "const int config_n_builtins = ${count};\n")
  file(WRITE ${OUT} "${code}")
  return()
endif()

# Compiles the built-in thought layouts into `target`.
function(embed_thoughts target)
  set(names generic specific think-tags paper-generic paper-specific system none)
  set(files ${names})
  list(TRANSFORM files PREPEND ${CMAKE_SOURCE_DIR}/configs/thought/)
  list(TRANSFORM files APPEND .yaml)
  set(script ${CMAKE_SOURCE_DIR}/launch/cmake/EmbedText.cmake)
  set(out ${CMAKE_BINARY_DIR}/generated/builtin_thoughts.c)
  list(JOIN names "," joined)
  add_custom_command(OUTPUT ${out} DEPENDS ${files} ${script} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DDIR=${CMAKE_SOURCE_DIR}/configs/thought -DNAMES=${joined} -P ${script})
  target_sources(${target} PRIVATE ${out})
endfunction()

# Compiles the report's style and script into `target`.
function(embed_page target)
  set(dir ${CMAKE_SOURCE_DIR}/src/report)
  set(script ${CMAKE_SOURCE_DIR}/launch/cmake/EmbedText.cmake)
  set(out ${CMAKE_BINARY_DIR}/generated/report_page.c)
  add_custom_command(OUTPUT ${out} DEPENDS ${dir}/page.css ${dir}/page.js ${script} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DDIR=${dir} -DPAGE=ON -P ${script})
  target_sources(${target} PRIVATE ${out})
endfunction()
