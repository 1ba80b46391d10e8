"""Loads model folders with transformers and compares their fp32 log-probabilities with fixtures'.

    python tests/model/compare_export.py TOLERANCE FOLDER LOGPROBS.json [FOLDER LOGPROBS.json ...]
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def compare(folder, path, tolerance):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.decode(tokenizer("round trip")["input_ids"]) != "round trip":
        sys.exit(f"{folder}: the tokenizer does not round-trip")
    largest = 0.0
    with open(path) as f:
        rows = json.load(f)
    for row in rows:
        ids = torch.tensor(row["ids"])
        with torch.no_grad():
            logp = torch.log_softmax(model(ids[None]).logits[0].float(), -1)
        got = logp[torch.arange(len(ids) - 1), ids[1:]]
        largest = max(largest, float((got - torch.tensor(row["logprobs"])).abs().max()))
    print(f"{folder}: largest difference {largest:.3g}")
    if not largest <= tolerance:
        sys.exit(f"expected at most {tolerance}")


def main():
    if len(sys.argv) < 4 or len(sys.argv) % 2 != 0:
        sys.exit(__doc__)
    for folder, path in zip(sys.argv[2::2], sys.argv[3::2]):
        compare(folder, path, float(sys.argv[1]))


if __name__ == "__main__":
    main()
