#!/usr/bin/env python3
"""What the GPU compiler makes of every kernel, without a GPU: compiles every .cu of cuda/ for each architecture, fails where a
kernel spills registers or keeps arrays in local memory, and compares bench/gpu/occupancy.md with what it found
(--write makes it anew). The table carries a digest of all that it depends on: while that is the same, nothing is compiled
again (--again does). Skipped by name where there is no nvcc."""
import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "bench" / "gpu" / "occupancy.md"
FLAGS = ["-std=c++17", "-O3", "-DNDEBUG", "-lineinfo", "-D_GNU_SOURCE", "-Icuda", "-Isrc", "-Iinclude"]
INCLUDED_FROM = ["cuda", "src", "include"]
OF_THE_HOST = ["include/tpo/config.h"]  # included, but no kernel knows of what it says

# What a multiprocessor has, from NVIDIA's tables of compute capabilities. Each block takes 1 KiB of shared memory more
# than it asks for; registers are given out by 256 to a warp, to four warps at a time.
MACHINES = {
    "sm_80": {"compute": "compute_80", "shared": 164 * 1024, "warps": 64, "blocks": 32},
    "sm_90a": {"compute": "compute_90a", "shared": 228 * 1024, "warps": 64, "blocks": 32},
    "sm_100": {"compute": "compute_100", "shared": 228 * 1024, "warps": 64, "blocks": 32},
}
REGISTERS = 65536

# Kernels (a part of the name) that may keep something in local memory, each with the reason.
LOCAL_MEMORY_IS_FINE = {
    "flash_forward<128, 4, true>": "on sm_100 it has 3 values more than the 255 registers that there are, for windows and soft-caps",
}

# Where not one block fits on a multiprocessor, and what happens then.
TOO_LARGE = {(f"paged_tensor<256, {local}>", "sm_80"): "its launcher takes the plain kernel there" for local in ["false", "true"]}

# What a block can have on every GPU that the backend takes (TPO_CUDA_LEAST_SHARED), and what happens with a kernel that
# wants more where there is no more.
LEAST_SHARED = 99 * 1024
LARGE = {
    f"{kernel}, {local}>": what
    for local in ["false", "true"]
    for kernel, what in {
        "flash_forward<256, 8": f"`flash_forward<256, 4, {local}>` is launched",
        "flash_keys<128, 64": f"`flash_keys<128, 32, {local}>` is launched",
        "flash_keys<256, 32": f"`flash_keys<256, 16, {local}>` is launched",
        "flash_queries<128, 64": f"`flash_queries<128, 32, {local}>` is launched",
        "flash_queries<256, 32": f"`flash_queries<256, 16, {local}>` is launched",
        "paged_tensor<128": "the plain kernel is launched",
        "paged_tensor<256": "the plain kernel is launched",
    }.items()
} | {f"plain_{kind}<{act}, 4, {local}>": "refused" for kind in ["forward", "keys", "queries"] for act in ["float", "bf16"]
     for local in ["false", "true"]}

# Dynamic shared memory that a kernel is launched with: an expression of its file, for names that match; {0} is the first
# group of the match. A kernel that uses dynamic shared memory and isn't here fails the check.
PLAIN_TILE = "plain_tile<{0}>::floats"
DYNAMIC_SHARED = [
    ("attention.cu", r"flash_forward<(\d+), (\d+), \w+>", "forward_plan<{0}, {1}>::shared_bytes"),
    ("attention.cu", r"plain_forward<\w+, (\d+), \w+>", f"(3 * {PLAIN_TILE} + PLAIN_ROWS * PLAIN_SCORES) * sizeof(float)"),
    ("attention_backward.cu", r"flash_keys<(\d+), (\d+), \w+>", "backward_plan<{0}, {1}>::shared_bytes_sums"),
    ("attention_backward.cu", r"flash_queries<(\d+), (\d+), \w+>", "backward_plan<{0}, {1}>::shared_bytes"),
    ("attention_backward.cu", r"plain_(?:keys|queries)<\w+, (\d+), \w+>",
     f"(4 * {PLAIN_TILE} + 2 * PLAIN_ROWS * PLAIN_SCORES) * sizeof(float)"),
    ("paged_tensor.cu", r"paged_tensor<(\d+), (\w+)>",
     "kv_ring<{0}, {1}>::n_tiles * kv_ring<{0}, {1}>::tile_elements * sizeof(__nv_bfloat16) + sizeof(paged_shared<{0}>)"),
    ("paged_plain.cu", r"paged_plain<\w+, \w+, \w+>", "4 * sizeof(float) * (2 * 128 + 2 * PAGED_CHUNK)"),  # at head dimension 128
]


