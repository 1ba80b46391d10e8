/* What no single key can tell: combinations that can't work. */
#include <stdlib.h>
#include <string.h>
#include "base/date.h"
#include "base/file.h"
#include "config/judge_kinds.h"
#include "config/layouts.h"
#include "config/request.h"
#include "config/watches.h"

struct check {
  const struct tpo_config *config;
  struct config_report report;
};

/* A problem at the place where the key `path` was set. */
#define PROBLEM(check, path, ...)                                                                            \
  config_problem(&(check)->report, TPO_E_USAGE,                                                              \
                 config_origin((check)->config, config_find_key(path, strlen(path))), 0, __VA_ARGS__)

static bool given(const char *text)
{
  return text && text[0];
}

static int occurrences(const char *text, const char *part)
{
  int count = 0;
  for (const char *at = strstr(text, part); at; at = strstr(at + strlen(part), part)) count++;
  return count;
}

static bool is_blank(const char *text)
{
  return text[strspn(text, " \t\r\n")] == '\0';
}

static unsigned parts_of(int key)
{
  static const struct {
    const char *section;
    unsigned part;
  } owners[] = {{"pairs", TPO_CHECK_PAIRS},
                {"train", TPO_CHECK_TRAINING},
                {"judge", TPO_CHECK_LOOP},
                {"run", TPO_CHECK_LOOP}};
  for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
    if (config_in_section(key, owners[i].section)) return owners[i].part;
  return TPO_CHECK_SAMPLING;
}

/* Files and --set are held to the ranges when they are read; this is for programs that fill the struct
 * themselves. */
static void check_ranges(struct check *check, unsigned parts)
{
  for (int key = 0; key < config_n_keys; key++) {
    if (!(parts_of(key) & parts) || config_in_range(check->config, key)) continue;
    struct tpo_buf text = {0};
    tpo_buf_puts(&text, "expected ");
    config_describe(key, &text);
    tpo_buf_puts(&text, ", not ");
    config_append_value(check->config, key, &text);
    config_problem(&check->report, TPO_E_USAGE, config_origin(check->config, key), 0, "%s: %s",
                   config_keys[key].path, text.failed ? "out of range" : text.data);
    tpo_buf_free(&text);
  }
}

static void check_template(struct check *check)
{
  const struct tpo_template_config *t = &check->config->template_pieces;
  const struct {
    const char *path, *text;
  } pieces[] = {
      {"template.system_prefix", t->system_prefix},       {"template.system_suffix", t->system_suffix},
      {"template.user_prefix", t->user_prefix},           {"template.user_suffix", t->user_suffix},
      {"template.assistant_prefix", t->assistant_prefix}, {"template.assistant_suffix", t->assistant_suffix}};
  enum { N = sizeof pieces / sizeof *pieces };
  bool any = t->bos || t->default_system;
  for (int i = 0; i < N; i++) any = any || pieces[i].text;
  for (int i = 0; any && i < N; i++)
    if (!pieces[i].text)
      PROBLEM(check, pieces[i].path,
              "%s is missing: a chat template needs all six prefixes and suffixes (\"\" for none)",
              pieces[i].path);
  if (t->date && !tpo_is_date(t->date))
    PROBLEM(check, "template.date", "template.date: expected a date such as 2024-07-26, not \"%.80s\"",
            t->date);
}

static void check_markers(struct check *check)
{
  const struct tpo_thought_config *t = &check->config->thought;
  bool has_response = given(t->response_marker), has_thought = given(t->thought_marker);
  int places = t->prompt ? occurrences(t->prompt, TPO_THOUGHT_SLOT) : 0;
  if (places != 1)
    PROBLEM(check, "thought.prompt",
            "thought.prompt must hold " TPO_THOUGHT_SLOT " exactly once, not %d times", places);
  if (has_response && is_blank(t->response_marker))
    PROBLEM(check, "thought.response_marker",
            "thought.response_marker is blank, so any output would hold it");
  if (has_thought && is_blank(t->thought_marker))
    PROBLEM(check, "thought.thought_marker", "thought.thought_marker is blank, so any output would hold it");
  if (has_thought && !has_response)
    PROBLEM(check, "thought.thought_marker",
            "thought.thought_marker without thought.response_marker: nothing would end the thought");
  if (has_thought && has_response &&
      (strstr(t->thought_marker, t->response_marker) || strstr(t->response_marker, t->thought_marker)))
    PROBLEM(
        check, "thought.response_marker",
        "thought.thought_marker and thought.response_marker hold one another, so they can't be told apart");
  if (has_response && given(t->prefill) && strstr(t->prefill, t->response_marker))
    PROBLEM(check, "thought.prefill",
            "thought.prefill holds the response marker, which leaves no room for a thought");
}

