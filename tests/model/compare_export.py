"""Loads a model folder with transformers and compares its fp32 log-probabilities with a fixture's.

    python tests/model/compare_export.py FOLDER LOGPROBS.json TOLERANCE
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    folder, path, tolerance = sys.argv[1], sys.argv[2], float(sys.argv[3])
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
    sys.exit(0 if largest <= tolerance else f"expected at most {tolerance}")


if __name__ == "__main__":
    main()
