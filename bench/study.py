#!/usr/bin/env python3
"""The tables of a study from the folders of two runs, one that thinks and its direct baseline.

    bench/study.py runs/smollm2-study runs/smollm2-study-direct --out bench/results/smollm2-study

Needs h5py and numpy. Every figure is taken from the runs' own files: validation.h5 for the scores and lengths,
metrics.jsonl for training. Standard errors are over instructions; differences are paired by instruction."""
import argparse
import datetime
import json
import pathlib
import platform
import shutil

import h5py
import numpy


def texts(dataset):
    return [t.decode() for t in dataset[:]]


class Run:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.manifest = json.loads((self.folder / "manifest.json").read_text())
        self.events = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        self.iterations = max(s["iteration"] for s in self.manifest["steps"])

    def event(self, name, iteration, **match):
        for e in self.events:
            if e["event"] == name and e["iteration"] == iteration and all(e.get(k) == v for k, v in match.items()):
                return e
        return {}

    def seconds(self):
        return sum(s["seconds"] for s in self.manifest["steps"])

    def validation(self, iteration):
        """Means over each instruction's outputs: {name: [instructions]}, in the order of the file."""
        unparsed = self.event("validate", iteration).get("unparsed_score", -1.0)
        with h5py.File(self.folder / f"iter-{iteration:03d}" / "validation.h5") as f:
            ids, scored = texts(f["prompt_id"]), f["scored"][:].astype(bool)
            tokens = numpy.diff(f["token_offset"][:])
            thought = f["n_thought_tokens"][:]
            columns = {"score": numpy.where(scored, f["score"][:], unparsed), "format": f["format_ok"][:].astype(float),
                       "thought": thought.astype(float), "response": (tokens - thought).astype(float)}
        order = list(dict.fromkeys(ids))
        place = {name: i for i, name in enumerate(order)}
        rows = numpy.array([place[i] for i in ids])
        count = numpy.bincount(rows)
        return order, {name: numpy.bincount(rows, values) / count for name, values in columns.items()}

    def checks(self, iteration):
        """How the rule judge's checks went in validation: {type: [passed or not, of each output that has it]}."""
        found = {}
        with h5py.File(self.folder / f"iter-{iteration:03d}" / "validation.h5") as f:
            for detail in map(json.loads, texts(f["score_detail"])):
                for check in detail.get("checks", []):
                    found.setdefault(check["type"], []).append(bool(check["passed"]))
        return found


def mean_error(values):
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def signed(difference):
    mean, error = mean_error(difference)
    return f"{mean:+.3f} ± {error:.3f} ({abs(mean) / error:.1f} s.e.)" if error > 0 else f"{mean:+.3f}"


def number(value, form="{:.3f}"):
    return form.format(value) if isinstance(value, (int, float)) else "–"


def validation_table(runs):
    lines = ["| iteration | | score | gain over the start model | layout kept | thought, tokens | response, tokens |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for t in range(min(r.iterations for r in runs.values()) + 1):
        for name, run in runs.items():
            _, start = run.validation(0)
            _, now = run.validation(t)
            mean, error = mean_error(now["score"])
            gain = signed(now["score"] - start["score"]) if t else "–"
            lines.append(f"| {t} | {name} | {mean:.3f} ± {error:.3f} | {gain} | {100 * now['format'].mean():.1f} % "
                         f"| {now['thought'].mean():.1f} | {now['response'].mean():.1f} |")
    return lines


def difference_table(think, direct):
    lines = ["| iteration | thinking − direct, score | wins of thinking over direct |", "| --- | --- | --- |"]
    for t in range(min(think.iterations, direct.iterations) + 1):
        ids, ours = think.validation(t)
        other, theirs = direct.validation(t)
        if ids != other:
            raise SystemExit("the two runs have different validation instructions")
        win = think.event("win_rate", t, against="baseline")
        lines.append(f"| {t} | {signed(ours['score'] - theirs['score'])} | {number(win.get('win_rate'), '{:.1%}')} |")
    return lines


def training_table(runs):
    lines = ["| iteration | | mean score of samples | best / worst of 8 | pairs | rho | loss, first / last step | KL to the start, nats an output "
             "| repetition | wins over the iteration before |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for t in range(1, min(r.iterations for r in runs.values()) + 1):
        for name, run in runs.items():
            judge, pairs, sample = run.event("judge", t), run.event("pairs", t), run.event("sample", t)
            steps = [e for e in run.events if e["event"] == "step" and e["iteration"] == t]
            kl, win = run.event("kl", t), run.event("win_rate", t, against="previous")
            lines.append(f"| {t} | {name} | {judge['mean_score']:.3f} | {judge['best_score']:.3f} / {judge['worst_score']:.3f} "
                         f"| {pairs['pairs']} | {pairs['rho']:.2f} | {steps[0]['loss']:.3f} / {steps[-1]['loss']:.3f} "
                         f"| {number(kl.get('per_output'), '{:.2f}')} | {number(sample.get('repetition'))} | {number(win.get('win_rate'), '{:.1%}')} |")
    return lines


def checks_table(runs):
    """Shares of outputs that pass a check, of those that 20 outputs or more have; the most changed first."""
    ends = {name: (run.checks(0), run.checks(run.iterations)) for name, run in runs.items()}
    rows = {}
    for kind in sorted({k for start, end in ends.values() for k in start.keys() & end.keys()}):
        if all(len(of.get(kind, [])) >= 20 for pair in ends.values() for of in pair):
            rows[kind] = [[numpy.mean(of[kind]) for of in pair] for pair in ends.values()]
    names = list(runs)
    lines = ["| check | " + " | ".join(f"{name}: passed at the start, at the end" for name in names) + " |",
             "| --- |" + " --- |" * len(names)]
    for kind, shares in sorted(rows.items(), key=lambda row: -max(abs(b - a) for a, b in row[1])):
        lines.append(f"| `{kind}` | " + " | ".join(f"{a:.0%}, {b:.0%}" for a, b in shares) + " |")
    return lines


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("thinking")
    parser.add_argument("direct")
    parser.add_argument("--out", required=True)
    parser.add_argument("--note", default="", help="a sentence about the machine's load")
    args = parser.parse_args()
    runs = {"thinking": Run(args.thinking), "direct": Run(args.direct)}
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        shutil.copy(run.folder / "metrics.jsonl", out / f"{name}.metrics.jsonl")
        shutil.copy(run.folder / "config.yaml", out / f"{name}.config.yaml")
    n = len(runs["thinking"].validation(0)[0])
    lines = [f"Validation: {n} held-back instructions; standard errors over instructions, differences paired by instruction.", ""]
    lines += validation_table(runs) + [""] + difference_table(runs["thinking"], runs["direct"]) + [""] + training_table(runs)
    lines += [""] + checks_table(runs)
    minutes = ", ".join(f"{name} {run.seconds() / 60:.0f} minutes on {run.manifest['ranks']} rank(s)" for name, run in runs.items())
    lines += ["", f"{datetime.date.today()}, {cpu()}: {minutes}. {args.note}".rstrip()]
    (out / "tables.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
