#!/usr/bin/env python3
"""Writes table.c: the Unicode properties of the package tokenizers, by asking it about every code point.

    python src/text/unicode/make_table.py          (tokenizers 0.23.3, unicodedata2, and regex for the names of scripts)

Its parts know different versions of Unicode: regular expressions (Oniguruma) 16.0, Digits (Rust) 17.0, Punctuation and
the normal forms much older ones. A set is stored as general categories, code points besides and code points without.
"""
import os, re, sys, unicodedata
import regex
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import Split

HERE = os.path.dirname(os.path.abspath(__file__))
ALL = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
PROPERTIES = """Alphabetic Uppercase Lowercase White_Space Ideographic Unified_Ideograph Cased Math Dash Hyphen Emoji
Emoji_Presentation Emoji_Modifier Emoji_Modifier_Base Emoji_Component Extended_Pictographic ID_Start ID_Continue XID_Start
XID_Continue Any Assigned ASCII Alnum Alpha Blank Cntrl Digit Graph Lower Print Punct Space Upper Word XDigit LC""".split()
LONG = """L=Letter Lu=Uppercase_Letter Ll=Lowercase_Letter Lt=Titlecase_Letter Lm=Modifier_Letter Lo=Other_Letter LC=Cased_Letter
M=Mark Mn=Nonspacing_Mark Mc=Spacing_Mark Me=Enclosing_Mark N=Number Nd=Decimal_Number Nl=Letter_Number No=Other_Number
P=Punctuation Pc=Connector_Punctuation Pd=Dash_Punctuation Ps=Open_Punctuation Pe=Close_Punctuation Pi=Initial_Punctuation
Pf=Final_Punctuation Po=Other_Punctuation S=Symbol Sm=Math_Symbol Sc=Currency_Symbol Sk=Modifier_Symbol So=Other_Symbol
Z=Separator Zs=Space_Separator Zl=Line_Separator Zp=Paragraph_Separator C=Other Cc=Control Cf=Format Co=Private_Use
Cn=Unassigned""".split()
POSIX = "alnum alpha blank cntrl digit graph lower print punct space upper word xdigit ascii".split()


def matched(pattern, points):
    """The code points that match a pattern of one character; None: the package doesn't know it."""
    try:
        split, out = Split(Regex(pattern), "removed", invert=True), set()
    except Exception:
        return None
    for i in range(0, len(points), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, points[i:i + 4096]))):
            out.update(map(ord, piece))
    return out


def alone(pre):
    """The code points that are a piece of their own between letters."""
    out = set()
    for i in range(0, len(ALL), 4096):
        text = "".join("xy" + chr(c) for c in ALL[i:i + 4096]) + "xy"
        out.update(ord(p) for p, _ in pre.pre_tokenize_str(text) if len(p) == 1)
    return out


def word_before():
    """The code points after which an added token of single_word doesn't stand alone."""
    tok = Tokenizer(models.BPE(vocab={"x": 0, "y": 1}, merges=[]))
    tok.add_tokens([AddedToken("xy", single_word=True, normalized=False)])
    joined = tok.token_to_id("xy")
    return {c for c in ALL if joined not in tok.encode(chr(c) + "xy").ids}


def inert():
    """What a newer Unicode composes, decomposes or orders and the package's normal forms pass by."""
    form, compat = normalizers.NFC().normalize_str, normalizers.NFKD().normalize_str

    def touched(c):
        s = chr(c)
        return compat(s) != s or form("a\u0315" + s) != "a\u0315" + s or form("a" + s + "\u0316") != "a" + s + "\u0316" \
            or form("a" + s + "\u0334") != "a" + s + "\u0334"

    new = [c for c in ALL if newest.combining(chr(c)) or newest.decomposition(chr(c))]
    seconds = {ord(x) for c in new for x in newest.normalize("NFD", chr(c))[1:] if newest.normalize("NFC", chr(c)) == chr(c)}
    pairs = {c for c in new if newest.combining(chr(c)) == 0 and form(newest.normalize("NFD", chr(c))) != newest.normalize("NFC", chr(c))}
    unknown = {c for c in new if not touched(c)}
    # A vowel sign that composes is a starter: it is passed by where nothing that the package composes has it.
    known = {ord(x) for c in new if c not in pairs for x in newest.normalize("NFD", chr(c))[1:]}
    return unknown | {c for c in seconds - known if not touched(c)}


