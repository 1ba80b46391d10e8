/* From an answer to the instruction in it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "data/draft.h"
#include "data/draft_words.h"

static const char *const blanks = " \t\n\v\f";

/* Part of the text that is being cut to size, in place. */
struct part {
  char *at;
  size_t len;
};

static void trim(struct part *p)
{
  while (p->len > 0 && strchr(blanks, p->at[0])) p->at++, p->len--;
  while (p->len > 0 && strchr(blanks, p->at[p->len - 1])) p->len--;
}

static void skip(struct part *p, size_t n)
{
  p->at += n;
  p->len -= n;
}

/* \r\n and \r to \n, in place. */
static size_t unify_lines(char *text)
{
  size_t used = 0;
  for (size_t i = 0; text[i]; i++) {
    if (text[i] == '\r' && text[i + 1] == '\n') continue;
    text[used++] = text[i] == '\r' ? '\n' : text[i];
  }
  text[used] = '\0';
  return used;
}

static size_t line_length(const char *at, size_t len)
{
  const char *end = memchr(at, '\n', len);
  return end ? (size_t)(end - at) : len;
}

enum label { LABEL_NONE, LABEL_WORD, LABEL_NUMBER, LABEL_BULLET };

/* "Request 9:", "New task #3 -", "Question:", or "Request 9" that is all of the line; its length with the
 * blanks behind it, or 0. */
static size_t word_label(const char *at, size_t len)
{
  static const char *const before[] = {"new ", "next ", "my ", "the ", "example ", "user "};
  static const char *const names[] = {"request", "instruction", "task",  "question", "prompt",
                                      "example", "input",       "query", "user",     "problem"};
  size_t i = 0, n = 0;
  for (size_t b = 0; b < sizeof before / sizeof *before && i == 0; b++) i = draft_begins(at, len, before[b]);
  for (size_t b = 0; b < sizeof names / sizeof *names && n == 0; b++)
    n = draft_begins(at + i, len - i, names[b]);
  if (n == 0) return 0;
  i += n;
  while (i < len && (at[i] == ' ' || at[i] == '#')) i++;
  while (i < len && isdigit((unsigned char)at[i])) i++;
  bool numbered = isdigit((unsigned char)at[i - 1]);
  while (i < len && strchr(" *_", at[i])) i++;
  if (i == len) return numbered ? i : 0; /* a heading */
  if (!strchr(":.)-", at[i]) || (at[i] != ':' && !numbered)) return 0;
  for (i++; i < len && strchr(" *_\t", at[i]); i++) {
  }
  return i;
}

/* "9. ", "(9) ", "9: " */
static size_t number_label(const char *at, size_t len)
{
  size_t i = len > 0 && at[0] == '(', digits = 0;
  for (; i < len && isdigit((unsigned char)at[i]); i++) digits++;
  if (digits == 0 || digits > 3 || i + 1 >= len || !strchr(".):", at[i]) || !strchr(" \t*", at[i + 1]))
    return 0;
  for (i++; i < len && strchr(" \t", at[i]); i++) {
  }
  return i;
}

static size_t bullet_label(const char *at, size_t len)
{
  size_t n = draft_begins(at, len, "\xe2\x80\xa2"); /* • */
  if (n == 0 && len > 1 && strchr("-*+", at[0]) && at[1] == ' ') n = 1;
  while (n > 0 && n < len && at[n] == ' ') n++;
  return n;
}

/* The label that a line begins with, after marks of emphasis and of headings. */
static enum label find_label(const char *at, size_t len, size_t *length)
{
  size_t marks = 0;
  if ((*length = bullet_label(at, len)) > 0) return LABEL_BULLET;
  while (marks < len && strchr("#*_", at[marks])) marks++;
  while (marks > 0 && marks < len && at[marks] == ' ') marks++;
  enum label kind = LABEL_WORD;
  size_t n = word_label(at + marks, len - marks);
  if (n == 0) {
    kind = LABEL_NUMBER;
    n = number_label(at + marks, len - marks);
  }
  *length = n > 0 ? marks + n : 0;
  return n > 0 ? kind : LABEL_NONE;
}

