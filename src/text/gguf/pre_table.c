/* The splits behind the names of tokenizer.ggml.pre: those of the tokenizers whose files carry the name, as their
 * makers publish them. llama.cpp, which gives out the names, cuts some texts otherwise: "'\u017f" is no contraction
 * there, of the letters only ASCII's have a case (tekken, gpt-4o and their kin), falcon's digits are looked for before
 * bytes have glyphs, and no text is brought into the normal form NFC. "default" has no tokenizer behind it and is as
 * there. */
#include "text/gguf/pre.h"

#define SPACES "|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" SPACES
#define NOT_WORD "[^\\r\\n\\p{L}\\p{N}]?"
#define WORDS "|" NOT_WORD "\\p{L}+|"
#define LINES "|\\s*[\\r\\n]+" SPACES
#define SYMBOLS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define REST SYMBOLS LINES
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BY_CASE(after) NOT_WORD UPPER "*" LOWER "+" after "|" NOT_WORD UPPER "+" LOWER "*" after
#define CASED_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" LINES
#define O200K(digits) BY_CASE(CONTRACTIONS "?") "|" digits CASED_REST
#define BLOOM " ?[^(\\s|[.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c}])]+"
#define IDEOGRAPHS "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define DEEPSEEK_ASIAN "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define ASCII_WORDS                                                                                          \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define PUNCTUATION "[\\p{P}$+<=>^`|~]" /* of Unicode and of ASCII */
#define HAN_FREE(set) "(?:(?!\\p{Han})" set ")"

/* The cased letters, as DeepSeek's tokenizer lists them. */
#define DEEPSEEK_LETTERS                                                                                     \
  "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"            \
  "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"     \
  "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"            \
  "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"          \
  "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"          \
  "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}"                     \
  "\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"                    \
  "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"          \
  "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"            \
  "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"                     \
  "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"                     \
  "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"           \
  "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"          \
  "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                         \
  "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"                     \
  "\\x{1e900}-\\x{1e943}"

#define ALONE(expression)                                                                                    \
  {                                                                                                          \
    .pattern = (expression), .behavior = TPO_SPLIT_ISOLATED                                                  \
  }
#define WHOLE(expression)                                                                                    \
  {                                                                                                          \
    .pattern = (expression), .behavior = TPO_SPLIT_ISOLATED, .covers = true                                  \
  }
/* Splits applied one after the other, each match becoming a piece of its own. */
#define SPLITS(name, ...) static const struct tpo_gguf_split name[] = {__VA_ARGS__, {0}}

