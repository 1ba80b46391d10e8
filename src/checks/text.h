/* Text as the checks see it: white space, word characters and letter case as Python's str and re have them,
 * because the public benchmark is defined by them. All functions expect valid UTF-8. */
#ifndef TPO_CHECKS_TEXT_H
#define TPO_CHECKS_TEXT_H

#include <string.h>
#include "base/buf.h"

struct span { /* borrowed bytes */
  const char *text;
  size_t len;
};
static inline struct span span_of(const char *text)
{
  return (struct span){text, strlen(text)};
}
static inline bool span_equal(struct span a, struct span b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

uint32_t text_next(struct span text, size_t *at);  /* code point at *at, which moves past it; *at < len */
uint32_t text_before(struct span text, size_t at); /* code point that ends at `at` > 0 */
bool text_is_space(uint32_t cp);
bool text_is_word(uint32_t cp);  /* letter, number or underscore: \w */
bool text_is_digit(uint32_t cp); /* decimal digit: \d */
/* Some cased letter, and none that is not upper (lower) case: str.isupper, str.islower. */
bool text_is_upper(struct span text);
bool text_is_lower(struct span text);

struct span text_strip(struct span text);              /* white space at both ends */
struct span text_strip_char(struct span text, char c); /* an ASCII character at both ends */
struct span text_first_token(struct span text);        /* up to white space; text is stripped */
bool text_starts(struct span text, const char *prefix);
bool text_ends(struct span text, struct span suffix);
/* Offset of needle at or after `from`, or SIZE_MAX. */
size_t text_find(struct span text, struct span needle, size_t from);
/* Lower case appended to out; invalid bytes, should there be any, become U+FFFD. */
void text_lower(struct span text, struct tpo_buf *out);
/* Valid UTF-8 copy appended to out: malformed bytes become U+FFFD. */
void text_repair(struct span text, struct tpo_buf *out);
size_t text_count_words(struct span text); /* runs of word characters */

/* Sentences as the benchmark's tokenizer parts them; sentences.c. */
size_t text_count_sentences(struct span text);
/* Where the one that begins at `start` ends, behind its stop and what closes it; the text's end for the last. */
size_t text_sentence_end(struct span text, size_t start);
/* Words in capitals as the benchmark's tokenizer cuts them; sentences.c. */
size_t text_count_capital_words(struct span text);
/* ISO 639-1 code of the language, "" when there is no letter to tell by; language.c. */
const char *text_language(struct span text);
bool text_knows_language(const char *code);
/* The same of a text in capitals, as the benchmark's detector has it: often not what the words are. capitals.c */
const char *text_language_of_capitals(struct span text);
const char *text_known_languages(void); /* "ar, bg, ..." */
bool text_is_json(struct span text);    /* one JSON value and nothing else; json_text.c */
/* Share of the word 4-grams that occurred earlier in the text, in [0, 1]; negative when memory is short.
 * repetition.c */
double text_repetition(struct span text);

#endif
