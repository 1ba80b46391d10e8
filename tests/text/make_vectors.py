#!/usr/bin/env python3
"""Makes the tokenizer and chat fixtures of tests/text/fixtures with Hugging Face's tokenizers and with Jinja.

    python tests/text/make_vectors.py [--smollm2 MODEL.gguf]

Small BPE vocabularies are trained on the text below; each folder holds a tokenizer as transformers saves it and
vectors.jsonl: a line a text, with the ids as encoded with special tokens' names recognised and BOS/EOS added ("ids")
and with neither ("plain"). chat/*.json holds chat templates with rendered chats.
"""
import argparse, json, os, random, struct
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import fuzz_texts, pipelines

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")

CORPUS = [
    "The kettle whistled while we counted 12 cups, 345 spoons and 6789 crumbs on the table.",
    "I don't know why they've gone, but we'll see what she'd say; it's theirs and I'm tired.",
    "for (int i = 0; i < 10; i++) {\n\tsum += values[i] * 2;\n    if (sum > 100) return -1;\n}\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Straße, Fuß, Größe.",
    "Где стоит дом, там и сад; в саду растут яблони и груши.",
    "昨日、駅前の本屋で古い地図を見つけた。今天天气很好，我们去公园散步。",
    "La niña comió piñas mañana; où est l'été, garçon? Ça va très bien.",
    "A list:\n\n  - one\n  - two\n\n\n  - three\r\n\r\nEnd of the list...   and    some      spaces.",
    "हम कल बाज़ार गए थे। مرحبا بالعالم. שלום עולם. สวัสดีชาวโลก",
    "Rain rain rain, the the the, banana banana, ingenious engineers are reasoning about reasons.",
]
PIECES = [
    "a", "b", "the ", "rain", " banana", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "1", "22", "333", "4444",
    "'s", "'S", "'ll", "'LL", "don't", "é", "e\u0301", "ß", "ſ", "'ſ", "İ", "ǅ", "ﬁ", "Å", "각", "각", "中文",
    "地図", "Где", "مرحبا", "שלום", "हिन्दी", "สวัสดี", "𝔘𝔫𝔦", "🙂", "👩\u200d👩\u200d👧", "🇩🇪", "🏽", "\u00a0",
    "\u3000", "\u180e", "\u2028", "\u200b", "\ufeff", "٣", "Ⅷ", "½", "_", "-", "...", "!?", "(x)", "/", "\\", "\"", "<",
    ">", "|", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<0x0A>", "<|eot|>", "<tool>", "<mask>", "word",
    " <mask> ", "\x00", "\x7f", "\x85", "CamelCase", "snake_case", "A", "Z", "\u0301", "{", "}", "0x1F", "http://x.y/z?q=1",
]
GPT2 = None
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}"
          r"\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def texts(n, seed):
    """PIECES alone, then random strings of them and of random code points."""
    rng = random.Random(seed)
    out = ["", *PIECES, *CORPUS]
    while len(out) < n:
        if rng.random() < 0.7:
            out.append("".join(rng.choice(PIECES) for _ in range(rng.randint(2, 7))))
        else:
            ranges = [(0, 0x7f), (0x80, 0x7ff), (0x800, 0x24ff), (0x3000, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x1ffff)]
            out.append("".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 6))))
    return [t for t in out if "\u2581" not in t]


def byte_level(split, digits=False):
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if split is None:
        return pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    for pattern in split if isinstance(split, list) else [split]:
        steps.append(pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False))
    return pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train_byte_level(pre, specials, size=420, **model):
    tok = Tokenizer(models.BPE(**model))
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS * 3, trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tok


def train_fallback(metaspace=None):
    """As Llama 2's: pieces with visible spaces, bytes for what has no piece."""
    specials = ["<unk>", "<s>", "</s>"]
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        tok.pre_tokenizer = metaspace
    else:
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    chars = sorted(set("".join(CORPUS[:4])) - set("\n\t"))
    lines = [" ".join(c.split()[i:i + 4]) for c in CORPUS[:4] for i in range(0, len(c.split()), 4)]
    tok.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=3 + 256 + 260, special_tokens=specials + [f"<0x{b:02X}>" for b in range(256)], initial_alphabet=chars,
        show_progress=False))
    data = json.loads(tok.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(" ", 1, 0)])
    return tok


def save(name, tok, config, items, merges_as_strings=False):
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    data = json.loads(tok.to_str())
    if merges_as_strings:
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
        f.write("\n")
    write_vectors(os.path.join(folder, "vectors.jsonl"), tok, items)


