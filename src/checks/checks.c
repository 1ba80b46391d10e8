/* The table of checks, their arguments, and the strict and loose readings of a response. */
#include <stdlib.h>
#include "base/json.h"
#include "base/utf8.h"
#include "checks/checks.h"

const struct check_type check_types[] = {
    {"keywords:existence", check_keywords, {"keywords"}},
    {"keywords:frequency", check_keyword_frequency, {"keyword", "frequency", "relation"}},
    {"keywords:forbidden_words", check_forbidden, {"forbidden_words"}},
    {"keywords:letter_frequency", check_letter_frequency, {"letter", "let_frequency", "let_relation"}},
    {"language:response_language", check_language, {"language"}},
    {"length_constraints:number_sentences", check_sentences, {"num_sentences", "relation"}},
    {"length_constraints:number_paragraphs", check_paragraphs, {"num_paragraphs"}},
    {"length_constraints:number_words", check_words, {"num_words", "relation"}},
    {"length_constraints:nth_paragraph_first_word",
     check_first_word,
     {"num_paragraphs", "nth_paragraph", "first_word"}},
    {"detectable_content:number_placeholders", check_placeholders, {"num_placeholders"}},
    {"detectable_content:postscript", check_postscript, {"postscript_marker"}},
    {"detectable_format:number_bullet_lists", check_bullets, {"num_bullets"}},
    {"detectable_format:constrained_response", check_constrained, {NULL}},
    {"detectable_format:number_highlighted_sections", check_highlights, {"num_highlights"}},
    {"detectable_format:multiple_sections", check_sections, {"section_spliter", "num_sections"}},
    {"detectable_format:json_format", check_json, {NULL}},
    {"detectable_format:title", check_title, {NULL}},
    {"combination:two_responses", check_two_responses, {NULL}},
    {"combination:repeat_prompt", check_repeat, {"prompt_to_repeat"}},
    {"startend:end_checker", check_end, {"end_phrase"}},
    {"startend:quotation", check_quotation, {NULL}},
    {"change_case:capital_word_frequency", check_capital_words, {"capital_frequency", "capital_relation"}},
    {"change_case:english_capital", check_capitals, {NULL}},
    {"change_case:english_lowercase", check_lowercase, {NULL}},
    {"punctuation:no_comma", check_no_comma, {NULL}},
    {"reference:exact", check_reference_exact, {"reference", "ignore_case", "contained"}},
    {"reference:numeric", check_reference_numeric, {"reference", "tolerance"}},
    {"reference:regex", check_reference_regex, {"reference", "full"}},
};
const size_t n_check_types = sizeof check_types / sizeof *check_types;

const char *check_name(const struct check_input *in)
{
  return json_string_value(json_object_get(in->check, "type"));
}

int check_text_failed(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "out of memory while checking a response");
}

static const json_t *argument(const struct check_input *in, const char *name, const char *expected,
                              struct tpo_error *err)
{
  const json_t *value = json_object_get(in->check, name);
  if (value && !json_is_null(value)) return value;
  tpo_fail(err, TPO_E_INPUT, "check %s lacks \"%s\", %s", check_name(in), name, expected);
  return NULL;
}

int check_get_int(const struct check_input *in, const char *name, int64_t least, int64_t *out,
                  struct tpo_error *err)
{
  if (!argument(in, name, "an integer", err)) return TPO_E_INPUT;
  int status = tpo_json_get_int(in->check, name, least, 1000000, out, check_name(in), err);
  return status < 0 ? tpo_fail_prefix(err, "check") : 0;
}

/* A non-empty string without NUL. */
static int as_span(const struct check_input *in, const char *name, const json_t *value, struct span *out,
                   struct tpo_error *err)
{
  if (!json_is_string(value))
    return tpo_fail(err, TPO_E_INPUT, "check %s: \"%s\" must be a string", check_name(in), name);
  *out = (struct span){json_string_value(value), json_string_length(value)};
  if (memchr(out->text, 0, out->len) || text_strip(*out).len == 0)
    return tpo_fail(err, TPO_E_INPUT, "check %s: \"%s\" must not be empty nor hold a NUL character",
                    check_name(in), name);
  return 0;
}

