/* Which language a text in capitals is taken for. The benchmark's detector passes over a word from its second
 * capital on, so that of "THE END" it reads T and E, and once the word is over its last letters, HE and ND: little
 * enough that English in capitals is often German to it. The same is read here, and the language taken for which
 * all of it together is likeliest. */
#include <stdint.h>
#include <stdlib.h>
#include "checks/capitals_table.h"
#include "checks/text.h"

struct evidence {
  long sums[N_CAPITAL_LANGUAGES];
  size_t n;
};

static int order(const void *key, const void *gram)
{
  return strcmp(key, ((const struct capital_gram *)gram)->text);
}

static void add(struct evidence *evidence, const char *text)
{
  const struct capital_gram *gram = bsearch(text, capital_grams, sizeof capital_grams / sizeof *capital_grams,
                                            sizeof *capital_grams, order);
  if (!gram) return;
  for (int i = 0; i < N_CAPITAL_LANGUAGES; i++) evidence->sums[i] += gram->values[i];
  evidence->n++;
}

/* A letter, for the sequences that hold one: itself, or a byte that none has where it is not of A to Z. */
static char letter_of(uint32_t cp)
{
  return cp < 0x80 ? (char)cp : '?';
}

/* before: the word's last letter but one, 0 where it has one alone. */
static void end_word(struct evidence *evidence, char before, char last)
{
  add(evidence, (char[]){last, ' ', 0});
  add(evidence, (char[]){before ? before : ' ', last, ' ', 0});
}

const char *text_language_of_capitals(struct span text)
{
  struct evidence evidence = {0};
  char before = 0, last = 0; /* letters of the word that is being read */
  for (size_t at = 0; at < text.len;) {
    uint32_t cp = text_next(text, &at);
    bool letter = text_is_word(cp) && !text_is_digit(cp) && cp != '_';
    if (!letter) {
      if (last) end_word(&evidence, before, last);
      before = last = 0;
      continue;
    }
    before = last;
    last = letter_of(cp);
    if (before) continue;
    add(&evidence, (char[]){last, 0});
    add(&evidence, (char[]){' ', last, 0});
  }
  if (evidence.n == 0) return "";
  int best = 0;
  for (int i = 1; i < N_CAPITAL_LANGUAGES; i++)
    if (evidence.sums[i] > evidence.sums[best]) best = i;
  return capital_languages[best];
}
