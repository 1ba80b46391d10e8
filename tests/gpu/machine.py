"""What tests/gpu/run and bench/gpu/run share: the machine, the environment with what tests/gpu/pack gathered, the build, and
results as JSON and Markdown. Standard library only."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time

from outcome import OUT_OF_TIME, Failure

ROOT = pathlib.Path(__file__).resolve().parents[2]
SYSROOT = ROOT / ".gpu" / "sysroot"
MULTIARCH = "usr/lib/x86_64-linux-gnu"


def say(text):
    print(text, flush=True)


def output(command, env=None, timeout=60):
    """Standard output of a command, or an empty text when there is no such program or it fails."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env, timeout=timeout,
                              check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


class Machine:
    """The environment for building and running; `emulated` does without a GPU."""

    def __init__(self, emulated):
        self.emulated = emulated
        self.running = set()  # what follow() runs
        self.build = ROOT / "build" / ("gpu-emulated" if emulated else "gpu")
        self.carried = SYSROOT.is_dir()
        self.env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                        OMPI_MCA_mpi_yield_when_idle="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                        OMPI_MCA_hwloc_base_binding_policy="none", OMPI_MCA_pml="ob1", OMPI_MCA_btl="self,vader",
                        OMPI_MCA_plm="isolated",  # this machine alone: no ssh is looked for
                        TPO_CUDA_SHARE_GPU="1", TPO_TEST_BACKEND="cuda", PYTHONUNBUFFERED="1")
        for name in ["NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING"]:
            self.env.pop(name, None)
        self.cuda_home = pathlib.Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
        path = [str(self.cuda_home / "bin")] if self.cuda_home.is_dir() else []
        if self.carried:
            path.insert(0, str(SYSROOT / "usr" / "bin"))
            self.use_sysroot()
        self.env["PATH"] = os.pathsep.join(path + [os.environ["PATH"]])
        # For programs that we build; the machine's own compilers and Python keep their libraries.
        self.run_env = dict(self.env)
        self.add_libraries([folder for folder in [self.cuda_home / "lib64", self.cuda_home / "lib"] if folder.is_dir()])
        if self.carried:
            self.add_libraries([SYSROOT / MULTIARCH, SYSROOT / "lib/x86_64-linux-gnu"])
        self.sanitizer = shutil.which("compute-sanitizer", path=self.env["PATH"])

    def add_libraries(self, folders):
        """Puts folders before those where programs that we run look for libraries."""
        known = self.run_env.get("LD_LIBRARY_PATH")
        self.run_env["LD_LIBRARY_PATH"] = os.pathsep.join([str(f) for f in folders] + ([known] if known else []))

    def use_sysroot(self):
        usr, pmix = SYSROOT / "usr", SYSROOT / MULTIARCH / "pmix2"
        mpi = SYSROOT / MULTIARCH / "openmpi"
        # Open MPI and PMIx look for their parts where they were installed, unless told.
        self.env |= {"OPAL_PREFIX": str(usr), "OPAL_LIBDIR": str(mpi / "lib"), "OPAL_INCLUDEDIR": str(mpi / "include"),
                     "OPAL_PKGLIBDIR": str(mpi / "lib" / "openmpi3"), "OPAL_DATADIR": str(usr / "share"),
                     "OPAL_PKGDATADIR": str(usr / "share" / "openmpi"), "PMIX_PREFIX": str(pmix),
                     "PMIX_INSTALL_PREFIX": str(pmix), "PMIX_MCA_mca_base_component_path": str(pmix / "lib" / "pmix"),
                     "PMIX_MCA_pcompress_base_silence_warning": "1",
                     "OMPI_MCA_mca_base_component_path": str(mpi / "lib" / "openmpi3"),
                     "PKG_CONFIG_SYSROOT_DIR": str(SYSROOT), "PKG_CONFIG_LIBDIR":
                     f"{SYSROOT / MULTIARCH / 'pkgconfig'}:{SYSROOT / 'usr/share/pkgconfig'}"}
        # Debian's headers stand where every compiler looks, so not every layer's build names all that it includes.
        for variable, folder in [("C_INCLUDE_PATH", usr / "include"), ("CPLUS_INCLUDE_PATH", usr / "include"),
                                 ("LIBRARY_PATH", SYSROOT / MULTIARCH)]:
            self.env[variable] = os.pathsep.join([str(folder)] + [p for p in [os.environ.get(variable)] if p])

    # -- what is here

    def gpus(self):
        text = output(["nvidia-smi", "--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"])
        return [dict(zip(["name", "memory", "driver", "capability"], [w.strip() for w in line.split(",")]))
                for line in text.splitlines() if line.strip()]

    def describe(self):
        cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        facts = {"gpus": self.gpus(), "cpu": cpu[1] if cpu else "unknown", "cores": os.cpu_count(),
                 "nvcc": (re.search(r"V([\d.]+)", output(["nvcc", "--version"], self.env)) or ["", "none"])[1],
                 "compiler": output(["gcc", "--version"]).split("\n")[0],
                 "cmake": output(["cmake", "--version"]).split("\n")[0],
                 "carried_libraries": self.carried, "emulated": self.emulated,
                 "commit": output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).strip() or "unknown",
                 "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        return facts

    def architectures(self):
        found = sorted({g["capability"].replace(".", "") for g in self.gpus()})
        if not found:
            raise Failure("no GPU: nvidia-smi lists none (--emulated goes through the same steps on the host)")
        return ";".join(f"{c}a-real" if c == "90" else f"{c}-real" for c in found)

    # -- building

    def find_python_cuda(self, name):
        """A file of the CUDA packages that PyTorch brings along, for a toolkit that lacks it."""
        for folder in {sysconfig.get_paths()["purelib"], *sys.path}:
            base = pathlib.Path(folder) / "nvidia"
            if base.is_dir():
                for found in sorted(base.glob(f"*/include/{name}")) + sorted(base.glob(f"*/lib/{name}")):
                    return found
        return None

    def cuda_options(self):
        """Options for a toolkit without NCCL or cuBLASLt: those of PyTorch's packages. Only these headers are taken: others
        beside them may belong to another release than the compiler."""
        options, folders, headers = [], [], ROOT / "build" / "gpu-headers"
        system = [self.cuda_home / "include", pathlib.Path("/usr/include"), pathlib.Path("/usr/include/x86_64-linux-gnu")]
        shutil.rmtree(headers, ignore_errors=True)
        for first, pattern in [("nccl.h", "nccl*"), ("cublasLt.h", "cublas*")]:
            found = None if any((s / first).exists() for s in system) else self.find_python_cuda(first)
            if found:
                headers.mkdir(parents=True, exist_ok=True)
                for header in found.parent.glob(pattern):
                    (headers / header.name).symlink_to(header)
        if headers.is_dir():
            known = self.env.get("CPLUS_INCLUDE_PATH")
            self.env["CPLUS_INCLUDE_PATH"] = os.pathsep.join([str(headers)] + ([known] if known else []))
            if (headers / "nccl.h").exists():
                options.append(f"-DNCCL_INCLUDE_DIR={headers}")
        libraries = [self.cuda_home / "lib64", self.cuda_home / "lib", self.cuda_home / "targets/x86_64-linux/lib",
                     pathlib.Path("/usr/lib/x86_64-linux-gnu")]
        for stem, option in [("nccl", "NCCL_LIBRARY"), ("cublasLt", "CUDA_cublasLt_LIBRARY")]:
            if any((folder / f"lib{stem}.so").exists() for folder in libraries):
                continue
            found = next(filter(None, (self.find_python_cuda(f"lib{stem}.so.{v}") for v in ["2", "13", "12"])), None)
            if found:
                options.append(f"-D{option}={found}")
                folders.append(found.parent)
        self.add_libraries(folders)
        return options

    def configure_options(self):
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DTPO_TESTS=ON", "-DTPO_WERROR=OFF"]  # another compiler warns of other things
        if self.emulated:
            options += ["-DTPO_CUDA=emulated"]
        else:
            options += ["-DTPO_CUDA=on", f"-DCMAKE_CUDA_ARCHITECTURES={self.architectures()}", *self.cuda_options()]
        if self.carried:
            lib, mpi = SYSROOT / MULTIARCH, SYSROOT / MULTIARCH / "openmpi"
            hdf5 = self.hdf5_folder()
            options += [f"-DCMAKE_PREFIX_PATH={SYSROOT / 'usr'}", "-DMPI_SKIP_COMPILER_WRAPPER=ON",
                        f"-DMPI_C_HEADER_DIR={mpi / 'include'}", "-DMPI_C_LIB_NAMES=mpi",
                        f"-DMPI_mpi_LIBRARY={mpi / 'lib' / 'libmpi.so'}", f"-DHDF5_ROOT={hdf5}",
                        "-DHDF5_NO_FIND_PACKAGE_CONFIG_FILE=ON", f"-DHDF5_C_LIBRARY_hdf5={hdf5 / 'lib' / 'libhdf5.so'}",
                        f"-DZLIB_INCLUDE_DIR={SYSROOT / 'usr/include'}", f"-DZLIB_LIBRARY={lib / 'libz.so'}"]
            # An old-style run path also counts for the libraries that the libraries need.
            flags = (f"-Wl,--disable-new-dtags,-rpath,{lib}:{SYSROOT / 'lib/x86_64-linux-gnu'},"
                     f"-rpath-link,{lib}:{SYSROOT / 'lib/x86_64-linux-gnu'}")
            options += [f"-DCMAKE_EXE_LINKER_FLAGS={flags}", f"-DCMAKE_SHARED_LINKER_FLAGS={flags}"]
        return options

    def hdf5_folder(self):
        """Parallel HDF5 as CMake expects it: include/ and lib/ of one folder."""
        folder = ROOT / "build" / "gpu-hdf5"
        (folder / "lib").mkdir(parents=True, exist_ok=True)
        for link, target in [(folder / "include", SYSROOT / "usr/include/hdf5/openmpi"),
                             (folder / "lib" / "libhdf5.so", SYSROOT / MULTIARCH / "libhdf5_openmpi.so")]:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return folder

    def make(self, targets, log, limit=None):
        """Configures and builds as much as can be built, within `limit` seconds; the whole output goes to the file `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        end = time.time() + (limit or 86400)
        make, keep_going = ([], "-k") if shutil.which("make", path=self.env["PATH"]) else (["-G", "Ninja"], "-k0")
        if (self.build / "CMakeCache.txt").exists():
            make = []
        with open(log, "w", encoding="utf-8") as out:
            for command in [["cmake", "-S", ROOT, "-B", self.build, *make, *self.configure_options()],
                            ["cmake", "--build", self.build, "-j", os.cpu_count(), "--target", *targets, "--", keep_going]]:
                status = self.follow(command, max(end - time.time(), 1), out, self.env)
                if status == OUT_OF_TIME:
                    raise Failure(f"the build did not end within {limit:.0f} seconds. The whole log: {log}")
                if status != 0:
                    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()
                    words = [line for line in tail if re.search(r"\berror\b|Error \d|undefined reference", line) and
                             not line.startswith("[")]
                    raise Failure("the build failed:\n" + "\n".join((words or tail)[:60]) + f"\nThe whole log: {log}")

    # -- running

    def follow(self, command, limit, out, env):
        """Runs a command whose output goes to the file `out` as it comes; the exit status, OUT_OF_TIME after `limit` seconds.
        `timeout` ends the command then, also where this script is there no more."""
        command = [str(c) for c in command]
        out.write(" ".join(command) + "\n")
        out.flush()
        process = subprocess.Popen(["timeout", "-k", "1", f"{limit:.1f}", *command], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, env=env, cwd=ROOT, start_new_session=True)
        self.running.add(process)
        begin = time.time()
        try:
            status = process.wait(limit + 5)
        except subprocess.TimeoutExpired:  # not even SIGKILL ended it: a driver that hangs
            return OUT_OF_TIME
        finally:
            self.running.discard(process)
        return OUT_OF_TIME if status in (OUT_OF_TIME, -signal.SIGKILL) and time.time() - begin >= limit else status

    def stop(self):
        """Ends what follow() runs in any thread, with all that it started."""
        for kind in [signal.SIGTERM, signal.SIGKILL]:
            for process in list(self.running):
                try:
                    os.killpg(process.pid, kind)
                except ProcessLookupError:
                    pass
            end = time.time() + 2
            while time.time() < end and any(p.poll() is None for p in list(self.running)):
                time.sleep(0.05)

    def run(self, command, timeout, env=None, cwd=None, stdin=None):
        """(exit status, output); the status is 124 after the time is over. Everything that the command started ends."""
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                   env=self.run_env | (env or {}), cwd=cwd or ROOT, start_new_session=True)
        try:
            text, _ = process.communicate(stdin, timeout)
            return process.returncode, text
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            return OUT_OF_TIME, text


def results_folder(argument):
    folder = pathlib.Path(argument or os.environ.get("OUT") or ROOT / "build" / "gpu-results")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_results(folder, name, facts, markdown):
    (folder / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown)


def machine_lines(machine):
    gpus = ", ".join(f"{g['name']}, {g['memory']}, driver {g['driver']}" for g in machine["gpus"])
    none = "no GPU: the kernels ran on the host (emulated)" if machine["emulated"] else "no GPU that nvidia-smi lists"
    return [f"Machine: {gpus or none}; {machine['cpu']}, "
            f"{machine['cores']} cores; nvcc {machine['nvcc']}; {machine['compiler']}.", f"Commit {machine['commit']}, {machine['time']}.", ""]
