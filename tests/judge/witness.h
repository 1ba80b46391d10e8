/* Writes a response that follows all the checks of a composed instruction, or would, if they can be met
 * together. */
#ifndef TPO_TESTS_JUDGE_WITNESS_H
#define TPO_TESTS_JUDGE_WITNESS_H

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"

struct wishes {
  const json_t *checks;
  struct tpo_buf text;
};

static const json_t *wish(const struct wishes *w, const char *type)
{
  for (size_t i = 0; i < json_array_size(w->checks); i++) {
    const json_t *check = json_array_get(w->checks, i);
    if (strcmp(json_string_value(json_object_get(check, "type")), type) == 0) return check;
  }
  return NULL;
}

static int wish_number(const json_t *check, const char *key, int otherwise)
{
  return check ? (int)json_integer_value(json_object_get(check, key)) : otherwise;
}

/* The limit of a check with a relation, when the relation is the given one; else 0. */
static int wish_limit(const struct wishes *w, const char *type, const char *key, const char *relation)
{
  const json_t *check = wish(w, type);
  if (!check || strcmp(json_string_value(json_object_get(check, "relation")), relation) != 0) return 0;
  return wish_number(check, key, 0);
}

static const char *wish_text(const json_t *check, const char *key)
{
  return json_string_value(json_object_get(check, key));
}

/* Sentences in the wanted language, as many as the lengths ask for. */
static void write_body(struct wishes *w)
{
  const json_t *language = wish(w, "language:response_language");
  const char *code = language ? wish_text(language, "language") : "en";
  const char *sentence = strcmp(code, "es") == 0   ? "Esta es una frase de la que no hay mucho que decir. "
                         : strcmp(code, "fr") == 0 ? "Il est dans la ville et il ne dit pas un mot. "
                         : strcmp(code, "de") == 0 ? "Das ist ein Satz und er ist nicht lang. "
                                                   : "There is a cup on it. ";
  int sentences = wish_limit(w, "length_constraints:number_sentences", "num_sentences", "at least");
  int words = wish_limit(w, "length_constraints:number_words", "num_words", "at least");
  int n = sentences > words / 5 + 1 ? sentences : words / 5 + 1;
  for (int i = 0; i < n; i++) tpo_buf_puts(&w->text, sentence);
}

/* Words, letters and marks that only have to be somewhere. */
static void write_extras(struct wishes *w)
{
  const json_t *check = wish(w, "keywords:existence");
  const json_t *list = json_object_get(check, "keywords");
  for (size_t i = 0; i < json_array_size(list); i++)
    tpo_buf_printf(&w->text, "%s ", json_string_value(json_array_get(list, i)));
  if ((check = wish(w, "keywords:frequency")))
    for (int i = 0; i < wish_number(check, "frequency", 0); i++)
      tpo_buf_printf(&w->text, "%s ", wish_text(check, "keyword"));
  if ((check = wish(w, "keywords:letter_frequency")) &&
      strcmp(wish_text(check, "let_relation"), "at least") == 0) {
    for (int i = 0; i < wish_number(check, "let_frequency", 0); i++)
      tpo_buf_puts(&w->text, wish_text(check, "letter"));
    tpo_buf_putc(&w->text, ' ');
  }
  for (int i = 0;
       i < wish_number(wish(w, "detectable_format:number_highlighted_sections"), "num_highlights", 0); i++)
    tpo_buf_puts(&w->text, "*7* ");
  for (int i = 0; i < wish_number(wish(w, "detectable_content:number_placeholders"), "num_placeholders", 0);
       i++)
    tpo_buf_puts(&w->text, "[7] ");
  for (int i = 0; i < wish_number(wish(w, "change_case:capital_word_frequency"), "capital_frequency", 0); i++)
    tpo_buf_puts(&w->text, "SO ");
}

/* Everything but what stands at the very start and end. */
static void write_layout(struct wishes *w)
{
  const json_t *check;
  if (wish(w, "detectable_format:title")) tpo_buf_puts(&w->text, "<<7>>\n");
  if ((check = wish(w, "length_constraints:nth_paragraph_first_word"))) {
    for (int i = 1; i < wish_number(check, "num_paragraphs", 0); i++) {
      const char *first = i == wish_number(check, "nth_paragraph", 0) ? wish_text(check, "first_word") : "it";
      tpo_buf_printf(&w->text, "%s is\n\n", first);
    }
    bool is_last = wish_number(check, "nth_paragraph", 0) == wish_number(check, "num_paragraphs", 0);
    tpo_buf_printf(&w->text, "%s ", is_last ? wish_text(check, "first_word") : "it");
  }
  for (int i = 1; i < wish_number(wish(w, "length_constraints:number_paragraphs"), "num_paragraphs", 0); i++)
    tpo_buf_puts(&w->text, "7\n***\n");
  if ((check = wish(w, "detectable_format:multiple_sections")))
    for (int i = 1; i <= wish_number(check, "num_sections", 0); i++)
      tpo_buf_printf(&w->text, "%s %d\n7\n", wish_text(check, "section_spliter"), i);
  if (wish(w, "combination:two_responses")) tpo_buf_puts(&w->text, "7\n******\n");
  write_body(w);
  write_extras(w);
  for (int i = 0; i < wish_number(wish(w, "detectable_format:number_bullet_lists"), "num_bullets", 0); i++)
    tpo_buf_puts(&w->text, "\n- 7");
  if ((check = wish(w, "detectable_content:postscript")))
    tpo_buf_printf(&w->text, "\n%s it", wish_text(check, "postscript_marker"));
  if ((check = wish(w, "startend:end_checker")))
    tpo_buf_printf(&w->text, "\n%s", wish_text(check, "end_phrase"));
}

static char *write_witness(const json_t *checks)
{
  struct wishes w = {.checks = checks};
  const json_t *repeat = wish(&w, "combination:repeat_prompt");
  bool quote = wish(&w, "startend:quotation"), json = wish(&w, "detectable_format:json_format");
  if (wish(&w, "detectable_format:constrained_response"))
    tpo_buf_puts(&w.text, "My answer is no.");
  else if (repeat)
    tpo_buf_printf(&w.text, "%s\n", wish_text(repeat, "prompt_to_repeat"));
  if (json) tpo_buf_puts(&w.text, "{\"a\": \"");
  if (quote) tpo_buf_putc(&w.text, '"');
  if (!wish(&w, "detectable_format:constrained_response")) write_layout(&w);
  if (json) tpo_buf_puts(&w.text, "\"}");
  while (quote && isspace((unsigned char)w.text.data[w.text.len - 1])) w.text.data[--w.text.len] = '\0';
  if (quote) tpo_buf_putc(&w.text, '"');
  bool capital = wish(&w, "change_case:english_capital"), lower = wish(&w, "change_case:english_lowercase");
  for (size_t i = 0; i < w.text.len; i++) {
    if (capital) w.text.data[i] = (char)toupper((unsigned char)w.text.data[i]);
    if (lower) w.text.data[i] = (char)tolower((unsigned char)w.text.data[i]);
  }
  return tpo_buf_take(&w.text);
}

#endif
