/* What a judge failed on, counted and told. */
#include "steps/failures.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "judge/unread.h"

enum {
  TOLD = 3,     /* reasons */
  LONGEST = 200 /* bytes of one */
};

static bool is_failure(const struct tpo_sample_row *row)
{
  return row->format_ok && !row->scored;
}

char *failure_reason(const struct tpo_sample_row *row)
{
  const char *text = row->score_detail ? row->score_detail : "";
  json_t *detail = tpo_json_parse(text, strlen(text), "detail", NULL);
  const char *why = json_string_value(json_object_get(detail, "error"));
  char *copy = why ? strdup(why) : NULL;
  json_decref(detail);
  return copy;
}

/* {reason: how many}, in the order in which they came first; NULL when memory is short. */
static json_t *count_reasons(const struct tpo_samples *samples, size_t *n)
{
  json_t *reasons = json_object();
  *n = 0;
  for (size_t i = 0; i < samples->n && reasons; i++) {
    if (!is_failure(&samples->rows[i])) continue;
    char *why = failure_reason(&samples->rows[i]);
    const char *name = why ? why : "no reason told";
    size_t len = strnlen(name, LONGEST);
    if (why && why[len]) why[len - (size_t)tpo_utf8_incomplete_tail(why, len)] = '\0';
    json_object_set_new(reasons, name, json_integer(json_integer_value(json_object_get(reasons, name)) + 1));
    free(why);
    ++*n;
  }
  return reasons;
}

/* The most frequent of those that are left, and takes it out; false: there are none. */
static bool take_most(json_t *reasons, struct tpo_buf *out)
{
  const char *name, *most = NULL;
  json_t *count;
  json_int_t n = 0;
  json_object_foreach(reasons, name, count)
  {
    if (json_integer_value(count) > n) most = name, n = json_integer_value(count);
  }
  if (!most) return false;
  tpo_buf_puts(out, out->len ? "; " : "");
  if (n > 1) tpo_buf_printf(out, "%lld times ", (long long)n);
  tpo_buf_printf(out, "%s%s", n > 1 ? "" : "once ", most);
  json_object_del(reasons, most);
  return true;
}

void failures_tell(const struct tpo_samples *samples)
{
  size_t n;
  struct tpo_buf text = {0};
  json_t *reasons = count_reasons(samples, &n);
  for (int i = 0; i < TOLD && take_most(reasons, &text); i++) continue;
  size_t left = json_object_size(reasons);
  if (left > 0) tpo_buf_printf(&text, "; and %zu other reasons", left);
  if (n > 0 && !text.failed)
    tpo_log(TPO_LOG_WARN, "the judge gave no score to %zu response%s: %s", n, n > 1 ? "s" : "", text.data);
  tpo_buf_free(&text);
  json_decref(reasons);
}

/* Adds the row's match that means nothing, unless it is there or there are enough. */
static void add_matched(const struct tpo_sample_row *row, json_t *matched)
{
  const char *text = row->score_detail ? row->score_detail : "";
  if (json_object_size(matched) >= TOLD || !strstr(text, "\"matched\"")) return;
  json_t *detail = tpo_json_parse(text, strlen(text), "detail", NULL);
  const char *match = json_string_value(json_object_get(detail, "matched"));
  if (match) json_object_set_new(matched, match, json_true());
  json_decref(detail);
}

void failures_tell_unread(const struct tpo_samples *samples)
{
  struct judge_unread unread = {0};
  struct tpo_buf text = {0};
  const char *counts = samples->judge_counts ? samples->judge_counts : "{}", *name, *names[TOLD];
  size_t n = 0;
  json_t *parsed = tpo_json_parse(counts, strlen(counts), "counts", NULL), *matched = json_object(), *value;
  judge_unread_take(&unread, parsed);
  long long total = (long long)judge_unread_total(&unread);
  for (size_t i = 0; i < samples->n && total > 0; i++) add_matched(&samples->rows[i], matched);
  json_object_foreach(matched, name, value) names[n++] = name;
  judge_unread_tell(&unread, names, n, &text);
  if (total > 0 && !text.failed)
    tpo_log(TPO_LOG_WARN, "%lld of the judge's answers had no verdict: %s", total, text.data);
  tpo_buf_free(&text);
  json_decref(matched);
  json_decref(parsed);
}

struct failures {
  size_t responses, of_responses; /* that have no score, of those that the judge was asked about */
  size_t prompts, of_prompts;     /* with such a response, of those with any */
  size_t first;                   /* row of the first one */
};

static void count_failures(const struct tpo_samples *samples, struct failures *f)
{
  *f = (struct failures){.first = samples->n};
  for (size_t at = 0, end; at < samples->n; at = end) {
    size_t asked = f->of_responses, failed = f->responses;
    end = tpo_samples_prompt_end(samples, at);
    for (size_t i = at; i < end; i++) {
      bool without = is_failure(&samples->rows[i]);
      f->of_responses += samples->rows[i].format_ok;
      f->responses += without;
      if (without && f->first == samples->n) f->first = i;
    }
    f->of_prompts += f->of_responses > asked;
    f->prompts += f->responses > failed;
  }
}

int failures_check(const struct tpo_samples *samples, const struct tpo_judge_config *config,
                   struct tpo_error *err)
{
  struct failures f;
  count_failures(samples, &f);
  if (f.prompts == 0 || (double)f.prompts <= config->max_failed * (double)f.of_prompts) return 0;
  const struct tpo_sample_row *row = &samples->rows[f.first];
  char *why = failure_reason(row);
  tpo_fail(err, TPO_E_STATE,
           "the judge %s gave no score to some response of %zu of %zu prompts (%zu of %zu responses), "
           "more than the share of prompts that judge.max_failed allows (%g); "
           "the first, sample %d of prompt %s: %s",
           config->kind, f.prompts, f.of_prompts, f.responses, f.of_responses, config->max_failed, row->k,
           row->prompt_id, why ? why : "no reason told");
  free(why);
  return TPO_E_STATE;
}
