"""tests/gpu/run --first-hour: what to learn of a GPU on which nothing of this has run yet, in the order of its worth. PHASES
has each step's time limit, nine minutes together. A phase that fails or runs out of time is told and the next one begins.

All is on disk as it comes: first-hour.jsonl has a line a phase, first-hour.log what the programs wrote, first-hour.md the
summary, written anew after each phase. What a running program has said so far is in first-hour-part-*.log, which stays behind
where the script is killed."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tarfile
import time
import traceback
import typing

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "gpu"))
import machine as gpu
import outcome
from tables import Tables

TARGET = "gpu_first_hour"  # builds every program that a phase runs (tests/gpu/first_hour.cmake)
CARRIED = gpu.ROOT / ".gpu" / "programs.tar.xz"
TOTAL = 540  # seconds


class Phase(typing.NamedTuple):
    name: str
    limit: int  # seconds
    what: str
    takes_rest: bool = False  # may use what the phases before it left


PHASES = [
    Phase("facts", 5, "what is here"),
    Phase("build", 120, "carried programs tried, else the build"),
    Phase("operations", 60, "every operation against the plain reference"),
    Phase("invariance", 45, "a row's bits whatever the rows beside it, at Llama-3-8B's shapes"),
    Phase("nccl", 20, "the collectives with one rank"),
    Phase("kernels", 60, "each kernel's time at Llama-3-8B's shapes"),
    Phase("generate", 35, "256 sequences of 512 tokens, 32 layers, steps as graphs"),
    Phase("generate-no-graphs", 35, "the same without graphs"),
    Phase("dpo-4096", 25, "DPO steps on 8 layers, micro-batches of 4096 tokens"),
    Phase("dpo-8192", 25, "of 8192"),
    Phase("dpo-16384", 25, "of 16384"),
    Phase("memcheck", 30, "accesses outside of memory: paged attention, attention, sampling", takes_rest=True),
    Phase("racecheck", 30, "races on shared memory, the same programs", takes_rest=True),
    Phase("synccheck", 20, "barriers that not all threads reach, the same programs", takes_rest=True),
]
OPERATIONS, INVARIANCE = "test_backend_(?!cuda_invariance|.*nccl).*", "test_backend_cuda_invariance"
NCCL = "(test|mpi)_(?!emulation).*nccl"
SANITIZED = "test_backend_(cuda_(paged|attention|sample)|ops_sample)"
# The emulated kernels take seconds for each program: fewer of them, since ctest runs all.
EMULATED_OPERATIONS = "test_backend_(cuda_(linear|optimizer|paged)|ops_(flow|loss))"
EMULATED_SANITIZED = "test_backend_ops_sample"


class OutOfTime(Exception):
    pass


class Skipped(Exception):
    pass


class Stopped(BaseException):
    """SIGTERM or SIGINT."""


def phases_text():
    lines = [f"{p.name:20} {p.limit:4} s  {p.what}" for p in PHASES]
    return "\n".join([*lines, f"{'together':20} {sum(p.limit for p in PHASES):4} s, at most {TOTAL} s"])


def in_words(results):
    """The first words of what didn't pass, else of how many did."""
    bad = [f"{r['name']}: {r['note'].splitlines()[0]}" for r in results if r["status"] != "passed"]
    return "; ".join([*bad, f"{sum(r['status'] == 'passed' for r in results)} of {len(results)} programs passed"])


def cmocka(status, text):
    words = outcome.of_cmocka(status, text)
    return "skipped" if re.match(r"0 tests, [1-9]", words) else "passed", words


def sanitizer(status, text):
    """One that the tool made too slow has shown nothing; a plain test that does not end has failed."""
    return ("out of time", "did not end") if status == outcome.OUT_OF_TIME else outcome.of_sanitizer(status, text)


