/* Sentences in the manner of the Punkt algorithm (Kiss and Strunk, "Unsupervised Multilingual Sentence
 * Boundary Detection", 2006), with abbreviations and sentence starters listed here in place of trained ones;
 * and words as the Penn Treebank's conventions cut them, as far as counting words in capitals needs it. */
#include <stdlib.h>
#include "checks/text.h"

static const char *const abbreviations[] = {/* without the last full stop; sorted */
                                            "a.k.a", "a.m", "adm",   "al",   "apr", "aug",    "ave",  "b.c",
                                            "bros",  "c.o", "capt",  "cf",   "ch",  "cmdr",   "co",   "col",
                                            "corp",  "d.c", "dec",   "dept", "dr",  "e.g",    "etc",  "ext",
                                            "feb",   "fig", "fri",   "ft",   "gen", "gov",    "i.e",  "inc",
                                            "jan",   "jr",  "lt",    "ltd",  "maj", "messrs", "mr",   "mrs",
                                            "ms",    "mt",  "n.y",   "nov",  "oct", "p.m",    "ph.d", "prof",
                                            "rep",   "rev", "sen",   "sept", "sgt", "sr",     "st",   "u.k",
                                            "u.n",   "u.s", "u.s.a", "v",    "vs"};

/* Words that, capitalised after an abbreviation, tell of a new sentence; sorted. */
static const char *const starters[] = {
    "a",    "after", "all",   "also",  "although", "an",    "and",  "as",      "at",    "but",
    "by",   "for",   "he",    "her",   "here",     "his",   "how",  "however", "i",     "if",
    "in",   "it",    "its",   "my",    "no",       "on",    "our",  "she",     "so",    "some",
    "that", "the",   "their", "then",  "there",    "these", "they", "this",    "those", "to",
    "we",   "what",  "when",  "where", "while",    "who",   "why",  "with",    "you",   "your"};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static int compare_words(const void *a, const void *b)
{
  return strcmp(a, *(const char *const *)b);
}

