/* Constraints of composed instructions: their slots, wording and arguments, and which can be met together.
 * Limits are low on purpose: a small model must meet them now and then, or there is nothing to prefer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "data/synth.h"

enum type {
  WORDS_MAX,
  WORDS_MIN,
  SENTENCES_MAX,
  SENTENCES_MIN,
  PARAGRAPHS,
  FIRST_WORD,
  BULLETS,
  HIGHLIGHTS,
  SECTIONS,
  JSON,
  TITLE,
  PLACEHOLDERS,
  POSTSCRIPT,
  YES_NO,
  TWO,
  REPEAT,
  END,
  QUOTE,
  CAPITAL_WORDS,
  CAPITALS,
  LOWERCASE,
  NO_COMMA,
  KEYWORDS,
  KEYWORD_OFTEN,
  FORBIDDEN,
  LETTER_MIN,
  LETTER_MAX,
  LANGUAGE,
  N_TYPES
};
#define BIT(type) (1u << (type))

/* Types that an instruction has at most one of, and groups used in the rules below. */
enum {
  LETTER_CASE = BIT(CAPITAL_WORDS) | BIT(CAPITALS) | BIT(LOWERCASE),
  LAYOUT = BIT(PARAGRAPHS) | BIT(FIRST_WORD) | BIT(BULLETS) | BIT(SECTIONS) | BIT(JSON) | BIT(YES_NO) |
           BIT(TWO) | BIT(REPEAT),
  LENGTH = BIT(WORDS_MAX) | BIT(WORDS_MIN) | BIT(SENTENCES_MAX) | BIT(SENTENCES_MIN),
  VOCABULARY = BIT(KEYWORDS) | BIT(KEYWORD_OFTEN) | BIT(FORBIDDEN) | BIT(LETTER_MIN) | BIT(LETTER_MAX),
  ENGLISH_TEXT = BIT(POSTSCRIPT) | BIT(END) | BIT(KEYWORDS) | BIT(KEYWORD_OFTEN) | BIT(FORBIDDEN) |
                 BIT(FIRST_WORD) | BIT(SECTIONS) | BIT(YES_NO) | BIT(REPEAT),
  /* Met by saying something, and the more easily the more is said. */
  SUBSTANCE = BIT(WORDS_MIN) | BIT(SENTENCES_MIN) | BIT(SECTIONS) | BIT(PLACEHOLDERS) | BIT(KEYWORDS) |
              BIT(KEYWORD_OFTEN) | BIT(LETTER_MIN),
};

/* conflicts[t]: the types that t does not stand beside; read in both directions. */
static const uint32_t conflicts[N_TYPES] = {
    [WORDS_MAX] = BIT(WORDS_MAX) | BIT(WORDS_MIN) | BIT(SENTENCES_MIN) | BIT(PARAGRAPHS) | BIT(SECTIONS) |
                  BIT(TWO) | BIT(FIRST_WORD) | BIT(REPEAT),
    [WORDS_MIN] = BIT(WORDS_MIN) | BIT(SENTENCES_MAX) | BIT(LETTER_MAX),
    [SENTENCES_MAX] =
        BIT(SENTENCES_MAX) | BIT(SENTENCES_MIN) | LAYOUT | BIT(TITLE) | BIT(POSTSCRIPT) | BIT(END),
    [SENTENCES_MIN] = BIT(SENTENCES_MIN) | BIT(BULLETS),
    /* One layout an instruction; the dividers of some are what others count. */
    [PARAGRAPHS] = LAYOUT | BIT(TITLE) | BIT(HIGHLIGHTS),
    [FIRST_WORD] = LAYOUT | BIT(TITLE) | BIT(POSTSCRIPT) | BIT(END) | BIT(QUOTE),
    [BULLETS] = LAYOUT,
    [SECTIONS] = LAYOUT | BIT(CAPITALS) | BIT(LOWERCASE),
    [JSON] = LAYOUT | LENGTH | LETTER_CASE | BIT(HIGHLIGHTS) | BIT(TITLE) | BIT(PLACEHOLDERS) |
             BIT(POSTSCRIPT) | BIT(END) | BIT(QUOTE) | BIT(NO_COMMA) | BIT(LANGUAGE),
    [YES_NO] = ~0u, /* the answer is that sentence: nothing else is asked for */
    [TWO] = LAYOUT | BIT(HIGHLIGHTS) | BIT(QUOTE) | BIT(TITLE),
    [REPEAT] = LAYOUT | LENGTH | LETTER_CASE | BIT(QUOTE) | BIT(NO_COMMA) | BIT(LANGUAGE) | VOCABULARY,
    [HIGHLIGHTS] = BIT(HIGHLIGHTS),
    [TITLE] = BIT(TITLE),
    [PLACEHOLDERS] = BIT(PLACEHOLDERS),
    [POSTSCRIPT] = BIT(POSTSCRIPT) | BIT(END),
    [END] = BIT(END) | BIT(LETTER_MAX),
    [QUOTE] = BIT(QUOTE),
    [CAPITAL_WORDS] = LETTER_CASE,
    [CAPITALS] = LETTER_CASE,
    [LOWERCASE] = LETTER_CASE,
    [NO_COMMA] = BIT(NO_COMMA),
    [KEYWORDS] = BIT(KEYWORDS) | BIT(KEYWORD_OFTEN) | BIT(LETTER_MAX),
    [KEYWORD_OFTEN] = BIT(KEYWORD_OFTEN) | BIT(LETTER_MAX),
    [FORBIDDEN] = BIT(FORBIDDEN),
    [LETTER_MIN] = BIT(LETTER_MIN) | BIT(LETTER_MAX),
    [LETTER_MAX] = BIT(LETTER_MAX),
    [LANGUAGE] = BIT(LANGUAGE) | ENGLISH_TEXT | LETTER_CASE | BIT(LETTER_MIN) | BIT(LETTER_MAX),
};

