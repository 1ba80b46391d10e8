/* Arithmetic on what judges count. */
#include "steps/counts.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "judge/unread.h"

static bool is_largest(const char *name)
{
  return strncmp(name, "max_", 4) == 0;
}

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for the judge's counts");
}

/* a + sign b; whole numbers stay such. */
static json_t *combine(const json_t *a, int sign, const json_t *b)
{
  if (json_is_integer(a) && json_is_integer(b))
    return json_integer(json_integer_value(a) + sign * json_integer_value(b));
  return json_real(json_number_value(a) + sign * json_number_value(b));
}

void counts_add(json_t *sum, const json_t *counts)
{
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)counts, name, value)
  {
    const json_t *old = json_object_get(sum, name);
    if (!old || (is_largest(name) && json_number_value(value) > json_number_value(old)))
      json_object_set(sum, name, value);
    else if (!is_largest(name))
      json_object_set_new(sum, name, combine(old, 1, value));
  }
}

static json_t *parse(const char *text, size_t len, struct tpo_error *err)
{
  return tpo_json_parse(text, len, "counts of a judge", err);
}

int counts_between(const char *before, const char *after, struct tpo_buf *out, struct tpo_error *err)
{
  json_t *old = parse(before, strlen(before), err), *now = old ? parse(after, strlen(after), err) : NULL;
  json_t *difference = json_object(), *value;
  const char *name;
  int status = old && now ? 0 : TPO_E_INPUT;
  json_object_foreach(now, name, value)
  {
    const json_t *was = json_object_get(old, name);
    if (was && !is_largest(name))
      json_object_set_new(difference, name, combine(value, -1, was));
    else
      json_object_set(difference, name, value);
  }
  char *text = status == 0 ? tpo_json_dump(difference) : NULL;
  if (text) tpo_buf_printf(out, "%s\n", text);
  if (status == 0 && (!text || out->failed)) status = no_memory(err);
  free(text);
  json_decref(difference);
  json_decref(old);
  json_decref(now);
  return status;
}

char *counts_sum(const char *lines, size_t len, struct tpo_error *err)
{
  json_t *sum = json_object();
  int status = sum ? 0 : no_memory(err);
  for (size_t at = 0; at < len && status == 0;) {
    const char *end = memchr(lines + at, '\n', len - at);
    size_t n = end ? (size_t)(end - (lines + at)) : len - at;
    json_t *counts = parse(lines + at, n, err);
    if (counts)
      counts_add(sum, counts);
    else
      status = TPO_E_INPUT;
    json_decref(counts);
    at += n + 1;
  }
  if (status == 0) judge_unread_omit(sum);
  char *text = status == 0 ? tpo_json_dump(sum) : NULL;
  if (status == 0 && !text) no_memory(err);
  json_decref(sum);
  return text;
}

bool counts_tell_answers(const char *counts)
{
  json_t *all = tpo_json_parse(counts, strlen(counts), "counts", NULL), *value;
  const char *name;
  bool any = false;
  json_object_foreach(all, name, value)
  {
    const char *end = strstr(name, "completion_tokens"); /* "http.completion_tokens" of several judges */
    any = any || (end && json_number_value(value) > 0);
  }
  json_decref(all);
  return any;
}