int check_get_string(const struct check_input *in, const char *name, struct span *out, struct tpo_error *err)
{
  const json_t *value = argument(in, name, "a string", err);
  return value ? as_span(in, name, value, out, err) : TPO_E_INPUT;
}

int check_get_strings(const struct check_input *in, const char *name, const json_t **out,
                      struct tpo_error *err)
{
  *out = argument(in, name, "an array of strings", err);
  if (!*out) return TPO_E_INPUT;
  if (json_array_size(*out) == 0)
    return tpo_fail(err, TPO_E_INPUT, "check %s: \"%s\" must be an array of one or more strings",
                    check_name(in), name);
  for (size_t i = 0; i < json_array_size(*out); i++) {
    struct span word;
    if (as_span(in, name, json_array_get(*out, i), &word, err) < 0) return TPO_E_INPUT;
  }
  return 0;
}

int check_get_range(const struct check_input *in, const char *limit, const char *relation, int64_t least,
                    struct check_range *out, struct tpo_error *err)
{
  struct span text;
  if (check_get_int(in, limit, least, &out->limit, err) < 0 || check_get_string(in, relation, &text, err) < 0)
    return TPO_E_INPUT;
  out->at_least = span_equal(text, span_of("at least"));
  if (!out->at_least && !span_equal(text, span_of("less than")))
    return tpo_fail(err, TPO_E_INPUT, "check %s: \"%s\" is \"%s\", expected \"at least\" or \"less than\"",
                    check_name(in), relation, text.text);
  return 0;
}

/* The type of a check whose arguments are all known to it. */
static const struct check_type *find_type(const json_t *check, struct tpo_error *err)
{
  const char *name = json_string_value(json_object_get(check, "type"));
  if (!json_is_object(check) || !name) {
    tpo_fail(err, TPO_E_INPUT, "a check must be an object with a \"type\"");
    return NULL;
  }
  const struct check_type *type = NULL;
  for (size_t i = 0; i < n_check_types; i++)
    if (strcmp(check_types[i].name, name) == 0) type = &check_types[i];
  if (!type) {
    tpo_fail(err, TPO_E_UNSUPPORTED, "there is no check of the type \"%s\" (src/checks/README.md lists them)",
             name);
    return NULL;
  }
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)check, key, value)
  {
    bool known = strcmp(key, "type") == 0 || json_is_null(value);
    for (size_t i = 0; i < 4 && type->arguments[i]; i++) known |= strcmp(key, type->arguments[i]) == 0;
    if (known) continue;
    tpo_fail(err, TPO_E_INPUT, "check %s has no argument \"%s\"", name, key);
    return NULL;
  }
  return type;
}

/* An empty response follows nothing. */
static int run_on(const struct check_type *type, struct check_input *in, struct span response,
                  struct tpo_error *err)
{
  if (text_strip(response).len == 0) return 0;
  in->response = response;
  return type->run(in, err);
}

static struct span without_first_line(struct span text)
{
  const char *end = text.len ? memchr(text.text, '\n', text.len) : NULL;
  if (!end) return (struct span){text.text, 0};
  size_t skip = (size_t)(end - text.text) + 1;
  return (struct span){text.text + skip, text.len - skip};
}

static struct span without_last_line(struct span text)
{
  const char *end = text.len ? memrchr(text.text, '\n', text.len) : NULL;
  return (struct span){text.text, end ? (size_t)(end - text.text) : 0};
}

static int run_loose(const struct check_type *type, struct check_input *in, struct span response,
                     struct tpo_error *err)
{
  struct tpo_buf plain = {0}; /* without asterisks */
  for (size_t i = 0; i < response.len; i++)
    if (response.text[i] != '*') tpo_buf_putc(&plain, response.text[i]);
  int status = plain.failed ? check_text_failed(err) : 0;
  for (int variant = 0; variant < 8 && status == 0; variant++) {
    struct span text = variant & 4 ? (struct span){plain.data, plain.len} : response;
    if (variant & 1) text = without_first_line(text);
    if (variant & 2) text = without_last_line(text);
    status = run_on(type, in, variant & 3 ? text_strip(text) : text, err);
  }
  tpo_buf_free(&plain);
  return status;
}