/* How a sentence's blank is filled. */
enum { MAX_PHRASINGS = 5 };
/* {n}: the slot's number, {p}: a second one, {w}: words. Each type has phrasings up to the first NULL. */
static const char *const phrasings[N_TYPES][MAX_PHRASINGS] = {
    [WORDS_MAX] = {"Keep the whole reply below {n} words.", "Stay under {n} words.",
                   "Your reply has to be shorter than {n} words.", "Be brief: fewer than {n} words."},
    [WORDS_MIN] = {"Use {n} words or more.", "Write no fewer than {n} words.",
                   "The text should run to {n} words at the very least."},
    [SENTENCES_MAX] = {"Stop before you reach {n} sentences.", "Write fewer than {n} sentences.",
                       "The number of sentences must stay below {n}."},
    [SENTENCES_MIN] = {"Write {n} sentences or more.", "I want to read {n} sentences, or even more.",
                       "Anything from {n} sentences upwards is fine."},
    [PARAGRAPHS] = {"Write {n} paragraphs and put a line with *** between one and the next.",
                    "Split the text into {n} paragraphs; the divider between two of them is ***.",
                    "I need {n} paragraphs. Part them by three asterisks: ***"},
    [FIRST_WORD] = {"Write {n} paragraphs with an empty line between them, "
                    "and let paragraph {p} begin with the word \"{w}\".",
                    "Use {n} paragraphs, each parted from the next by one blank line; "
                    "\"{w}\" is the opening word of paragraph {p}."},
    [BULLETS] =
        {"Put your points into a list of exactly {n} lines that each start with \"* \".",
         "Reply with {n} bullet points, no more and no fewer, each on a line that opens with an asterisk.",
         "Make it a markdown list that has {n} items, all marked with \"- \"."},
    [HIGHLIGHTS] = {"Put asterisks around the key parts, *like this*, {n} or more times.",
                    "Mark {n} or more important phrases with asterisks, as in *marked phrase*.",
                    "Set off passages in markdown italics (*passage*), {n} or more of them."},
    [SECTIONS] = {"Divide the text into {n} sections and head them {w} 1, {w} 2 and so on.",
                  "There should be {n} parts. "
                  "Start each with a heading made of \"{w}\" and its number, the first being \"{w} 1\"."},
    [JSON] = {"Give the result as one JSON object and nothing besides.", "Reply in valid JSON only.",
              "The complete reply must be JSON that a program can parse.",
              "Return nothing except a JSON object; a code fence around it is fine."},
    [TITLE] = {"Give it a title in double angle brackets, like <<my title>>.",
               "Put a heading on top, enclosed as in <<heading>>.",
               "It needs a title that stands between << and >>.",
               "Start with a title; write << before it and >> after it."},
    [PLACEHOLDERS] =
        {"Leave {n} or more blanks for me to fill in, written like [name] or [date].",
         "Use square brackets for details I will add myself, for example [place]; have {n} or more of them.",
         "Make it a template: {n} or more fields in square brackets."},
    [POSTSCRIPT] = {"Finish with a postscript that begins with {w}", "Add a last remark marked {w}",
                    "Close with an afterthought; it starts with {w}"},
    [YES_NO] = {"Reply with one sentence: \"My answer is yes.\" if you agree, \"My answer is no.\" "
                "if you don't, \"My answer is maybe.\" in between.",
                "In doubt, say \"My answer is maybe.\"; otherwise it is \"My answer is no.\" "
                "if you are against and \"My answer is yes.\" if you are in favour.",
                "You have three replies to choose from: \"My answer is no.\" "
                "for a refusal, \"My answer is maybe.\" for doubt, \"My answer is yes.\" for consent.",
                "Say just this: \"My answer is\" and then yes, no or maybe, and a full stop."},
    [TWO] = {"Offer two versions that differ, with a line of six asterisks (******) between them.",
             "I would like two different attempts. Part them with ****** and use that divider just once.",
             "Do it twice, in two different ways, and separate the two by ******"},
    [REPEAT] =
        {"Before anything else, copy the text above this line exactly as it is; your reply to it comes after that.",
         "Begin by repeating everything above this line without changing a word, then do what it asks."},
    [END] = {"Let the very last words be: {w}", "Close with the sentence \"{w}\" and add nothing after it.",
             "The text has to end with these words: {w}"},
    [QUOTE] = {"Put the complete reply between double quotation marks.",
               "Open with a double quotation mark and close with another one.",
               "Everything you write belongs inside one pair of \" marks.",
               "The first and the last character of your reply must be \"."},
    [CAPITAL_WORDS] = {"Shout now and then: write {n} or more words in capitals only.",
                       "Out of all the words, put {n} or more in FULL capitals for stress.",
                       "Let {n} or more words stand out in upper case."},
    [CAPITALS] = {"Use capital letters only, and write in English.",
                  "WRITE IN CAPITALS FROM START TO END, IN ENGLISH.",
                  "No small letters, please: the whole English text in upper case."},
    [LOWERCASE] = {"Use small letters only, and write in English.",
                   "please write english without a single capital letter.",
                   "Avoid upper case completely, names and sentence starts included; English text.",
                   "The English text you write must be in lower case throughout."},
    [NO_COMMA] = {"Do without commas.", "There must not be one comma in it.", "Leave out every comma.",
                  "A comma anywhere would spoil it, so use none.", "Commas are off limits."},
    [KEYWORDS] = {"Work in the following: {w}.", "Make sure that these turn up: {w}.",
                  "Somewhere in the text, use {w}.", "Mention {w}."},
    [KEYWORD_OFTEN] = {"The word \"{w}\" should occur {n} times or more.",
                       "Say \"{w}\" no fewer than {n} times."},
    [FORBIDDEN] = {"Steer clear of the following: {w}.", "These must not occur: {w}.",
                   "Do it without ever using {w}."},
    [LETTER_MIN] = {"The letter {w} should occur {n} times or more.",
                    "Use the letter {w} no fewer than {n} times."},
    [LETTER_MAX] = {"The letter {w} may turn up, but fewer than {n} times.",
                    "Be sparing with the letter {w}: it must occur fewer than {n} times."},
    [LANGUAGE] = {"Write in {w} and in no other language.", "The reply must be in {w} from beginning to end.",
                  "Use {w} only."},
};

