"""Markdown of what bench_gpu_kernels, bench_gpu_model and peers.py measured, from their lines of JSON; for bench/gpu/run and
tests/gpu/run --first-hour."""


def scaled(value):
    for size, unit in [(1e12, "T"), (1e9, "G"), (1e6, "M")]:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} "


def duration(seconds):
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


class Tables:
    """`lines` are the programs', `peers` those of PyTorch beside them."""

    def __init__(self, lines, peers=()):
        self.lines, self.peers = lines, peers

    def ceiling(self, name):
        return next((line["per_second"] for line in self.lines if line.get("ceiling") == name), None)

    def limit(self, bytes_moved, flops):
        """(least seconds by the ceilings of this run, what sets them)"""
        copy, product = self.ceiling("copy"), self.ceiling("product")
        if not copy or not product:
            return None, ""
        by_memory, by_arithmetic = bytes_moved / copy, flops / product
        return max(by_memory, by_arithmetic), "memory" if by_memory >= by_arithmetic else "products"

    def peer_of(self, line):
        for peer in self.peers:
            if peer.get("kernel") == line["kernel"] and line["group"] in ("training", "update") and \
                    peer.get("which", "") in line["what"]:
                return f"{duration(peer['seconds'])} ({peer['peer']})"
        return ""

    def kernels(self):
        out = []
        for group, title in [("training", "Training: packed rows"), ("generation", "Generation: one row a sequence"),
                             ("update", "Loss and optimizer"), ("loading", "Loading")]:
            found = [line for line in self.lines if line.get("group") == group and "seconds" in line]
            if not found:
                continue
            out += [f"## {title}", "", "| kernel | shape | time | rate | of the limit | limit | PyTorch |",
                    "| --- | --- | --- | --- | --- | --- | --- |"]
            for line in found:
                least, what = self.limit(line["bytes"], line["flops"])
                rate = (scaled(line["flops"] / line["seconds"]) + "FLOP/s" if what == "products" else
                        scaled(line["bytes"] / line["seconds"]) + "B/s")
                share = f"{100 * least / line['seconds']:.0f} %" if least else ""
                out.append(f"| {line['kernel']} | {line['what']} | {duration(line['seconds'])} | {rate} | {share} | {what} "
                           f"| {self.peer_of(line)} |")
            out.append("")
        return out

    def models(self):
        out = []
        for line in self.lines:
            if line.get("model") == "generate":
                least, what = self.limit(line["step_bytes"], line["step_flops"])
                out += ["## Generation", "", f"{line['layers']} layers, {line['sequences']} sequences of {line['context']} tokens, "
                        f"bf16, tokens drawn on the device (temperature 0.8, top-p 0.95), "
                        + ("steps played from a graph:" if line["graphs"] else "without graphs:"), "",
                        f"- a step of all sequences {duration(line['step_seconds'])}, {line['tokens_per_second']:.0f} tokens/s"
                        + (f", {100 * least / line['step_seconds']:.0f} % of the limit by {what}" if least else ""),
                        f"- prompts: {line['sequences'] * line['context'] / line['prefill_seconds']:.0f} tokens/s, "
                        f"{scaled(line['prefill_flops'] / line['prefill_seconds'])}FLOP/s"]
                for peer in self.peers:
                    if peer.get("model") == "generate":
                        out.append(f"- {peer['peer']}: a step {duration(peer['step_seconds'])}, "
                                   f"{peer['tokens_per_second']:.0f} tokens/s")
                out.append("")
            if line.get("model") == "dpo":
                product = self.ceiling("product")
                rate = line["step_flops"] / line["step_seconds"]
                out += ["## DPO step", "", f"{line['layers']} layers ({line['parameters'] / 1e9:.2f} thousand million parameters), "
                        f"{line['pairs']} pairs of 2 x {line['length']} tokens, micro-batches of {line['micro_batch']}, forward, loss, "
                        "backward, clipping, AdamW:", "",
                        f"- {duration(line['step_seconds'])}, {line['tokens_per_second']:.0f} tokens/s, {scaled(rate)}FLOP/s"
                        + (f", {100 * rate / product:.0f} % of the product's rate" if product else "")
                        + f", {100 * rate / 989e12:.0f} % of 989 TFLOP/s",
                        f"- reference log-probabilities: {2 * line['pairs'] * line['length'] / line['reference_seconds']:.0f} "
                        f"tokens/s, {scaled(line['reference_flops'] / line['reference_seconds'])}FLOP/s", ""]
        return out