def ranges(points):
    out = []
    for c in sorted(points):
        if out and (c == out[-1][1] + 1 or (out[-1][1] == 0xd7ff and c == 0xe000)):
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


class Table:
    def __init__(self):
        self.numbers, self.sets = [], []

    def pack(self, points):
        begin, last = len(self.numbers), 0
        for first, end in ranges(points):
            self.numbers += [first - last, end - first]
            last = end
        return begin, len(self.numbers) - begin

    def add(self, name, points, mask=None):
        """mask None: the categories that are wholly or mostly in the set."""
        if mask is None:
            mask = 0
            for i, c in enumerate(CATEGORIES):
                have = categories[c] & points
                if len(ranges(categories[c] - have)) < len(ranges(have)):
                    mask |= 1 << i
        base = set().union(*(categories[c] for i, c in enumerate(CATEGORIES) if mask >> i & 1), set())
        self.sets.append((name, mask, *self.pack(points - base), *self.pack(base - points)))


def plain(name):
    return re.sub("[ _-]", "", name).lower()


if __name__ == "__main__":
    try:
        import unicodedata2 as newest
    except ImportError:
        sys.exit("the newest Unicode's data is needed: the package unicodedata2")
    categories = {c: matched(r"\p{%s}" % c, ALL) for c in CATEGORIES}
    assigned = sorted(set(ALL) - categories["Cn"] - categories["Co"])
    table, starts = Table(), []
    for c in CATEGORIES:
        starts.append(table.pack(categories[c] if c != "Cn" else set()))
    for pair in LONG:
        short, name = pair.split("=")
        mask = sum(1 << i for i, c in enumerate(CATEGORIES) if c.startswith(short) or (short == "LC" and c in ("Lu", "Ll", "Lt")))
        for n in (short, name):
            table.add(plain(n), set().union(*(categories[c] for i, c in enumerate(CATEGORIES) if mask >> i & 1)), mask)
    known = {s[0] for s in table.sets}
    for name in PROPERTIES:
        points = matched(r"\p{%s}" % name, ALL)
        if points is not None and plain(name) not in known:
            known.add(plain(name))
            table.add(plain(name), points)
    for name in sorted(regex._regex_core.PROPERTIES["SCRIPT"][1]):
        points = matched(r"\p{%s}" % name, assigned) if len(name) > 4 or name in ("HAN", "LAO", "YI", "NKO", "VAI", "THAI") else None
        if points and plain(name) not in known:
            known.add(plain(name))
            table.add(plain(name), points)
    for name in POSIX:
        table.add("[:%s:]" % name, matched("[[:%s:]]" % name, ALL))
    for letter in "wdsh":
        table.add("\\" + letter, matched("\\" + letter, ALL))
    table.add("(digits)", alone(pre_tokenizers.Digits(individual_digits=True)))
    table.add("(punctuation)", alone(pre_tokenizers.Punctuation("isolated")))
    space = matched(r"\s", ALL)
    table.add("(word)", set(ALL) - alone(pre_tokenizers.Whitespace()) - space)
    table.add("(added word)", word_before())
    table.add("(inert)", inert())
    with open(os.path.join(HERE, "table.c"), "w", encoding="utf-8") as f:
        f.write(f"/* Made by make_table.py out of tokenizers {tokenizers.__version__}: change that, not this. */\n"
                "#include \"text/unicode/table.h\"\n\n/* clang-format off */\nconst uint32_t tpo_unicode_numbers[] = {\n")
        line = " "
        for n in table.numbers:
            if len(line) + len(str(n)) + 1 > 139:
                f.write(line + "\n")
                line = " "
            line += f"{n},"
        f.write(line + "\n};\n\nconst struct tpo_unicode_list tpo_unicode_categories[TPO_UNICODE_CATEGORIES] = {\n")
        for name, (begin, n) in zip(CATEGORIES, starts):
            f.write(f"  {{{begin}, {n}}}, /* {name} */\n")
        f.write("};\n\nconst struct tpo_unicode_set tpo_unicode_sets[] = {\n")
        for name, mask, *lists in sorted(table.sets):
            f.write("  {\"%s\", 0x%x, {%d, %d}, {%d, %d}},\n" % (name.replace("\\", "\\\\"), mask, *lists))
        f.write("};\nconst size_t tpo_unicode_n_sets = %d;\n/* clang-format on */\n" % len(table.sets))