struct slot {
  unsigned char type;
  short value;        /* of the argument; the first of the slot's phrasings where the type has none */
  unsigned char part; /* a second argument; the step from one of these phrasings to the next */
};
#define S3(t, a, b, c)                                                                                       \
  {t, a, 0}, {t, b, 0},                                                                                      \
  {                                                                                                          \
    t, c, 0                                                                                                  \
  }
/* How many slots a type has is its weight. What asks for more text (at least so many words, sentences,
 * keywords, sections) outweighs what saying little meets by itself (limits, no commas, small letters alone):
 * else a model learns from the checks to be brief before anything else. */
static const struct slot slots[] = {
    S3(WORDS_MAX, 30, 50, 80),
    S3(WORDS_MIN, 15, 20, 25),
    S3(WORDS_MIN, 30, 35, 40),
    {WORDS_MIN, 45, 0},
    {WORDS_MIN, 50, 0},
    {SENTENCES_MAX, 4, 0},
    {SENTENCES_MAX, 6, 0},
    S3(SENTENCES_MIN, 2, 3, 4),
    {SENTENCES_MIN, 5, 0},
    {PARAGRAPHS, 2, 0},
    {PARAGRAPHS, 3, 0},
    {FIRST_WORD, 2, 1},
    {FIRST_WORD, 2, 2},
    {BULLETS, 2, 0},
    {BULLETS, 3, 0},
    S3(HIGHLIGHTS, 1, 2, 3),
    {SECTIONS, 2, 0},
    {SECTIONS, 3, 0},
    {JSON, 0, 1},
    {TITLE, 0, 2},
    {TITLE, 1, 2},
    S3(PLACEHOLDERS, 1, 2, 3),
    {POSTSCRIPT, 0, 0},
    {POSTSCRIPT, 1, 0},
    {YES_NO, 0, 1},
    {TWO, 0, 1},
    {REPEAT, 0, 1},
    S3(END, 0, 2, 4),
    {QUOTE, 0, 1},
    S3(CAPITAL_WORDS, 1, 2, 3),
    {CAPITAL_WORDS, 4, 0},
    {CAPITALS, 0, 1},
    {LOWERCASE, 0, 1},
    {NO_COMMA, 0, 3},
    {NO_COMMA, 1, 3},
    {NO_COMMA, 2, 3},
    S3(KEYWORDS, 1, 2, 3),
    {KEYWORD_OFTEN, 2, 0},
    {KEYWORD_OFTEN, 3, 0},
    {FORBIDDEN, 1, 0},
    {FORBIDDEN, 2, 0},
    S3(LETTER_MIN, 4, 6, 8),
    {LETTER_MAX, 4, 0},
    S3(LANGUAGE, 0, 1, 2),
};
const size_t synth_n_slots = sizeof slots / sizeof *slots;