def fail(text):
    sys.exit(f"ptxas.py: {text}")


def find_tool(name):
    found = shutil.which(name)
    beside = pathlib.Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / name
    return found or (str(beside) if beside.exists() else None)


def run(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def short_name(mangled):
    name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout.strip()
    name = name.replace("(anonymous namespace)::", "").replace("__nv_bfloat16", "bf16")
    name = re.sub(r"^void ", "", name)
    depth, end = 0, len(name)  # cut off the arguments: the bracket that opens outside of <>
    for at, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            end = at
            break
    return re.sub(r"\((?:int|bool|unsigned int|tpo_dtype)\)", "", name[:end])


def with_headers(source):
    """The text of a file, and of those of the project's that it includes."""
    texts, left = {}, [source.resolve()]
    while left:
        path = left.pop()
        if path in texts or path in [ROOT / name for name in OF_THE_HOST]:
            continue
        texts[path] = path.read_text()
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', texts[path], re.M):
            places = [folder / name for folder in [path.parent, *(ROOT / f for f in INCLUDED_FROM)]]
            left += [place.resolve() for place in places if place.exists()][:1]
    return "\0".join(texts[path] for path in sorted(texts))


def digest(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def compile_one(nvcc, ptxas, version, source, arch, cache):
    """PTX and the assembler's report for one file and architecture; kept by a hash of all that they depend on."""
    what = digest(version, arch, *FLAGS, with_headers(source))
    ptx, report = cache / f"{source.stem}-{arch}-{what}.ptx", cache / f"{source.stem}-{arch}-{what}.txt"
    if not report.exists():
        run([nvcc, *FLAGS, "-ptx", f"-arch={MACHINES[arch]['compute']}", "-o", str(ptx), str(source.relative_to(ROOT))])
        text = run([ptxas, "-v", "-O3", "-lineinfo", f"-arch={arch}", "-o", os.devnull, str(ptx)])
        report.write_text(text)
    return ptx.read_text(), report.read_text()


def read_kernels(source, arch, ptx, report):
    """The kernels of one compilation, by mangled name."""
    bodies = {}
    for part in re.split(r"^\s*\.(?:visible |weak )?\s*\.?entry\s+", ptx, flags=re.M)[1:]:
        bodies[re.match(r"[\w$]+", part).group()] = part
    kernels = {}
    for block in re.split(r"Compiling entry function '", report)[1:]:
        mangled = block[:block.index("'")]
        memory = re.search(rf"properties for {re.escape(mangled)}\s+(\d+) bytes stack frame, (\d+) bytes spill stores, "
                           r"(\d+) bytes spill loads", block)
        used = re.search(r"Used (\d+) registers", block)
        smem = re.search(r"(\d+) bytes smem", block)
        if not memory or not used:
            fail(f"{source.name} for {arch}: the assembler's report on {mangled} can't be read:\n{block}")
        body = bodies.get(mangled, "")
        threads = re.search(r"\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?", body)
        count = 1
        for size in threads.groups() if threads else ():
            count *= int(size or 1)
        kernels[mangled] = {"stack": int(memory[1]), "spills": int(memory[2]) + int(memory[3]), "registers": int(used[1]),
                            "static": int(smem[1]) if smem else 0, "threads": count if threads else 0,
                            "dynamic": "tpo_dynamic_shared" in body}
    return kernels


def evaluate(source, expressions, cache):
    """Values of constant expressions in terms of a .cu file's own names, by the host's compiler."""
    text = f'#include "{source.relative_to(ROOT / "cuda")}"\n' + "".join(
        f'extern "C" {{ extern const unsigned long long tpo_value_{i}; const unsigned long long tpo_value_{i} = {e}; }}\n'
        for i, e in enumerate(expressions))
    what = digest(text, with_headers(source))
    kept = cache / f"{source.stem}-values-{what}.s"
    if not kept.exists():
        probe = cache / f"{source.stem}-values.cpp"
        probe.write_text(text)
        run(["g++", "-std=c++17", "-w", "-S", "-D_GNU_SOURCE", "-Itests/emulation/include", "-Icuda", "-Isrc", "-Iinclude",
             "-o", str(kept), str(probe)])
    found = dict(re.findall(r"^tpo_value_(\d+):\s+\.quad\s+(\d+)", kept.read_text(), re.M))
    return [int(found[str(i)]) for i in range(len(expressions))]


def find_dynamic(kernels, cache, problems):
    """Sets `dynamic` of each kernel to the bytes of dynamic shared memory that it is launched with."""
    wanted = {}
    for (source, name), by_arch in kernels.items():
        if not any(k["dynamic"] for k in by_arch.values()):
            continue
        matches = [(re.fullmatch(pattern, name), expression) for file, pattern, expression in DYNAMIC_SHARED if file == source]
        expression = next((e.format(*m.groups()) for m, e in matches if m), None)
        if expression:
            wanted.setdefault(source, {})[name] = expression
        else:
            problems.append(f"cuda/{source}: {name} uses dynamic shared memory; DYNAMIC_SHARED in tests/static/ptxas.py "
                            "lacks its size")
    for source, expressions in wanted.items():
        values = evaluate(next((ROOT / "cuda").rglob(source)), list(expressions.values()), cache)
        for name, value in zip(expressions, values):
            for kernel in kernels[source, name].values():
                kernel["dynamic"] = value


def blocks_per_multiprocessor(kernel, machine):
    warps = max(-(-kernel["threads"] // 32), 1)
    shared = kernel["static"] + int(kernel["dynamic"])
    per_warp = -(-kernel["registers"] * 32 // 256) * 256
    by_registers = REGISTERS // per_warp // 4 * 4 // warps
    by_shared = machine["shared"] // (-(-(shared + 1024) // 128) * 128)
    return min(by_registers, by_shared, machine["warps"] // warps, machine["blocks"])


def check(kernels, problems):
    """kernels: (file, name) -> arch -> figures."""
    for (source, name), by_arch in sorted(kernels.items()):
        place = f"cuda/{source}: {name}"
        any_arch = next(iter(by_arch.values()))
        if any_arch["threads"] == 0 and any(k["registers"] > 64 for k in by_arch.values()):
            problems.append(f"{place} has no __launch_bounds__, and too many registers for a block of 1024 threads")
            continue
        most = max(k["static"] + int(k["dynamic"]) for k in by_arch.values())
        if (most > LEAST_SHARED) != (name in LARGE):
            problems.append(f"{place} wants {most} bytes of shared memory; LARGE in tests/static/ptxas.py says what is launched "
                            f"where a block has {LEAST_SHARED}, of those that want more")
        for arch, kernel in by_arch.items():
            if blocks_per_multiprocessor(kernel, MACHINES[arch]) == 0 and (name, arch) not in TOO_LARGE:
                problems.append(f"{place}, {arch}: not one block fits on a multiprocessor")
            if any(part in name for part in LOCAL_MEMORY_IS_FINE):
                continue
            if kernel["spills"] or kernel["stack"]:
                problems.append(f"{place}, {arch}: {kernel['spills']} bytes spilled, {kernel['stack']} bytes of local "
                                f"memory ({kernel['registers']} registers)")


def slashed(values):
    values = [str(v) for v in values]
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def table_text(kernels, version, made_of):
    lines = [
        "# Registers, shared memory and occupancy of the kernels", "",
        "<!-- Generated by tests/static/ptxas.py --write, which also checks it.", f"     {made_of} -->", "",
        f"From the compiler's own report ({version}), no GPU needed. Where the architectures differ, the three figures stand",
        f"for {', '.join(MACHINES)}. No kernel spills registers or keeps anything in local memory" +
        ("." if not LOCAL_MEMORY_IS_FINE else ", except those named at the end."), "",
        "- *shared*: bytes a block has, fixed at compile time + given at the launch.",
        "- *blocks*: how many fit on one multiprocessor at once, by registers, shared memory, warps and the limit of blocks.",
        "- *occupancy*: their warps as a share of the 64 that a multiprocessor holds. High is not by itself good: a kernel of",
        "  matrix products wants registers, one that waits for memory wants warps.", ""]
    for source in sorted({source for source, _ in kernels}):
        lines += [f"## {source}", "", "| kernel | threads | registers | shared | blocks | occupancy |",
                  "| --- | --- | --- | --- | --- | --- |"]
        for (where, name), by_arch in sorted(kernels.items()):
            if where != source:
                continue
            any_arch = next(iter(by_arch.values()))
            dynamic = int(any_arch["dynamic"])
            blocks = [blocks_per_multiprocessor(k, MACHINES[a]) for a, k in by_arch.items()]
            warps = max(-(-any_arch["threads"] // 32), 1)
            shared = slashed(k["static"] for k in by_arch.values()) + (f" + {dynamic}" if dynamic else "")
            lines.append(f"| `{name}` | {any_arch['threads'] or 'any'} | {slashed(k['registers'] for k in by_arch.values())} "
                         f"| {shared} | {slashed(blocks)} | {slashed(f'{100 * b * warps // 64} %' for b in blocks)} |")
        lines.append("")
    lines += [f"- `{part}` keeps something in local memory: {reason}." for part, reason in LOCAL_MEMORY_IS_FINE.items()]
    lines += [f"- `{name}` wants more than the {LEAST_SHARED} bytes of shared memory that a block has on other GPUs from Ampere on: "
              f"{why} there." for name, why in LARGE.items()]
    lines += [f"- `{name}` does not fit on {arch}: {why}." for (name, arch), why in TOO_LARGE.items()]
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write bench/gpu/occupancy.md")
    parser.add_argument("--again", action="store_true", help="compile though nothing has changed since the table was made")
    parser.add_argument("--cache", default=str(ROOT / "build" / "ptxas"), help="folder for what was compiled already")
    parser.add_argument("files", nargs="*", help="only these files (no table then)")
    args = parser.parse_args()
    nvcc, ptxas = find_tool("nvcc"), find_tool("ptxas")
    if not nvcc or not ptxas:
        print("ptxas: skipped, there is no nvcc here")
        return
    release = re.search(r"release ([\d.]+), V([\d.]+)", run([nvcc, "--version"]))
    version = f"nvcc {release[2]}"
    cache = pathlib.Path(args.cache)
    cache.mkdir(parents=True, exist_ok=True)
    sources = [pathlib.Path(f).resolve() for f in args.files] or sorted((ROOT / "cuda").rglob("*.cu"), key=lambda p: p.name)
    recorded = TABLE.read_text() if TABLE.exists() else ""
    made_of = "of " + digest(version, pathlib.Path(__file__).read_text(), *map(with_headers, sources))
    if f"     {made_of} -->" in recorded and not (args.write or args.again or args.files):
        print(f"ptxas: neither kernels nor compiler have changed since {TABLE.relative_to(ROOT)} was made")
        return
    jobs = [(source, arch) for source in sources for arch in MACHINES]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: compile_one(nvcc, ptxas, version, *job, cache), jobs))
    kernels = {}
    for (source, arch), (ptx, report) in zip(jobs, results):
        for mangled, figures in read_kernels(source, arch, ptx, report).items():
            kernels.setdefault((source.name, short_name(mangled)), {})[arch] = figures
    problems = []
    find_dynamic(kernels, cache, problems)
    check(kernels, problems)
    text = table_text(kernels, version, made_of)
    if args.files:
        print(text)
    elif args.write and not problems:
        TABLE.write_text(text)
    elif not args.write:
        if recorded != text and f"({version})" in recorded:
            problems.append(f"{TABLE.relative_to(ROOT)} is out of date: run tests/static/ptxas.py --write")
        elif not recorded:
            problems.append(f"{TABLE.relative_to(ROOT)} is missing: run tests/static/ptxas.py --write")
        elif recorded != text:
            print(f"ptxas: {TABLE.relative_to(ROOT)} is from another compiler than {version}, so it was not compared")
    if problems:
        fail("\n".join(problems))
    print(f"ptxas: {len(kernels)} kernels for {', '.join(MACHINES)}, none spills or uses local memory")


if __name__ == "__main__":
    main()
