#!/usr/bin/env python3
"""The comparison that bench/peers_gguf runs: exports of each family, and of SmolLM2, read by llama.cpp.

F32 files must give the program's log-probabilities; of the other types the mean Kullback-Leibler divergence from the F32
file's distributions is told. Positions that llama.cpp computes otherwise by design (beyond a window that it ignores) are
left out, and so are sequences for which it takes longrope's other factors. Texts must become the tokens that Hugging Face's
tokenizers make of them, but for what GGUF can't tell."""
import argparse
import datetime
import json
import pathlib
import platform
import shutil
import struct
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAMILIES = ROOT / "tests" / "model" / "fixtures" / "families"
TINY = FAMILIES.parent / "default_tied_f32"
TOKENIZERS = ROOT / "tests" / "text" / "fixtures"
# Spaces that an added token takes with it, NFC, marks that llama.cpp's tekken parts from their letters.
EXCUSED = {"llama2": [], "llama3": [], "smollm": [], "gpt2": ["<mask>"], "qwen2": ["e\u0301"], "tekken": ["\u093f", "\u093e"]}
TYPES = ["bf16", "f16", "q8_0"]
# ggml's GELU is a table of fp16 numbers.
ALLOWED = {"gemma": 3e-3, "gemma2": 3e-3, "gemma3": 3e-3}
IGNORED_WINDOWS = {"mistral", "qwen2", "qwen3", "phi3", "smollm3"}
LEAST_CONTEXT = 256  # llama.cpp's contexts are multiples of this
TEXT = ("The lighthouse keeper climbed the stairs every evening at dusk. One night a bottle lay on the rocks, and in it was a "
        "map of an island that nobody had ever seen. He read it twice, put on his coat and went down to the harbour.")


def run(*command, text=None):
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return done.stdout


