"""Texts that tokenizers may read differently: all of Unicode, spaces, marks, digits, names of added tokens."""
import glob, gzip, json, os, random

PARTS = [
    "a", "b", "the ", "rain", " banana", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "1", "22", "333", "4444", "1234567",
    "'s", "'S", "'ll", "'LL", "don't", "é", "e\u0301", "a\u0323\u0307", "ß", "ſ", "'ſ", "İ", "ǅ", "ﬁ", "Å", "각", "각",
    "中文", "地図", "ひらがな", "カタカナ", "ﾊﾝｶｸ", "，", "。", "Где", "مرحبا", "שלום", "हिन्दी", "สวัสดี", "Ελληνικά", "Ⴀ", "ꭰ", "𐐀",
    "𝔘𝔫𝔦", "🙂", "👩\u200d👩\u200d👧", "🇩🇪", "🏽", "❤\ufe0f", "1\ufe0f\u20e3", "🏴\U000e0067\U000e0062\U000e007f", "\u00a0", "\u3000",
    "\u180e", "\u2028", "\u200b", "\u200e", "\u202e", "\ufeff", "٣", "Ⅷ", "½", "²", "①", "_", "-", "...", "!?", "(x)", "/", "//",
    "\\", "\"", "<", ">", "|", "$", "+", "=", "^", "~", "`", "€", "<0x0A>", "<0xE2>", "\x00", "\x7f", "\x85", "CamelCase",
    "snake_case", "HTTPServer", "A", "Z", "\u0301", "{", "}", "0x1F", "http://x.y/z?q=1", "def f(x):\n\treturn x\n", "\u2581", "▁a",
    "Ġ", "Ċ", "\U000e0001", "\ue000", "\U0010ffff", "\ufffd", "\ud7a3", "𠀀", "\u0e33", "\u1ee5", "ǆ", "ﷺ",
]


def one(rng, added):
    kind = rng.random()
    if kind < 0.5:
        parts = PARTS + added if added and rng.random() < 0.5 else PARTS
        return "".join(rng.choice(parts) for _ in range(rng.randint(1, 9)))
    if kind < 0.6:
        run = rng.choice([" ", "\n", "\t", "0", "a", "\u00a0", "\u3000", "-", "中", "\u0301", "🙂", "\r\n", " \n", "ab", "1,"])
        return rng.choice(["", "x", " "]) + run * rng.randint(2, 400) + rng.choice(["", "y", " ", "\n"])
    if kind < 0.65:
        return "".join(chr(rng.choice([*range(0, 33), 127, *range(0x80, 0xa1)])) for _ in range(rng.randint(1, 8)))
    if kind < 0.8:
        ranges = [(0, 0x7f), (0x80, 0x7ff), (0x800, 0x24ff), (0x2500, 0x2fff), (0x3000, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x1ffff)]
        return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 12)))
    if kind < 0.9:  # every plane
        return "".join(chr(rng.choice([rng.randint(0, 0xd7ff), rng.randint(0xe000, 0x10ffff)])) for _ in range(rng.randint(1, 6)))
    script = rng.choice([(0x300, 0x36f), (0x370, 0x52f), (0x590, 0x6ff), (0x900, 0xdff), (0xe00, 0xfff), (0x1000, 0x13ff), (0x1d00, 0x1fff),
                         (0x3040, 0x30ff), (0xa640, 0xabff), (0xac00, 0xd7a3), (0x1f000, 0x1faff), (0x1e000, 0x1efff)])
    return "".join(rng.choice(["", " ", "", "\u200d"]) + chr(rng.randint(*script)) for _ in range(rng.randint(1, 12)))


def fuzzed(n, seed, added=()):
    """n texts. added: names of added tokens, which half of the texts of parts may hold."""
    rng, added = random.Random(seed), list(added)[:200]
    return [one(rng, added) for _ in range(n)]


def strings(value):
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(item)


def shared(folder):
    """Every string of the JSON lines, and every text between separators of the .inp files, under a folder of evaluation data."""
    out = {}
    for path in sorted(glob.glob(os.path.join(folder, "**", "*"), recursive=True)):
        if path.endswith((".jsonl", ".jsonl.gz")):
            with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as f:
                for line in f:
                    out.update(dict.fromkeys(strings(json.loads(line))))
        elif path.endswith(".inp"):
            with open(path, encoding="utf-8", newline="") as f:
                out.update(dict.fromkeys(f.read().split("\n__ggml_vocab_test__\n")))
    return list(out)