/* Whether the word, in lower case, is in a sorted list. */
static bool is_listed(struct span word, const char *const *list, size_t n)
{
  char lower[16];
  if (word.len >= sizeof lower) return false;
  for (size_t i = 0; i < word.len; i++) {
    char c = word.text[i];
    lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  lower[word.len] = '\0';
  return bsearch(lower, list, n, sizeof *list, compare_words) != NULL;
}

static bool ends_sentence(char c)
{
  return c == '.' || c == '?' || c == '!';
}

static bool is_closing(char c) /* punctuation that may follow the stop directly */
{
  return c && strchr(")\";}]*:@'({[", c);
}

/* The token that the full stop at `stop` ends, itself left out. */
static struct span token_before(struct span text, size_t stop)
{
  size_t start = stop;
  while (start > 0) {
    char c = text.text[start - 1];
    if (c == ' ' || (c >= 9 && c <= 13) || c == '?' || c == '!' || is_closing(c)) break;
    if (c == '-' && start > 1 && text.text[start - 2] == '-') break;
    if ((unsigned char)c >= 0x80 && text_is_space(text_before(text, start))) break;
    start--;
  }
  return (struct span){text.text + start, stop - start};
}

/* The word at `at`, cut at its first character that is neither an ASCII letter nor a digit. */
static struct span word_at(struct span text, size_t at)
{
  size_t end = at;
  while (end < text.len && ((text.text[end] | 32) >= 'a' && (text.text[end] | 32) <= 'z')) end++;
  return (struct span){text.text + at, end - at};
}

/* Whether the full stop at `stop`, with the next token at `next`, is a sentence's end. */
static bool stop_ends(struct span text, size_t stop, size_t next)
{
  struct span token = token_before(text, stop);
  struct span follows = word_at(text, next);
  bool capital = follows.len > 0 && follows.text[0] >= 'A' && follows.text[0] <= 'Z';
  bool starts = capital && is_listed(follows, starters, COUNT(starters));
  bool ellipsis = token.len > 0 && token.text[token.len - 1] == '.';
  bool initial = token.len == 1 && ((token.text[0] | 32) >= 'a' && (token.text[0] | 32) <= 'z');
  if (initial) return !capital || starts;
  if (ellipsis) return starts;
  struct span last = token; /* of a hyphenated word, the last part counts too */
  for (size_t i = 0; i < token.len; i++)
    if (token.text[i] == '-') last = (struct span){token.text + i + 1, token.len - i - 1};
  if (is_listed(token, abbreviations, COUNT(abbreviations)) ||
      is_listed(last, abbreviations, COUNT(abbreviations)))
    return starts;
  return true;
}

/* Closing quotes and brackets at `at` that belong to the sentence before, when white space or the end follows
 * them. */
static size_t skip_closers(struct span text, size_t at)
{
  size_t end = at;
  while (end < text.len && strchr("\"')]}", text.text[end]) && text.text[end]) end++;
  if (end == at || end == text.len) return end;
  size_t after = end;
  if (text_is_space(text_next(text, &after))) return end;
  return end + 1 < text.len && text.text[end] == '-' && text.text[end + 1] == '-' ? end : at;
}

static bool is_blank(struct span text, size_t from, size_t to)
{
  return text_strip((struct span){text.text + from, to - from}).len == 0;
}

size_t text_sentence_end(struct span text, size_t start)
{
  for (size_t at = start; at + 1 < text.len; at++) {
    if (!ends_sentence(text.text[at])) continue;
    size_t next = at + 1;
    if (!is_closing(text.text[next])) {
      size_t space = next;
      if (!text_is_space(text_next(text, &space))) continue;
      for (next = space; next < text.len; next = space)
        if (!text_is_space(text_next(text, &space))) break;
    }
    if (text.text[at] == '.' && !stop_ends(text, at, next)) continue;
    return skip_closers(text, at + 1);
  }
  return text.len;
}

size_t text_count_sentences(struct span text)
{
  size_t n = 0;
  text = text_strip(text);
  for (size_t start = 0, end; start < text.len; start = end) {
    end = text_sentence_end(text, start);
    n += !is_blank(text, start, end);
  }
  return n;
}

/* Length of the contraction that the word ends with and that is cut off it; 0 for none. */
static size_t contraction(struct span word)
{
  static const char *const endings[] = {"'s",  "'S",  "'m",  "'M",  "'d",  "'D",  "'ll",
                                        "'LL", "'re", "'RE", "'ve", "'VE", "n't", "N'T"};
  for (size_t i = 0; i < COUNT(endings); i++)
    if (word.len > strlen(endings[i]) && text_ends(word, span_of(endings[i]))) return strlen(endings[i]);
  return 0;
}

/* Only words in capitals are counted, so only they need be cut right. */
static size_t count_capital(struct span word)
{
  static const char *const double_words[] = {"CANNOT", "GONNA", "GOTTA", "WANNA", "GIMME", "LEMME"};
  for (size_t i = 0; i < COUNT(double_words); i++)
    if (span_equal(word, span_of(double_words[i]))) return 2;
  size_t head = word.len - contraction(word);
  struct span tail = {word.text + head, word.len - head};
  return (size_t)text_is_upper((struct span){word.text, head}) + text_is_upper(tail);
}

static bool splits(uint32_t cp, struct span text, size_t after)
{
  if (text_is_space(cp)) return true;
  if (cp < 128) {
    if (strchr(";@#$%&?![](){}<>\"`", (int)cp)) return true;
    if (cp == ',' || cp == ':') {
      size_t at = after;
      return after >= text.len || !text_is_digit(text_next(text, &at));
    }
    return false;
  }
  return cp == 0xab || cp == 0xbb || (cp >= 0x2018 && cp <= 0x201f);
}

size_t text_count_capital_words(struct span text)
{
  size_t n = 0, start = 0;
  for (size_t at = 0; at < text.len;) {
    size_t here = at;
    uint32_t cp = text_next(text, &at);
    bool dashes = cp == '-' && at < text.len && text.text[at] == '-';
    bool dots = cp == '.' && at + 1 < text.len && text.text[at] == '.' && text.text[at + 1] == '.';
    if (!dashes && !dots && !splits(cp, text, at)) continue;
    n += count_capital((struct span){text.text + start, here - start});
    if (dashes) at++;
    if (dots) at += 2;
    start = at;
  }
  return n + count_capital((struct span){text.text + start, text.len - start});
}
