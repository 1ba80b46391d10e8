#!/usr/bin/env python3
"""The memory that training takes, beside what `tpo run --plan-only` tells of it, on a model of real size.

Each case is one optimizer step of `tpo dpo` on a pair for each rank that fills a pass of so many tokens: what comes later
takes no more. Its peak is the largest resident memory of a rank, which the plan must bound, and by no more than 15 %.

  bench/memory.py --model SmolLM2-135M-Instruct.Q4_1.gguf      # writes bench/results/DATE-CPU-memory.{md,json}
  bench/memory.py --model M --tokens 512 --ranks 1 --dtypes fp32"""
import argparse
import datetime
import itertools
import json
import os
import pathlib
import platform
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
LIMIT = 1.15
# A process begins with its parent's peak, so the watcher is small; mpirun's children count as its own.
WATCH = """import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)"""
CONFIG = """
thought: {{name: generic, thought_tokens: 40, response_tokens: 40}}
data: {{prompts_per_iteration: 4, validation_prompts: 0}}
sampling: {{k: 2, max_tokens: {half}, slots: 1}}
train: {{micro_batch_tokens: {tokens}, batch: {ranks}, epochs: 1, save_optimizer: false}}
run: {{dir: {folder}/run, iterations: 1, validate_each_epoch: false}}
model: {{path: "{model}", dtype: {dtype}, backend: cpu, threads: {threads}}}
"""


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return re.sub(r"\W+", "-", line.split(":", 1)[1].strip()).strip("-")
    return platform.machine()


def write_pairs(path, n, tokens):
    """n pairs of two sequences of half as many tokens."""
    rng = random.Random(1)

    def ids(count):
        return [rng.randrange(1000, 40000) for _ in range(count)]

    quarter = tokens // 4
    path.write_text("".join(json.dumps({"prompt_ids": ids(quarter), "chosen_ids": ids(quarter), "rejected_ids": ids(quarter)}) + "\n"
                            for _ in range(n)))


def launch(args, ranks):
    return (["mpirun", "-n", str(ranks)] if ranks > 1 else []) + [str(args.tpo)]


def environment():
    return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1",
                OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none")


def output(command):
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def planned(args, config, ranks):
    text = output([*launch(args, ranks), "run", config, "--plan-only"])
    most, unit = re.search(r"Memory of each of .*: at most ([\d.]+) (\w+)", text).groups()
    kept, layers = re.search(r"the states of (\d+) of (\d+) layers are kept", text).groups()
    return float(most) * UNITS[unit], f"{kept}/{layers}"


def measured(args, config, folder, ranks, reference):
    command = [*launch(args, ranks), "dpo", "--config", config, "--pairs", folder / "pairs.jsonl", "--out", folder / "c.h5",
               *(["--reference", args.model] if reference else [])]
    return float(output([sys.executable, "-S", "-c", WATCH, *command]))


def run_case(args, dtype, ranks, tokens, reference):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = folder / "memory.yaml"
        config.write_text(CONFIG.format(tokens=tokens, half=max(tokens // 2, 80), ranks=ranks, folder=folder, model=args.model, dtype=dtype,
                                        threads=args.threads))
        write_pairs(folder / "pairs.jsonl", ranks, tokens)
        most, kept = planned(args, config, ranks)
        peak = measured(args, config, folder, ranks, reference)
    return {"dtype": dtype, "ranks": ranks, "tokens": tokens, "reference": "another" if reference else "the model itself",
            "kept": kept, "peak": peak, "plan": most, "ratio": most / peak}


HEAD = ("| weights | ranks | tokens of a pass | reference model | layers kept | peak, GB | plan, GB | plan / peak |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n")


def row(case):
    return (f"| {case['dtype']} | {case['ranks']} | {case['tokens']} | {case['reference']} | {case['kept']} | "
            f"{case['peak'] / 1e9:.2f} | {case['plan'] / 1e9:.2f} | {case['ratio']:.3f} |\n")


def write(args, cases):
    date = datetime.date.today().isoformat()
    out = args.out or ROOT / "bench/results" / f"{date}-{cpu_name()}-memory"
    machine = f"{cpu_name().replace('-', ' ')}, {args.threads} thread{'s' if args.threads > 1 else ''} a rank, " \
              f"{pathlib.Path(args.model).name}"
    pathlib.Path(f"{out}.json").write_text(json.dumps({"date": date, "machine": machine, "cases": cases}, indent=1) + "\n")
    pathlib.Path(f"{out}.md").write_text(
        f"# Memory of training beside the plan, {date}\n\n`bench/memory.py` on {machine}. One step of `tpo dpo`; the peak is the "
        "resident memory of the rank that took most, the plan what `tpo run --plan-only` tells it will take at most.\n\n" +
        HEAD + "".join(map(row, cases)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or .gguf")
    parser.add_argument("--tpo", default=ROOT / "build/cpu/tpo", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1, help="a rank's")
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--tokens", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--no-reference", action="store_true", help="leave out the cases with a reference model of their own")
    parser.add_argument("--out", help="results without their ending")
    args = parser.parse_args()
    cases, bad = [], 0
    print(HEAD, end="", flush=True)
    combinations = [(*c, False) for c in itertools.product(args.dtypes, args.ranks, args.tokens)]
    combinations += [(dtype, args.ranks[0], args.tokens[0], True) for dtype in args.dtypes if not args.no_reference]
    for dtype, ranks, tokens, reference in combinations:
        cases.append(run_case(args, dtype, ranks, tokens, reference))
        print(row(cases[-1]), end="", flush=True)
        bad += not 1 <= cases[-1]["ratio"] <= LIMIT
        write(args, cases)
    if bad:
        sys.exit(f"{bad} of {len(cases)} peaks are above the plan, or more than {LIMIT - 1:.0%} below it")


if __name__ == "__main__":
    main()