static void check_layout(struct check *check)
{
  const struct tpo_config *c = check->config;
  const char *problem = layout_args_problem(c->thought.template_args);
  if (problem) PROBLEM(check, "thought.template_args", "thought.template_args: %s", problem);
  if (tpo_config_thought_is_open(&c->thought) && c->origins && c->origins->own_prompt)
    PROBLEM(
        check, "thought.prompt",
        "thought.prompt is given beside thought: auto, whose prompt is the layout's that is settled on; expected "
        "one or the other");
}

static void check_budgets(struct check *check)
{
  const struct tpo_thought_config *t = &check->config->thought;
  int max_tokens = check->config->sampling.max_tokens;
  bool has_response = given(t->response_marker);
  if (t->force && !has_response)
    PROBLEM(check, "thought.on_budget", "thought.on_budget: force needs a thought.response_marker to insert");
  if (t->thought_tokens > 0 && !has_response)
    PROBLEM(check, "thought.thought_tokens",
            "thought.thought_tokens is %d, but without thought.response_marker there is no thought",
            t->thought_tokens);
  if (has_response && t->thought_tokens >= max_tokens)
    PROBLEM(check, "thought.thought_tokens",
            "thought.thought_tokens (%d) leaves no room for a response in sampling.max_tokens (%d)",
            t->thought_tokens, max_tokens);
  else if ((int64_t)t->thought_tokens + t->response_tokens > max_tokens)
    PROBLEM(
        check, "thought.response_tokens",
        "thought.thought_tokens and thought.response_tokens (%d + %d) are more than sampling.max_tokens (%d)",
        t->thought_tokens, t->response_tokens, max_tokens);
  if (t->force && has_response && t->thought_tokens == 0 && max_tokens < 2)
    PROBLEM(check, "sampling.max_tokens", "sampling.max_tokens (%d) has no room for a thought and a response",
            max_tokens);
}

static void check_stops(struct check *check)
{
  const struct tpo_sampling_config *s = &check->config->sampling;
  const struct tpo_thought_config *t = &check->config->thought;
  for (int i = 0; i < s->n_stop; i++) {
    const char *stop = s->stop[i];
    if (!given(stop))
      PROBLEM(check, "sampling.stop", "sampling.stop holds an empty string, which occurs everywhere");
    else if ((given(t->response_marker) && strstr(t->response_marker, stop)) ||
             (given(t->thought_marker) && strstr(t->thought_marker, stop)))
      PROBLEM(check, "sampling.stop",
              "sampling.stop has a string that is part of a marker of the thought layout, "
              "so no response could come");
  }
}

static void check_data(struct check *check)
{
  const struct tpo_data_config *d = &check->config->data;
  if (given(d->train) && given(d->validation) && tpo_same_file(d->train, d->validation))
    PROBLEM(check, "data.validation",
            "data.validation is the same file as data.train; validation must be held back");
}

static void check_pairs(struct check *check)
{
  const struct tpo_sampling_config *s = &check->config->sampling;
  const struct tpo_pairs_config *p = &check->config->pairs;
  if (s->k == 1)
    PROBLEM(check, "sampling.k", "sampling.k is 1: a pair needs at least 2 samples of an instruction");
  if (s->k > 1 && (s->temperature == 0 || s->top_k == 1)) {
    const char *path = s->temperature == 0 ? "sampling.temperature" : "sampling.top_k";
    config_problem(&check->report, TPO_E_USAGE,
                   config_origin(check->config, config_find_key(path, strlen(path))), 0,
                   "%s is %d: the %d samples of an instruction would be equal and make no pair", path,
                   s->temperature != 0, s->k);
  }
  if (p->max_pairs_per_prompt > 0 && p->mode == TPO_PAIRS_BEST_WORST)
    PROBLEM(check, "pairs.max_pairs_per_prompt",
            "pairs.max_pairs_per_prompt has no meaning with pairs.mode: best-worst, which makes one pair");
}

