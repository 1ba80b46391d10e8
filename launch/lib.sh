# Shell functions that the scripts of this folder and tests/run share. Source it; it runs nothing by itself.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a program of Open MPI 4 needs to run as root (containers, CI), and ranks that share cores without spinning.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

build_packages="gcc libc6-dev cmake make pkg-config libopenmpi-dev openmpi-bin libhdf5-openmpi-dev
  libpcre2-dev libjansson-dev libyaml-dev libutf8proc-dev libxxhash-dev zlib1g-dev
  libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler"
fetch_packages="python3 python3-pip"
test_packages="g++ libcmocka-dev clang libclang-rt-14-dev clang-format ccache python3-venv git
  shellcheck slurm-wlm munge"

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Installs those Debian packages that are missing; asks first when it needs sudo on a terminal.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    echo "packages: all are installed"
    return
  fi
  command -v apt-get >/dev/null || fail "these packages are missing, and there is no apt-get: ${missing[*]}"
  echo "packages to install: ${missing[*]}"
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "run as root, or install first: apt-get install ${missing[*]}"
    sudo=(sudo)
    if [ -t 0 ]; then
      read -r -p "Install them with sudo apt-get? [Y/n] " answer
      case "$answer" in "" | y* | Y*) ;; *) fail "nothing was installed" ;; esac
    fi
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Builds with `cmake --build` and these arguments; shows what is not mere progress.
compile() {
  (cd "$root" && cmake --build "$@" -j "$(nproc)") | { grep -v '^\[\|^make\[' || true; }
}

# configure PRESET [CMAKE OPTION...]: makes build/PRESET ready for `compile --preset PRESET`.
configure() {
  (cd "$root" && cmake --preset "$@" >"$root/build-$1.log" 2>&1) || {
    cat "$root/build-$1.log" >&2
    rm -f "$root/build-$1.log"
    fail "cmake could not configure"
  }
  rm -f "$root/build-$1.log"
}

# build PRESET [CMAKE OPTION...]: configures and builds build/PRESET.
build() {
  configure "$@"
  compile --preset "$1" || fail "the build in build/$1 failed"
}
