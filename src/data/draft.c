/* Looks for the faults of a cleaned draft: characters, markers, length, balance, an open end. */
#include "data/draft.h"

#include <ctype.h>
#include <string.h>
#include "base/utf8.h"
#include "base/words.h"
#include "data/draft_words.h"

const char *draft_fault_name(enum draft_fault fault)
{
  static const char *const names[N_DRAFT_FAULTS] = {
      [DRAFT_GOOD] = "accepted",
      [DRAFT_CUT] = "cut off",
      [DRAFT_EMPTY] = "empty",
      [DRAFT_CHARACTERS] = "of bad characters",
      [DRAFT_MARKER] = "with a template's marker",
      [DRAFT_SHORT] = "too short",
      [DRAFT_LONG] = "too long",
      [DRAFT_REPLY] = "a reply and no instruction",
      [DRAFT_UNBALANCED] = "with an open quote or bracket",
      [DRAFT_UNFINISHED] = "unfinished",
      [DRAFT_LIKE_SEED] = "like a seed",
      [DRAFT_LIKE_OTHER] = "like another",
  };
  return fault >= DRAFT_GOOD && fault < N_DRAFT_FAULTS ? names[fault] : "unknown";
}

static bool has_bad_characters(const char *text, size_t len)
{
  uint32_t cp;
  for (size_t at = 0; at < len;) {
    int n = tpo_utf8_decode((const uint8_t *)text + at, len - at, &cp);
    if (n == 0 || cp == 0xFFFD || (!tpo_utf8_is_tame(cp) && cp != '\n' && cp != '\t')) return true;
    at += (size_t)n;
  }
  return false;
}

/* <|...|>, as most templates write their markers. */
static bool has_bar_marker(const char *text)
{
  const char *open = strstr(text, "<|"), *close = open ? strstr(open + 2, "|>") : NULL;
  return close && close - open < 40;
}

/* A line that is a role's name alone, as is left of a template whose control tokens are gone. */
static bool has_role_line(const char *text)
{
  static const char *const roles[] = {"user", "assistant", "system"};
  for (const char *line = text; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    for (size_t i = 0; i < 3; i++)
      if (strcspn(line, "\n") == strlen(roles[i]) && strncmp(line, roles[i], strlen(roles[i])) == 0)
        return true;
  }
  return false;
}

static bool has_marker(const char *text, const struct draft_rules *rules)
{
  static const char *const markers[] = {
      "[INST]",        "[/INST]",       "<<SYS>>",         "<</SYS>>",     "</s>",    "<start_of_turn>",
      "<end_of_turn>", "{instruction}", "### Instruction", "### Response", "<think>", "</think>"};
  for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
    if (strstr(text, markers[i])) return true;
  for (size_t i = 0; i < rules->n_markers; i++)
    if (strstr(text, rules->markers[i])) return true;
  return has_bar_marker(text) || has_role_line(text);
}

/* A closing bracket of an enumeration, "a)" or "12)", or of a face. */
static bool is_lone_bracket(const char *text, size_t at)
{
  if (at > 0 && strchr(":;-", text[at - 1])) return true;
  size_t begin = at;
  while (begin > 0 && isalnum((unsigned char)text[begin - 1])) begin--;
  bool digits = begin < at;
  for (size_t i = begin; i < at; i++) digits = digits && isdigit((unsigned char)text[i]);
  bool first = begin == 0 || strchr(" \n\t", text[begin - 1]) != NULL;
  return first && begin < at && (digits || at - begin == 1);
}

static bool brackets_match(const char *text, size_t len)
{
  enum { DEPTH = 256 };
  char open[DEPTH];
  int depth = 0;
  for (size_t i = 0; i < len; i++) {
    const char *opens = "([{", *closes = ")]}";
    char c = text[i];
    if (strchr(opens, c)) {
      if (depth == DEPTH) return false;
      open[depth++] = closes[strchr(opens, c) - opens];
    } else if (strchr(closes, c)) {
      if (depth > 0 && open[depth - 1] == c)
        depth--;
      else if (c != ')' || !is_lone_bracket(text, i))
        return false;
    }
  }
  return depth == 0;
}

static size_t occurrences(const char *text, const char *part)
{
  size_t n = 0;
  for (const char *at = strstr(text, part); at; at = strstr(at + strlen(part), part)) n++;
  return n;
}

/* An odd quote may be a mark of inches: 6" */
static bool quotes_match(const char *text, size_t len)
{
  size_t quotes = 0, inches = 0;
  for (size_t i = 0; i < len; i++)
    if (text[i] == '"') {
      quotes++;
      inches += i > 0 && isdigit((unsigned char)text[i - 1]);
    }
  return (quotes % 2 == 0 || inches > 0) && occurrences(text, "`") % 2 == 0 &&
         occurrences(text, "\xe2\x80\x9c") == occurrences(text, "\xe2\x80\x9d") &&
         occurrences(text, "\xc2\xab") == occurrences(text, "\xc2\xbb");
}

/* What can't end a line that is finished. */
static bool is_unfinished(const char *text, size_t len)
{
  static const char *const ends[] = {",", ";", ":", "-", "/", "\\", "&", "<", "\xe2\x80\x93", "\xe2\x80\x94"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t n = strlen(ends[i]);
    if (len >= n && memcmp(text + len - n, ends[i], n) == 0) return true;
  }
  return draft_dangles(text, len);
}

enum draft_fault draft_check(const char *text, const struct draft_rules *rules)
{
  size_t len = strlen(text), n_words = words_count(text);
  if (len == 0) return DRAFT_EMPTY;
  if (has_bad_characters(text, len)) return DRAFT_CHARACTERS;
  if (has_marker(text, rules)) return DRAFT_MARKER;
  if (n_words < rules->min_words) return DRAFT_SHORT;
  if (n_words > rules->max_words) return DRAFT_LONG;
  if (draft_replies(text, len)) return DRAFT_REPLY;
  if (draft_open_fence(text, len) || !brackets_match(text, len) || !quotes_match(text, len))
    return DRAFT_UNBALANCED;
  return is_unfinished(text, len) ? DRAFT_UNFINISHED : DRAFT_GOOD;
}