def write_vectors(path, tok, items):
    with open(path, "w", encoding="utf-8") as f:
        for text in items:
            tok.encode_special_tokens = False
            row = {"text": text, "ids": tok.encode(text).ids}
            tok.encode_special_tokens = True
            plain = tok.encode(text, add_special_tokens=False).ids
            if plain != row["ids"]:
                row["plain"] = plain
            f.write(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n")


def make_tokenizers():
    tok = train_byte_level(byte_level(GPT2), ["<|endoftext|>"])
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])
    tok.add_tokens([AddedToken("<tool>"), AddedToken("word", single_word=True), AddedToken("<|im", normalized=False)])
    save("gpt2", tok, {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}, texts(130, 1))

    tok = train_byte_level(byte_level(LLAMA3), [], ignore_merges=True)
    ids = {}
    for name in ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]:
        tok.add_special_tokens([name])
        ids[name] = tok.token_to_id(name)
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", ids["<|begin_of_text|>"])])])
    save("llama3", tok, {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>", "lstrip": False}},
         texts(120, 2))

    tok = train_byte_level(byte_level(QWEN2), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tok.normalizer = normalizers.NFC()
    save("qwen2", tok, {"eos_token": "<|im_end|>"}, texts(120, 3), merges_as_strings=True)

    tok = train_byte_level(byte_level(None, digits=True), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    save("smollm", tok, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}, texts(115, 4))

    tok = train_byte_level(byte_level([r"[\r\n]", r"\s?\p{L}+", r"\s?[!-/:-~]+", r"\s+$", r"[\x{4e00}-\x{9fa5}]+"], digits=True),
                           ["<eos>"])
    save("sequence", tok, {"eos_token": "<eos>"}, texts(115, 5))
    tok = train_byte_level(byte_level(TEKKEN), ["<s>", "</s>"], ignore_merges=True)
    save("tekken", tok, {"bos_token": "<s>", "eos_token": "</s>"}, texts(110, 6), merges_as_strings=True)

    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    save("llama2", train_fallback(), config, texts(125, 7), merges_as_strings=True)
    save("metaspace_first", train_fallback(pre_tokenizers.Metaspace("\u2581", "first", False)), config, texts(110, 8))
    save("metaspace_split", train_fallback(pre_tokenizers.Metaspace("\u2581", "always", True)), config, texts(110, 9))


FAMILIES = ["qwen35", "o200k", "deepseek_llm", "deepseek_coder", "deepseek_v3", "falcon", "command_r", "tiny_aya", "gemma", "phi3",
            "bloom"]


def family_model(name):
    """A small vocabulary for the pipeline of a family: vocab, merges, added tokens."""
    if name in pipelines.PIECES:
        model = json.loads(train_fallback().to_str())["model"]
        names = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>"]
    else:
        tok = Tokenizer.from_str(json.dumps(pipelines.tokenizer_json(name, {}, [], [])))
        tok.train_from_iterator(CORPUS * 3, trainers.BpeTrainer(
            vocab_size=420, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        model = json.loads(tok.to_str())["model"]
        names = ["<s>", "</s>", "<|user|>", "<|end|>"]
    vocab = model["vocab"]
    return vocab, model["merges"], [(vocab.get(t, len(vocab) + i), t, True) for i, t in enumerate(names)]


def make_families():
    for seed, name in enumerate(FAMILIES, 20):
        vocab, merges, added = family_model(name)
        bos = "<s>" if pipelines.PIPELINES[name].get("bos") else None
        data = pipelines.tokenizer_json(name, vocab, merges, added, "<unk>", bos)
        items = ["<s><|user|>\n1234 kettles aren't\u00b2 21\u00bd cups<|end|>\n<|user|> \t\n<|end|>", "e\u0301<|end|> \u0e01\u0e33\u0e34"]
        items += [t for t in fuzz_texts.fuzzed(400, seed, ["<|user|>", "<|end|>"]) if len(t) < 40 and "\u2581" not in t][:110]
        save(name, Tokenizer.from_str(json.dumps(data)), {"bos_token": "<s>", "eos_token": "</s>"}, items)


TEMPLATES = {
    # name: (tokenizer folder, template of our own)
    "chatml": ("smollm", """{# turns between markers #}
{% for message in messages %}
{% if loop.index0 == 0 and messages[0].role != "system" %}
{{ "<|im_start|>system\\nYou answer in few words.<|im_end|>\\n" }}
{%- endif %}
{{ "<|im_start|>" + message.role + "\\n" }}{{ message.content }}{{ "<|im_end|>\\n" }}
{%- endfor %}
{% if add_generation_prompt %}
{{ "<|im_start|>assistant\\n" }}
{%- endif %}
"""),
    "chatml_bare": ("smollm", """{% for message in messages %}{{ '<|im_start|>' }}{{ message['role'] }}{{ '\\n' -}}
{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{# the newline before stays #}{% endif %}"""),
    "llama2": ("llama2", """{% if messages[0].role == "system" %}
  {%- set loop_messages = messages[1:] %}
  {%- set system_message = messages[0].content %}
{%- else %}
  {%- set loop_messages = messages %}
  {%- set system_message = false %}
{%- endif %}
{%- for message in loop_messages %}
  {%- if (message.role == "user") != (loop.index0 % 2 == 0) %}
    {{- raise_exception("user and assistant must take turns") }}
  {%- endif %}
  {%- if loop.first and system_message != false %}
    {%- set content = "<<SYS>>\\n" + system_message + "\\n<</SYS>>\\n\\n" + message.content %}
  {%- else %}
    {%- set content = message.content %}
  {%- endif %}
  {%- if message.role == "user" %}
    {{- bos_token + "[INST] " + content|trim + " [/INST]" }}
  {%- elif message.role == "assistant" %}
    {{- " " + content|trim + " " + eos_token }}
  {%- endif %}
{%- endfor %}"""),
    "llama3": ("llama3", """{%- set loop_messages = messages -%}
{%- for message in loop_messages -%}
  {%- set content = "<|start_header_id|>" + message.role + "<|end_header_id|>" + "\\n\\n" + message.content.strip() + "<|eot_id|>" -%}
  {%- if loop.first -%}{%- set content = bos_token + content -%}{%- endif -%}
  {{- content -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|start_header_id|>assistant<|end_header_id|>\\n\\n" }}{%- endif -%}"""),
}
QWEN3 = """{%- set ns = namespace(query=-1) %}
{%- for message in messages[::-1] %}
  {%- if ns.query == -1 and message.role == "user" and not (message.content.startswith("<tool_response>") and
         message.content.endswith("</tool_response>")) %}
    {%- set ns.query = messages|length - loop.index %}
  {%- endif %}
{%- endfor %}
{%- for message in messages %}
  {{- "<|im_start|>" + message.role + "\\n" }}
  {%- set parts = message.content.split("</think>") %}
  {%- if message.role != "assistant" %}
    {{- message.content }}
  {%- elif parts|length == 1 and not (loop.last and ns.query != -1 and loop.index0 > ns.query) %}
    {{- message.content }}
  {%- else %}
    {%- set thought = "" if parts|length == 1 else parts[0].rstrip("\\n").split("<think>")[-1].lstrip("\\n") %}
    {%- set answer = message.content if parts|length == 1 else parts[-1].lstrip("\\n") %}
    {%- if ns.query != -1 and loop.index0 > ns.query and (loop.last or thought) %}
      {{- "<think>\\n" + thought + "\\n</think>\\n\\n" }}{{ answer.lstrip("\\n") }}
    {%- else %}
      {{- answer }}
    {%- endif %}
  {%- endif %}
  {{- "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- "<|im_start|>assistant\\n" }}
  {%- if enable_thinking is defined and not enable_thinking %}{{- "<think>\\n\\n</think>\\n\\n" }}{%- endif %}
{%- endif %}"""
# Our own again, after what published ones do. When these chats were first made, by the published templates, which are not here, ours
# rendered each of them alike.
TEMPLATES |= {
    "qwen2_5": ("smollm", """{%- if messages[0].role == "system" %}
  {{- "<|im_start|>system\\n" + messages[0].content + "<|im_end|>\\n" }}
{%- else %}
  {{- "<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
  {%- if not (loop.first and message.role == "system") %}
    {{- "<|im_start|>" ~ message.role ~ "\\n" ~ message.content ~ "<|im_end|>" ~ "\\n" }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\\n" }}{%- endif %}"""),
    "qwen3_2507": ("smollm", """{%- for message in messages %}
  {%- set content = message.content if message.content is string else "" %}
  {{- "<|im_start|>%s\\n" % message.role }}{{ content }}{{ "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\\n" }}{%- endif %}"""),
    "qwen3": ("smollm", QWEN3),
    "qwen3_new": ("smollm", QWEN3.replace('message.role == "user" and not', 'message.role == "user" and message.content is string and not')
                  .replace("{%- set parts = message.content.split", "{%- set parts = (message.content if message.content is string else '').split")),
    "gemma2": ("llama2", """{{ bos_token }}{% if messages[0].role == "system" %}{{ raise_exception("this one has no system turns") }}{% endif %}
{% for message in messages %}
  {%- if (message.role == "user") != (loop.index0 % 2 == 0) %}
    {{- raise_exception("user and assistant must take turns") }}
  {%- endif %}
  {{- "<start_of_turn>" + ("model" if message.role == "assistant" else message.role) + "\\n" }}
  {{- message.content | trim }}{{ "<end_of_turn>\\n" }}
{%- endfor %}
{% if add_generation_prompt %}{{ "<start_of_turn>model\\n" }}{% endif %}"""),
    "gemma3": ("llama2", """{{ bos_token }}
{%- set first = "" %}
{%- set turns = messages %}
{%- if messages[0].role == "system" %}
  {%- set first = (messages[0].content if messages[0].content is string else messages[0].content[0].text) + "\\n\\n" %}
  {%- set turns = messages[1:] %}
{%- endif %}
{%- for message in turns %}
  {%- if (message.role == "user") != (loop.index0 % 2 == 0) %}
    {{- raise_exception("user and assistant must take turns") }}
  {%- endif %}
  {{- "<start_of_turn>" ~ {"assistant": "model"}.get(message.role, message.role) ~ "\\n" ~ (first if loop.first else "") }}
  {%- if message.content is string %}
    {{- message.content | trim }}
  {%- elif message.content is iterable %}
    {%- for part in message.content %}{{ part.text | trim if part.type == "text" }}{% endfor %}
  {%- endif %}
  {{- "<end_of_turn>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<start_of_turn>model\\n" }}{%- endif %}"""),
    "mistral": ("llama2", """{%- if messages[0]["role"] == "system" %}
  {%- set system = messages[0]["content"] %}
  {%- set turns = messages[1:] %}
{%- else %}
  {%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
  {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
    {{- raise_exception("user and assistant must take turns") }}
  {%- elif message["role"] == "user" %}
    {{- "[INST] " }}
    {%- if loop.last and system is defined %}{{- system + "\\n\\n" }}{%- endif %}
    {{- message["content"] + "[/INST]" }}
  {%- else %}
    {{- " " + message["content"] | trim + eos_token }}
  {%- endif %}
{%- endfor %}"""),
}
THINKING = ["<think>", "</think>", "<think>\nwhy\n</think>\n\n", "<tool_response>", "</tool_response>"]
CONTENT = ["Hello", "  hi there \n", "\n", "", "   ", "\u3000x\u00a0", "What's 2+2?", "\U0001f642", "line\r\nline", "<<SYS>>",
           "\tq\x1c", "\u00e9", "\n\nstart", "a", "<b>", "[/INST]"]


def make_chats():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def fail(message):
        raise ValueError(message)

    env.globals["raise_exception"] = fail
    os.makedirs(os.path.join(HERE, "chat"), exist_ok=True)
    for name, (folder, template) in TEMPLATES.items():
        rng = random.Random(name)
        config = json.load(open(os.path.join(HERE, folder, "tokenizer_config.json"), encoding="utf-8"))
        tokens = {k: v["content"] if isinstance(v, dict) else v for k, v in config.items()}
        compiled, cases = env.from_string(template), []
        content = CONTENT + (THINKING if name in ("qwen3", "qwen3_new") else [])
        for _ in range(24):
            messages = []
            if rng.random() < 0.4 and name != "gemma2":
                messages.append({"role": "system", "content": "".join(rng.choice(CONTENT) for _ in range(rng.randint(0, 3)))})
            for i in range(rng.randint(1, 4)):
                messages.append({"role": "assistant" if i % 2 else "user",
                                 "content": "".join(rng.choice(content) for _ in range(rng.randint(0, 3)))})
            prompt = rng.random() < 0.5
            text = compiled.render(messages=messages, add_generation_prompt=prompt, enable_thinking=False, **tokens)
            cases.append({"messages": messages, "prompt": prompt, "text": text})
        with open(os.path.join(HERE, "chat", name + ".json"), "w", encoding="utf-8") as f:
            json.dump({"tokenizer": folder, "template": template, "cases": cases}, f)
            f.write("\n")


def read_gguf(path):
    """The metadata of a GGUF, as a dict."""
    kinds = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    data, at = open(path, "rb").read(), 0

    def number(kind):
        nonlocal at
        value = struct.unpack_from("<" + kind, data, at)[0]
        at += struct.calcsize("<" + kind)
        return value

    def value(kind):
        nonlocal at
        if kind == 8:
            n = number("Q")
            at += n
            return data[at - n:at].decode()
        if kind == 9:
            item, n = number("I"), number("Q")
            return [value(item) for _ in range(n)]
        return number(kinds[kind])

    at = 16
    n = number("Q")
    out = {}
    for _ in range(n):
        key = value(8)
        out[key] = value(number("I"))
    return out


def make_smollm2(path):
    """Vectors for the real SmolLM2: its vocabulary out of the GGUF, with the pre-tokenizer that its authors publish."""
    meta = read_gguf(path)
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                               merges=[tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]))
    tok.pre_tokenizer = byte_level(None, digits=True)
    tok.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, kinds) if k == 3])
    write_vectors(os.path.join(HERE, "smollm2_vectors.jsonl"), tok, texts(115, 10))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm2", help="GGUF of SmolLM2, to make its vectors too")
    args = parser.parse_args()
    make_tokenizers()
    make_families()
    make_chats()
    if args.smollm2:
        make_smollm2(args.smollm2)