static const char *const words[] = {
    "river",   "window", "morning", "bridge",  "sugar",   "mountain", "family", "journey", "music",
    "garden",  "winter", "colour",  "paper",   "market",  "dream",    "bread",  "letter",  "sailor",
    "forest",  "candle", "teacher", "story",   "ocean",   "pocket",   "summer", "village", "silver",
    "doctor",  "answer", "kitchen", "travel",  "shadow",  "circle",   "friend", "planet",  "ticket",
    "coffee",  "sister", "button",  "minute",  "corner",  "yellow",   "engine", "lesson",  "spring",
    "weather", "number", "picture", "holiday", "stone",   "laughter", "basket", "promise", "harvest",
    "evening", "clock",  "ladder",  "blanket", "feather", "thunder"};
/* Words that come easily in any text, so that leaving them out takes attention. */
static const char *const common_words[] = {"very",   "really", "good", "great", "people", "thing",
                                           "always", "never",  "time", "day",   "make",   "because",
                                           "just",   "nice",   "also", "small", "every",  "place"};
static const char *const first_words[] = {"today", "sometimes", "perhaps", "however", "first",
                                          "when",  "finally",   "many",    "there",   "yes"};
static const char *const endings[] = {"That is all for today.", "And so it went.",
                                      "What do you think?",     "Thank you for reading.",
                                      "Take care of yourself!", "I would do it again."};
static const char *const markers[] = {"P.S.", "P.P.S"};
static const char *const heads[] = {"Section", "Part", "Chapter"};
static const char *const languages[][2] = {{"es", "Spanish"}, {"fr", "French"}, {"de", "German"}};
static const char *const relations[] = {"less than", "at least"};
#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

bool synth_slot_fits_form(size_t slot, const struct synth_form *form)
{
  return slots[slot].type != YES_NO || form->question;
}

bool synth_slot_can_be_extra(size_t slot)
{
  return slots[slot].type != REPEAT && slots[slot].type != YES_NO;
}

bool synth_slot_asks_for_substance(size_t slot)
{
  return (BIT(slots[slot].type) & SUBSTANCE) != 0;
}

static void write_number(char out[16], int n, struct tpo_rng *rng)
{
  static const char *const names[] = {"zero",  "one",   "two",  "three", "four",   "five",  "six",
                                      "seven", "eight", "nine", "ten",   "eleven", "twelve"};
  if (n <= 12 && tpo_rng_below(rng, 3) > 0)
    snprintf(out, 16, "%s", names[n]);
  else
    snprintf(out, 16, "%d", n);
}

/* n (at most 3) different words of `from`; a JSON array (new reference). The odd step below 9 never comes
 * back to a word within three in a list of 16 or more. */
static json_t *pick_words(const char *const *from, uint32_t n_from, int n, struct tpo_rng *rng)
{
  json_t *list = json_array();
  uint32_t at = tpo_rng_below(rng, n_from), step = 1 + 2 * tpo_rng_below(rng, 4);
  for (int i = 0; i < n; i++)
    json_array_append_new(list, json_string(from[(at + (uint32_t)i * step) % n_from]));
  return list;
}