static void check_training(struct check *check)
{
  const struct tpo_train_config *t = &check->config->train;
  if (t->loss == TPO_LOSS_IPO && t->label_smoothing > 0)
    PROBLEM(check, "train.label_smoothing",
            "train.label_smoothing belongs to train.loss: dpo; IPO has no such term");
  if (t->max_pair_tokens > t->micro_batch_tokens)
    PROBLEM(check, "train.max_pair_tokens",
            "train.max_pair_tokens (%d) is more than fits in a forward pass, train.micro_batch_tokens (%d)",
            t->max_pair_tokens, t->micro_batch_tokens);
}

/* Whether a text names a kind of judge, with an argument where it takes one. */
static bool is_judge(const char *text)
{
  const char *argument;
  int kind = config_judge_kind(text, &argument);
  if (kind < 0) return false;
  return given(config_judge_kind_argument(kind)) ? given(argument) : !argument;
}

/* "; did you mean reward:DIR?", with the argument that was given where there is one. */
static void append_suggestion(const char *text, struct tpo_buf *out)
{
  size_t len = strcspn(text, ":");
  int near = config_suggest_judge_kind(text, len);
  if (near < 0) return;
  const char *takes = config_judge_kind_argument(near);
  bool has_own = given(takes) && text[len] && text[len + 1];
  tpo_buf_printf(out, "; did you mean %s%s?", config_judge_kind_name(near), has_own ? text + len : takes);
}

static void check_judge(struct check *check)
{
  const char *text = check->config->judge.kind ? check->config->judge.kind : "";
  struct tpo_buf suggestion = {0};
  if (is_judge(text)) return;
  append_suggestion(text, &suggestion);
  PROBLEM(check, "judge.kind", "judge.kind: expected " CONFIG_JUDGE_KINDS_TOLD ", not \"%s\"%s", text,
          suggestion.data ? suggestion.data : "");
  tpo_buf_free(&suggestion);
}

/* The name of a route's judge, "FIELD -> KIND[:ARG]", with its length; 0 where there is none. What else may
 * be wrong with a route the judge layer tells. */
static size_t judge_of_route(const char *route, const char **name)
{
  const char *arrow = strstr(route, "->");
  if (!arrow) return 0;
  *name = arrow + 2 + strspn(arrow + 2, " \t\r\n");
  return strcspn(*name, ": \t\r\n");
}

static bool is_kind(const struct tpo_judge_config *judge, enum config_judge_kind kind)
{
  const char *argument;
  return judge->kind && config_judge_kind(judge->kind, &argument) == (int)kind;
}

static void check_routes(struct check *check)
{
  const struct tpo_judge_config *judge = &check->config->judge;
  for (int i = 0; is_kind(judge, JUDGE_KIND_ROUTE) && i < judge->n_routes; i++) {
    const char *name;
    size_t len = judge_of_route(judge->routes[i], &name);
    if (len > 0 && config_judge_kind_named(name, len) < 0)
      PROBLEM(
          check, "judge.routes",
          "judge.routes, \"%.200s\": there is no judge \"%.*s\"; expected one of: " CONFIG_JUDGE_KINDS_TOLD,
          judge->routes[i], (int)len, name);
  }
}

static void check_terms(struct check *check)
{
  const struct tpo_judge_config *judge = &check->config->judge;
  for (int i = 0; is_kind(judge, JUDGE_KIND_SUM) && i < judge->n_terms; i++) {
    struct tpo_buf suggestion = {0};
    const char *text = judge->terms[i].kind;
    if (is_judge(text)) continue;
    append_suggestion(text, &suggestion);
    PROBLEM(check, "judge.terms", "judge.terms, term %d: expected " CONFIG_JUDGE_KINDS_TOLD ", not \"%s\"%s",
            i + 1, text, suggestion.data ? suggestion.data : "");
    tpo_buf_free(&suggestion);
  }
}

static bool kind_compares(const char *name, size_t len)
{
  int kind = config_judge_kind_named(name, len);
  return kind >= 0 && config_judge_kind_compares(kind);
}