int check_run(const json_t *check, const char *instruction, const char *response, unsigned how,
              struct tpo_error *err)
{
  struct tpo_error local = {0};
  if (!err) err = &local;
  const struct check_type *type = find_type(check, err);
  if (!type) return err->code;
  struct check_input in = {.check = check, .instruction = instruction};
  int status = type->run(&in, err);
  if (status < 0 || !response) return status;
  struct tpo_buf repaired = {0};
  struct span text = span_of(response);
  if (!tpo_utf8_valid(text.text, text.len, NULL)) {
    text_repair(text, &repaired);
    text = (struct span){repaired.data, repaired.len};
  }
  in.has_response = true;
  in.as_published = how & CHECK_AS_PUBLISHED;
  if (repaired.failed)
    status = check_text_failed(err);
  else
    status = how & CHECK_LOOSE ? run_loose(type, &in, text, err) : run_on(type, &in, text, err);
  tpo_buf_free(&repaired);
  return status;
}

int check_response(const char *check_json, const char *instruction, const char *response, unsigned how,
                   struct tpo_error *err)
{
  json_t *check = tpo_json_parse(check_json, strlen(check_json), "check", err);
  if (!check) return TPO_E_INPUT;
  int status = check_run(check, instruction, response ? response : "", how, err);
  json_decref(check);
  return status;
}

/* A check of the instruction's reference that no check asks for expressly. */
static json_t *implied_check(const json_t *reference)
{
  double number;
  bool numeric = json_is_number(reference);
  if (json_is_string(reference))
    numeric = check_parse_number((struct span){json_string_value(reference), json_string_length(reference)},
                                 &number);
  json_t *check = numeric ? json_pack("{s:s}", "type", "reference:numeric")
                          : json_pack("{s:s, s:b}", "type", "reference:exact", "contained", 1);
  if (check) json_object_set(check, "reference", (json_t *)reference);
  return check;
}

json_t *checks_of_meta(const char *meta, struct tpo_error *err)
{
  json_t *object = tpo_json_parse(meta, strlen(meta), "meta", err);
  if (!object) return NULL;
  const json_t *given = json_object_get(object, "checks"), *reference = json_object_get(object, "reference");
  json_t *list = NULL;
  bool asked = false;
  if (!json_is_object(object) || (given && !json_is_null(given) && !json_is_array(given))) {
    tpo_fail(err, TPO_E_INPUT, "meta: expected an object whose \"checks\" are an array");
    goto done;
  }
  list = json_array();
  for (size_t i = 0; i < json_array_size(given); i++) {
    json_t *check = json_deep_copy(json_array_get(given, i));
    const char *type = json_string_value(json_object_get(check, "type"));
    if (type && strncmp(type, "reference:", 10) == 0) {
      asked = true;
      const json_t *own = json_object_get(check, "reference");
      if ((!own || json_is_null(own)) && reference) json_object_set(check, "reference", (json_t *)reference);
    }
    json_array_append_new(list, check);
  }
  if (reference && !json_is_null(reference) && !asked) json_array_append_new(list, implied_check(reference));
done:
  json_decref(object);
  return list;
}

int tpo_checks_validate(const char *meta, struct tpo_error *err)
{
  json_t *checks = checks_of_meta(meta, err);
  if (!checks) return TPO_E_INPUT;
  int status = 0;
  for (size_t i = 0; i < json_array_size(checks) && status == 0; i++) {
    status = check_run(json_array_get(checks, i), "", NULL, CHECK_STRICT, err);
    if (status < 0) tpo_fail_prefix(err, "check %zu", i + 1);
  }
  json_decref(checks);
  return status;
}
