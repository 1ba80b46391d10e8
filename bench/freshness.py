#!/usr/bin/env python3
"""How often the sampler is refreshed, with thoughts and without: six runs of the study's model at equal samples.

    bench/freshness.py                     # runs what isn't finished, then writes bench/results/freshness/tables.md
    bench/freshness.py --only thinking-10  # one of the runs
    bench/freshness.py --plan              # what each run would take; runs nothing

Thinking and direct (configs/smollm2-study*.yaml), each with samples drawn anew for every iteration of 40 instructions
(run.sync_steps 0, as in the paper), every 10 steps and every step. All six see the same 160 instructions in the same order,
4 samples of each, at one learning rate, and are validated at the same four places on the same held-back instructions.
What isn't equal: in an iteration an update is of 2 pairs, so there are fewer of them where instructions make no pair, and
AdamW's moments begin anew in each iteration; with steps an update is of the pairs that 2 instructions make, and the moments are
kept. The tables tell the updates made.
Stopped anywhere, the same command goes on. Needs h5py and numpy; made for two quiet cores, at most 25 minutes a run."""
import argparse
import datetime
import os
import pathlib
import subprocess
import sys

import study

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASES = {"thinking": "configs/smollm2-study.yaml", "direct": "configs/smollm2-study-direct.yaml"}
BATCH, INTERVALS, STEPS = 2, 4, 20  # instructions a step; validations; steps between two of them
# What is equal in all runs. A constant rate, since schedules would span an iteration in one and the run in another; one
# reference, since "previous" would be refreshed at other times too; no length penalty, since the one that is found for an
# iteration looks at its own samples and the one between steps at those before.
EQUAL = {"seed": 1, "data.validation_prompts": 128, "sampling.k": 4, "train.batch": BATCH, "train.schedule": "constant",
         "train.warmup": 0, "train.epochs": 1, "thought.response_tokens": 80, "sampling.max_tokens": 128,
         "run.reference": "start", "pairs.length_penalty": 0, "run.validation_k": 1, "run.kl_outputs": 0, "run.tensorboard": "false",
         "run.baseline": "null"}
EVERY = {0: {"run.iterations": INTERVALS, "data.prompts_per_iteration": BATCH * STEPS}}
for s in (10, 1):
    EVERY[s] = {"run.sync_steps": s, "run.steps": INTERVALS * STEPS, "run.checkpoint_steps": STEPS}
NAMES = [f"{layout}-{s}" for s in EVERY for layout in BASES]


