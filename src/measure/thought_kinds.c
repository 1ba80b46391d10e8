/* Looks for the rules' patterns in a thought. */
#include <ctype.h>
#include <string.h>

#include "base/utf8.h"
#include "base/words.h"
#include "measure/thoughts.h"

/* The text's words, one at a time, and where each stands. */
struct place {
  size_t at; /* to go on from */
  struct word word;
  bool begins; /* a sentence or a line */
};

/* What stands between words ends a sentence. */
static bool ends_sentence(const char *text, size_t begin, size_t end)
{
  for (size_t i = begin; i < end; i++)
    if (strchr(".!?:;\n*#\"(", text[i])) return true;
  return false;
}

/* The first word at or after place->at; false when there is none. */
static bool next_word(const char *text, size_t len, struct place *place)
{
  size_t before = place->at;
  if (!words_next(text, len, &place->at, &place->word)) return false;
  place->begins = before == 0 || ends_sentence(text, before, place->word.begin);
  return true;
}

/* Bytes of the pattern's character that the text's begins with; 0: another one. Letter case of English only,
 * and an apostrophe of either sort. */
static size_t same_letter(char expected, const char *text, size_t len)
{
  if (len == 0) return 0;
  if (expected == '\'' && len >= 3 && memcmp(text, "\xe2\x80\x99", 3) == 0) return 3;
  return tolower((unsigned char)*text) == expected;
}

/* Whether the text's word is the pattern's, which *pattern moves behind. */
static bool same_word(const char **pattern, const char *text, const struct word *word)
{
  const char *p = *pattern;
  size_t at = word->begin;
  for (; *p && *p != ' ' && *p != '*'; p++) {
    size_t bytes = same_letter(*p, text + at, word->end - at);
    if (bytes == 0) return false;
    at += bytes;
  }
  bool all = at == word->end || *p == '*';
  if (*p == '*') p++;
  *pattern = *p == ' ' ? p + 1 : p;
  return all;
}

/* Whether the pattern stands in the text from this word on. */
static bool matches(const char *pattern, const char *text, size_t len, struct place place)
{
  if (*pattern == '^' && !place.begins) return false;
  pattern += *pattern == '^';
  while (same_word(&pattern, text, &place.word)) {
    if (!*pattern) return true;
    if (!next_word(text, len, &place)) return false;
  }
  return false;
}

enum { LETTERS = 26 };

/* The rules' patterns by the letter that they begin with. */
struct index {
  struct {
    const char *pattern;
    int kind;
  } list[N_THOUGHT_KINDS * MOST_PATTERNS];
  int begin[LETTERS + 1]; /* of each letter's in list */
};

static int letter_of(const char *pattern)
{
  return pattern[*pattern == '^'] - 'a';
}

static struct index index_rules(void)
{
  struct index index = {0};
  int n = 0;
  for (int letter = 0; letter < LETTERS; letter++) {
    index.begin[letter] = n;
    for (int k = 0; k < N_THOUGHT_KINDS; k++)
      for (int p = 0; p < MOST_PATTERNS && thought_rules[k].patterns[p]; p++)
        if (letter_of(thought_rules[k].patterns[p]) == letter) {
          index.list[n].pattern = thought_rules[k].patterns[p];
          index.list[n++].kind = k;
        }
  }
  index.begin[LETTERS] = n;
  return index;
}

/* Bits of the kinds of which a pattern stands in the text from this word on. */
static unsigned kinds_at(const struct index *index, const char *text, size_t len, const struct place *place)
{
  int letter = tolower((unsigned char)text[place->word.begin]) - 'a';
  unsigned kinds = 0;
  if (letter < 0 || letter >= LETTERS) return 0;
  for (int i = index->begin[letter]; i < index->begin[letter + 1]; i++)
    if (!(kinds & 1U << index->list[i].kind) && matches(index->list[i].pattern, text, len, *place))
      kinds |= 1U << index->list[i].kind;
  return kinds;
}

/* A line that begins at `line` with "- ", "* ", "• ", "1. " or "1) ". */
static bool is_item(const char *line)
{
  line += strspn(line, " \t");
  size_t digits = strspn(line, "0123456789");
  if (digits > 0 && digits < 4)
    return (line[digits] == '.' || line[digits] == ')') && line[digits + 1] == ' ';
  size_t bullet = strncmp(line, "•", strlen("•")) == 0 ? strlen("•") : strspn(line, "-*");
  return bullet > 0 && line[bullet] == ' ';
}

static int count_items(const char *text, size_t *first)
{
  int n = 0;
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (is_item(line) && n++ == 0) *first = (size_t)(line - text);
  }
  return n;
}

static bool counts_items(const struct thought_rule *rule)
{
  for (int p = 0; p < MOST_PATTERNS && rule->patterns[p]; p++)
    if (strcmp(rule->patterns[p], "#") == 0) return true;
  return false;
}

static void find_items(const char *text, size_t len, struct thought_occurrence out[N_THOUGHT_KINDS])
{
  for (int k = 0; k < N_THOUGHT_KINDS; k++) {
    out[k] = (struct thought_occurrence){.first = len};
    if (counts_items(&thought_rules[k])) out[k].n = count_items(text, &out[k].first);
  }
}

void thought_occurrences(const char *text, struct thought_occurrence out[N_THOUGHT_KINDS])
{
  const struct index index = index_rules();
  size_t len = strlen(text);
  struct place place = {0};
  find_items(text, len, out);
  while (next_word(text, len, &place)) {
    unsigned kinds = kinds_at(&index, text, len, &place);
    for (int k = 0; kinds >> k; k++) {
      if (!(kinds & 1U << k)) continue;
      out[k].n++;
      if (place.word.begin < out[k].first) out[k].first = place.word.begin;
    }
  }
}
