/* Comparing two files of samples by category. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "cli/eval/categories.h"
#include "config/judge_kinds.h"
#include "eval/asking.h"
#include "eval/categories/assign.h"
#include "eval/categories/question.h"
#include "eval/categories/tally.h"
#include "eval/provenance.h"
#include "steps/counts.h"
#include "steps/win_rate.h"
#include "tpo/judge.h"

struct work {
  struct cli_session *s;
  const struct categories_request *request;
  struct tpo_samples a, b; /* rank 0's */
  struct category_list list;
  struct labels labels; /* of a's prompts */
  double *outcomes;     /* [a.n] */
  struct win_rate rate;
  char *compared;     /* what a judge that compares counted */
  size_t unknown;     /* labels of prompts that a doesn't have */
  size_t unmatched_b; /* prompts of b that a lacks */
  bool can_assign;    /* the judge asks a language model; all ranks */
  struct assigned assigned;
};

/* What the details of a file's scores have, {NAME: true}, of all that judges tell; "comparisons": some score comes from
 * comparing a prompt's responses with each other. NULL when memory is short. */
static json_t *names_in_details(const struct tpo_samples *samples)
{
  json_t *names = json_object();
  for (size_t i = 0; i < samples->n && names; i++) {
    const char *text = samples->rows[i].scored ? samples->rows[i].score_detail : "{}", *name;
    json_t *detail = tpo_json_parse(text, strlen(text), "detail", NULL), *value;
    json_object_foreach(detail, name, value) json_object_set(names, name, json_true());
    json_object_foreach(json_object_get(detail, "detail"), name, value) /* a route's judge's */
        json_object_set(names, name, json_true());
    json_decref(detail);
  }
  return names;
}

static int check_file(const struct tpo_samples *samples, const char *path, const json_t *names,
                      struct tpo_error *err)
{
  if (!samples->is_scored)
    return tpo_fail(err, TPO_E_USAGE,
                    "%s has no scores: give --judge KIND, or files that tpo judge has scored", path);
  if (!names) return tpo_fail(err, TPO_E_MEMORY, "no memory for scores");
  if (!json_object_get(names, "comparisons")) return 0;
  return tpo_fail(
      err, TPO_E_INPUT,
      "%s: its scores come from comparing each prompt's responses with each other, and say nothing beside "
      "another file's: give --judge KIND",
      path);
}

static bool have_common(const json_t *a, const json_t *b)
{
  const char *name;
  json_t *value;
  bool common = json_object_size(a) == 0 || json_object_size(b) == 0;
  json_object_foreach((json_t *)a, name, value) common = common || json_object_get(b, name);
  return common;
}

/* That the scores of both files can be compared: which judge gave them is only told by their details. */
static int check_scores(const struct work *w, struct tpo_error *err)
{
  json_t *a = names_in_details(&w->a), *b = names_in_details(&w->b);
  int status = check_file(&w->a, w->request->a, a, err);
  if (status == 0) status = check_file(&w->b, w->request->b, b, err);
  if (status == 0 && !have_common(a, b))
    status = tpo_fail(err, TPO_E_INPUT, "%s and %s were scored by different judges: give --judge KIND",
                      w->request->a, w->request->b);
  json_decref(a);
  json_decref(b);
  return status;
}

/* Prompts of b that a lacks, and that there are any that it has. */
static int check_matches(struct work *w, struct tpo_error *err)
{
  size_t matched = 0, at = 0;
  for (size_t i = 0; i < w->b.n; i = tpo_samples_prompt_end(&w->b, i)) {
    bool there = find_instruction(&w->a, &w->b.rows[i], &at) < w->a.n;
    matched += there;
    w->unmatched_b += !there;
  }
  if (matched > 0) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s and %s have no prompt in common (the same id and text)",
                  w->request->a, w->request->b);
}

static int read_labels(struct work *w, struct tpo_error *err)
{
  const struct categories_request *r = w->request;
  int status = labels_open(&w->labels, &w->a, !r->assign, err);
  if (status == 0 && r->labels) status = labels_read(&w->labels, r->labels, &w->unknown, err);
  if (status == 0) status = labels_unify(&w->labels, &w->list, err);
  if (status < 0) return status;
  if (w->unknown > 0)
    tpo_log(TPO_LOG_WARN, "%s: %zu labels are of prompts that %s lacks", r->labels, w->unknown, r->a);
  size_t without = labels_count(&w->labels, LABEL_NONE);
  if (without == 0 || w->can_assign) return 0;
  if (without == w->labels.n)
    return tpo_fail(
        err, TPO_E_USAGE,
        "no prompt of %s has a category: give --labels FILE, or a judge that is a language model and assigns "
        "them (http:URL or pairwise:MODEL)",
        r->a);
  tpo_log(TPO_LOG_WARN,
          "%zu of %zu prompts have no category, and the judge is no language model that could assign one",
          without, w->labels.n);
  return 0;
}

static size_t without_response(const struct tpo_samples *samples)
{
  size_t n = 0;
  for (size_t i = 0; i < samples->n; i++) n += !samples->rows[i].format_ok;
  return n;
}

