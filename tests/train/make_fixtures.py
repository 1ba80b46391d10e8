#!/usr/bin/env python3
"""Writes the fixtures of tests/train: a tiny random Llama model, preference pairs on token ids, and what PyTorch and
transformers say of them: losses, gradients, and the weights after six steps of AdamW.

    python tests/train/make_fixtures.py        # needs torch, transformers, safetensors

Everything is computed in fp32 on one thread (the sums of log-probabilities in double), with the losses written out below.
Reference log-probabilities are the model's own moved by fixed offsets, so that no loss is at its symmetric point.
"""
import json
import math
import os

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "tiny")
BETA = 0.3
SETTINGS = {
    "dpo": {},
    "smoothed": {"label_smoothing": 0.1},
    "ipo": {"loss": "ipo"},
    "nll": {"nll": 0.7},
}
STEPS = {"learning_rate": 0.01, "warmup": 0.3, "weight_decay": 0.1, "adam_beta1": 0.9, "adam_beta2": 0.98,
         "adam_eps": 1e-6, "grad_clip": 2.5, "batch": 4, "epochs": 2}


def make_model():
    torch.manual_seed(5)
    config = LlamaConfig(vocab_size=37, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-5,
                         rope_theta=10000.0, tie_word_embeddings=False, initializer_range=0.25, bos_token_id=1,
                         eos_token_id=2, attn_implementation="eager")
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    return model


def make_pairs(n=10):
    generator = torch.Generator().manual_seed(11)
    draw = lambda low, high, count: torch.randint(low, high, (count,), generator=generator).tolist()
    pairs = []
    for i in range(n):
        n_prompt, n_chosen, n_rejected = draw(1, 9, 1)[0], draw(1, 14, 1)[0], draw(1, 14, 1)[0]
        pair = {"id": f"p{i}", "prompt_ids": draw(0, 37, n_prompt), "chosen_ids": draw(0, 37, n_chosen),
                "rejected_ids": draw(0, 37, n_rejected)}
        for side in ("chosen", "rejected"):
            mask = draw(0, 4, len(pair[side + "_ids"]))
            pair[side + "_mask"] = [1 if m else 0 for m in mask]
            pair[side + "_mask"][-1] = 1
        pairs.append(pair)
    return pairs


def output_logprob(model, pair, side):
    """Sum of the log-probabilities of the output's tokens that carry loss."""
    ids = torch.tensor([pair["prompt_ids"] + pair[side + "_ids"]])
    logprobs = torch.log_softmax(model(ids).logits[0].float(), -1)
    at = torch.arange(len(pair["prompt_ids"]), ids.shape[1])
    picked = logprobs[at - 1, ids[0, at]].double()
    return (picked * torch.tensor(pair[side + "_mask"])).sum()


def pair_loss(model, pair, settings):
    chosen, rejected = (output_logprob(model, pair, side) for side in ("chosen", "rejected"))
    h = (chosen - pair["ref_chosen"]) - (rejected - pair["ref_rejected"])
    if settings.get("loss") == "ipo":
        loss = (h - 1 / (2 * BETA)) ** 2
    else:
        smoothing = settings.get("label_smoothing", 0)
        log_sigmoid = torch.nn.functional.logsigmoid
        loss = -(1 - smoothing) * log_sigmoid(BETA * h) - smoothing * log_sigmoid(-BETA * h)
    loss = loss - settings.get("nll", 0) * chosen / sum(pair["chosen_mask"])
    return loss, BETA * h, chosen, rejected


def backward(model, pairs, settings):
    """Mean loss over pairs, gradients left in the model; the metrics of the batch."""
    model.zero_grad()
    total = {"loss": 0.0, "accuracy": 0.0, "margin": 0.0, "chosen_logprob": 0.0, "rejected_logprob": 0.0}
    for pair in pairs:
        loss, margin, chosen, rejected = pair_loss(model, pair, settings)
        (loss / len(pairs)).backward()
        values = {"loss": loss, "accuracy": margin > 0, "margin": margin, "chosen_logprob": chosen,
                  "rejected_logprob": rejected}
        for key, value in values.items():
            total[key] += float(value) / len(pairs)
    total["grad_norm"] = math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters()))
    return total


def learning_rate(step, n_steps):
    warm = math.ceil(STEPS["warmup"] * n_steps)
    if step < warm:
        return STEPS["learning_rate"] * (step + 1) / warm
    return STEPS["learning_rate"] * 0.5 * (1 + math.cos(math.pi * (step - warm) / (n_steps - warm)))


def train(model, pairs):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(STEPS["adam_beta1"], STEPS["adam_beta2"]),
                                  eps=STEPS["adam_eps"], weight_decay=STEPS["weight_decay"])
    batch = STEPS["batch"]
    per_epoch = math.ceil(len(pairs) / batch)
    n_steps, lines = per_epoch * STEPS["epochs"], []
    for step in range(n_steps):
        at = step % per_epoch * batch
        line = backward(model, pairs[at:at + batch], {})
        torch.nn.utils.clip_grad_norm_(model.parameters(), STEPS["grad_clip"])
        line["lr"] = optimizer.param_groups[0]["lr"] = learning_rate(step, n_steps)
        optimizer.step()
        lines.append({"step": step, **line})
    return lines


def main():
    torch.set_num_threads(1)
    model = make_model()
    os.makedirs(FOLDER, exist_ok=True)
    model.save_pretrained(FOLDER)
    pairs = make_pairs()
    offsets = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for pair in pairs:
            for side in ("chosen", "rejected"):
                own = float(output_logprob(model, pair, side))
                pair["logprob_" + side] = own
                pair["ref_" + side] = own + float(torch.empty(1).uniform_(-3, 3, generator=offsets))
    with open(os.path.join(HERE, "pairs.jsonl"), "w") as out:
        for pair in pairs:
            out.write(json.dumps(pair, separators=(",", ":")) + "\n")

    tensors, numbers = {}, {}
    for name, settings in SETTINGS.items():
        numbers[name] = backward(model, pairs, settings)
        for key, parameter in model.named_parameters():
            tensors[f"{name}/{key}"] = parameter.grad.clone()
    numbers["steps"] = train(model, pairs)
    for key, parameter in model.named_parameters():
        tensors[f"after/{key}"] = parameter.detach().clone()
    save_file(tensors, os.path.join(HERE, "expected.safetensors"))
    numbers["settings"] = {"beta": BETA, **STEPS}
    with open(os.path.join(HERE, "expected.json"), "w") as out:
        json.dump(numbers, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