/* "a", "b" and "c", quoted or not, in `out`. */
static void write_list(char out[160], const json_t *list, bool quoted)
{
  size_t n = json_array_size(list), used = 0;
  for (size_t i = 0; i < n; i++) {
    const char *join = i == 0 ? "" : i + 1 == n ? " and " : ", ", *quote = quoted ? "\"" : "";
    int len = snprintf(out + used, 160 - used, "%s%s%s%s", join, quote,
                       json_string_value(json_array_get(list, i)), quote);
    if (len < 0 || (size_t)len >= 160 - used) return;
    used += (size_t)len;
  }
}

/* Copies a phrasing, its blanks filled. */
static void fill(char out[320], const char *phrasing, const char *number, const char *second,
                 const char *text)
{
  size_t used = 0;
  for (const char *c = phrasing; *c && used + 1 < 320;) {
    const char *blank = NULL;
    if (strncmp(c, "{n}", 3) == 0)
      blank = number;
    else if (strncmp(c, "{p}", 3) == 0)
      blank = second;
    else if (strncmp(c, "{w}", 3) == 0)
      blank = text;
    if (!blank) {
      out[used++] = *c++;
      continue;
    }
    size_t len = strlen(blank);
    if (len > 319 - used) len = 319 - used;
    memcpy(out + used, blank, len);
    used += len;
    c += 3;
  }
  out[used] = '\0';
}

/* A check with one integer argument, and relation (NULL: none) under the name relation_key. */
static json_t *number_check(const char *type, const char *key, int n, const char *relation_key,
                            const char *relation)
{
  json_t *check = json_pack("{s:s, s:i}", "type", type, key, n);
  if (check && relation) json_object_set_new(check, relation_key, json_string(relation));
  return check;
}

/* What a constraint needs for its sentence beside the slot's number. */
struct made {
  json_t *check;
  char text[160];
  int second;
};

static void make_vocabulary(struct made *made, const struct slot *slot, struct tpo_rng *rng)
{
  const char *word;
  char letter[2] = "a";
  json_t *list;
  switch (slot->type) {
  case KEYWORDS:
  case FORBIDDEN:
    list = slot->type == KEYWORDS ? pick_words(words, COUNT(words), slot->value, rng)
                                  : pick_words(common_words, COUNT(common_words), slot->value, rng);
    write_list(made->text, list, tpo_rng_below(rng, 2));
    made->check = slot->type == KEYWORDS
                      ? json_pack("{s:s, s:o}", "type", "keywords:existence", "keywords", list)
                      : json_pack("{s:s, s:o}", "type", "keywords:forbidden_words", "forbidden_words", list);
    break;
  case KEYWORD_OFTEN:
    word = words[tpo_rng_below(rng, COUNT(words))];
    snprintf(made->text, sizeof made->text, "%s", word);
    made->check = json_pack("{s:s, s:s, s:i, s:s}", "type", "keywords:frequency", "keyword", word,
                            "frequency", slot->value, "relation", "at least");
    break;
  default: /* letters */
    letter[0] =
        slot->type == LETTER_MAX ? "kvbz"[tpo_rng_below(rng, 4)] : "bcdfghklmpuvwy"[tpo_rng_below(rng, 14)];
    snprintf(made->text, sizeof made->text, "%s", letter);
    made->check =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "keywords:letter_frequency", "letter", letter,
                  "let_frequency", slot->value, "let_relation", relations[slot->type == LETTER_MIN]);
    break;
  }
}

static void make_texts(struct made *made, const struct slot *slot, struct tpo_rng *rng)
{
  const char *text = "";
  switch (slot->type) {
  case FIRST_WORD:
    text = first_words[tpo_rng_below(rng, COUNT(first_words))];
    made->second = slot->part;
    made->check = json_pack("{s:s, s:i, s:i, s:s}", "type", "length_constraints:nth_paragraph_first_word",
                            "num_paragraphs", slot->value, "nth_paragraph", slot->part, "first_word", text);
    break;
  case SECTIONS:
    text = heads[tpo_rng_below(rng, COUNT(heads))];
    made->check = json_pack("{s:s, s:s, s:i}", "type", "detectable_format:multiple_sections",
                            "section_spliter", text, "num_sections", slot->value);
    break;
  case POSTSCRIPT:
    text = markers[slot->value];
    made->check = json_pack("{s:s, s:s}", "type", "detectable_content:postscript", "postscript_marker", text);
    break;
  case END:
    text = endings[(uint32_t)slot->value + tpo_rng_below(rng, 2)];
    made->check = json_pack("{s:s, s:s}", "type", "startend:end_checker", "end_phrase", text);
    break;
  default: /* LANGUAGE */
    text = languages[slot->value][1];
    made->check =
        json_pack("{s:s, s:s}", "type", "language:response_language", "language", languages[slot->value][0]);
    break;
  }
  snprintf(made->text, sizeof made->text, "%s", text);
}