/* "Sure! Here is a new request:", on a line of its own or before the instruction. */
static bool drop_introduction(struct part *p)
{
  size_t line = line_length(p->at, p->len);
  const char *colon = memchr(p->at, ':', line);
  if (!colon || !draft_introduces(p->at, (size_t)(colon - p->at))) return false;
  struct part rest = *p;
  skip(&rest, (size_t)(colon - p->at) + 1);
  while (rest.len > 0 && strchr("*_", rest.at[0])) skip(&rest, 1);
  trim(&rest);
  if (rest.len == 0) return false;
  *p = rest;
  return true;
}

/* Emphasis that a label had opened. */
static void drop_open_emphasis(struct part *p)
{
  size_t pairs = 0;
  for (size_t i = 0; i + 1 < p->len; i++)
    if (p->at[i] == '*' && p->at[i + 1] == '*') pairs++, i++;
  if (pairs % 2 == 1 && p->len > 2 && p->at[p->len - 1] == '*' && p->at[p->len - 2] == '*') p->len -= 2;
  trim(p);
}

/* Takes off marks that stand around all of it; those within must then be others. */
static bool drop_wrapper(struct part *p)
{
  static const struct {
    const char *open, *close;
  } pairs[] = {{"\"", "\""},
               {"\xe2\x80\x9c", "\xe2\x80\x9d"},
               {"\xc2\xab", "\xc2\xbb"},
               {"'", "'"},
               {"`", "`"},
               {"**", "**"},
               {"__", "__"},
               {"*", "*"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    size_t o = strlen(pairs[i].open), c = strlen(pairs[i].close);
    if (p->len <= o + c || memcmp(p->at, pairs[i].open, o) != 0 ||
        memcmp(p->at + p->len - c, pairs[i].close, c) != 0)
      continue;
    if (memmem(p->at + o, p->len - o - c, pairs[i].open, o)) continue;
    if (memmem(p->at + o, p->len - o - c, pairs[i].close, c)) continue;
    skip(p, o);
    p->len -= c;
    trim(p);
    return true;
  }
  return false;
}

static bool is_rule(const char *line, size_t len)
{
  size_t i = 0;
  while (i < len && strchr("-*=_ ", line[i])) i++;
  return len >= 3 && i == len;
}

/* Whether what stands before a blank line is about what comes after it. */
static bool goes_on(const char *text, size_t len)
{
  while (len > 0 && strchr(blanks, text[len - 1])) len--;
  return (len > 0 && text[len - 1] == ':') || draft_open_fence(text, len) ||
         draft_has_word(text, len, "following") || draft_has_word(text, len, "below");
}

static bool ends_here(const char *line, size_t len, enum label first)
{
  size_t length;
  enum label label = find_label(line, len, &length);
  if (label == LABEL_WORD || (label != LABEL_NONE && label == first)) return true;
  return is_rule(line, len) || draft_answers(line, len);
}

/* Cuts before the next item, an answer or a remark. first: how the first item was labelled. */
static void cut(struct part *p, enum label first)
{
  bool after_blank = false;
  for (size_t at = line_length(p->at, p->len); at < p->len;) {
    size_t begin = at + 1, len = line_length(p->at + begin, p->len - begin);
    struct part line = {p->at + begin, len};
    trim(&line);
    bool fenced = draft_open_fence(p->at, at);
    if (line.len == 0)
      after_blank = true;
    else if ((!fenced && ends_here(line.at, line.len, first)) || (after_blank && !goes_on(p->at, at))) {
      p->len = at;
      break;
    } else
      after_blank = false;
    at = begin + len;
  }
  trim(p);
}

char *draft_clean(const char *answer)
{
  char *text = strdup(answer);
  if (!text) return NULL;
  struct part p = {text, unify_lines(text)};
  enum label first = LABEL_NONE, label;
  size_t length;
  trim(&p);
  while (drop_introduction(&p)) {
  }
  while ((label = find_label(p.at, line_length(p.at, p.len), &length)) != LABEL_NONE) {
    if (first == LABEL_NONE) first = label;
    skip(&p, length);
    trim(&p);
  }
  cut(&p, first);
  drop_open_emphasis(&p);
  while (drop_wrapper(&p)) {
  }
  if (find_label(p.at, line_length(p.at, p.len), &length) == LABEL_WORD) skip(&p, length);
  trim(&p);
  memmove(text, p.at, p.len);
  text[p.len] = '\0';
  return text;
}
