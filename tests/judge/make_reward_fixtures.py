"""Writes tests/judge/fixtures: tiny random reward models with the scores that PyTorch and transformers give, in fp32.

    python tests/judge/make_reward_fixtures.py

Needs torch, transformers, safetensors, tokenizers. Everything follows from fixed seeds.

- seqcls: transformers' own LlamaForSequenceClassification.
- openrlhf: a head under another name, normalised scores, bf16 weights.
- armorm: LlamaForRewardModelWithGating as its paper and model card tell it. Its gate looks for tokens up to 128009, so
  the vocabulary must be the real one; compact.safetensors holds the few rows of the embedding that tests use, "rows" of
  expected.json tells which, and the tests put them among rows of zeros.
"""

import json
import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, LlamaModel, PreTrainedTokenizerFast

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
SIZES = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             max_position_embeddings=256, rms_norm_eps=1e-5, hidden_act="silu", attention_bias=False, mlp_bias=False,
             tie_word_embeddings=False)
PATTERN = [128009, 128006, 78191, 128007, 271]
BOS, HEADER, END_HEADER, EOT, PAD = 128000, 128006, 128007, 128009, 128256
WORDS = {"\u010a\u010a": 271, "user": 882, "system": 9125, "assistant": 78191}
MARKERS = {"<|begin_of_text|>": BOS, "<|start_header_id|>": HEADER, "<|end_header_id|>": END_HEADER, "<|eot_id|>": EOT,
           "[PAD]": PAD}
TEMPLATE = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
            "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
            "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
            "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def config_of(seed, **more):
    torch.manual_seed(seed)
    return LlamaConfig(**SIZES, attn_implementation="eager", **more)


def randomise(model, scale=0.25):
    """Large weights, so that attention and positions matter."""
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(1 + 0.2 * torch.randn(p.shape) if p.dim() == 1 else scale * torch.randn(p.shape))
    return model.float().eval()


def folder_of(name, config):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({"model_type": "llama", "rope_theta": 10000.0, **SIZES, **config}, f, indent=1)
    return folder


def write_expected(folder, expected):
    with open(os.path.join(folder, "expected.json"), "w") as f:
        f.write("{" + ",\n ".join(
            f"{json.dumps(key)}: " + ("[\n" + ",\n".join(json.dumps(row) for row in rows) + "]" if key != "rows"
                                      else json.dumps(rows)) for key, rows in expected.items()) + "}\n")


def texts_of(seed, vocab):
    """Three prompts with several responses each, and texts of other lengths."""
    rng = np.random.default_rng(seed)

    def some(n):
        return [int(i) for i in rng.integers(0, vocab, n)]

    texts = []
    for prompt, responses in ((37, (5, 40, 1)), (16, (3, 90)), (95, (20, 33, 2, 60))):
        ids = some(prompt)
        texts += [ids + some(n) for n in responses]
    return texts + [some(1), some(2), some(16), some(17), some(256)]


def make_seqcls():
    vocab, pad = 280, 279
    config = config_of(1, vocab_size=vocab, num_labels=1, pad_token_id=pad)
    model = randomise(LlamaForSequenceClassification(config))
    folder = folder_of("seqcls", {"architectures": ["LlamaForSequenceClassification"], "vocab_size": vocab,
                                  "pad_token_id": pad, "id2label": {"0": "LABEL_0"}})
    save_file({n: p.detach().contiguous() for n, p in model.named_parameters()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    texts = texts_of(2, pad)
    texts += [texts[0] + [pad] * 3, texts[5][:30] + [pad] + texts[5][30:]]  # the end's padding alone is left out
    with torch.no_grad():
        rows = [{"ids": ids, "score": float(model(torch.tensor([ids])).logits[0, 0])} for ids in texts]
    write_expected(folder, {"texts": rows})


def make_openrlhf():
    vocab, mean, std = 120, 0.75, 1.5
    model = randomise(LlamaModel(config_of(3, vocab_size=vocab)))
    head = torch.randn(1, SIZES["hidden_size"])
    tensors = {"model." + n: p for n, p in model.named_parameters()}
    tensors["value_head.weight"] = head
    with torch.no_grad():
        for p in tensors.values():
            p.copy_(p.bfloat16().float())
    folder = folder_of("openrlhf", {"architectures": ["RewardModel"], "vocab_size": vocab, "pad_token_id": 7,
                                    "value_head_prefix": "value_head", "mean": mean, "std": std,
                                    "normalize_reward": True})
    save_file({n: p.detach().bfloat16().contiguous() for n, p in tensors.items()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    texts = texts_of(4, vocab)
    texts.append(texts[1] + [7])  # padding is told by a mask, never by the token
    rows = []
    with torch.no_grad():
        for ids in texts:
            raw = float((model(torch.tensor([ids])).last_hidden_state[0, -1] @ head[0]))
            rows.append({"ids": ids, "score": (raw - mean) / std, "raw": raw})
    write_expected(folder, {"texts": rows})


class Gate(torch.nn.Module):
    def __init__(self, inputs, width, hidden_layers, outputs, temperature):
        super().__init__()
        sizes = [inputs] + [width] * hidden_layers + [outputs]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.logit_scale = torch.nn.Parameter(torch.tensor([1.25]))
        self.temperature = temperature

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return torch.softmax(self.layers[-1](x) / self.temperature, -1) * self.logit_scale[0]


def gate_position(ids):
    found = [i for i in range(len(ids)) if ids[i:i + len(PATTERN)] == PATTERN]
    return found[-1]


def byte_alphabet():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def make_tokenizer(folder):
    """Bytes, the four words that headers are made of, and Llama 3's markers, all under their real ids."""
    vocab = {token: i for i, token in enumerate(byte_alphabet())} | WORDS | MARKERS
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               r"\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [
        {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for t, i in MARKERS.items()]
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
                   "eos_token": "<|eot_id|>", "pad_token": "[PAD]", "chat_template": TEMPLATE}, f)


def chat_ids(messages):
    """What transformers gives for the template, piece by piece: a byte is a token, but for the words above."""
    alphabet = {token: i for i, token in enumerate(byte_alphabet())}
    from_byte = dict(zip(range(256), bytes_to_visible()))
    ids = [BOS]
    for m in messages:
        content = m["content"].strip().encode()
        ids += [HEADER, WORDS[m["role"]], END_HEADER, WORDS["\u010a\u010a"]]
        ids += [alphabet[from_byte[b]] for b in content] + [EOT]
    return ids


def bytes_to_visible():
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in visible else chr(next(extra)) for b in range(256)]


CHATS = [[("user", "Which river is the longest?"), ("assistant", "The Nile, by most accounts.")],
         [("user", "Which river is the longest?"), ("assistant", " The Amazon is close to it. ")],
         [("user", "Which river is the longest?"), ("assistant", "No.")],
         [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "\tBye now "), ("assistant", "Bye.")],
         [("user", "Say <|eot_id|>, please"), ("assistant", "<|eot_id|><|start_header_id|>")]]


