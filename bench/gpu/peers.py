#!/usr/bin/env python3
"""PyTorch and transformers at the shapes of bench_gpu_kernels and bench_gpu_model, for the same run of bench/gpu/run: a
line of JSON for each. Every result is compared with a plain computation on a small case first. --small measures tiny
shapes, on the CPU where there is no GPU."""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

HEADS, KV_HEADS, HEAD_DIM, HIDDEN, FFN, VOCAB = 32, 8, 128, 4096, 14336, 128256
SEQS, LENGTH = 4, 4096


class Bench:
    def __init__(self, small, seconds):
        self.cuda = torch.cuda.is_available()
        self.device = "cuda" if self.cuda else "cpu"
        self.small, self.seconds = small, seconds
        torch.manual_seed(1)

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def time(self, call):
        """Seconds of one call: the median of five rounds of many."""
        for _ in range(3):
            call()
        self.wait()
        begin = time.perf_counter()
        call()
        self.wait()
        calls = int(min(max(self.seconds / 5 / max(time.perf_counter() - begin, 1e-7), 1), 2000))
        rounds = []
        for _ in range(5):
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            self.wait()
            rounds.append((time.perf_counter() - begin) / calls)
        return statistics.median(rounds)

    def random(self, *shape, dtype=torch.bfloat16, scale=1.0, grad=False):
        x = (torch.randn(*shape, device=self.device, dtype=torch.float32) * scale).to(dtype)
        return x.requires_grad_(grad)


def say(**facts):
    print(json.dumps(facts), flush=True)


def check(name, got, expected, tolerance):
    difference = float((got.double() - expected.double()).norm() / expected.double().norm())
    if not difference <= tolerance:
        raise RuntimeError(f"{name} differs from the plain computation by {difference:.3g} of its size")
    return difference


def plain_attention(q, k, v):
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1).float() for x in (k, v))
    scores = q.float() @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    mask = torch.ones(q.shape[2], q.shape[2], device=q.device, dtype=torch.bool).tril()
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v


def attention(b):
    def make(seqs, length, grad):
        return [b.random(seqs, h, length, HEAD_DIM if not b.small else 32, grad=grad)
                for h in ([HEADS, KV_HEADS, KV_HEADS] if not b.small else [4, 2, 2])]

    q, k, v = make(2, 70, False)
    got = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    difference = check("attention", got, plain_attention(q, k, v), 2e-2)
    seqs, length = (SEQS, LENGTH) if not b.small else (2, 48)
    q, k, v = make(seqs, length, True)
    flops = 2.0 * seqs * length * length * q.shape[1] * q.shape[3]
    with torch.no_grad():
        seconds = b.time(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))
    say(kernel="attention", peer="torch SDPA", seconds=seconds, flops=flops, difference=difference)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    dout = torch.randn_like(out)
    seconds = b.time(lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True))
    say(kernel="attention_backward", peer="torch SDPA", seconds=seconds, flops=2.5 * flops, difference=difference)


def rms_norm(x, w):
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5) * w).to(x.dtype)


def swiglu(x):
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


def rows(b):
    n, hidden, ffn = (SEQS * LENGTH, HIDDEN, FFN) if not b.small else (96, 64, 96)
    norm, act = torch.compile(rms_norm), torch.compile(swiglu)
    x, w = b.random(n, hidden), b.random(hidden, dtype=torch.float32)
    difference = check("rms_norm", norm(x, w), rms_norm(x.double(), w.double()), 2e-2)
    say(kernel="rms_norm", peer="torch.compile", seconds=b.time(lambda: norm(x, w)), bytes=4.0 * n * hidden,
        difference=difference)
    x = b.random(n, 2 * ffn)
    gate, up = x.double().chunk(2, dim=-1)
    difference = check("swiglu", act(x), gate * torch.sigmoid(gate) * up, 2e-2)
    say(kernel="swiglu", peer="torch.compile", seconds=b.time(lambda: act(x)), bytes=6.0 * n * ffn, difference=difference)