def config(name, folder):
    """The run's configuration file, made of its base: a key given here takes the place of the base's line."""
    layout, s = name.rsplit("-", 1)
    values = {**EQUAL, **EVERY[int(s)], "run.dir": folder / name}
    lines, section, written = [], "", set()
    for line in (ROOT / BASES[layout]).read_text().splitlines():
        key = line.split(":")[0].strip() if ":" in line and not line.lstrip().startswith("#") else ""
        if key and not line.startswith(" "):
            section = key
        path = key if section == key else f"{section}.{key}"
        if key and path not in ("run.iterations", "data.prompts_per_iteration") and path not in values:
            lines.append(line)
        if key and section == key and not line.split(":", 1)[1].split("#")[0].strip():
            for other, value in values.items():
                if other.startswith(f"{section}."):
                    lines.append(f"  {other.split('.', 1)[1]}: {value}")
                    written.add(other)
    lines += [f"{key}: {value}" for key, value in values.items() if "." not in key]
    lost = {key for key in values if "." in key} - written
    if lost:
        raise SystemExit(f"{BASES[layout]} has no section for {', '.join(sorted(lost))}")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def call(args, name, folder, *more):
    command = ["mpirun", "-n", str(args.ranks)] if args.ranks > 1 and not args.plan else []
    command += [str(args.tpo), "run", str(config(name, folder)), *more]
    for setting in args.set:
        command += ["--set", setting]
    print("+", " ".join(command), file=sys.stderr, flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def run(args, name, folder):
    if args.plan:
        return call(args, name, folder, "--plan-only")
    resume = ["--resume"] if (folder / name / "manifest.json").exists() else []
    return call(args, name, folder, *resume)


def finished(folder, name):
    try:
        found = study.Run(folder / name)
        found.validation(INTERVALS)
        return found
    except (OSError, ValueError):  # no such run yet, or not all of its validations
        return None


def total(run, name, key):
    return sum(e.get(key, 0) for e in run.events if e["event"] == name)


def updates(run):
    """Optimizer updates made, over all iterations; a step without a pair makes none."""
    return sum(e["event"] == "step" and not e.get("skipped", False) for e in run.events)


def gains(runs):
    lines = ["| run | instructions | pairs | updates | score, start | "
             + " | ".join(f"gain after {BATCH * STEPS * t}" for t in range(1, INTERVALS + 1))
             + " | thought, tokens | response, tokens | repetition | minutes |", "| --- |" + " --- |" * (INTERVALS + 8)]
    for name, run in runs.items():
        start, end = run.validation(0)[1], run.validation(INTERVALS)[1]
        mean, error = study.mean_error(start["score"])
        found = [study.signed(run.validation(t)[1]["score"] - start["score"]) for t in range(1, INTERVALS + 1)]
        repeats = [run.event("validate", t).get("repetition") for t in (0, INTERVALS)]
        lines.append(f"| {name} | {total(run, 'pairs', 'prompts')} | {total(run, 'pairs', 'pairs')} | {updates(run)} | {mean:.3f} ± {error:.3f} | "
                     + " | ".join(found) + f" | {start['thought'].mean():.1f} to {end['thought'].mean():.1f} "
                     f"| {start['response'].mean():.1f} to {end['response'].mean():.1f} "
                     f"| {study.number(repeats[0])} to {study.number(repeats[1])} | {run.seconds() / 60:.0f} |")
    return lines


def difference(runs, one, other):
    """The difference between two runs' gains, paired by instruction, so that where they started doesn't count."""
    if one not in runs or other not in runs:
        return "–"
    ends = {}
    for name in (one, other):
        (ids, start), (again, end) = runs[name].validation(0), runs[name].validation(INTERVALS)
        ends[name] = (ids, end["score"] - start["score"])
        if ids != again:
            raise SystemExit(f"{name}: its validations are of different instructions")
    if ends[one][0] != ends[other][0]:
        raise SystemExit(f"{one} and {other} have different validation instructions")
    return study.signed(ends[one][1] - ends[other][1])


def comparisons(runs):
    lines = ["| samples drawn anew | thinking: gain more than with iterations | direct: the same | thinking's gain − direct's |",
             "| --- | --- | --- | --- |"]
    for s in EVERY:
        often = "every step" if s == 1 else f"every {s} steps" if s else f"every iteration ({BATCH * STEPS} instructions)"
        fresh = [difference(runs, f"{layout}-{s}", f"{layout}-0") if s else "–" for layout in BASES]
        lines.append(f"| {often} | {fresh[0]} | {fresh[1]} | {difference(runs, f'thinking-{s}', f'direct-{s}')} |")
    return lines


def write_tables(args, folder):
    runs = {name: found for name in NAMES if (found := finished(folder, name))}
    if not runs:
        print("no run is finished yet", file=sys.stderr)
        return
    n = len(next(iter(runs.values())).validation(0)[0])
    lines = [f"{n} held-back instructions; standard errors over instructions, all differences paired by instruction. One seed of sampling "
             "and training: what another would change is not in the errors.", "",
             f"Not equal in all runs: with iterations (-0) an update is of {BATCH} pairs, so there are fewer where instructions make no pair, "
             "and AdamW's moments begin anew in each iteration; with steps (-10, -1) an update is of the pairs that "
             f"{BATCH} instructions make, and the moments are kept.", ""]
    lines += gains(runs) + [""] + comparisons(runs)
    missing = [name for name in NAMES if name not in runs]
    if missing:
        lines += ["", "Not finished: " + ", ".join(missing) + "."]
    lines += ["", f"{datetime.date.today()}, {study.cpu()}, {args.ranks} rank(s) a run. {args.note}".rstrip()]
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tables.md").write_text("\n".join(lines) + "\n")
    for name in runs:
        (out / f"{name}.metrics.jsonl").write_bytes((folder / name / "metrics.jsonl").read_bytes())
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=NAMES, help="may be repeated; without it, all six")
    parser.add_argument("--plan", action="store_true", help="--plan-only of each run")
    parser.add_argument("--tables", action="store_true", help="the tables of what is finished; runs nothing")
    parser.add_argument("--runs", default=ROOT / "runs/freshness", help="folder of the run folders")
    parser.add_argument("--out", default=ROOT / "bench/results/freshness", help="folder of the tables")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--tpo", default=ROOT / "build/cpu/tpo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for every run; may be repeated")
    parser.add_argument("--note", default="", help="a sentence about the machine's load")
    args = parser.parse_args()
    folder = pathlib.Path(args.runs).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in [] if args.tables else args.only or NAMES:
        status = run(args, name, folder)
        if status:
            raise SystemExit(f"{name} ended with status {status}; the same command goes on with it")
    if not args.plan:
        write_tables(args, folder)


if __name__ == "__main__":
    os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
    main()
