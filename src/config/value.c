/* Between the text of a value and the field that it is stored in. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "config/map.h"
#include "config/terms.h"
#include "config/verdicts.h"
#include "config/watches.h"

static void *field(const struct tpo_config *config, size_t offset)
{
  return (char *)config + offset;
}

static double number_in(const struct tpo_config *config, const struct config_key *key)
{
  return key->type == KEY_INT ? *(int *)field(config, key->offset) : *(double *)field(config, key->offset);
}

static bool within(const struct config_key *key, double x)
{
  if (!(x >= key->min && x <= key->max)) return false;
  return !((key->limits & KEY_ABOVE_MIN) && x == key->min) &&
         !((key->limits & KEY_BELOW_MAX) && x == key->max);
}

bool config_in_range(const struct tpo_config *config, int index)
{
  const struct config_key *key = &config_keys[index];
  switch (key->type) {
  case KEY_AUTO:
    if (*(bool *)field(config, key->second)) return true;
    /* fall through */
  case KEY_INT:
  case KEY_DOUBLE: return within(key, number_in(config, key));
  case KEY_REFERENCE:
    return (config->run.reference == TPO_REFERENCE_EVERY) == (config->run.reference_every > 0);
  default: return true;
  }
}

/* The place of text in "a|b|c", or -1. */
static int choice_of(const char *choices, const char *text, size_t len)
{
  int index = 0;
  for (const char *at = choices; at; index++) {
    const char *bar = strchr(at, '|');
    size_t n = bar ? (size_t)(bar - at) : strlen(at);
    if (n == len && memcmp(at, text, n) == 0) return index;
    at = bar ? bar + 1 : NULL;
  }
  return -1;
}

static void append_choice(const char *choices, int index, struct tpo_buf *out)
{
  const char *at = choices;
  for (int i = 0; i < index; i++) at = strchr(at, '|') + 1;
  tpo_buf_append(out, at, strcspn(at, "|"));
}

static bool parse_uint64(const struct config_value *value, uint64_t *out)
{
  if (value->len == 0 || strspn(value->text, "0123456789") != value->len) return false;
  errno = 0;
  *out = strtoull(value->text, NULL, 10);
  return errno == 0;
}

static bool parse_int(const struct config_value *value, int64_t *out)
{
  size_t sign = value->text[0] == '-';
  if (value->len <= sign || strspn(value->text + sign, "0123456789") != value->len - sign) return false;
  errno = 0;
  *out = strtoll(value->text, NULL, 10);
  return errno == 0;
}

bool config_parse_number(const struct config_value *value, double *out)
{
  /* Neither hexadecimal nor inf and nan, which strtod would take. */
  if (value->len == 0 || strspn(value->text, "+-.0123456789eE") != value->len) return false;
  char *end;
  *out = strtod(value->text, &end);
  return *end == '\0' && isfinite(*out);
}

static char *copy_text(const struct config_value *value)
{
  char *copy = malloc(value->len + 1);
  if (!copy) return NULL;
  if (value->len > 0) memcpy(copy, value->text, value->len);
  copy[value->len] = '\0';
  return copy;
}

static bool store_list(struct tpo_config *config, int key, const struct config_value *values, int n_values)
{
  char **list = NULL;
  if (n_values > 0) list = calloc((size_t)n_values, sizeof *list);
  if (n_values > 0 && !list) return false;
  config_release(config, key);
  *(char ***)field(config, config_keys[key].offset) = list;
  int *count = field(config, config_keys[key].second);
  for (*count = 0; *count < n_values; ++*count)
    if (!(list[*count] = copy_text(&values[*count]))) return false;
  return true;
}

/* "start", "seed", "previous" or "every:N". */
static bool parse_reference(const struct config_value *value, enum tpo_reference *reference, int *every)
{
  static const char prefix[] = "every:";
  size_t skipped = sizeof prefix - 1;
  int choice = choice_of("previous|start|seed", value->text, value->len);
  struct config_value number = {.text = value->text + skipped, .len = value->len - skipped, .plain = true};
  int64_t n = 0;
  if (choice < 0 && (value->len <= skipped || memcmp(value->text, prefix, skipped) != 0 ||
                     !parse_int(&number, &n) || n < 1 || n > INT32_MAX))
    return false;
  *reference = choice < 0 ? TPO_REFERENCE_EVERY : choice == 0 ? TPO_REFERENCE_PREVIOUS : TPO_REFERENCE_START;
  *every = (int)n;
  return true;
}