bool config_judge_compares(const struct tpo_judge_config *judge)
{
  const char *name = "";
  bool found = kind_compares(judge->kind, strcspn(judge->kind, ":"));
  for (int i = 0; is_kind(judge, JUDGE_KIND_ROUTE) && i < judge->n_routes; i++) {
    size_t len = judge_of_route(judge->routes[i], &name);
    found = found || kind_compares(name, len);
  }
  for (int i = 0; is_kind(judge, JUDGE_KIND_SUM) && i < judge->n_terms; i++)
    found = found || kind_compares(judge->terms[i].kind, strcspn(judge->terms[i].kind, ":"));
  return found || judge->mode == TPO_JUDGE_PAIRWISE;
}

/* The schedule has each response once before it has one twice, so half of K, rounded up, reaches all. */
static void check_comparisons(struct check *check)
{
  const struct tpo_judge_config *judge = &check->config->judge;
  int k = check->config->sampling.k, least = (k + 1) / 2;
  if (judge->kind && judge->comparisons > 0 && judge->comparisons < least && config_judge_compares(judge))
    PROBLEM(check, "judge.comparisons",
            "judge.comparisons is %d, which can't reach all of the %d samples "
            "of an instruction (sampling.k): expected at least %d, or 0 for all comparisons",
            judge->comparisons, k, least);
}

static void check_request(struct check *check)
{
  const char *problem = config_request_problem(check->config->judge.request);
  if (problem) PROBLEM(check, "judge.request", "judge.request: %s", problem);
}

/* A key was set, to another value than follows from the others. */
static bool contradicts(const struct check *check, const char *path, int value, int follows)
{
  int key = config_find_key(path, strlen(path));
  return config_is_set(check->config, key) && value != follows;
}

/* before: what stands before the number in the value. */
static void check_multiple(struct check *check, const char *path, const char *before, int n)
{
  if (n % check->config->run.sync_steps != 0)
    PROBLEM(check, path,
            "%s is %s%d, which run.sync_steps, %d, doesn't divide: between, no new samples are drawn", path,
            before, n, check->config->run.sync_steps);
}

/* How many steps there are, between samplings and between checkpoints. */
static void check_lengths(struct check *check)
{
  const struct tpo_run_config *r = &check->config->run;
  if (r->steps < 1)
    PROBLEM(check, "run.steps",
            "run.steps is %d: with run.sync_steps the steps of the whole run are expected", r->steps);
  else if (r->sync_steps > r->steps)
    PROBLEM(check, "run.sync_steps", "run.sync_steps is %d, more than the %d steps of the run (run.steps)",
            r->sync_steps, r->steps);
  else if (r->checkpoint_steps > r->steps)
    PROBLEM(check, "run.checkpoint_steps",
            "run.checkpoint_steps is %d, more than the %d steps of the run (run.steps)", r->checkpoint_steps,
            r->steps);
  if ((int64_t)r->steps * check->config->train.batch > TPO_MOST_PROMPTS)
    PROBLEM(check, "run.steps",
            "run.steps is %d: of train.batch, %d, they would take more than %d instructions", r->steps,
            check->config->train.batch, TPO_MOST_PROMPTS);
  if (r->steps > 0 && (r->steps - 1) / tpo_run_interval(r) >= TPO_MOST_ITERATIONS)
    PROBLEM(check, "run.checkpoint_steps",
            "run.checkpoint_steps is %d: %d steps would have more than %d checkpoints", r->checkpoint_steps,
            r->steps, TPO_MOST_ITERATIONS);
  if (r->checkpoint_steps > 0) check_multiple(check, "run.checkpoint_steps", "", r->checkpoint_steps);
  if (r->reference == TPO_REFERENCE_EVERY)
    check_multiple(check, "run.reference", "every:", r->reference_every);
}