class Hour:
    def __init__(self, machine, args, folder):
        self.machine, self.args, self.folder = machine, args, folder
        self.begin = time.time()
        self.known = {}  # of the machine
        self.done = []  # what first-hour.jsonl has
        self.parts = 0
        self.lines = folder / "first-hour.jsonl"
        for old in [self.lines, folder / "first-hour.log", *folder.glob("first-hour-part-*.log")]:
            old.unlink(missing_ok=True)

    def left(self):
        return min(self.args.limit, TOTAL) - (time.time() - self.begin)

    # -- what is on disk

    def record(self, entry):
        self.done.append(entry)
        with open(self.lines, "a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")
            out.flush()
            os.fsync(out.fileno())
        new = self.folder / "first-hour.md.new"
        new.write_text(self.markdown(), encoding="utf-8")
        new.replace(self.folder / "first-hour.md")
        words = (entry["note"].splitlines() or [""])[0][:160]
        gpu.say(f"{entry['status']:12} {entry['phase']:20} {entry['seconds']:6.1f} s of {entry['limit']:.0f}  {words}")

    def keep(self, part):
        """Moves a program's output to the log."""
        text = part.read_text(encoding="utf-8", errors="replace")
        with open(self.folder / "first-hour.log", "a", encoding="utf-8") as log:
            log.write(text + ("" if text.endswith("\n") else "\n"))
        part.unlink()
        return text

    # -- phases

    def run(self):
        for index, phase in enumerate(PHASES):
            if self.args.phase and phase.name not in self.args.phase:
                continue
            limit = min(phase.limit, self.left())
            if phase.takes_rest:
                limit = max(limit, self.left() / (len(PHASES) - index))
            self.phase(phase, limit)

    def phase(self, phase, limit):
        begin = time.time()
        self.end = begin + limit
        entry = {"phase": phase.name, "limit": round(limit, 1)}
        results = []

        def finish(status, note):
            self.record(entry | {"status": status, "seconds": round(time.time() - begin, 2), "note": note, "results": results})
        if limit < min(2, phase.limit):
            finish("no time", f"{phase.what}: nothing left of {min(self.args.limit, TOTAL)} seconds")
            return
        try:
            note = getattr(self, phase.name.split("-")[0])(phase, results)
            finish("failed" if any(r.get("status") == "failed" for r in results) else "passed", note or "")
        except OutOfTime as late:
            finish("out of time", str(late))
        except Skipped as skipped:
            finish("skipped", str(skipped))
        except gpu.Failure as failure:
            finish("failed", str(failure))
        except Stopped:
            finish("stopped", "the script was told to end")
            raise
        except Exception:  # the script itself: told, and the other phases go on
            finish("failed", traceback.format_exc())

    def command(self, command, env=None):
        """(exit status, output) of a program within the phase's time."""
        self.parts += 1
        part = self.folder / f"first-hour-part-{self.parts}.log"
        with open(part, "w", encoding="utf-8") as out:
            status = self.machine.follow(command, max(self.end - time.time(), 0.5), out, self.machine.run_env | (env or {}))
            out.write(f"(exit {status})\n")
        return status, self.keep(part)

    def program(self, name):
        path = self.machine.build / name
        if not path.exists():
            raise gpu.Failure(f"{name} was not built")
        return path

    def programs(self, pattern):
        """Tests by their names."""
        paths = [p for p in sorted((self.machine.build / "tests").glob("*")) if re.fullmatch(pattern, p.name)]
        if not paths:
            raise gpu.Failure(f"no test {pattern} was built")
        return paths

    # Each phase's function is called by the first word of its name; it adds to `results` and returns a note.

    def facts(self, _phase, results):
        memory = re.search(r"MemTotal: *(\d+)", pathlib.Path("/proc/meminfo").read_text())
        self.known = self.machine.describe() | {"memory_bytes": int(memory[1]) * 1024 if memory else 0,
                                                "disk_free_bytes": shutil.disk_usage(self.folder).free,
                                                "compute_sanitizer": self.machine.sanitizer or "none"}
        results.append(self.known)
        return gpu.machine_lines(self.known)[0]

    def build(self, _phase, _results):
        refused = self.try_carried()
        if refused is None:
            return "carried programs start here: nothing was built"
        begin = time.time()
        words = f"{refused}; " if refused else ""
        if self.args.skip_build:
            outcome.of_version(self.command([self.program("tpo"), "--version"])[1])
            return words + f"{self.machine.build} as it is (--skip-build)"
        try:
            self.machine.make([TARGET], self.folder / "gpu-build.log", self.end - time.time())
        except gpu.Failure as failure:
            raise gpu.Failure(f"{words}{failure}") from None
        return words + f"built in {time.time() - begin:.0f} seconds"

    def try_carried(self):
        """None when the carried programs run here; else why not, empty when there are none."""
        archive = pathlib.Path(self.args.carried or CARRIED)
        if not archive.exists():
            return f"no {archive}" if self.args.carried else ""
        ours = self.machine.build
        try:
            self.machine.build = gpu.ROOT / "build" / "gpu-carried"
            shutil.rmtree(self.machine.build, ignore_errors=True)
            with tarfile.open(archive) as tar:
                tar.extractall(self.machine.build, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
            if not self.machine.emulated:
                self.machine.cuda_options()  # finds libraries that the toolkit lacks
            status, text = self.command([self.program("tpo"), "--version"])
            if status != 0:
                raise gpu.Failure(f"tpo --version: exit {status}: {' '.join(text.split())[-200:]}")
            outcome.of_version(text)
            outcome.of_cmocka(*self.command([self.program("tests/test_backend_ops_flow")]))
            return None
        except (gpu.Failure, OSError, tarfile.TarError) as failure:
            self.machine.build = ours
            return f"carried programs don't run here ({' '.join(str(failure).split())[:300]})"

    def operations(self, _phase, results):
        pattern = EMULATED_OPERATIONS if self.machine.emulated else OPERATIONS
        return self.together(pattern, [], results, cmocka)

    def together(self, pattern, before, results, judge):
        """Programs by name, a few at once; each one's outcome goes to `results`."""
        paths = self.programs(pattern)

        def one(path):
            begin = time.time()
            status, text = self.command([*before, path])
            try:
                state, note = judge(status, text)
            except gpu.Failure as failure:
                state, note = "failed", str(failure)
            results.append({"name": path.name, "status": state, "seconds": round(time.time() - begin, 2), "note": note})
        with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count())) as pool:
            try:
                list(pool.map(one, paths))
            except Stopped:
                pool.shutdown(wait=False, cancel_futures=True)
                self.machine.stop()
                raise
        results.sort(key=lambda r: r["name"])
        late = [r["name"] for r in results if r["status"] == "out of time"]
        if late and not any(r["status"] == "failed" for r in results):
            raise OutOfTime(", ".join(late) + " did not end")
        if all(r["status"] == "skipped" for r in results):
            raise Skipped(results[0]["note"])
        return in_words(results)

    def invariance(self, _phase, results):
        return self.together(INVARIANCE, [], results, cmocka)

    def nccl(self, _phase, results):
        return self.together(NCCL, ["mpirun", "-n", "1"], results, cmocka)

    def bench(self, results, name, *args):
        """Lines of JSON of a program into `results`; what it measured before its time was over counts."""
        status, text = self.command([self.program(name), *args, *(["--small"] if self.machine.emulated else [])])
        for line in text.splitlines():
            try:
                results.append(json.loads(line)) if line.startswith("{") else None
            except ValueError:
                pass  # cut off
        wrong = [f"{r['kernel']}: {r['wrong']}" for r in results if "wrong" in r]
        if wrong:
            raise gpu.Failure("; ".join(wrong))
        if status == outcome.OUT_OF_TIME:
            raise OutOfTime(f"{name} did not end; {len(results)} lines of it")
        if status != 0 or not results:
            raise gpu.Failure(f"exit {status}: {' '.join(text.splitlines()[-4:])[-400:]}")

    def kernels(self, _phase, results):
        self.bench(results, "bench_gpu_kernels", "--seconds", "0.02" if self.machine.emulated else "0.1")
        return f"{sum('kernel' in r for r in results)} kernels"

    def generate(self, phase, results):
        self.bench(results, "bench_gpu_model", "generate", *(["--no-graphs"] if phase.name.endswith("no-graphs") else []))
        return f"{results[0]['tokens_per_second']:.0f} tokens/s"

    def dpo(self, phase, results):
        tokens = int(phase.name.split("-")[1])
        size = ["--micro-batch", 48 * tokens // 4096] if self.machine.emulated else ["--micro-batch", tokens, "--layers", 8]
        self.bench(results, "bench_gpu_model", "dpo", "--steps", 4, *size)
        return f"{results[0]['tokens_per_second']:.0f} tokens/s"

    def sanitize(self, tool, results):
        if self.machine.emulated:
            words = self.together(EMULATED_SANITIZED, [], results, cmocka)
            return f"without {tool}, since the kernels ran on the host: {words}"
        if not self.machine.sanitizer:
            raise Skipped("compute-sanitizer is not here")
        command = [self.machine.sanitizer, f"--tool={tool}", "--error-exitcode=99", "--print-limit=5"]
        return self.together(SANITIZED, command, results, sanitizer)

    def memcheck(self, phase, results):
        return self.sanitize(phase.name, results)

    racecheck = synccheck = memcheck

    # -- the summary

    def markdown(self):
        lines = ["# First hour on a GPU", ""] + (gpu.machine_lines(self.known) if self.known else [])
        if self.machine.emulated:
            lines += ["**Emulated: these figures say nothing about any GPU.**", ""]
        lines += ["| phase | result | seconds | of | |", "| --- | --- | --- | --- | --- |"]
        for entry in self.done:
            words = (entry["note"].splitlines() or [""])[0].replace("|", "\\|")[:240]
            lines.append(f"| {entry['phase']} | {entry['status']} | {entry['seconds']:.1f} | {entry['limit']:.0f} | {words} |")
        told = [entry["phase"] for entry in self.done]
        lines += [f"| {p.name} | {'not asked for' if self.args.phase and p.name not in self.args.phase else 'not reached'} | | {p.limit} | {p.what} |"
                  for p in PHASES if p.name not in told] + [""]
        measured = [r for e in self.done for r in e["results"] if {"kernel", "ceiling", "model"} & r.keys()]
        tables = Tables(measured)
        lines += tables.kernels() + tables.models()
        for entry in self.done:
            bad = [f"{r['name']}: {r['note']}" for r in entry["results"] if r.get("status") == "failed"]
            if entry["status"] == "failed":
                lines += [f"## {entry['phase']} failed", "", "```", *[b[:3000] for b in bad or [entry["note"]]], "```", ""]
        return "\n".join(lines).rstrip() + "\n"


def run(machine, args):
    """The exit status: 0 when all passed or didn't fit, 1 when something failed, 143 when told to end."""
    folder = gpu.results_folder(args.out)
    hour = Hour(machine, args, folder)

    def told(_number, _frame):
        raise Stopped()
    for number in [signal.SIGTERM, signal.SIGINT]:
        signal.signal(number, told)
    try:
        hour.run()
    except Stopped:
        machine.stop()
    gpu.say("\n" + (folder / "first-hour.md").read_text(encoding="utf-8") + f"\nResults: {folder}/first-hour.md, .jsonl, .log")
    states = [entry["status"] for entry in hour.done]
    return 143 if "stopped" in states else 1 if "failed" in states else 0