/* True when stored; false leaves the field as it was. */
static bool store_scalar(struct tpo_config *config, const struct config_key *key,
                         const struct config_value *value)
{
  void *at = field(config, key->offset);
  int64_t whole;
  double real;
  int choice;
  switch (key->type) {
  case KEY_INT:
    if (!parse_int(value, &whole) || !within(key, (double)whole)) return false;
    *(int *)at = (int)whole;
    return true;
  case KEY_UINT64: return parse_uint64(value, at);
  case KEY_AUTO:
    if (strcmp(value->text, "auto") == 0) {
      *(bool *)field(config, key->second) = true;
      *(double *)at = 0;
      return true;
    }
    if (!config_parse_number(value, &real) || !within(key, real)) return false;
    *(bool *)field(config, key->second) = false;
    *(double *)at = real;
    return true;
  case KEY_REFERENCE: return parse_reference(value, at, field(config, key->second));
  case KEY_DOUBLE:
    if (!config_parse_number(value, &real) || !within(key, real)) return false;
    *(double *)at = real;
    return true;
  case KEY_BOOL:
    choice = choice_of("false|true", value->text, value->len);
    if (choice >= 0) *(bool *)at = choice == 1;
    return choice >= 0;
  case KEY_CHOICE_BOOL:
    choice = choice_of(key->choices, value->text, value->len);
    if (choice >= 0) *(bool *)at = choice == 1;
    return choice >= 0;
  case KEY_CHOICE:
    choice = choice_of(key->choices, value->text, value->len);
    if (choice >= 0) memcpy(at, &choice, sizeof choice);
    return choice >= 0;
  default: return false;
  }
}

static int wrong_value(int key, const struct config_value *value, struct tpo_buf *problem)
{
  enum { SHOWN = 60 };
  tpo_buf_printf(problem, "%s: expected ", config_keys[key].path);
  config_describe(key, problem);
  if (value->missing) {
    tpo_buf_puts(problem, ", but no value is given");
    return -1;
  }
  size_t shown = value->len;
  if (shown > SHOWN) { /* cut between characters */
    shown = SHOWN;
    while (shown > 0 && ((unsigned char)value->text[shown] & 0xc0) == 0x80) shown--;
  }
  tpo_buf_printf(problem, ", not %s", value->plain ? "" : "the text ");
  tpo_json_append_string(problem, value->text, shown);
  if (shown < value->len) tpo_buf_puts(problem, "...");
  return -1;
}

int config_store(struct tpo_config *config, int key, const struct config_value *values, int n_values,
                 struct tpo_buf *problem)
{
  const struct config_key *info = &config_keys[key];
  if (info->type == KEY_LIST) {
    if (n_values == 1 && values[0].missing) n_values = 0;
    for (int i = 0; i < n_values; i++)
      if (values[i].missing) return wrong_value(key, &values[i], problem);
    if (store_list(config, key, values, n_values)) return 0;
    tpo_buf_printf(problem, "%s: out of memory", info->path);
    return -1;
  }
  const struct config_value *value = values;
  if (info->type == KEY_TEXT) {
    char *copy = value->missing ? NULL : copy_text(value);
    if (!copy && !value->missing) {
      tpo_buf_printf(problem, "%s: out of memory", info->path);
      return -1;
    }
    config_release(config, key);
    *(char **)field(config, info->offset) = copy;
    return 0;
  }
  bool is_word = info->type == KEY_CHOICE || info->type == KEY_CHOICE_BOOL || info->type == KEY_REFERENCE;
  if (value->missing || !(value->plain || is_word) || !store_scalar(config, info, value))
    return wrong_value(key, value, problem);
  return 0;
}

