/* The words and phrases that give a draft away, and the search for them. */
#include "data/draft_words.h"

#include <string.h>
#include <strings.h>
#include "base/words.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

size_t draft_begins(const char *at, size_t len, const char *phrase)
{
  size_t i = 0;
  for (const char *c = phrase; *c; c++) {
    if (*c == '\'' && len - i >= 3 && memcmp(at + i, "\xe2\x80\x99", 3) == 0) { /* ’ */
      i += 3;
      continue;
    }
    char small = i < len && at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] + 'a' - 'A') : i < len ? at[i] : '\0';
    if (i >= len || small != *c) return 0;
    i++;
  }
  return i;
}

/* The same for whole words. */
static bool begins_with_words(const char *at, size_t len, const char *phrase)
{
  size_t n = draft_begins(at, len, phrase), after = n;
  struct word word;
  if (n == 0) return false;
  return !words_next(at, len, &after, &word) || word.begin > n;
}

static bool is_word(const char *at, const struct word *word, const char *name)
{
  return word->end - word->begin == strlen(name) && strncasecmp(at + word->begin, name, strlen(name)) == 0;
}

bool draft_has_word(const char *at, size_t len, const char *name)
{
  size_t i = 0;
  struct word word;
  while (words_next(at, len, &i, &word))
    if (is_word(at, &word, name)) return true;
  return false;
}

/* Speaks of the instruction as such within its first words. */
static bool names_a_request(const char *at, size_t len)
{
  static const char *const names[] = {"request",  "instruction", "task",     "question",
                                      "prompt",   "example",     "requests", "tasks",
                                      "response", "answer",      "questions"};
  size_t i = 0;
  struct word word;
  for (int n = 0; n < 12 && words_next(at, len, &i, &word); n++)
    for (size_t k = 0; k < COUNT(names); k++)
      if (is_word(at, &word, names[k])) return true;
  return false;
}

static const char *const agreeing[] = {"sure", "certainly", "of course", "absolutely", "okay", "no problem"};
static const char *const showing[] = {"here is", "here's", "here are", "this is", "below is"};

static bool begins_with_one(const char *at, size_t len, const char *const *phrases, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (begins_with_words(at, len, phrases[i])) return true;
  return false;
}

bool draft_introduces(const char *at, size_t len)
{
  size_t i = 0, n = 0;
  struct word word;
  while (words_next(at, len, &i, &word)) n++;
  if (n > 20) return false;
  return begins_with_one(at, len, agreeing, COUNT(agreeing)) ||
         (begins_with_one(at, len, showing, COUNT(showing)) && names_a_request(at, len));
}

bool draft_replies(const char *at, size_t len)
{
  static const char *const refusing[] = {
      "i'm sorry",      "i am sorry",       "sorry",          "i cannot",
      "i can't",        "i can not",        "i'm unable",     "i am unable",
      "i'm not able",   "i am not able",    "i won't",        "i will not",
      "as an ai",       "i apologize",      "i apologise",    "unfortunately, i",
      "as a language",  "i'm just an ai",   "i'd be glad",    "i'd be happy",
      "i'm happy to",   "i would be happy", "you're welcome", "thank you for",
      "thanks for",     "i understand",     "i have written", "i've written",
      "i hope this",    "let me know if",   "my request",     "great question",
      "i'm here to",    "i am here to",     "i'm ready to",   "how can i help you",
      "how may i help", "how can i assist"};
  static const char *const telling[] = {"as an ai language model", "as an ai assistant", "i'm an ai language",
                                        "i am an ai language", "helpful ai assistant"};
  if (begins_with_one(at, len, refusing, COUNT(refusing)) ||
      begins_with_one(at, len, agreeing, COUNT(agreeing)) ||
      (begins_with_one(at, len, showing, COUNT(showing)) && names_a_request(at, len)))
    return true;
  for (size_t i = 0; i < len; i++)
    if (begins_with_one(at + i, len - i, telling, COUNT(telling))) return true;
  return false;
}

bool draft_answers(const char *at, size_t len)
{
  static const char *const labels[] = {"answer",   "response", "output",     "assistant",
                                       "solution", "note",     "explanation"};
  while (len > 0 && strchr("#*_ ", *at)) at++, len--;
  for (size_t i = 0; i < COUNT(labels); i++) {
    size_t n = draft_begins(at, len, labels[i]);
    while (n > 0 && n < len && strchr("*_ ", at[n])) n++;
    if (n > 0 && n < len && at[n] == ':') return true;
  }
  return false;
}

bool draft_dangles(const char *at, size_t len)
{
  static const char *const words[] = {"a",       "an",   "the",   "and", "or", "but", "of",     "into",
                                      "because", "your", "their", "its", "my", "our", "between"};
  size_t i = 0;
  struct word word, last = {0, 0};
  while (words_next(at, len, &i, &word)) last = word;
  if (last.end != len) return false; /* something stands behind it */
  for (size_t k = 0; k < COUNT(words); k++)
    if (is_word(at, &last, words[k])) return true;
  return false;
}

bool draft_open_fence(const char *at, size_t len)
{
  size_t fences = 0;
  for (size_t i = 0; i + 2 < len; i++)
    if (memcmp(at + i, "```", 3) == 0) fences++, i += 2;
  return fences % 2 == 1;
}
