/* What a judge failed on, counted and told. */
#include "steps/failures.h"

#include <stdlib.h>
#include <string.h>

#include "ask/ask.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "config/judge_kinds.h"
#include "judge/unread.h"

enum {
  TOLD = 3,     /* reasons */
  LONGEST = 200 /* bytes of one */
};

static bool is_failure(const struct tpo_sample_row *row)
{
  return row->format_ok && !row->scored;
}

/* Of a detail, {"error": "..."}; NULL: no reason is told. free() it. */
static char *reason_in(const char *text)
{
  if (!text) return NULL;
  json_t *detail = tpo_json_parse(text, strlen(text), "detail", NULL);
  const char *why = json_string_value(json_object_get(detail, "error"));
  char *copy = why ? strdup(why) : NULL;
  json_decref(detail);
  return copy;
}

char *failure_reason(const struct tpo_sample_row *row)
{
  return reason_in(row->score_detail);
}

/* Bytes with which a sum's reason begins: of which term it is. */
static size_t term_of(const char *reason)
{
  static const char begin[] = "judge.terms, \"";
  const char *end = strncmp(reason, begin, sizeof begin - 1) == 0 ? strstr(reason, "\": ") : NULL;
  return end ? (size_t)(end + 3 - reason) : 0;
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
    size_t term = term_of(name), len = term + strnlen(name + term, LONGEST);
    if (why && why[len]) why[len - (size_t)tpo_utf8_incomplete_tail(why, len)] = '\0';
    json_object_set_new(reasons, name, json_integer(json_integer_value(json_object_get(reasons, name)) + 1));
    free(why);
    ++*n;
  }
  return reasons;
}

/* Bytes of a reason that say of which kind it is: what stands before its particulars, "HTTP 400" say, with the
 * term that it is of. */
static size_t kind_of(const char *reason)
{
  const char *colon = strstr(reason + term_of(reason), ": ");
  if (!colon) return strlen(reason);
  bool has_status = strncmp(colon + 2, "HTTP ", 5) == 0; /* "..., the last: HTTP 503: closed" */
  const char *next = has_status ? strstr(colon + 2, ": ") : NULL;
  return has_status && !next ? strlen(reason) : (size_t)((next ? next : colon) - reason);
}

/* Adds n of a kind to {kind: [how many, of how many reasons, the first of these]}. */
static void add_to_kind(json_t *kinds, const char *reason, json_int_t n)
{
  char *kind = strndup(reason, kind_of(reason));
  json_t *entry = kind ? json_object_get(kinds, kind) : NULL;
  if (entry) {
    json_array_set_new(entry, 0, json_integer(json_integer_value(json_array_get(entry, 0)) + n));
    json_array_set_new(entry, 1, json_integer(json_integer_value(json_array_get(entry, 1)) + 1));
  } else if (kind)
    json_object_set_new(kinds, kind, json_pack("[I, i, s]", n, 1, reason));
  free(kind);
}

/* Reasons by their kinds, each with an example; takes `reasons`. */
static json_t *fold_reasons(json_t *reasons)
{
  const char *name, *example;
  json_t *value, *kinds = json_object(), *folded = json_object();
  json_int_t n;
  int distinct;
  json_object_foreach(reasons, name, value) add_to_kind(kinds, name, json_integer_value(value));
  json_object_foreach(kinds, name, value)
  {
    struct tpo_buf text = {0};
    if (json_unpack(value, "[I, i, s]", &n, &distinct, &example) < 0) continue;
    if (distinct > 1 && example[strlen(name)])
      tpo_buf_printf(&text, "%s, such as%s", name, example + strlen(name));
    else
      tpo_buf_puts(&text, example);
    if (!text.failed) json_object_set_new(folded, text.data, json_integer(n));
    tpo_buf_free(&text);
  }
  json_decref(kinds);
  json_decref(reasons);
  return folded;
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
  if (json_object_size(reasons) > TOLD) reasons = fold_reasons(reasons);
  for (int i = 0; i < TOLD && take_most(reasons, &text); i++) continue;
  size_t left = json_object_size(reasons);
  if (left > 0) tpo_buf_printf(&text, "; and %zu other reason%s", left, left > 1 ? "s" : "");
  if (n > 0 && !text.failed)
    tpo_log(TPO_LOG_WARN, "the judge gave no score to %zu response%s: %s", n, n > 1 ? "s" : "", text.data);
  tpo_buf_free(&text);
  json_decref(reasons);
}