void config_release(struct tpo_config *config, int key)
{
  const struct config_key *info = &config_keys[key];
  if (info->type == KEY_TEXT || info->type == KEY_MAP) {
    char **text = field(config, info->offset);
    free(*text);
    *text = NULL;
  } else if (info->type == KEY_LIST) {
    char ***list = field(config, info->offset);
    int *count = field(config, info->second);
    for (int i = 0; i < *count; i++) free((*list)[i]);
    free(*list);
    *list = NULL;
    *count = 0;
  } else if (info->type == KEY_TERMS) {
    terms_free(field(config, info->offset), field(config, info->second));
  } else if (info->type == KEY_WATCHES) {
    watches_free(field(config, info->offset), field(config, info->second));
  } else if (info->type == KEY_VERDICTS)
    config_verdicts_free(field(config, info->offset));
}

void config_reset(struct tpo_config *config, int key)
{
  const struct config_key *info = &config_keys[key];
  config_release(config, key);
  config_set_origin(config, key, NULL);
  if (!info->fallback || info->type == KEY_LIST) return;
  struct config_value value = {.text = info->fallback, .len = strlen(info->fallback), .plain = true};
  struct tpo_buf problem = {0};
  config_store(config, key, &value, 1, &problem); /* every default is one that loads: a test loads them all */
  tpo_buf_free(&problem);
}

static void describe_range(const struct config_key *key, struct tpo_buf *out)
{
  bool above = key->limits & KEY_ABOVE_MIN, below = key->limits & KEY_BELOW_MAX;
  tpo_buf_printf(out, above ? "above %.15g" : "from %.15g", key->min);
  tpo_buf_printf(out, below ? " to below %.15g" : above ? ", at most %.15g" : " to %.15g", key->max);
}

void config_describe(int index, struct tpo_buf *out)
{
  const struct config_key *key = &config_keys[index];
  switch (key->type) {
  case KEY_INT: tpo_buf_printf(out, "an integer from %.15g to %.15g", key->min, key->max); break;
  case KEY_UINT64: tpo_buf_puts(out, "an integer from 0 to 18446744073709551615"); break;
  case KEY_DOUBLE:
    tpo_buf_puts(out, "a number ");
    describe_range(key, out);
    break;
  case KEY_AUTO:
    tpo_buf_puts(out, "auto or a number ");
    describe_range(key, out);
    break;
  case KEY_BOOL: tpo_buf_puts(out, "true or false"); break;
  case KEY_REFERENCE:
    tpo_buf_puts(out, "previous, start (or seed) or every:N with a number of steps from 1 on");
    break;
  case KEY_TEXT: tpo_buf_puts(out, "text"); break;
  case KEY_LIST: tpo_buf_puts(out, "text or a list of texts"); break;
  case KEY_MAP: tpo_buf_puts(out, CONFIG_MAP_TOLD); break;
  case KEY_TERMS: tpo_buf_puts(out, TERMS_TOLD); break;
  case KEY_WATCHES: tpo_buf_puts(out, WATCHES_TOLD); break;
  case KEY_VERDICTS: tpo_buf_puts(out, CONFIG_VERDICTS_TOLD); break;
  case KEY_CHOICE:
  case KEY_CHOICE_BOOL:
    for (const char *at = key->choices; *at;) {
      size_t n = strcspn(at, "|");
      tpo_buf_append(out, at, n);
      at += n;
      if (*at == '|') tpo_buf_puts(out, strchr(++at, '|') ? ", " : " or ");
    }
    break;
  }
}

void config_append_text(const char *text, struct tpo_buf *out)
{
  size_t len = strlen(text);
  bool simple = len > 0 && (isalpha((unsigned char)text[0]) || text[0] == '/' || text[0] == '.');
  for (size_t i = 0; simple && i < len; i++)
    simple = isalnum((unsigned char)text[i]) || strchr("_./-+", text[i]);
  if (simple && choice_of("null|true|false|yes|no|on|off|...", text, len) < 0)
    tpo_buf_append(out, text, len);
  else
    config_append_quoted(text, out);
}