static json_t *make_number(const struct slot *slot)
{
  int n = slot->value;
  switch (slot->type) {
  case WORDS_MAX:
  case WORDS_MIN:
    return number_check("length_constraints:number_words", "num_words", n, "relation",
                        relations[slot->type == WORDS_MIN]);
  case SENTENCES_MAX:
  case SENTENCES_MIN:
    return number_check("length_constraints:number_sentences", "num_sentences", n, "relation",
                        relations[slot->type == SENTENCES_MIN]);
  case PARAGRAPHS:
    return number_check("length_constraints:number_paragraphs", "num_paragraphs", n, NULL, NULL);
  case BULLETS: return number_check("detectable_format:number_bullet_lists", "num_bullets", n, NULL, NULL);
  case HIGHLIGHTS:
    return number_check("detectable_format:number_highlighted_sections", "num_highlights", n, NULL, NULL);
  case PLACEHOLDERS:
    return number_check("detectable_content:number_placeholders", "num_placeholders", n, NULL, NULL);
  default:
    return number_check("change_case:capital_word_frequency", "capital_frequency", n, "capital_relation",
                        "at least");
  }
}

/* The name of a type without arguments; NULL for the others. */
static const char *plain_type(int type)
{
  switch (type) {
  case JSON: return "detectable_format:json_format";
  case TITLE: return "detectable_format:title";
  case YES_NO: return "detectable_format:constrained_response";
  case TWO: return "combination:two_responses";
  case REPEAT: return "combination:repeat_prompt";
  case QUOTE: return "startend:quotation";
  case CAPITALS: return "change_case:english_capital";
  case LOWERCASE: return "change_case:english_lowercase";
  case NO_COMMA: return "punctuation:no_comma";
  default: return NULL;
  }
}

int synth_choice_add(struct synth_choice *choice, size_t index, struct tpo_rng *rng, struct tpo_error *err)
{
  const struct slot *slot = &slots[index];
  if (choice->n == SYNTH_MAX_CONSTRAINTS) return 0;
  for (int i = 0; i < choice->n; i++) {
    int other = choice->items[i].type;
    if ((conflicts[other] & BIT(slot->type)) || (conflicts[slot->type] & BIT(other))) return 0;
  }
  struct synth_constraint *item = &choice->items[choice->n];
  struct made made = {0};
  uint32_t phrasing = 0, n_phrasings = 0;
  while (n_phrasings < MAX_PHRASINGS && phrasings[slot->type][n_phrasings]) n_phrasings++;
  const char *plain = plain_type(slot->type);
  if (plain) {
    made.check = json_pack("{s:s}", "type", plain);
    uint32_t n = (n_phrasings - (uint32_t)slot->value + slot->part - 1) / slot->part;
    phrasing = (uint32_t)slot->value + slot->part * tpo_rng_below(rng, n);
  } else {
    phrasing = tpo_rng_below(rng, n_phrasings);
    if (BIT(slot->type) & VOCABULARY)
      make_vocabulary(&made, slot, rng);
    else if (BIT(slot->type) & (BIT(FIRST_WORD) | BIT(SECTIONS) | BIT(POSTSCRIPT) | BIT(END) | BIT(LANGUAGE)))
      make_texts(&made, slot, rng);
    else
      made.check = make_number(slot);
  }
  if (!made.check) return tpo_fail(err, TPO_E_MEMORY, "out of memory while composing an instruction");
  char number[16], second[16];
  write_number(number, slot->value, rng);
  snprintf(second, sizeof second, "%d", made.second);
  fill(item->sentence, phrasings[slot->type][phrasing], number, second, made.text);
  item->type = slot->type;
  item->check = made.check;
  item->at_end = slot->type == REPEAT;
  choice->n++;
  return 1;
}

void synth_choice_free(struct synth_choice *choice)
{
  for (int i = 0; i < choice->n; i++) json_decref(choice->items[i].check);
  choice->n = 0;
}
