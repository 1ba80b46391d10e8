#!/usr/bin/env python3
"""Makes fixtures/regex.json with Hugging Face's tokenizers 0.23.3: what its regular expressions match.

    python tests/text/make_regex.py

"sets": for patterns of one character, how many code points match and the sum of their products with PRIME, modulo 2^32.
"splits": texts cut by a Split.
"""
import json, os
from tokenizers import Regex, pre_tokenizers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
PRIME = 2654435761
ALL = [c for c in range(1, 0x110000) if not 0xd800 <= c < 0xe000]
SETS = r"""\p{L} \p{Lu} \p{Ll} \p{Lt} \p{Lm} \p{Lo} \p{M} \p{Mn} \p{N} \p{Nd} \p{P} \p{S} \p{So} \p{Cn} \P{L} \w [\w] \W \s \S \d \h
[[:punct:]] [[:^alpha:]] \p{Han} \p{Hiragana} \p{Latin} \p{Emoji} \p{Extended_Pictographic} . [^\s\p{L}\p{N}] [\p{L}\p{M}&&[^\p{Han}]]
[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] [^[\p{L}]\P{^N}&&[^0-9]]""".split()
TEXTS = ["aaaab \u00e9\u00df1\u00b2\u2167 12345\r\n\n  x\t", "\U0001fae8\U0001f642don't 'S\u017f K\u212a \u4e2d\u6587\uff0cABCdef\u304b\u30ca",
         "\U0001e4f5\U00010d51\ua7cbb \u1c8a\U000323af-+\u2427 a\u0301\u0301 \u200d_", "\n\n   ", "a.b,,c--d;(e)", "\u0301\u0300x"]
PATTERNS = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|[\p{Han}]+|\p{N}{1,3}",
    r"[a[^b]&&[c\p{L}]]+", r"[]a]", r"[^]a]+", r"[a-c-e]+", r"[a-b-[c]]", r"[[a]-c]", r"[a&]", r"[:alpha:]", r"[\b\-x]",
    r"a{2}+", r"a{1,2}+b", r"a{2}?", r"a{1,2}?", r"a{,2}", r"a{2,}+", r"a**", r"a+*", r"a?+", r"a*+", r"a??", r"a+?", r"a{", r"a{x}",
    r"(?m)b.x|2.1", r"a(?i)B|D", r"(?i)k", r"(?-i:k)", r"(?>a+)b", r"(?#note)a", r"(a)\1", r"(?<n>a+)b", r"(?'n'a+)b",
    r"\v|\e|\a|\x41|\x{e9}|\u4e2d|\012", r"\h+", r"\H+", r"\R", r"\O+", r"\N+", r"\bd", r"\B.", r"\Aa", r"x\z", r"\Z", r"^", r"$",
    r"(?<=a|,)b", r"(?<!a)b", r"(?=b)", r"\s*", r"\p{^L}+", r"\P{^L}+", r"\p{ uppercase letter }", r"[[:^alpha:]]+", r"\p{Greek}|\p{han}",
    r"\w+|[^\w\s]+", r"\s+$", r"(a|b|)+", r"}|]", r"\-|\;|\#", r"(?i:\p{Lu})", r"(?i)[k-m]", r"\p{N}", "\U0001f642|\u4e2d",
]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def matched(pattern):
    split, out = pre_tokenizers.Split(Regex(pattern), "removed", invert=True), []
    for i in range(0, len(ALL), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, ALL[i:i + 4096]))):
            out += map(ord, piece)
    return out


if __name__ == "__main__":
    sets, splits = [], []
    for pattern in SETS:
        points = matched(pattern)
        sets.append({"pattern": pattern, "n": len(points), "sum": sum(c * PRIME for c in points) % 2**32})
    for i, pattern in enumerate(PATTERNS):
        for j in (1, (0, 2, 3, 4)[i % 4]):
            behavior = BEHAVIORS[j]
            invert = (i + j) % 3 == 0
            try:
                split = pre_tokenizers.Split(Regex(pattern), behavior, invert=invert)
            except Exception as fault:
                raise SystemExit(f"{pattern}: {fault}")
            splits += [{"pattern": pattern, "behavior": j, "invert": invert, "text": text,
                        "pieces": [piece for piece, _ in split.pre_tokenize_str(text)]} for text in TEXTS]
    with open(os.path.join(HERE, "regex.json"), "w", encoding="utf-8") as f:
        f.write('{"sets": [\n' + ",\n".join(map(json.dumps, sets)) + '\n],\n"splits": [\n' + ",\n".join(map(json.dumps, splits)) + "\n]}\n")