/* Samples are drawn anew within an iteration: what that leaves no choice of. */
static void check_steps(struct check *check)
{
  const struct tpo_config *c = check->config;
  const struct tpo_run_config *r = &c->run;
  check_lengths(check);
  if (contradicts(check, "run.iterations", r->iterations, tpo_run_iterations(r)))
    PROBLEM(
        check, "run.iterations",
        "run.iterations is %d beside run.steps: with run.sync_steps, run.steps alone says how long the run is",
        r->iterations);
  if (contradicts(check, "data.prompts_per_iteration", c->data.prompts_per_iteration,
                  tpo_config_prompts_per_iteration(c)))
    PROBLEM(check, "data.prompts_per_iteration",
            "data.prompts_per_iteration is %d: with run.sync_steps each step takes train.batch prompts",
            c->data.prompts_per_iteration);
  if (c->train.epochs > 1)
    PROBLEM(check, "train.epochs", "train.epochs is %d: with run.sync_steps each pair is trained on once",
            c->train.epochs);
  if (c->pairs.mode != TPO_PAIRS_BEST_WORST)
    PROBLEM(check, "pairs.mode", "pairs.mode: with run.sync_steps a prompt makes one pair, best-worst");
}

/* A key that only steps have is set without them. */
static void check_no_steps(struct check *check)
{
  const struct tpo_run_config *r = &check->config->run;
  if (r->steps > 0)
    PROBLEM(check, "run.steps",
            "run.steps is %d, but run.sync_steps is 0: iterations are counted by run.iterations", r->steps);
  if (r->checkpoint_steps > 0)
    PROBLEM(check, "run.checkpoint_steps",
            "run.checkpoint_steps is %d, but run.sync_steps is 0: the end of each iteration is a checkpoint",
            r->checkpoint_steps);
  if (contradicts(check, "run.rho_window", r->rho_window, 256))
    PROBLEM(
        check, "run.rho_window",
        "run.rho_window is %d, but run.sync_steps is 0: the length penalty goes by an iteration's samples",
        r->rho_window);
  if (r->reference == TPO_REFERENCE_EVERY)
    PROBLEM(check, "run.reference",
            "run.reference is every:%d, but run.sync_steps is 0: expected previous or start",
            r->reference_every);
}

static void check_run(struct check *check)
{
  const struct tpo_run_config *r = &check->config->run;
  if (!given(r->dir)) PROBLEM(check, "run.dir", "run.dir is empty: the run needs a folder");
  if (r->validation_k > 1 && r->validation_temperature == 0)
    PROBLEM(check, "run.validation_k",
            "run.validation_k is %d, but run.validation_temperature is 0, "
            "so the samples of an instruction would be equal",
            r->validation_k);
  if (r->validate_each_epoch && !tpo_run_in_steps(r) && check->config->data.validation_prompts == 0)
    PROBLEM(check, "data.validation_prompts",
            "data.validation_prompts is 0, but run.validate_each_epoch needs validation instructions");
  if (tpo_run_in_steps(r))
    check_steps(check);
  else
    check_no_steps(check);
}

/* What is wrong with a layout of a watch's own, with the places of its file. */
static void check_watch_layout(struct check *check, const struct tpo_watch_config *watch)
{
  struct tpo_config settings, own;
  struct check inner = {.config = &settings};
  struct tpo_error why = {0};
  if (!watch->thought) return;
  int status = watch_settings(&settings, &own, check->config, watch, &why);
  if (status == 0) {
    settings.origins = own.origins;
    check_markers(&inner);
    check_layout(&inner);
    check_budgets(&inner);
    check_stops(&inner);
    status = config_report_end(&inner.report, NULL, &why);
  }
  if (status < 0) PROBLEM(check, "run.watch", "run.watch, %s: %s", watch->name, why.message);
  tpo_config_free(&own);
}

static void check_watches(struct check *check)
{
  for (int i = 0; i < check->config->run.n_watch; i++) {
    struct tpo_buf problem = {0};
    if (watch_problem(check->config, i, &problem))
      PROBLEM(check, "run.watch", "run.watch, entry %d: %s", i + 1,
              problem.failed ? "out of memory" : problem.data);
    else
      check_watch_layout(check, &check->config->run.watch[i]);
    tpo_buf_free(&problem);
  }
}