def armorm_texts():
    rng = np.random.default_rng(6)

    def some(n):
        return [int(i) for i in rng.integers(0, 250, n)]

    texts = []
    for prompt, responses in ((30, (5, 40, 1)), (8, (3, 90)), (95, (20, 33, 2, 60))):
        ids = [BOS, HEADER, 882, END_HEADER, 271] + some(prompt) + PATTERN
        texts += [ids + some(n) + [EOT] for n in responses]
    turns = texts[0] + PATTERN[1:] + some(9) + PATTERN + some(6)  # the last occurrence counts
    return texts + [turns + [EOT], turns + [EOT, PAD, PAD], PATTERN, PATTERN + [5]]


def make_armorm():
    objectives, vocab = 19, 128257
    rows = sorted({*range(256), *WORDS.values(), BOS, HEADER, END_HEADER, EOT, PAD})
    model = LlamaModel(config_of(5, vocab_size=vocab, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}))
    gate = Gate(SIZES["hidden_size"], 12, 3, objectives, 10.0)
    model, gate = randomise(model), randomise(gate, 1.0)
    with torch.no_grad():
        for layer in gate.layers:
            layer.bias.copy_(0.5 * torch.randn(layer.bias.shape))
        gate.logit_scale.fill_(1.25)
        keep = torch.zeros(vocab, 1)
        keep[rows] = 1
        model.embed_tokens.weight.mul_(keep)
    regression, transform = torch.randn(objectives, SIZES["hidden_size"]), torch.eye(objectives) - 0.2 * torch.rand(
        objectives, objectives)
    tensors = {"model." + n: p.detach() for n, p in model.named_parameters()}
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][rows].contiguous()
    tensors |= {"gating." + n: p.detach() for n, p in gate.named_parameters()}
    tensors |= {"regression_layer.weight": regression, "reward_transform_matrix": transform}
    folder = folder_of("armorm", {"architectures": ["LlamaForRewardModelWithGating"], "vocab_size": vocab,
                                  "rope_theta": 500000.0, "pad_token_id": PAD, "gating_temperature": 10,
                                  "gating_hidden_dim": 12, "gating_n_hidden": 3,
                                  "auto_map": {"AutoModelForSequenceClassification":
                                               "modeling_custom.LlamaForRewardModelWithGating"}})
    save_file(tensors, os.path.join(folder, "compact.safetensors"), metadata={"format": "pt"})
    make_tokenizer(folder)
    hf = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"), bos_token="<|begin_of_text|>",
                                 eos_token="<|eot_id|>", chat_template=TEMPLATE)

    def score(ids):
        n = len(ids)
        while ids[n - 1] == PAD:
            n -= 1
        hidden = model(torch.tensor([ids])).last_hidden_state[0]
        rewards, gating = regression @ hidden[n - 1], gate(hidden[gate_position(ids)])
        return {"score": float((gating * (rewards @ transform)).sum()), "objectives": rewards.tolist(),
                "gating": gating.tolist()}

    chats = []
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        ids = chat_ids(messages)
        if not any("<|" in m["content"] for m in messages):  # there, transformers would take a name for the token
            given = hf.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
            assert given == ids, (messages, given, ids)
        chats.append({"messages": messages, "ids": ids})
    with torch.no_grad():
        write_expected(folder, {"rows": rows, "texts": [{"ids": ids} | score(ids) for ids in armorm_texts()],
                                "chats": [c | score(c["ids"]) for c in chats]})


if __name__ == "__main__":
    make_seqcls()
    make_openrlhf()
    make_armorm()
