/* Inside the checks layer: one function a check type. */
#ifndef TPO_CHECKS_CHECKS_H
#define TPO_CHECKS_CHECKS_H

#include <jansson.h>
#include "checks/text.h"
#include "tpo/checks.h"

struct check_input {
  const json_t *check;     /* its type and arguments */
  const char *instruction; /* may be NULL */
  struct span response;
  bool has_response; /* false: only the arguments are to be validated */
  bool as_published; /* CHECK_AS_PUBLISHED */
};
/* 1 followed, 0 not (or, without a response, arguments in order), negative error. */
typedef int check_function(const struct check_input *in, struct tpo_error *err);

struct check_type {
  const char *name;
  check_function *run;
  const char *arguments[4]; /* names; others are refused */
};
extern const struct check_type check_types[];
extern const size_t n_check_types;

/* Arguments; missing ones and wrong types are errors that name the check. */
int check_get_int(const struct check_input *in, const char *name, int64_t least, int64_t *out,
                  struct tpo_error *err);
int check_get_string(const struct check_input *in, const char *name, struct span *out, struct tpo_error *err);
int check_get_strings(const struct check_input *in, const char *name, const json_t **out,
                      struct tpo_error *err);
/* "at least" or "less than" under `name`, with the count that `limit` names. */
struct check_range {
  bool at_least;
  int64_t limit;
};
int check_get_range(const struct check_input *in, const char *limit, const char *relation, int64_t least,
                    struct check_range *out, struct tpo_error *err);
static inline int check_in_range(struct check_range range, size_t n)
{
  return range.at_least ? (int64_t)n >= range.limit : (int64_t)n < range.limit;
}
const char *check_name(const struct check_input *in);
int check_text_failed(struct tpo_error *err); /* out of memory */

/* How a response is read; bits. */
enum {
  CHECK_STRICT = 0,
  /* IFEval's eight variants: without first line, last line, both; without asterisks. Any that passes counts. */
  CHECK_LOOSE = 1,
  /* Where the public benchmark's own checker is wrong about a text by the means that it has, it is followed: so do
   * figures that are to be compared with published ones. What a model is trained by is better judged without. */
  CHECK_AS_PUBLISHED = 2,
};
/* One verifiable check on a text: the 25 constraint types of IFEval (Zhou et al. 2023) and reference answers
 * (reference:exact, reference:numeric, reference:regex). check: JSON object with "type" and its arguments.
 * instruction is the prompt (repeat_prompt needs it unless the check carries prompt_to_repeat). Returns 1
 * followed, 0 not, negative: unknown type or bad arguments. */
int check_response(const char *check_json, const char *instruction, const char *response, unsigned how,
                   struct tpo_error *err);
/* check_response on parsed JSON; response NULL: only validates the check. */
int check_run(const json_t *check, const char *instruction, const char *response, unsigned how,
              struct tpo_error *err);
/* The checks of an instruction's meta, those on its reference completed;
 * a new array, or NULL with err set. */
json_t *checks_of_meta(const char *meta, struct tpo_error *err);
/* Whether text is one number and nothing else: sign, "$", thousands separators, decimals, exponent. */
bool check_parse_number(struct span text, double *number);
/* The next number at or after *at, which moves behind it; digits inside words ("b2b") are none. One that is too
 * long or too large to tell is NaN or infinite. */
bool check_next_number(struct span text, size_t *at, double *number);

check_function check_words, check_sentences, check_paragraphs, check_first_word; /* check_length.c */
check_function check_bullets, check_constrained, check_highlights, check_sections, check_json, check_title,
    check_placeholders, check_postscript, check_two_responses, check_repeat, check_end, check_quotation,
    check_no_comma; /* check_format.c */
check_function check_keywords, check_keyword_frequency, check_forbidden, check_letter_frequency,
    check_language, check_capital_words, check_capitals, check_lowercase;             /* check_words.c */
check_function check_reference_exact, check_reference_numeric, check_reference_regex; /* check_reference.c */

#endif