int tpo_config_check(const struct tpo_config *config, unsigned parts, char **report, struct tpo_error *err)
{
  struct check check = {.config = config};
  check_ranges(&check, parts);
  if (parts & TPO_CHECK_SAMPLING) {
    check_template(&check);
    check_markers(&check);
    check_layout(&check);
    check_budgets(&check);
    check_stops(&check);
    check_data(&check);
  }
  if (parts & TPO_CHECK_PAIRS) check_pairs(&check);
  if (parts & TPO_CHECK_TRAINING) check_training(&check);
  if (parts & TPO_CHECK_LOOP) {
    check_judge(&check);
    check_routes(&check);
    check_terms(&check);
    check_comparisons(&check);
    check_request(&check);
    check_run(&check);
    check_watches(&check);
  }
  return config_report_end(&check.report, report, err);
}

/* What an output must hold, told. */
static void tell_forced(const struct tpo_thought_config *thought, int max_tokens, int marker_tokens,
                        struct tpo_buf *out)
{
  if (thought->thought_tokens > 0)
    tpo_buf_printf(out, "thought.thought_tokens (%d)", thought->thought_tokens);
  else
    tpo_buf_printf(out, "a thought of half of sampling.max_tokens (%d; thought.thought_tokens is 0)",
                   max_tokens / 2);
  tpo_buf_printf(
      out, ", the %d tokens of the response marker that thought.on_budget: force inserts, and a token of ",
      marker_tokens);
  if (thought->response_tokens > 0)
    tpo_buf_printf(out, "thought.response_tokens (%d)", thought->response_tokens);
  else
    tpo_buf_puts(out, "the response");
}

/* Of the whole output; the least max_tokens where the thought has half of it. */
static int64_t least_max_tokens(const struct tpo_thought_config *thought, int marker_tokens)
{
  return thought->thought_tokens > 0 ? (int64_t)thought->thought_tokens + marker_tokens + 1
                                     : 2 * (int64_t)marker_tokens + 1;
}

int tpo_config_check_marker(const struct tpo_config *config, int marker_tokens, struct tpo_error *err)
{
  struct check check = {.config = config};
  const struct tpo_thought_config *t = &config->thought;
  int max_tokens = config->sampling.max_tokens;
  int64_t least = least_max_tokens(t, marker_tokens);
  if (marker_tokens == 0 || max_tokens >= least) return 0;
  struct tpo_buf forced = {0};
  tell_forced(t, max_tokens, marker_tokens, &forced);
  PROBLEM(&check, "sampling.max_tokens",
          "sampling.max_tokens (%d) can't hold %s: expected at least %lld, or "
          "a layout that inserts nothing (thought: none)",
          max_tokens, forced.data ? forced.data : "", (long long)least);
  tpo_buf_free(&forced);
  return config_report_end(&check.report, NULL, err);
}

int tpo_config_check_room(const struct tpo_thought_config *thought, int max_tokens, int marker_tokens,
                          size_t n_prompt, int context, struct tpo_error *err)
{
  if (n_prompt >= (size_t)context)
    return tpo_fail(err, TPO_E_INPUT, "%zu tokens; the model's context of %d leaves no room for an answer",
                    n_prompt, context);
  int64_t room = context - (int64_t)n_prompt, least = 1;
  if (marker_tokens > 0) least += (int64_t)tpo_config_thought_limit(thought, max_tokens) + marker_tokens;
  if (room >= least) return 0;
  struct tpo_buf forced = {0};
  tell_forced(thought, max_tokens, marker_tokens, &forced);
  tpo_fail(err, TPO_E_INPUT,
           "%zu tokens; the model's context of %d leaves %lld, which can't hold %s: expected at least %lld",
           n_prompt, context, (long long)room, forced.data ? forced.data : "", (long long)least);
  tpo_buf_free(&forced);
  return TPO_E_INPUT;
}

int tpo_config_thought_limit(const struct tpo_thought_config *thought, int max_tokens)
{
  if (thought->thought_tokens > 0) return thought->thought_tokens;
  return thought->force && given(thought->response_marker) ? max_tokens / 2 : 0;
}

int tpo_config_output_limit(const struct tpo_thought_config *thought, int max_tokens)
{
  int of_thought = tpo_config_thought_limit(thought, max_tokens);
  bool has_thought = given(thought->response_marker);
  if (thought->response_tokens == 0 || (has_thought && of_thought == 0)) return max_tokens;
  int64_t sum = (int64_t)thought->response_tokens + (has_thought ? of_thought : 0);
  return sum < max_tokens ? (int)sum : max_tokens;
}
