/* Checks of words: keywords, letters, capitals, the language. */
#include "checks/checks.h"

/* Occurrences of word in text, both in lower case, which don't overlap; whole: between word boundaries, as \b
 * has them. */
static int64_t count_word(struct span text, struct span word, bool whole)
{
  int64_t n = 0;
  size_t first = 0;
  bool begins = text_is_word(text_next(word, &first)), ends = text_is_word(text_before(word, word.len));
  for (size_t at = 0; (at = text_find(text, word, at)) != SIZE_MAX;) {
    size_t after = at + word.len, next = after;
    bool left = at > 0 && text_is_word(text_before(text, at));
    bool right = after < text.len && text_is_word(text_next(text, &next));
    if (whole && (left == begins || right == ends)) {
      at++;
      continue;
    }
    n++;
    at = after;
  }
  return n;
}

/* The response in lower case (free lower), and how often the word is in it; negative when memory is short. */
static int64_t count_in(const struct tpo_buf *lower, struct span word, bool whole, struct tpo_error *err)
{
  struct tpo_buf lower_word = {0};
  text_lower(word, &lower_word);
  int64_t n = lower->failed || lower_word.failed
                  ? check_text_failed(err)
                  : count_word((struct span){lower->data, lower->len},
                               (struct span){lower_word.data, lower_word.len}, whole);
  tpo_buf_free(&lower_word);
  return n;
}

static struct span string_at(const json_t *list, size_t i)
{
  const json_t *value = json_array_get(list, i);
  return (struct span){json_string_value(value), json_string_length(value)};
}

/* Whether every word of the list is found (wanted), or none (not wanted). */
static int check_list(const struct check_input *in, const char *name, bool wanted, struct tpo_error *err)
{
  const json_t *list;
  int status = check_get_strings(in, name, &list, err);
  if (status < 0 || !in->has_response) return status;
  struct tpo_buf lower = {0};
  text_lower(in->response, &lower);
  status = 1;
  for (size_t i = 0; i < json_array_size(list) && status == 1; i++) {
    int64_t n = count_in(&lower, string_at(list, i), !wanted, err);
    status = n < 0 ? TPO_E_MEMORY : (n > 0) == wanted;
  }
  tpo_buf_free(&lower);
  return status;
}

int check_keywords(const struct check_input *in, struct tpo_error *err)
{
  return check_list(in, "keywords", true, err);
}

int check_forbidden(const struct check_input *in, struct tpo_error *err)
{
  return check_list(in, "forbidden_words", false, err);
}

static int count_and_compare(const struct check_input *in, struct span word, struct check_range range,
                             struct tpo_error *err)
{
  struct tpo_buf lower = {0};
  text_lower(in->response, &lower);
  int64_t n = count_in(&lower, word, false, err);
  tpo_buf_free(&lower);
  return n < 0 ? TPO_E_MEMORY : check_in_range(range, (size_t)n);
}

int check_keyword_frequency(const struct check_input *in, struct tpo_error *err)
{
  struct span word;
  struct check_range range;
  int status = check_get_string(in, "keyword", &word, err);
  if (status == 0) status = check_get_range(in, "frequency", "relation", 0, &range, err);
  if (status < 0 || !in->has_response) return status;
  return count_and_compare(in, text_strip(word), range, err);
}

int check_letter_frequency(const struct check_input *in, struct tpo_error *err)
{
  struct span letter;
  struct check_range range;
  size_t end = 0;
  int status = check_get_string(in, "letter", &letter, err);
  if (status == 0) status = check_get_range(in, "let_frequency", "let_relation", 0, &range, err);
  if (status < 0) return status;
  text_next(letter, &end);
  if (end != letter.len)
    return tpo_fail(err, TPO_E_INPUT, "check %s: \"letter\" is \"%s\", expected one character",
                    check_name(in), letter.text);
  return in->has_response ? count_and_compare(in, letter, range, err) : 0;
}

int check_capital_words(const struct check_input *in, struct tpo_error *err)
{
  struct check_range range;
  int status = check_get_range(in, "capital_frequency", "capital_relation", 0, &range, err);
  if (status < 0 || !in->has_response) return status;
  return check_in_range(range, text_count_capital_words(in->response));
}

/* A text without letters is of any language, as in the benchmark. */
static bool is_in_language(struct span text, const char *code)
{
  const char *language = text_language(text);
  return !*language || strcmp(language, code) == 0;
}

int check_language(const struct check_input *in, struct tpo_error *err)
{
  struct span code;
  int status = check_get_string(in, "language", &code, err);
  if (status < 0) return status;
  if (!text_knows_language(code.text))
    return tpo_fail(err, TPO_E_UNSUPPORTED,
                    "check %s: the language \"%s\" is not among those that can be told: %s", check_name(in),
                    code.text, text_known_languages());
  return in->has_response && is_in_language(in->response, code.text);
}

int check_capitals(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  if (!in->has_response || !text_is_upper(in->response)) return 0;
  const char *language = in->as_published ? text_language_of_capitals(in->response) : "";
  return *language ? strcmp(language, "en") == 0 : is_in_language(in->response, "en");
}

int check_lowercase(const struct check_input *in, struct tpo_error *err)
{
  (void)err;
  return in->has_response && text_is_lower(in->response) && is_in_language(in->response, "en");
}
