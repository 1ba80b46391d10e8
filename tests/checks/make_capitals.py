"""Writes src/checks/capitals_table.h: how often letter sequences that a word in capitals leaves for telling its language by occur
in 15 languages, by the profiles of langdetect 1.0.9, the detector that IFEval's own checker asks. Run where that is installed:

    python tests/checks/make_capitals.py > src/checks/capitals_table.h
"""
import math

from langdetect import detector_factory

LANGUAGES = "en de vi hu tl so pt id it sw ca cy fr pl es".split()
FLOOR = 5e-5  # what the detector adds to every frequency
STEPS = 30    # to a factor of e

detector_factory.init_factory()
factory = detector_factory._factory
columns = [factory.langlist.index(language) for language in LANGUAGES]


def is_read(gram):
    """Its first letter, alone and behind a space; its last, or last two, before a space."""
    letters = gram.strip(" ")
    if not letters.isascii() or not letters.isupper() or not letters:
        return False
    return len(gram) == 1 or (len(gram) == 2 and len(letters) == 1) or (len(gram) == 3 and gram[2] == " ")


rows = []
for gram, frequencies in factory.word_lang_prob_map.items():
    values = [round(STEPS * math.log(1 + frequencies[column] / FLOOR)) for column in columns]
    if is_read(gram) and max(values) > 0:
        rows.append((gram, values))

print("""/* Written by tests/checks/make_capitals.py from the profiles of langdetect 1.0.9 (Apache License 2.0). Sorted. A value v
 * stands for a frequency of 5e-5 (exp(v / 30) - 1) among the language's sequences of that length. */
/* clang-format off */""")
print(f"enum {{ N_CAPITAL_LANGUAGES = {len(LANGUAGES)} }};")
print("static const char capital_languages[N_CAPITAL_LANGUAGES][3] = {" + ", ".join(f'"{name}"' for name in LANGUAGES) + "};")
print("""static const struct capital_gram {
  char text[4];
  uint8_t values[N_CAPITAL_LANGUAGES];
} capital_grams[] = {""")
for gram, values in sorted(rows, key=lambda row: row[0].encode()):
    print(f'  {{"{gram}", {{{", ".join(map(str, values))}}}}},')
print("};\n/* clang-format on */")