class Comparison:
    def __init__(self, args):
        self.args = args
        self.work = pathlib.Path(args.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.rows, self.tokenizers = [], []

    def export(self, model, kind):
        path = self.work / f"export.{kind}.gguf"
        run(self.args.tpo, "export", model, path, "--to", "gguf", "--type", kind)
        return path

    def of_llama(self, path, sequences, context):
        """The log-probabilities of all tokens: [n, vocabulary] for each sequence."""
        lines = "".join(" ".join(map(str, ids)) + "\n" for ids in sequences)
        flat = np.frombuffer(run(self.args.logprobs, path, context, text=lines.encode()), np.float32)
        n_vocab = len(flat) // sum(map(len, sequences))
        bounds = np.cumsum([len(ids) * n_vocab for ids in sequences])[:-1]
        return [part.reshape(-1, n_vocab) for part in np.split(flat, bounds)]

    def of_tpo(self, model, sequences):
        lines = "".join(json.dumps({"ids": ids}) + "\n" for ids in sequences)
        out = run(self.args.tpo, "logprobs", "--model", model, "--dtype", "fp32", text=lines.encode())
        return [np.array(json.loads(line)["logprobs"]) for line in out.splitlines()]

    def compare(self, name, model, sequences, upto, context):
        """upto: positions whose next token is compared, from the first on."""
        expected = self.of_tpo(model, sequences)
        exact = self.of_llama(self.export(model, "f32"), sequences, context)
        gaps = [abs(all_of_them[np.arange(len(ids) - 1), ids[1:]] - own)[:upto]
                for ids, all_of_them, own in zip(sequences, exact, expected)]
        row = {"model": name, "positions": int(sum(map(len, gaps))), "f32": float(max(map(max, gaps)))}
        for kind in TYPES:
            rounded = self.of_llama(self.export(model, kind), sequences, context)
            kl = [(np.exp(a.astype(float)) * (a.astype(float) - b))[:upto].sum(1) for a, b in zip(exact, rounded)]
            row[kind] = float(np.concatenate(kl).mean())
        row["holds"] = row["f32"] <= ALLOWED.get(name, 1e-3)
        print(row, file=sys.stderr, flush=True)
        self.rows.append(row)

    def family(self, folder):
        config = json.loads((folder / "config.json").read_text())
        sequences = [row["ids"] for row in json.loads((folder / "logprobs.json").read_text())]
        upto = None
        if config.get("sliding_window") and config["model_type"] in IGNORED_WINDOWS:
            upto = config["sliding_window"]
        if original := config.get("original_max_position_embeddings"):
            sequences = [ids for ids in sequences if len(ids) > original]
        self.compare(folder.name, folder, sequences, upto, LEAST_CONTEXT)

    def tokenizer(self, name, excused):
        """The fixtures' tokenizers, each with a model of as many tokens. excused: marks of texts that may differ."""
        folder = self.work / "tokenizer"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(TOKENIZERS / name, folder)
        vocab = json.loads((folder / "tokenizer.json").read_text())
        n = 1 + max([*vocab["model"]["vocab"].values(), *(token["id"] for token in vocab["added_tokens"])])
        give_model(folder, n)
        rows = [json.loads(line) for line in (folder / "vectors.jsonl").read_text().splitlines()]
        texts = b"".join(struct.pack("<I", len(t := row["text"].encode())) + t for row in rows)
        out = run(self.args.logprobs, self.export(folder, "f16"), "tokens", text=texts).decode().split("\n")[:-1]
        differ = [row["text"] for row, line in zip(rows, out, strict=True) if row["ids"] != [int(i) for i in line.split()]]
        told = {"tokenizer": name, "texts": len(rows), "differ": len(differ),
                "holds": all(any(mark in text for mark in excused) for text in differ)}
        print(told, file=sys.stderr, flush=True)
        self.tokenizers.append(told)

    def smollm2(self):
        """The GGUF file as a checkpoint of fp32 weights, which a step of next to nothing leaves as they are."""
        pairs, checkpoint = self.work / "pairs.jsonl", self.work / "checkpoint.h5"
        pairs.write_text('{"prompt_ids":[1,2],"chosen_ids":[3],"rejected_ids":[4]}\n')
        run(self.args.tpo, "dpo", "--model", self.args.gguf, "--pairs", pairs, "--out", checkpoint, "--batch", 1, "--lr", 1e-12,
            "--dtype", "fp32")
        ids = [int(i) for i in run(self.args.tpo, "tokenize", "--model", checkpoint, text=TEXT.encode()).split()]
        self.compare("SmolLM2-135M", checkpoint, [ids], None, LEAST_CONTEXT)
        checkpoint.unlink()

    def write(self):
        name = f"{datetime.date.today()}-{cpu().replace(' ', '-')}-gguf"
        folder = pathlib.Path(self.args.results)
        (folder / f"{name}.json").write_text(json.dumps({"cpu": cpu(), "rows": self.rows, "tokenizers": self.tokenizers}, indent=1) + "\n")
        lines = [f"# Exports read by llama.cpp, {datetime.date.today()}, {cpu()}", "",
                 "`bench/peers_gguf`. F32: the largest difference from the program's log-probabilities; other types: mean",
                 "Kullback-Leibler divergence from the F32 file's distributions, nats a position, both in llama.cpp.", "",
                 "| model | positions | F32 | BF16 | F16 | Q8_0 |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [f"| {r['model']} | {r['positions']} | {r['f32']:.1e}{'' if r['holds'] else ' (!)'} | "
                  + " | ".join(f"{r[kind]:.1e}" for kind in TYPES) + " |" for r in self.rows]
        lines += ["", "Texts that become other tokens than in Hugging Face's tokenizers, for what GGUF can't tell:", "",
                  "| tokenizer | texts | differ |", "| --- | --- | --- |"]
        lines += [f"| {r['tokenizer']} | {r['texts']} | {r['differ']}{'' if r['holds'] else ' (!)'} |" for r in self.tokenizers]
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n")
        print(folder / f"{name}.md")


def give_model(folder, n_vocab):
    """Beside the tokenizer: the tiny Llama of the fixtures, with another embedding."""
    config = json.loads((TINY / "config.json").read_text()) | {"vocab_size": n_vocab}
    (folder / "config.json").write_text(json.dumps(config))
    data = (TINY / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    old, body, header = data[8 + size:], b"", {}
    for name, tensor in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        values = old[slice(*tensor["data_offsets"])]
        if name == "model.embed_tokens.weight":
            tensor["shape"][0] = n_vocab
            values = np.random.default_rng(0).normal(size=tensor["shape"]).astype(np.float32).tobytes()
        header[name] = tensor | {"data_offsets": [len(body), len(body) + len(values)]}
        body += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)


def cpu():
    if platform.system() == "Linux":
        with open("/proc/cpuinfo") as f:
            names = [line.split(":")[1] for line in f if line.startswith("model name")]
        return " ".join(names[0].replace("(R)", "").split()[:3]) if names else "CPU"
    return "CPU"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--tpo", "--logprobs", "--gguf", "--work", "--results"):
        parser.add_argument(option, required=True)
    parser.add_argument("--families-alone", action="store_true", help="without SmolLM2, which takes a minute")
    comparison = Comparison(parser.parse_args())
    for folder in sorted(FAMILIES.iterdir()):
        comparison.family(folder)
    for name, excused in EXCUSED.items():
        comparison.tokenizer(name, excused)
    if not comparison.args.families_alone:
        comparison.smollm2()
    comparison.write()
    sys.exit(0 if all(row["holds"] for row in comparison.rows + comparison.tokenizers) else 1)


if __name__ == "__main__":
    main()
