#!/usr/bin/env python3
"""PyTorch's side of bench/peers: plain DPO steps on a Hugging Face model folder, a JSON line a step.

Written to serve PyTorch well: no padding (all sequences are equally long), logits only where the loss is,
scaled-dot-product attention, fused AdamW, reference log-probabilities computed before the clock starts.
The weights are fp32; with --dtype bf16 the forward pass runs under autocast."""
import argparse
import contextlib
import json
import time

import torch
from transformers import AutoModelForCausalLM


def sequences(pairs, responses):
    return torch.tensor([pair["prompt_ids"] + pair[response] for pair in pairs for response in responses])


def response_logprobs(model, ids, n_prompt, autocast):
    """Sum of the log-probabilities of each row's response: [rows]."""
    with autocast():
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, n_prompt - 1:-1]
        logits = model.lm_head(hidden)
    targets = ids[:, n_prompt:]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return -losses.view(targets.shape).sum(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--micro", type=int, default=2, help="pairs in one forward pass")
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--beta", type=float, default=0.1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    with open(args.pairs) as lines:
        pairs = [json.loads(line) for line in lines]
    n_prompt = len(pairs[0]["prompt_ids"])
    groups = [sequences(pairs[i:i + args.micro], ("chosen_ids", "rejected_ids")) for i in range(0, len(pairs), args.micro)]
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="sdpa")
    model.train()
    autocast = contextlib.nullcontext
    if args.dtype == "bf16":
        autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    with torch.no_grad():
        references = [response_logprobs(model, ids, n_prompt, autocast) for ids in groups]
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0, fused=True)

    for step in range(args.steps):
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        total, chosen = 0.0, 0.0
        for ids, reference in zip(groups, references):
            logprobs = response_logprobs(model, ids, n_prompt, autocast)
            ratio = logprobs - reference
            loss = -torch.nn.functional.logsigmoid(args.beta * (ratio[0::2] - ratio[1::2])).sum() / len(pairs)
            loss.backward()
            total += loss.item()
            chosen += logprobs[0::2].sum().item() / len(pairs)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        optimizer.step()
        print(json.dumps({"step": step, "loss": total, "chosen_logprob": chosen, "grad_norm": norm,
                          "seconds": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()