/* They lose, or count with the lowest score: a figure may come of these alone. */
static void warn_of_unparsed(const struct tpo_samples *samples, const char *path)
{
  size_t n = without_response(samples);
  if (n > 0)
    tpo_log(TPO_LOG_WARN, "%s: %zu of %zu outputs have no response, and lose or count as the lowest score",
            path, n, samples->n);
}

/* Rank 0. */
static int read_files(struct work *w, struct tpo_error *err)
{
  const struct categories_request *r = w->request;
  int status = r->list ? category_list_read(&w->list, r->list, err) : category_list_default(&w->list, err);
  if (status == 0) status = tpo_samples_read(&w->a, r->a, err);
  if (status == 0) status = tpo_samples_read(&w->b, r->b, err);
  if (status == 0 && !r->judged) status = check_scores(w, err);
  if (status == 0) status = check_matches(w, err);
  if (status == 0) status = read_labels(w, err);
  if (status == 0) warn_of_unparsed(&w->a, r->a);
  if (status == 0) warn_of_unparsed(&w->b, r->b);
  if (status == 0 && !(w->outcomes = tpo_calloc(w->a.n, sizeof *w->outcomes, err))) status = TPO_E_MEMORY;
  return status;
}

static struct tpo_score_options options_of(const struct work *w, int journal)
{
  const char *folder = w->request->journals[journal];
  return (struct tpo_score_options){.journal = *folder ? folder : NULL};
}

/* Scores where the judge gives some. All ranks. */
static int score(struct work *w, struct tpo_error *err)
{
  const struct tpo_session *session = &w->s->session;
  const struct tpo_score_options of_a = options_of(w, 1), of_b = options_of(w, 2);
  size_t failures;
  if (!w->request->judged || tpo_judge_compares(&session->config->judge)) return 0;
  int status = tpo_score_samples(session, &w->a, &of_a, &failures, err);
  return status < 0 ? status : tpo_score_samples(session, &w->b, &of_b, &failures, err);
}

/* What an output that doesn't parse counts with among scores: no more than the lowest. */
static double unparsed_score(const struct work *w)
{
  double lowest = fmin(lowest_score(&w->a), lowest_score(&w->b)); /* NaN of none is passed over */
  return fmin(w->s->session.config->judge.empty_score, lowest);
}

/* Without a judge, what is configured is no matter of the scores that are there. */
static int compare(struct work *w, struct tpo_error *err)
{
  const struct tpo_score_options options = options_of(w, 1);
  if (w->request->judged)
    return win_rate_between(&w->s->session, &w->a, &w->b, unparsed_score(w), &options, w->outcomes, &w->rate,
                            &w->compared, err);
  struct tpo_config config = *w->s->session.config;
  struct tpo_session plain = w->s->session;
  config.judge.kind = (char *)"rule";
  plain.config = &config;
  return win_rate_between(&plain, &w->a, &w->b, unparsed_score(w), NULL, w->outcomes, &w->rate, NULL, err);
}

static int assign(struct work *w, struct tpo_error *err)
{
  const char *journal = w->request->journals[0];
  const struct assign_options options = {
      .list = &w->list, .outcomes = w->outcomes, .journal = *journal ? journal : NULL};
  int status = categories_assign(&w->s->session, &w->labels, &options, &w->assigned, err);
  const struct assigned *done = &w->assigned;
  if (status == 0 && done->unread + done->failed > 0)
    tpo_log(TPO_LOG_WARN,
            "of %zu prompts that were to get a category, %zu got none: %zu answers named none or several, "
            "%zu questions had no answer",
            done->asked, done->unread + done->failed, done->unread, done->failed);
  return status;
}

static json_t *provenance_of(const struct work *w, struct tpo_error *err)
{
  const struct categories_request *r = w->request;
  const char *const files[][2] = {{"a", r->a}, {"b", r->b}, {"labels", r->labels}, {"categories", r->list}};
  json_t *out = eval_provenance(&w->s->session, err);
  int status = out ? 0 : TPO_E_MEMORY;
  for (size_t i = 0; i < sizeof files / sizeof *files && status == 0; i++)
    if (files[i][1]) status = eval_provenance_file(out, files[i][0], files[i][1], err);
  if (status == 0 && r->judged)
    status = eval_provenance_judge(out, &w->s->session.config->judge, NULL, NULL, err);
  if (status == 0) return out;
  json_decref(out);
  return NULL;
}

