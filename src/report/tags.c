/* Names for TensorBoard, some made of what a stranger wrote. */
#include "report/tags.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/utf8.h"

enum { MOST_BYTES = 400 };

int tags_add(struct tags *tags, const char *name, double value, struct tpo_error *err)
{
  if (!name) return tpo_fail(err, TPO_E_MEMORY, "no memory for TensorBoard's events");
  int status = tpo_grow(&tags->list, &tags->capacity, tags->n + 1, sizeof *tags->list, err);
  if (status == 0) tags->list[tags->n++] = (struct tag){name, value};
  return status;
}

void tags_clear(struct tags *tags)
{
  tags->n = 0;
  tpo_arena_free(&tags->arena);
}

void tags_free(struct tags *tags)
{
  tags_clear(tags);
  free(tags->list);
  *tags = (struct tags){0};
}

/* Appends the name; letters of any script are left. False where that is not the name itself. */
static bool append_safe(struct tpo_buf *out, const char *name, size_t len)
{
  bool same = true;
  for (size_t at = 0; at < len;) {
    if (at > MOST_BYTES) return false;
    size_t begin = at;
    uint32_t cp = tpo_utf8_next(name, len, &at);
    bool safe = cp < 128 ? isalnum((int)cp) || (cp && strchr(" _.-:()", (int)cp)) : tpo_utf8_is_tame(cp);
    if (safe)
      tpo_buf_append(out, name + begin, at - begin);
    else
      tpo_buf_putc(out, '_');
    same = same && safe;
  }
  return same;
}

const char *tags_name(struct tags *tags, const char *first, const char *name, const char *last)
{
  struct tpo_buf out = {0};
  tpo_buf_printf(&out, "%s/", first);
  if (!append_safe(&out, name, strlen(name)))
    tpo_buf_printf(&out, "-%08x", (unsigned)(tpo_hash64_str(name) & 0xffffffff));
  if (last) tpo_buf_printf(&out, "/%s", last);
  const char *kept = out.failed ? NULL : tpo_arena_strdup(&tags->arena, out.data);
  tpo_buf_free(&out);
  return kept;
}

struct number {
  const char *key, *tag;
};

/* Of a member of "groups", "other" or "without"; first: its kind. */
static int add_group(struct tags *tags, const char *first, const char *name, const json_t *group,
                     const struct number *numbers, size_t n, struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < n && status == 0; i++) {
    const json_t *value = json_object_get(group, numbers[i].key);
    if (json_is_number(value))
      status = tags_add(tags, tags_name(tags, first, name, numbers[i].tag), json_number_value(value), err);
  }
  return status;
}

static int add_groups(struct tags *tags, const json_t *event, const struct number *numbers, size_t n,
                      struct tpo_error *err)
{
  const char *by = json_string_value(json_object_get(event, "by"));
  size_t i;
  const json_t *group;
  int status = 0;
  json_array_foreach(json_object_get(event, "groups"), i, group)
  {
    const char *name = json_string_value(json_object_get(group, "name"));
    if (by && name && status == 0) status = add_group(tags, by, name, group, numbers, n, err);
  }
  return status;
}

static bool says(const json_t *event, const char *key, const char *value)
{
  const char *text = json_string_value(json_object_get(event, key));
  return text && strcmp(text, value) == 0;
}

int tags_of_groups(struct tags *tags, const json_t *event, struct tpo_error *err)
{
  static const struct number validated[] = {{"mean_score", "score"},
                                            {"pass_rate", "pass_rate"},
                                            {"difference", "difference"},
                                            {"win_rate", "win_rate_start"},
                                            {"mean_response_tokens", "response_tokens"}};
  static const struct number sampled[] = {{"mean_score", "sampled_score"},
                                          {"pass_rate", "sampled_pass_rate"},
                                          {"mean_response_tokens", "sampled_response_tokens"}};
  static const struct number against_previous[] = {{"win_rate", "win_rate_previous"}};
  static const struct number against_baseline[] = {{"win_rate", "win_rate_baseline"}};
  if (says(event, "of", "validate")) return add_groups(tags, event, validated, 5, err);
  if (says(event, "of", "judge")) return add_groups(tags, event, sampled, 3, err);
  if (says(event, "against", "previous")) return add_groups(tags, event, against_previous, 1, err);
  if (says(event, "against", "baseline")) return add_groups(tags, event, against_baseline, 1, err);
  return 0;
}

int tags_of_thoughts(struct tags *tags, const json_t *event, struct tpo_error *err)
{
  const char *first = says(event, "of", "sample")     ? "thoughts"
                      : says(event, "of", "validate") ? "validation_thoughts"
                                                      : NULL;
  static const char *const numbers[] = {"draft_overlap", "undrafted_overlap"};
  const char *kind;
  json_t *share;
  int status = 0;
  if (!first) return 0;
  json_object_foreach(json_object_get(event, "shares"), kind, share)
  {
    if (json_is_number(share) && status == 0)
      status = tags_add(tags, tags_name(tags, first, kind, NULL), json_number_value(share), err);
  }
  for (size_t i = 0; i < 2 && status == 0; i++) {
    const json_t *value = json_object_get(event, numbers[i]);
    if (json_is_number(value))
      status = tags_add(tags, tags_name(tags, first, numbers[i], NULL), json_number_value(value), err);
  }
  return status;
}