/* Adds the match that means nothing of a judge's detail, unless it is there or there are enough. */
static void take_match(const json_t *detail, json_t *matched)
{
  const char *match = json_string_value(json_object_get(detail, "matched"));
  if (match && json_object_size(matched) < TOLD) json_object_set_new(matched, match, json_true());
}

/* Those of a row: its judge's, or those of the judges that it handed on to. */
static void add_matched(const struct tpo_sample_row *row, json_t *matched)
{
  size_t i;
  const char *text = row->score_detail ? row->score_detail : "";
  if (json_object_size(matched) >= TOLD || !strstr(text, "\"matched\"")) return;
  json_t *detail = tpo_json_parse(text, strlen(text), "detail", NULL), *term;
  take_match(detail, matched);
  take_match(json_object_get(detail, "detail"), matched);
  json_array_foreach(json_object_get(detail, "terms"), i, term)
  {
    take_match(json_object_get(term, "detail"), matched);
  }
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
           "the judge %.*s gave no score to some response of %zu of %zu prompts (%zu of %zu responses), "
           "more than the share of prompts that judge.max_failed allows (%g); "
           "the first, sample %d of prompt %s: %s",
           (int)config_judge_told(config->kind), config->kind, f.prompts, f.of_prompts, f.responses,
           f.of_responses, config->max_failed, row->k, row->prompt_id, why ? why : "no reason told");
  free(why);
  return TPO_E_STATE;
}

static int fail_in_row(const char *judge, size_t n, const char *why, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_STATE, "the judge %.*s gave no score to %zu responses in a row; the last: %s",
                  (int)config_judge_told(judge), judge, n, why ? why : "no reason told");
}

/* Where the detail names the judge that a route chose. scored: {JUDGE: whether it scored something of the batch}. */
static int follow_judge(struct failure_row *row, const struct tpo_judge_result *result, json_t *scored)
{
  const char *text = result->detail ? result->detail : "{}";
  json_t *detail = tpo_json_parse(text, strlen(text), "detail", NULL);
  const char *judge = json_string_value(json_object_get(detail, "judge"));
  const char *why = json_string_value(json_object_get(detail, "error"));
  int status = 0;
  if (judge) {
    json_int_t before = json_integer_value(json_array_get(json_object_get(row->judges, judge), 0));
    bool did = result->ok || json_is_true(json_object_get(scored, judge));
    json_t *now = json_pack("[I, s]", result->ok ? 0 : before + 1, why ? why : "no reason told");
    status =
        json_object_set_new(row->judges, judge, now) | json_object_set_new(scored, judge, json_boolean(did));
  }
  json_decref(detail);
  return status;
}

/* The same for each judge of a route as for all of them. */
static int follow_judges(struct failure_row *row, const char *const *responses,
                         const struct tpo_judge_result *results, size_t n, bool *every, struct tpo_error *err)
{
  const char *judge;
  json_t *scored = json_object(), *value;
  if (!row->judges) row->judges = json_object();
  int status = scored && row->judges ? 0 : -1;
  for (size_t i = 0; i < n && status == 0; i++)
    if (responses[i]) status = follow_judge(row, &results[i], scored);
  if (status < 0) status = tpo_fail(err, TPO_E_MEMORY, "out of memory while judging");
  json_object_foreach(scored, judge, value)
  {
    const json_t *entry = json_object_get(row->judges, judge);
    size_t failed = (size_t)json_integer_value(json_array_get(entry, 0));
    *every = *every && json_is_true(value);
    if (status == 0 && failed >= ASK_IN_A_ROW)
      status = fail_in_row(judge, failed, json_string_value(json_array_get(entry, 1)), err);
  }
  json_decref(scored);
  return status;
}

int failures_follow(struct failure_row *row, const struct tpo_judge_config *config,
                    const char *const *responses, const struct tpo_judge_result *results, size_t n,
                    struct failure_batch *batch, struct tpo_error *err)
{
  const struct tpo_judge_result *last = NULL;
  size_t judged = 0, scored = 0;
  for (size_t i = 0; i < n; i++) {
    if (!responses[i]) continue;
    judged++;
    scored += results[i].ok;
    row->n = results[i].ok ? 0 : row->n + 1;
    last = &results[i];
  }
  batch->every = batch->any = scored > 0 || judged == 0;
  int status = tpo_judge_mixes(config) ? follow_judges(row, responses, results, n, &batch->every, err) : 0;
  if (status < 0 || !last || row->n < ASK_IN_A_ROW) return status;
  char *why = reason_in(last->detail);
  status = fail_in_row(config->kind, row->n, why, err);
  free(why);
  return status;
}

void failure_row_free(struct failure_row *row)
{
  json_decref(row->judges);
}