SPLITS(gpt2, WHOLE(GPT2));
SPLITS(digits, ALONE("\\p{N}"), ALONE(GPT2));
SPLITS(llama3, WHOLE(CONTRACTIONS WORDS "\\p{N}{1,3}" REST));
SPLITS(qwen2, WHOLE(CONTRACTIONS WORDS "\\p{N}" REST));
SPLITS(qwen35,
       WHOLE(CONTRACTIONS "|" NOT_WORD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" LINES));
SPLITS(tekken, WHOLE(BY_CASE("") "|\\p{N}" CASED_REST));
SPLITS(gpt4o, WHOLE(O200K("\\p{N}{1,3}")));
SPLITS(deepseek_llm, ALONE("[\\r\\n]"), ALONE("\\s?[" DEEPSEEK_LETTERS "]+"),
       ALONE("\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"),
       ALONE("\\s+$"), ALONE(DEEPSEEK_ASIAN), ALONE("\\p{N}+"));
SPLITS(deepseek_coder, ALONE("[\\r\\n]"), ALONE("\\s?\\p{L}+"), ALONE("\\s?\\p{P}+"), ALONE(DEEPSEEK_ASIAN),
       ALONE("\\p{N}"));
SPLITS(deepseek_v3, ALONE("\\p{N}{1,3}"), ALONE(IDEOGRAPHS),
       ALONE(ASCII_WORDS "| ?[\\p{P}\\p{S}]+[\\r\\n]*" LINES));
SPLITS(spark, ALONE("\\p{N}{1,3}"), ALONE(IDEOGRAPHS),
       ALONE(ASCII_WORDS "| ?[\\p{P}\\p{S}]+|[\\r\\n]" SPACES), ALONE("\\p{N}"));
SPLITS(falcon, {.pattern = PUNCTUATION, .behavior = TPO_SPLIT_CONTIGUOUS}, ALONE(GPT2),
       {.pattern = "\\p{N}+", .behavior = TPO_SPLIT_ISOLATED, .glyphs = true},
       {.pattern = "[0-9][0-9][0-9]", .behavior = TPO_SPLIT_ISOLATED, .glyphs = true});
SPLITS(fallback, ALONE("[\\p{P}\\$\\+<=>\\^~\\|]+"), ALONE(GPT2), ALONE("\\p{N}+"), ALONE("[0-9][0-9][0-9]"));
SPLITS(bloom, ALONE(BLOOM));
SPLITS(viking, ALONE(BLOOM), ALONE("\\p{N}"));
SPLITS(bailing,
       ALONE("'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
             "|\\s*[\\r\\n]" SPACES));
SPLITS(seed_coder, ALONE(CONTRACTIONS WORDS "\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" LINES));
SPLITS(exaone_moe,
       ALONE(CONTRACTIONS "|" NOT_WORD "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
                          "[\\r\\n/]?|\\s*[\\r\\n]" SPACES));
SPLITS(minicpm5, ALONE("\\p{N}{1,3}"), ALONE(CONTRACTIONS WORDS "\\p{N}+" REST));
SPLITS(tiny_aya, ALONE("\\d{1,3}(?=(?:\\d{3})*\\b)"), ALONE(O200K("\\p{N}{1,3}")));
SPLITS(
    youtu,
    ALONE(
        "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}"
        "\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+|" IDEOGRAPHS),
    ALONE(O200K("\\p{N}")));
SPLITS(
    jais2,
    ALONE(
        CONTRACTIONS WORDS
        "\\p{N}{1,3}" SYMBOLS
        "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|"
        "\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"));
SPLITS(ufakzeka, ALONE(NOT_WORD "\\p{L}+|\\p{N}" REST));
SPLITS(laguna, ALONE("[^\\n]+|[\\n]+"), ALONE(CONTRACTIONS WORDS "\\p{N}" REST));
SPLITS(chameleon, ALONE("<sentinel:[0-9]+>"), ALONE("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
       ALONE("([\\t\\n]|    |  )"), ALONE("\\p{N}"), ALONE("[\\p{P}!-/:-@\\[-`{-~]"), ALONE(GPT2));
/* Groups of three digits from the right: where the rest of them is some groups, a piece ends. */
SPLITS(superbpe, ALONE("\\p{N}+"), ALONE("[\\s\\S]+?(?=(?:\\d{3})+(?!\\d))|[\\s\\S]+"));
SPLITS(
    afmoe, ALONE("\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))"),
    ALONE(
        "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}"
        "\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}"
        "\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+"),
    ALONE(ASCII_WORDS "| ?[\\p{P}\\p{S}]+[\\r\\n]*" LINES));
SPLITS(kimi_k2,
       ALONE("[\\p{Han}]+|" NOT_WORD HAN_FREE(UPPER) "*" HAN_FREE(
           LOWER) "+" CONTRACTIONS "?|" NOT_WORD HAN_FREE(UPPER) "+" HAN_FREE(LOWER) "*" CONTRACTIONS
                                                                                     "?|\\p{N}{1,3}" REST));

/* Of those with the same splits the first is written. */
const struct tpo_gguf_pre tpo_gguf_pres[] = {
    {.name = "gpt-2", .splits = gpt2},
    {.name = "smollm", .splits = digits},
    {.name = "llama-bpe", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "dbrx", .splits = llama3},
    {.name = "qwen2", .splits = qwen2, .nfc = true},
    {.name = "deepseek-r1-qwen", .splits = qwen2},
    {.name = "qwen35", .splits = qwen35, .nfc = true},
    {.name = "tekken", .splits = tekken, .ignore_merges = true, .add_bos = true},
    {.name = "gpt-4o", .splits = gpt4o},
    {.name = "deepseek-llm", .splits = deepseek_llm},
    {.name = "deepseek-coder", .splits = deepseek_coder},
    {.name = "deepseek-v3", .splits = deepseek_v3},
    {.name = "falcon", .splits = falcon},
    {.name = "command-r", .splits = digits, .nfc = true},
    {.name = "mpt", .splits = gpt2, .nfc = true},
    {.name = "glm4", .splits = llama3, .ignore_merges = true},
    /* Names of others' files, which are read but need not be written. */
    {.name = "default", .splits = fallback},
    {.name = "phi-2", .splits = gpt2},
    {.name = "jina-es", .splits = gpt2, .embeds = true},
    {.name = "jina-de", .splits = gpt2, .embeds = true},
    {.name = "gigachat", .splits = gpt2},
    {.name = "jina-v2-es", .splits = gpt2, .embeds = true},
    {.name = "jina-v2-de", .splits = gpt2, .embeds = true},
    {.name = "a.x-4.0", .splits = gpt2},
    {.name = "mellum", .splits = gpt2},
    {.name = "modern-bert", .splits = gpt2, .embeds = true},
    {.name = "jina-v1-en", .splits = gpt2, .embeds = true},
    {.name = "jina-v2-code", .splits = gpt2, .embeds = true},
    {.name = "roberta-bpe", .splits = gpt2, .embeds = true},
    {.name = "exaone4", .splits = gpt2},
    {.name = "jais", .splits = gpt2},
    {.name = "trillion", .splits = gpt2},
    {.name = "granite-docling", .splits = gpt2},
    {.name = "olmo", .splits = gpt2, .nfc = true},
    {.name = "starcoder", .splits = digits},
    {.name = "refact", .splits = digits},
    {.name = "codeshell", .splits = digits},
    {.name = "exaone", .splits = digits},
    {.name = "minerva-7b", .splits = digits},
    {.name = "mellum2", .splits = digits},
    {.name = "llama3", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon-h1", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "pixtral", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "midm-2.0", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "lfm2", .splits = llama3, .ignore_merges = true, .add_bos = true},
    {.name = "jina-v5-nano", .splits = llama3, .ignore_merges = true, .add_bos = true, .embeds = true},
    {.name = "glm5", .splits = llama3, .ignore_merges = true},
    {.name = "smaug-bpe", .splits = llama3},
    {.name = "chatglm-bpe", .splits = llama3},
    {.name = "kormo", .splits = qwen2},
    {.name = "f2llmv2", .splits = qwen2},
    {.name = "stablelm2", .splits = qwen2},
    {.name = "hunyuan", .splits = qwen2},
    {.name = "megrez", .splits = qwen2},
    {.name = "grok-2", .splits = qwen2},
    {.name = "solar-open", .splits = qwen2},
    {.name = "llama4", .splits = gpt4o},
    {.name = "kanana2", .splits = gpt4o},
    {.name = "talkie", .splits = gpt4o},
    {.name = "minimax-m2", .splits = gpt4o},
    {.name = "granite-embed-multi-97m", .splits = gpt4o, .ignore_merges = true, .embeds = true},
    {.name = "hunyuan-dense", .splits = deepseek_v3},
    {.name = "joyai-llm", .splits = deepseek_v3},
    {.name = "hy_v4", .splits = deepseek_v3},
    {.name = "spark2_5", .splits = spark},
    {.name = "bloom", .splits = bloom},
    {.name = "poro-chat", .splits = bloom},
    {.name = "gpt3-finnish", .splits = bloom},
    {.name = "viking", .splits = viking},
    {.name = "bailingmoe", .splits = bailing},
    {.name = "bailingmoe2", .splits = bailing},
    {.name = "llada-moe", .splits = bailing},
    {.name = "seed-coder", .splits = seed_coder},
    {.name = "exaone-moe", .splits = exaone_moe},
    {.name = "minicpm5", .splits = minicpm5, .ignore_merges = true},
    {.name = "tiny_aya", .splits = tiny_aya},
    {.name = "cohere2moe", .splits = tiny_aya},
    {.name = "youtu", .splits = youtu, .ignore_merges = true},
    {.name = "jais-2", .splits = jais2},
    {.name = "ufakzeka", .splits = ufakzeka},
    {.name = "laguna", .splits = laguna},
    {.name = "chameleon", .splits = chameleon, .add_bos = true},
    {.name = "superbpe", .splits = superbpe},
    {.name = "afmoe", .splits = afmoe},
    {.name = "kimi-k2", .splits = kimi_k2},
};
const size_t tpo_n_gguf_pres = sizeof tpo_gguf_pres / sizeof *tpo_gguf_pres;
