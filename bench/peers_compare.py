#!/usr/bin/env python3
"""The comparison that bench/peers runs: measures tpo and its peers turn by turn and writes a table and JSON.

Every measurement is checked: samples have the length that was asked for and do not depend on the batch, llama.cpp's
greedy text is ours, and the losses of both DPO steps agree."""
import argparse
import datetime
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

# What OpenMP's threads do while they wait for one another (OMP_WAIT_POLICY): spinning, "active", is a little faster on a
# quiet machine and many times slower on a busy one. The peers are tried both ways, and the better one counts.
# Of llama-quantize; "as is" is the file itself (Q4_1).
LLAMA_TYPES = ["as is", "F32", "F16", "BF16", "Q8_0", "Q4_0"]
STORY = ("Write a very long and detailed story about a keeper of a lighthouse who finds a map in a bottle, leaves the "
         "island and travels for many years. Describe every place and every person.")
LOSS_GAP = {"fp32": 1e-3, "bf16": 5e-2}
LEARNING_RATE = 1e-6


def say(text):
    print(text, file=sys.stderr, flush=True)


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def load_average():
    return round(os.getloadavg()[0], 2)


class Peers:
    def __init__(self, args):
        self.args = args
        self.work = pathlib.Path(args.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.checks = []
        self.cores = {}

    def run(self, command, wait="passive", who=None):
        """who: whose share of the cores this run counts for."""
        wall, cpu = time.perf_counter(), children_seconds()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=self.args.timeout,
                              env=os.environ | {"OMP_WAIT_POLICY": wait})
        if done.returncode != 0:
            sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        if who:
            self.cores.setdefault(who, []).append((children_seconds() - cpu) / (time.perf_counter() - wall))
        return done

    def check(self, what, good):
        self.checks.append({"what": what, "holds": bool(good)})
        say(f"  {'holds' if good else 'FAILS'}: {what}")

    # Batched generation

    def prompts(self):
        path = self.work / "prompts.jsonl"
        path.write_text(json.dumps({"id": "story", "instruction": STORY}) + "\n")
        return path

    def tpo_generate(self, batch, n_tokens, extra=()):
        """Tokens a second with `batch` samples of one prompt at once, its prefill and the sampling included."""
        out = self.work / "samples.jsonl"
        done = self.run([self.args.tpo, "generate", "--model", self.args.gguf, "--prompts", self.prompts(), "--jsonl",
                         "--out", out, "--thought", "none", "--k", batch, "--slots", batch, "--max-tokens", n_tokens,
                         "--threads", self.args.threads, *extra], who="tpo generate")
        samples = [json.loads(line) for line in out.read_text().splitlines()]
        speed = re.search(r"([\d.]+) tokens in ([\d.]+) s: ([\d.]+) tokens/s", done.stderr)
        if not speed:
            sys.exit(f"tpo generate printed no speed:\n{done.stderr}")
        return float(speed[3]), samples

    def llama_file(self, kind):
        if kind == "as is":
            return pathlib.Path(self.args.gguf)
        path = self.work / f"model-{kind}.gguf"
        if not path.exists():
            temp = path.with_suffix(".part")
            self.run([f"{self.args.llama}/llama-quantize", "--allow-requantize", self.args.gguf, temp, kind, self.args.threads])
            temp.rename(path)
        return path

    def llama_generate(self, kind, wait, batches, n_tokens):
        """{batch: line of llama-batched-bench}. Its tokens are random; it neither samples nor needs log-probabilities."""
        n_prompt, most = self.args.prompt_tokens, max(batches)
        done = self.run([f"{self.args.llama}/llama-batched-bench", "-m", self.llama_file(kind), "-c", most * (n_prompt + n_tokens) + 256,
                         "-b", 2048, "-ub", 512, "-npp", n_prompt, "-ntg", n_tokens, "-npl", ",".join(map(str, batches)),
                         "-t", self.args.threads, "-tb", self.args.threads, "-pps", "--output-format", "jsonl"], wait, "llama.cpp")
        lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
        found = {line["pl"]: line for line in lines}
        if set(found) != set(batches):
            sys.exit(f"llama-batched-bench measured batches {sorted(found)} of {batches}:\n{done.stderr[-2000:]}")
        return found

    def check_greedy(self):
        """fp32 against fp32, so that the argmax rarely hangs on rounding."""
        _, samples = self.tpo_generate(1, 24, ["--temperature", 0, "--dtype", "fp32"])
        rendered = subprocess.run([self.args.tpo, "template", "--model", self.args.gguf], text=True, capture_output=True,
                                  input=json.dumps([{"role": "user", "content": STORY}]), check=True).stdout
        theirs = self.run([f"{self.args.llama}/llama-simple", "-m", self.llama_file("F32"), "-ngl", 0, "-n", 24, rendered])
        self.check("24 greedy tokens of llama.cpp (F32) are those of tpo (fp32)", samples[0]["text"].strip() in theirs.stdout)

    def check_samples(self, by_batch, n_tokens):
        whole = all(s["n_tokens"] == n_tokens for samples in by_batch.values() for s in samples)
        self.check(f"every sample of tpo has {n_tokens} tokens", whole)
        first = {samples[0]["text"] for samples in by_batch.values()}
        self.check(f"sample 0 is the same text in batches of {', '.join(map(str, by_batch))}", len(first) == 1)

    def generation(self):
        args = self.args
        say("llama.cpp: which type is fastest here")
        screen = {}
        largest = max(args.batches)

        def try_out(kind, wait):
            found = self.llama_generate(kind, wait, args.batches, args.screen_tokens)
            screen[f"{kind}, {wait}"] = {b: line["speed_tg"] for b, line in found.items()}
            say(f"  {kind + ', ' + wait:14} " + "  ".join(f"{b}: {line['speed_tg']:.0f}" for b, line in found.items()) + " tokens/s")

        for wait in ["passive", "active"] if args.threads > 1 else ["passive"]:
            for kind in LLAMA_TYPES:
                try_out(kind, wait)
        kinds = {max(screen, key=lambda kind: screen[kind][b]) for b in args.batches}
        as_is = max((kind for kind in screen if kind.startswith("as is")), key=lambda kind: screen[kind][largest])
        kinds = sorted(kinds | {as_is})
        ours = {b: [] for b in args.batches}
        theirs = {kind: {b: [] for b in args.batches} for kind in kinds}
        samples = {}
        for turn in range(args.rounds):
            say(f"generation, round {turn + 1} of {args.rounds}, load {load_average()}")
            for b in args.batches:
                speed, samples[b] = self.tpo_generate(b, args.new_tokens)
                ours[b].append(speed)
            say(f"  {'tpo':14} " + "  ".join(f"{b}: {ours[b][-1]:.0f}" for b in args.batches))
            for kind in kinds:
                for b, line in self.llama_generate(*kind.split(", "), args.batches, args.new_tokens).items():
                    theirs[kind][b].append(line["speed_tg"])
                say(f"  {kind:14} " + "  ".join(f"{b}: {theirs[kind][b][-1]:.0f}" for b in args.batches))
        self.check_samples(samples, args.new_tokens)
        self.check_greedy()
        rows = []
        for b in args.batches:
            medians = {kind: statistics.median(theirs[kind][b]) for kind in kinds}
            best = max(medians, key=medians.get)
            mine = statistics.median(ours[b])
            ratios = [a / t for a, t in zip(ours[b], theirs[best][b])]
            rows.append({"sequences": b, "tpo": mine, "llama_as_is": medians[as_is], "llama_best": medians[best],
                         "llama_best_type": best, "ratio": statistics.median(ratios)})
        return {"unit": "tokens/s", "screen": screen, "tpo": ours, "llama": theirs, "rows": rows}

    # DPO step

    def tokenize(self, text):
        done = subprocess.run([self.args.tpo, "tokenize", "--model", self.args.gguf], input=text, capture_output=True,
                              text=True, check=True)
        return [int(token) for token in done.stdout.split()]

    def write_pairs(self):
        """Samples of one prompt, cut so that all sequences are equally long and PyTorch needs no padding."""
        args, path = self.args, self.work / "pairs.jsonl"
        n_response = args.sequence_tokens - args.prompt_tokens
        prompt = self.tokenize(STORY)
        prompt = (prompt * (args.prompt_tokens // len(prompt) + 1))[:args.prompt_tokens]
        _, samples = self.tpo_generate(3 * args.pairs, n_response + n_response // 4)
        texts = (self.tokenize(sample["text"]) for sample in samples)
        long = [ids[:n_response] for ids in texts if len(ids) >= n_response][:2 * args.pairs]
        if len(long) < 2 * args.pairs:
            sys.exit(f"only {len(long)} of {3 * args.pairs} samples have {n_response} tokens; lower --sequence-tokens")
        pairs = [{"prompt_ids": prompt, "chosen_ids": long[2 * i], "rejected_ids": long[2 * i + 1]} for i in range(args.pairs)]
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        return path

    def hf_folder(self, pairs):
        """The model as a folder that both read: what tpo exports after one step on one pair."""
        folder, start, one = self.work / "hf", self.work / "start.h5", self.work / "one.jsonl"
        if not (folder / "config.json").exists():
            one.write_text(pairs.read_text().splitlines()[0] + "\n")
            self.run([self.args.tpo, "dpo", "--model", self.args.gguf, "--pairs", one, "--out", start, "--dtype", "fp32",
                      "--batch", 1, "--epochs", 1, "--set", "train.save_optimizer=false"])
            self.run([self.args.tpo, "export", start, "--to", "hf", folder])
            start.unlink()
        return folder

    def tpo_dpo(self, folder, pairs, dtype):
        metrics, out = self.work / "metrics.jsonl", self.work / "trained.h5"
        self.run([self.args.tpo, "dpo", "--model", folder, "--pairs", pairs, "--out", out, "--dtype", dtype, "--batch",
                  self.args.pairs, "--epochs", self.args.steps, "--lr", LEARNING_RATE, "--schedule", "constant", "--warmup", 0,
                  "--no-shuffle", "--threads", self.args.threads, "--metrics", metrics, "--set", "train.save_optimizer=false"], who="tpo dpo")
        out.unlink()
        return [json.loads(line) for line in metrics.read_text().splitlines()]

    def torch_dpo(self, folder, pairs, dtype, micro, wait, steps):
        script = pathlib.Path(__file__).with_name("peers_dpo.py")
        done = self.run([self.args.python, script, "--model", folder, "--pairs", pairs, "--dtype", dtype, "--steps", steps,
                         "--threads", self.args.threads, "--micro", micro, "--lr", LEARNING_RATE], wait, "PyTorch")
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def fastest_torch(self, folder, pairs, dtype):
        """(micro-batch in pairs, how threads wait) of the fastest first step."""
        def seconds(choice):
            return self.torch_dpo(folder, pairs, dtype, *choice, 1)[0]["seconds"]
        tried = {(n, "passive"): None for n in self.args.micro_batches if n <= self.args.pairs}
        for choice in tried:
            tried[choice] = seconds(choice)
        if self.args.threads > 1:
            active = (min(tried, key=tried.get)[0], "active")
            tried[active] = seconds(active)
        say(f"  PyTorch {dtype}, first step: " + ", ".join(f"micro-batch {n} pairs, {wait} {s:.1f} s" for (n, wait), s in tried.items()))
        return min(tried, key=tried.get)

    def dpo(self):
        args, pairs = self.args, self.write_pairs()
        folder = self.hf_folder(pairs)
        tokens = 2 * args.pairs * args.sequence_tokens
        result = {"unit": "seconds a step", "tokens": tokens, "rows": [], "tpo": {}, "torch": {}}
        for dtype in args.dtypes:
            micro, wait = self.fastest_torch(folder, pairs, dtype)
            ours, theirs = [], []
            for turn in range(args.rounds):
                mine = self.tpo_dpo(folder, pairs, dtype)
                other = self.torch_dpo(folder, pairs, dtype, micro, wait, args.steps)
                # The first step of a process warms up, unless it is all there is.
                ours += [line["seconds"] for line in mine][min(1, args.steps - 1):]
                theirs += [line["seconds"] for line in other][min(1, args.steps - 1):]
                say(f"DPO {dtype}, round {turn + 1} of {args.rounds}, load {load_average()}: tpo {ours[-1]:.2f} s, PyTorch {theirs[-1]:.2f} s")
            gap = max(abs(a["loss"] - b["loss"]) for a, b in zip(mine, other))
            self.check(f"losses of {args.steps} {dtype} steps differ by {gap:.1e}, allowed {LOSS_GAP[dtype]:.0e}", gap <= LOSS_GAP[dtype])
            norms = mine[0]["grad_norm"] / other[0]["grad_norm"] - 1
            self.check(f"gradient norms of the first {dtype} step differ by {abs(norms):.1e} relative", abs(norms) <= LOSS_GAP[dtype])
            a, b = statistics.median(ours), statistics.median(theirs)
            result["tpo"][dtype], result["torch"][dtype] = ours, theirs
            result["rows"].append({"dtype": dtype, "tpo": a, "torch": b, "torch_micro_batch": micro, "torch_wait": wait, "ratio": b / a})
        return result


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def machine(args):
    version = subprocess.run([args.tpo, "--version"], capture_output=True, text=True).stdout
    isa = re.search(r"cpu \((\w+)\)", version)
    flags = re.search(r"^flags\s*:(.*)$", open("/proc/cpuinfo").read(), re.M)
    features = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if flags and f in flags[1].split()]
    torch = subprocess.run([args.python, "-c", "import torch, transformers; print(torch.__version__, transformers.__version__)"],
                           capture_output=True, text=True).stdout.split()
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "features": features, "isa": isa[1] if isa else "unknown",
            "threads": args.threads, "torch": torch[0] if torch else "", "transformers": torch[-1] if torch else ""}


def markdown(result):
    m, lines = result["machine"], []
    lines += [f"# Compared with llama.cpp and PyTorch, {result['date']}", "",
              f"{m['cpu']}, {m['cores']} cores ({', '.join(m['features'])}), {m['threads']} threads; tpo computes with {m['isa']}. "
              f"Load average {result['load_before']} before, {result['load_after']} after ({result['minutes']:.0f} minutes). "
              f"Medians of {result['rounds']} rounds, taken turn by turn; a ratio above 1 means that tpo is faster. "
              "Cores that each got of the machine (median, its start included): " + ", ".join(f"{who} {got}" for who, got in result["cores_got"].items()) + ".", ""]
    if "generation" in result:
        g = result["generation"]
        lines += [f"## Batched generation, SmolLM2-135M-Instruct: {result['prompt_tokens']} prompt and {result['new_tokens']} new tokens a sequence", "",
                  "| sequences | tpo, tokens/s | llama.cpp Q4_1 (as is) | llama.cpp, its best type | ratio to its best |", "| ---: | ---: | ---: | ---: | ---: |"]
        lines += [f"| {r['sequences']} | {r['tpo']:.0f} | {r['llama_as_is']:.0f} | {r['llama_best']:.0f} ({r['llama_best_type']}) | {r['ratio']:.2f} |" for r in g["rows"]]
        lines += ["", "tpo's figures hold the prompt's prefill, sampling at temperature 0.8 and top-p 0.95, and log-probabilities; llama.cpp's are "
                  "llama-batched-bench's text generation alone. Its types, and how its threads wait, tried once with "
                  f"{result['screen_tokens']} new tokens (tokens/s):", ""]
        lines += ["| type | " + " | ".join(str(r["sequences"]) for r in g["rows"]) + " |", "| --- |" + " ---: |" * len(g["rows"])]
        lines += [f"| {kind} | " + " | ".join(f"{speeds[r['sequences']]:.0f}" for r in g["rows"]) + " |" for kind, speeds in g["screen"].items()]
        lines += [""]
    if "dpo" in result:
        d = result["dpo"]
        lines += [f"## DPO step, {result['pairs']} pairs, {d['tokens']} tokens", "", f"PyTorch {m['torch']}, transformers {m['transformers']}; weights and optimizer fp32 on both sides.", "",
                  "| arithmetic | tpo, s | tpo, tokens/s | PyTorch, s | PyTorch, tokens/s | ratio |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
        lines += [f"| {r['dtype']} | {r['tpo']:.2f} | {d['tokens'] / r['tpo']:.0f} | {r['torch']:.2f} | {d['tokens'] / r['torch']:.0f} | {r['ratio']:.2f} |" for r in d["rows"]]
        lines += [""]
    lines += ["## Checks", ""] + [f"- {'holds' if c['holds'] else '**fails**'}: {c['what']}" for c in result["checks"]]
    return "\n".join(lines) + "\n"


def parse():
    parser = argparse.ArgumentParser(description="speed of tpo beside llama.cpp's and PyTorch's, in one run")
    for name in ("tpo", "llama", "python", "gguf", "work", "results"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["generate", "dpo"], help="one half of the comparison")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every program (default: all cores)")
    parser.add_argument("--batches", type=lambda s: [int(n) for n in s.split(",")], default=[1, 8, 32, 64], help="sequences at once (default 1,8,32,64)")
    parser.add_argument("--prompt-tokens", type=int, default=64, help="of llama.cpp and of a pair (default 64; tpo's prompt is about as long)")
    parser.add_argument("--new-tokens", type=int, default=128, help="generated a sequence (default 128)")
    parser.add_argument("--screen-tokens", type=int, default=16, help="generated when llama.cpp's types are tried (default 16)")
    parser.add_argument("--pairs", type=int, default=8, help="of a DPO step (default 8)")
    parser.add_argument("--sequence-tokens", type=int, default=300, help="prompt and response of a pair (default 300)")
    parser.add_argument("--micro-batches", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2, 8], help="pairs in a forward pass that PyTorch tries (default 1,2,8)")
    parser.add_argument("--steps", type=int, default=3, help="DPO steps a turn, the first not counted (default 3)")
    parser.add_argument("--dtypes", type=lambda s: s.split(","), default=["fp32", "bf16"], help="of the DPO step (default fp32,bf16)")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds that any one program may take (default 1800)")
    return parser.parse_args()


def main():
    args = parse()
    peers, begin, before = Peers(args), time.time(), load_average()
    result = {"date": datetime.date.today().isoformat(), "machine": machine(args), "load_before": before, "rounds": args.rounds,
              "prompt_tokens": args.prompt_tokens, "new_tokens": args.new_tokens, "screen_tokens": args.screen_tokens, "pairs": args.pairs}
    if args.only != "dpo":
        result["generation"] = peers.generation()
    if args.only != "generate":
        result["dpo"] = peers.dpo()
    result |= {"cores_got": {who: round(statistics.median(got), 2) for who, got in peers.cores.items()}, "load_after": load_average(), "minutes": (time.time() - begin) / 60, "checks": peers.checks}
    results = pathlib.Path(args.results)
    results.mkdir(parents=True, exist_ok=True)
    cpu = re.sub(r"[^A-Za-z0-9]+", "-", re.sub(r"\((R|TM)\)", "", cpu_name())).strip("-")
    name = results / (f"{result['date']}-{cpu}-{result['machine']['isa']}-{args.threads}-threads" + (f"-{args.only}" if args.only else ""))
    name.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    name.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))
    say(f"{name}.md and .json")
    return 0 if all(check["holds"] for check in peers.checks) else 1


if __name__ == "__main__":
    sys.exit(main())
