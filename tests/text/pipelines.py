"""The pipelines of published tokenizers: what each family's tokenizer.json does to a text before and after its merges.

Facts about them, told as the sections of tokenizer.json; vocabularies come from elsewhere (make_vectors.py trains small ones,
compare_hf.py takes those of GGUF files). `gguf`: the names of tokenizer.ggml.pre whose files were made of such a tokenizer.
"""

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SPACES = r"|\s+(?!\S)|\s+"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + SPACES
LLAMA3 = CONTRACTIONS + "|" + WORD + r"\p{L}+|\p{N}{1,3}" + REST
QWEN2 = CONTRACTIONS + "|" + WORD + r"\p{L}+|\p{N}" + REST
QWEN35 = CONTRACTIONS + "|" + WORD + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+" + SPACES
CASED = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + SPACES
TEKKEN = WORD + UPPER + "*" + LOWER + "+|" + WORD + UPPER + "+" + LOWER + r"*|\p{N}" + CASED
O200K = (WORD + UPPER + "*" + LOWER + "+" + CONTRACTIONS + "?|" + WORD + UPPER + "+" + LOWER + "*" + CONTRACTIONS
         + r"?|\p{N}{1,3}" + CASED)
DEEPSEEK_V3 = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
               "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
               " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
DEEPSEEK_LETTERS = (  # the cased ones, as it lists them
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-"
    "\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18"
    "-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-"
    "\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-"
    "\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-"
    "\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-"
    "\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK_LLM = ["[\r\n]", r"\s?[" + DEEPSEEK_LETTERS + "]+", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", CJK]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK]
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def split(pattern, behavior="Isolated"):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def byte_level(use_regex, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def digits(single):
    return {"type": "Digits", "individual_digits": single}


def splits(*patterns):
    return sequence(*[split(p) if isinstance(p, str) else p for p in patterns], byte_level(False))


NFC = {"type": "NFC"}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
LLAMA_NORMALIZER = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, REPLACE]}
GPT2 = {"pre": byte_level(True)}
DIGITS = {"pre": sequence(digits(True), byte_level(True))}

PIPELINES = {
    # byte-level BPE
    "gpt2": {**GPT2, "gguf": ["gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "exaone4", "jais", "trillion", "granite-docling"]},
    "gpt_neox": {**GPT2, "nfc": True, "gguf": ["mpt", "olmo"]},
    "smollm": {**DIGITS, "gguf": ["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"]},
    "command_r": {**DIGITS, "nfc": True, "gguf": ["command-r"]},
    "llama3": {"pre": splits(LLAMA3), "ignore_merges": True, "bos": True,
               "gguf": ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"]},
    "cl100k": {"pre": splits(LLAMA3), "gguf": ["dbrx", "smaug-bpe", "chatglm-bpe"]},
    "glm4": {"pre": splits(LLAMA3), "ignore_merges": True, "gguf": ["glm4", "glm5"]},
    "qwen2": {"pre": splits(QWEN2), "nfc": True, "gguf": ["qwen2"]},
    "deepseek_r1_qwen": {"pre": splits(QWEN2), "gguf": ["deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2", "kormo",
                                                        "f2llmv2", "solar-open"]},
    "qwen35": {"pre": splits(QWEN35), "nfc": True, "gguf": ["qwen35"]},
    "tekken": {"pre": splits(TEKKEN), "ignore_merges": True, "bos": True, "gguf": ["tekken"]},
    "o200k": {"pre": splits(O200K), "gguf": ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"]},
    "deepseek_llm": {"pre": splits(*DEEPSEEK_LLM, digits(False)), "bos": True, "gguf": ["deepseek-llm"]},
    "deepseek_coder": {"pre": splits(*DEEPSEEK_CODER, digits(True)), "bos": True, "gguf": ["deepseek-coder"]},
    "deepseek_v3": {"pre": splits(*DEEPSEEK_V3), "bos": True, "gguf": ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"]},
    "falcon": {"pre": sequence({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True), digits(False),
                               split("[0-9][0-9][0-9]")), "gguf": ["falcon"]},
    "bloom": {"pre": splits(BLOOM), "gguf": ["bloom", "poro-chat", "gpt3-finnish"]},
    "viking": {"pre": splits(BLOOM, digits(True)), "gguf": ["viking"]},
    "bailing": {"pre": splits(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]" + SPACES),
                "gguf": ["bailingmoe", "bailingmoe2", "llada-moe"]},
    "seed_coder": {"pre": splits(CONTRACTIONS + "|" + WORD + "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+" + SPACES),
                   "gguf": ["seed-coder"]},
    "exaone_moe": {"pre": splits(CONTRACTIONS + "|" + WORD + r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
                                 r"|\s*[\r\n]" + SPACES), "gguf": ["exaone-moe"]},
    "minicpm5": {"pre": splits(r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")), "ignore_merges": True, "gguf": ["minicpm5"]},
    "tiny_aya": {"pre": splits(r"\d{1,3}(?=(?:\d{3})*\b)", O200K), "gguf": ["tiny_aya", "cohere2moe"]},
    # BPE over pieces with visible spaces, with tokens of bytes
    "llama2": {"normalizer": LLAMA_NORMALIZER, "pre": None, "strip": True, "bos": True},
    "phi3": {"normalizer": LLAMA_NORMALIZER, "pre": None, "strip": True, "rstrip": True, "bos": True},
    "internlm2": {"normalizer": LLAMA_NORMALIZER, "pre": None, "strip": True, "bos": True},
    "llama_v5": {"pre": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}, "strip": True,
                 "bos": True, "metaspace": True},
    "gemma": {"normalizer": REPLACE, "pre": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                                             "invert": False}, "bos": True},
    "yi": {"normalizer": REPLACE, "pre": None},
}
PIECES = {"llama2", "phi3", "internlm2", "llama_v5", "gemma", "yi"}


def of_gguf(pre):
    """The pipeline of a tokenizer.ggml.pre."""
    return next((name for name, p in PIPELINES.items() if pre in p.get("gguf", [])), None)


def tokenizer_json(name, vocab, merges, added, unk=None, bos=None):
    """tokenizer.json as a dict. added: [(id, text, special)]; bos: put before a text; unk: for pieces."""
    p = PIPELINES[name]
    pieces = name in PIECES
    normalizer = p.get("normalizer") or (NFC if p.get("nfc") else None)
    decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if pieces:
        steps = [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
        steps += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if p.get("strip") else []
        decoder = {"type": "Sequence", "decoders": steps}
    post = None
    if bos is not None:
        token = {"SpecialToken": {"id": bos, "type_id": 0}}
        ids = [i for i, text, _ in added if text == bos] or [vocab[bos]]
        post = {"type": "TemplateProcessing", "single": [token, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [token, {"Sequence": {"id": "A", "type_id": 0}}, token, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {bos: {"id": bos, "ids": ids, "tokens": [bos]}}}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False,
                              "rstrip": bool(p.get("rstrip")) and text not in ("<unk>", "<s>", "<|endoftext|>"),
                              "normalized": False, "special": special} for i, text, special in added],
            "normalizer": normalizer, "pre_tokenizer": p["pre"], "post_processor": post, "decoder": decoder,
            "model": {"type": "BPE", "dropout": None, "unk_token": unk if pieces else None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": pieces, "byte_fallback": pieces,
                      "ignore_merges": bool(p.get("ignore_merges")), "vocab": vocab, "merges": [list(m) for m in merges]}}