/* Who said what categories there are: "labels, judge"; and how many prompts each. */
static int put_sources(const struct work *w, json_t *result, struct tpo_error *err)
{
  static const char *const names[N_LABEL_BY] = {
      [LABEL_SAMPLES] = "samples", [LABEL_FILE] = "labels", [LABEL_MODEL] = "judge"};
  struct tpo_buf by = {0};
  json_t *counts = json_object();
  size_t unassigned = 0;
  for (int i = 0; i < N_LABEL_BY; i++) {
    size_t n = 0;
    for (size_t l = 0; l < w->labels.n; l++)
      n += (int)w->labels.items[l].by == i && !isnan(w->outcomes[w->labels.items[l].first]);
    if (i == LABEL_NONE) unassigned = n;
    if (i == LABEL_NONE || n == 0) continue;
    tpo_buf_printf(&by, "%s%s", by.len ? ", " : "", names[i]);
    json_object_set_new(counts, names[i], json_integer((json_int_t)n));
  }
  int failed = by.failed |
               json_object_set_new(result, "assigned_by", by.len ? json_string(by.data) : json_null()) |
               json_object_set_new(result, "assigned", counts) |
               json_object_set_new(result, "unassigned", json_integer((json_int_t)unassigned));
  if (w->assigned.asked > 0)
    failed |= json_object_set_new(result, "assign_failed", json_integer((json_int_t)w->assigned.failed)) |
              json_object_set_new(result, "assign_unread", json_integer((json_int_t)w->assigned.unread));
  if (w->assigned.counts) failed |= json_object_set(result, "assigning", w->assigned.counts);
  tpo_buf_free(&by);
  return failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for the result") : 0;
}

static json_t *overall(const struct work *w)
{
  const struct win_rate *rate = &w->rate;
  return tally_json(&(struct tally){rate->n, rate->wins, rate->losses, rate->ties}, NULL, NULL);
}

/* Of both files' scores, or of comparing them; NULL without a judge, or when memory is short. */
static json_t *judge_counts(const struct work *w)
{
  const char *const counts[] = {w->compared, w->compared ? NULL : w->a.judge_counts,
                                w->compared ? NULL : w->b.judge_counts};
  struct tpo_buf lines = {0};
  for (size_t i = 0; i < sizeof counts / sizeof *counts && w->request->judged; i++)
    if (counts[i]) tpo_buf_printf(&lines, "%s\n", counts[i]);
  char *sum = lines.len > 0 && !lines.failed ? counts_sum(lines.data, lines.len, NULL) : NULL;
  json_t *out = sum ? tpo_json_parse(sum, strlen(sum), "counts", NULL) : NULL;
  tpo_buf_free(&lines);
  free(sum);
  return out;
}

/* Rank 0. */
static int put_result(const struct work *w, json_t **result, struct tpo_error *err)
{
  json_t *categories = NULL, *datasets = NULL, *provenance = NULL;
  const char *kind = w->s->session.config->judge.kind;
  const char *judge = w->request->judged ? strndupa(kind, config_judge_told(kind)) : "scores";
  int status = tally_categories(&w->labels, &w->list, w->outcomes, &categories, err);
  if (status == 0) status = tally_datasets(&w->labels, w->outcomes, &datasets, err);
  if (status == 0 && !(provenance = provenance_of(w, err))) status = err->code;
  if (status == 0)
    *result = json_pack("{s:s, s:s, s:s, s:s, s:o, s:O, s:O, s:I, s:I, s:I, s:I, s:I, s:s, s:o*, s:O}",
                        "evaluation", "categories", "a", w->request->a, "b", w->request->b, "judge", judge,
                        "overall", overall(w), "categories", categories, "datasets", datasets, "unmatched",
                        (json_int_t)w->rate.unmatched, "unmatched_b", (json_int_t)w->unmatched_b, "unjudged",
                        (json_int_t)w->rate.unjudged, "without_response", (json_int_t)without_response(&w->a),
                        "without_response_b", (json_int_t)without_response(&w->b), "interval",
                        "Wilson, 95 %, of wins and half the ties among n prompts", "judging", judge_counts(w),
                        "provenance", provenance);
  if (status == 0 && !*result) status = tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  if (status == 0) status = put_sources(w, *result, err);
  json_decref(categories);
  json_decref(datasets);
  json_decref(provenance);
  return status;
}

/* Rank 0. */
static int finish(const struct work *w, json_t **result, struct tpo_error *err)
{
  const char *out = w->request->assign_out;
  int status = put_result(w, result, err);
  if (status == 0 && *out) status = labels_write(&w->labels, out, err);
  return status;
}

static void free_work(struct work *w)
{
  json_decref(w->assigned.counts);
  labels_free(&w->labels);
  category_list_free(&w->list);
  tpo_samples_free(&w->a);
  tpo_samples_free(&w->b);
  free(w->outcomes);
  free(w->compared);
}

int categories_work(struct cli_session *s, const struct categories_request *request, json_t **result,
                    struct tpo_error *err)
{
  struct tpo_comm *comm = s->session.comm;
  struct work w = {.s = s,
                   .request = request,
                   .can_assign = request->judged && eval_ask_check(&s->session.config->judge, NULL) == 0};
  bool first = cli_first_rank(s);
  int status = tpo_comm_agree(comm, first ? read_files(&w, err) : 0, err);
  if (status == 0) status = score(&w, err);
  if (status == 0) status = compare(&w, err);
  if (status == 0 && w.can_assign) status = assign(&w, err);
  progress_end(&s->bar);
  if (status == 0 && first) status = finish(&w, result, err);
  free_work(&w);
  return tpo_comm_agree(comm, status, err);
}