/* Whatever YAML would not take literally, or would fold or strip, is escaped. */
void config_append_quoted(const char *text, struct tpo_buf *out)
{
  size_t len = strlen(text);
  tpo_buf_putc(out, '"');
  for (size_t i = 0; i < len;) {
    size_t begin = i;
    uint32_t cp = tpo_utf8_next(text, len, &i);
    if (cp == '"' || cp == '\\')
      tpo_buf_printf(out, "\\%c", (int)cp);
    else if (cp == '\n')
      tpo_buf_puts(out, "\\n");
    else if (cp == '\t')
      tpo_buf_puts(out, "\\t");
    else if (cp < 0x20 || (cp >= 0x7f && cp <= 0xa0) || cp == 0x2028 || cp == 0x2029 || cp == 0xfeff ||
             cp == 0xfffd || cp == 0xfffe || cp == 0xffff)
      tpo_buf_printf(out, "\\u%04x", cp);
    else
      tpo_buf_append(out, text + begin, i - begin);
  }
  tpo_buf_putc(out, '"');
}

bool config_is_given(const struct tpo_config *config, int index)
{
  const struct config_key *key = &config_keys[index];
  if (key->type != KEY_TEXT) return true;
  const char *text = *(char *const *)field(config, key->offset);
  return text && *text;
}

static void append_reference(const struct tpo_config *config, const struct config_key *key,
                             struct tpo_buf *out)
{
  enum tpo_reference reference;
  memcpy(&reference, field(config, key->offset), sizeof reference);
  if (reference == TPO_REFERENCE_EVERY)
    tpo_buf_printf(out, "every:%d", *(const int *)field(config, key->second));
  else
    tpo_buf_puts(out, reference == TPO_REFERENCE_START ? "start" : "previous");
}

/* What follows from others where samples are drawn within an iteration is told as it is then. */
static int whole_number(const struct tpo_config *config, const void *at)
{
  if (at == &config->run.iterations) return tpo_run_iterations(&config->run);
  if (at == &config->data.prompts_per_iteration) return tpo_config_prompts_per_iteration(config);
  return *(const int *)at;
}

void config_append_value(const struct tpo_config *config, int index, struct tpo_buf *out)
{
  const struct config_key *key = &config_keys[index];
  const void *at = field(config, key->offset);
  int choice;
  switch (key->type) {
  case KEY_INT: tpo_buf_printf(out, "%d", whole_number(config, at)); break;
  case KEY_REFERENCE: append_reference(config, key, out); break;
  case KEY_UINT64: tpo_buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)at); break;
  case KEY_AUTO:
    if (*(const bool *)field(config, key->second))
      tpo_buf_puts(out, "auto");
    else
      tpo_json_append_double(out, *(const double *)at);
    break;
  case KEY_DOUBLE: tpo_json_append_double(out, *(const double *)at); break;
  case KEY_BOOL: tpo_buf_puts(out, *(const bool *)at ? "true" : "false"); break;
  case KEY_CHOICE_BOOL: append_choice(key->choices, *(const bool *)at, out); break;
  case KEY_CHOICE:
    memcpy(&choice, at, sizeof choice);
    append_choice(key->choices, choice, out);
    break;
  case KEY_TEXT: {
    const char *text = *(char *const *)at;
    if (text)
      config_append_text(text, out);
    else
      tpo_buf_puts(out, "null");
    break;
  }
  case KEY_MAP: config_map_append(*(char *const *)at, out); break;
  case KEY_LIST: {
    char *const *list = *(char **const *)at;
    int count = *(const int *)field(config, key->second);
    tpo_buf_putc(out, '[');
    for (int i = 0; i < count; i++) {
      if (i > 0) tpo_buf_puts(out, ", ");
      config_append_text(list[i], out);
    }
    tpo_buf_putc(out, ']');
    break;
  }
  case KEY_TERMS:
    terms_append(*(struct tpo_judge_term *const *)at, *(const int *)field(config, key->second), out);
    break;
  case KEY_WATCHES:
    watches_append(*(struct tpo_watch_config *const *)at, *(const int *)field(config, key->second), out);
    break;
  case KEY_VERDICTS: config_verdicts_append(at, out); break;
  }
}