def products(b):
    n = 8192 if not b.small else 128
    x, w = b.random(n, n), b.random(n, n, scale=0.02)
    part = slice(0, min(n, 256))
    difference = check("product", F.linear(x, w)[part, part], x[part].double() @ w[part].double().T, 2e-2)
    say(kernel="product", peer="torch matmul", seconds=b.time(lambda: F.linear(x, w)), flops=2.0 * n**3, difference=difference)
    n, hidden, ffn = (SEQS * LENGTH, HIDDEN, FFN) if not b.small else (96, 64, 96)
    x, w = b.random(n, hidden), b.random(2 * ffn, hidden, scale=0.02)
    say(kernel="linear_forward", which="gate and up", peer="torch matmul", seconds=b.time(lambda: F.linear(x, w)),
        flops=4.0 * n * hidden * ffn, difference=difference)
    elements = 1 << 28 if not b.small else 1 << 12
    a, c = torch.randn(elements, device=b.device), torch.empty(elements, device=b.device)
    say(kernel="copy", peer="torch copy_", seconds=b.time(lambda: c.copy_(a)), bytes=8.0 * elements, difference=0.0)


def optimizer(b):
    elements = 1 << 28 if not b.small else 1 << 12
    parameter = torch.nn.Parameter(torch.randn(elements, device=b.device) * 0.02)
    parameter.grad = torch.randn(elements, device=b.device)
    before = parameter.detach()[:1000].double().clone()
    adamw = torch.optim.AdamW([parameter], lr=1e-4, weight_decay=0, fused=True)
    adamw.step()
    grad = parameter.grad[:1000].double()
    difference = check("AdamW", parameter.detach()[:1000], before - 1e-4 * grad / (grad.abs() + 1e-8), 1e-5)
    # Fused AdamW updates fp32 parameters in place (28 bytes each); ours also writes the bf16 weights (30).
    say(kernel="adamw", peer="torch AdamW, fused", seconds=b.time(adamw.step), bytes=28.0 * elements, difference=difference)


def head(b):
    """Log-probabilities of targets with the logits in one piece, as PyTorch programs take them."""
    n, hidden, vocab = (4096, HIDDEN, VOCAB) if not b.small else (32, 64, 512)
    w, h = b.random(vocab, hidden, scale=0.02), b.random(n, hidden)
    target = torch.randint(vocab, (n,), device=b.device)
    compiled = torch.compile(lambda h, w: -F.cross_entropy(F.linear(h, w).float(), target, reduction="none"))
    part = slice(0, min(n, 64))
    expected = (h[part].double() @ w.double().T).log_softmax(-1).gather(1, target[part, None])[:, 0]
    difference = check("lm_head", compiled(h, w)[part], expected, 2e-2)
    say(kernel="lm_head_logprob", peer="torch.compile", seconds=b.time(lambda: compiled(h, w)), flops=2.0 * n * hidden * vocab,
        difference=difference)


def generation(b):
    """transformers' generate with a static cache, greedy, all sequences of one length."""
    from transformers import LlamaConfig, LlamaForCausalLM
    sequences, context, steps = (256, 512, 32) if not b.small else (4, 24, 4)
    size = dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=32, num_attention_heads=HEADS,
                num_key_value_heads=KV_HEADS, intermediate_size=FFN)
    if b.small:
        size = dict(vocab_size=512, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                    intermediate_size=192)
    config = LlamaConfig(**size, max_position_embeddings=8192, rope_theta=500000.0, tie_word_embeddings=False,
                         bos_token_id=0, eos_token_id=None, pad_token_id=0)
    with torch.device(b.device):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
    ids = torch.randint(config.vocab_size, (sequences, context), device=b.device)
    best = None
    for name, extra in [("static cache", {"cache_implementation": "static"}), ("dynamic cache", {})]:
        def run(new):
            begin = time.perf_counter()
            with torch.inference_mode():
                out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new,
                                     do_sample=False, **extra)
            b.wait()
            assert out.shape == (sequences, context + new)
            return time.perf_counter() - begin
        try:
            run(steps + 1)
            run(1)
            seconds = (run(steps + 1) - run(1)) / steps
        except Exception as error:  # out of memory, or a compiler that is not there: the other way counts
            say(skipped=f"transformers generate, {name}", why=" ".join(str(error).split())[:200])
            continue
        if best is None or seconds < best[0]:
            best = (seconds, name)
    if best:
        say(model="generate", peer=f"transformers, {best[1]}", step_seconds=best[0], tokens_per_second=sequences / best[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--only", action="append", default=[])
    args = parser.parse_args()
    b = Bench(args.small, args.seconds)
    if not b.cuda and not args.small:
        sys.exit("peers.py: PyTorch sees no GPU")
    name = torch.cuda.get_device_name() if b.cuda else "CPU"
    say(peer="torch", version=torch.__version__, device=name)
    for part in [products, attention, rows, optimizer, head, generation]:
        if args.only and part.__name__ not in args.only:
            continue
        try:
            part(b)
        except Exception as error:
            say(skipped=part.__name__, why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if b.cuda:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
