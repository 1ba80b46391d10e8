# llama.cpp from the source archive of the PyPI package llama-cpp-python, in build/peers; for scripts that source
# launch/lib.sh. Afterwards $llama_source is its folder and $peers/llama where it is built.
llama_version=0.3.36
llama_archive_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
peers=$root/build/peers
llama_source=$peers/llama_cpp_python-$llama_version/vendor/llama.cpp
mkdir -p "$peers"

# The whole archive holds more than is built; only llama.cpp itself is unpacked. The kernels are compiled for this
# machine's own instruction set, as its makers advise.
build_llama() { # TARGET...
  local archive=$peers/llama_cpp_python-$llama_version.tar.gz
  if [ ! -f "$archive" ]; then
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
      --dest "$peers" "llama-cpp-python==$llama_version"
  fi
  [ "$(sha256sum "$archive" | cut -d' ' -f1)" = $llama_archive_sha256 ] ||
    fail "$archive is not the file that was expected (SHA-256 differs); remove it and try again"
  [ -d "$llama_source" ] || tar -xzf "$archive" -C "$peers" "llama_cpp_python-$llama_version/vendor/llama.cpp"
  cmake -S "$llama_source" -B "$peers/llama" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON \
    -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_EXAMPLES=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_MTMD=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF >"$peers/llama.log" 2>&1 ||
    fail "cmake could not configure llama.cpp; see build/peers/llama.log"
  echo "llama.cpp: building (the first time takes some minutes)"
  cmake --build "$peers/llama" -j "$(nproc)" --target "$@" >>"$peers/llama.log" 2>&1 ||
    fail "llama.cpp could not be built; see build/peers/llama.log"
}
