/* A run told before anything is spent: its instructions are chosen and rendered as the run itself would, and
 * what follows from their number and length is counted. No weights are read, and nothing is written. */
#include "run/plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "judge/compare/schedule.h"
#include "run/loop.h"
#include "store/hdf5/layout.h"
#include "tpo/judge.h"

static bool given(const char *text)
{
  return text && *text;
}

/* Whether `kind`, KIND[:ARG], is of this name. */
static bool is_kind(const char *kind, const char *name)
{
  size_t len = strlen(name);
  return strncmp(kind, name, len) == 0 && (kind[len] == '\0' || kind[len] == ':');
}

static bool is_http(const char *kind)
{
  return is_kind(kind, "http") || is_kind(kind, "https");
}

static bool is_pairwise(const struct tpo_judge_config *config, const char *kind)
{
  return is_kind(kind, "pairwise") || (is_http(kind) && config->mode == TPO_JUDGE_PAIRWISE);
}

/* Calls for k responses to one instruction; comparisons: as schedule_size's limit. */
static double calls_for(const struct tpo_judge_config *config, const char *kind, int k, int comparisons)
{
  if (is_kind(kind, "rule")) return 0;
  if (is_kind(kind, "command")) return 1;
  return is_pairwise(config, kind) ? (double)schedule_size(k, comparisons) : k;
}

static const char *unit_of(const struct tpo_judge_config *config, const char *kind)
{
  if (is_kind(kind, "rule")) return "verifiable checks, no calls";
  if (is_kind(kind, "command")) return "lines to the program";
  if (is_http(kind)) return is_pairwise(config, kind) ? "comparisons asked of the server" : "requests";
  return is_pairwise(config, kind) ? "comparisons" : "responses scored";
}

/* Bytes of the JSON object that a judge leaves with a score, about. */
static double detail_length(const char *kind, const char *meta)
{
  double checks = 0;
  for (const char *at = strstr(meta, "\"type\""); at; at = strstr(at + 1, "\"type\"")) checks++;
  if (is_kind(kind, "rule")) return 75 + 55 * checks;
  if (is_kind(kind, "pairwise")) return 110;
  return is_http(kind) ? 200 : is_kind(kind, "reward") ? 400 : 100;
}

static int open_judges(struct plan *plan, struct tpo_error *err)
{
  const struct tpo_judge_config *config = &plan->config->judge;
  bool routed = is_kind(config->kind, "route");
  int status = routed ? routes_parse(&plan->routes, config, err) : 0;
  if (status < 0) return status;
  plan->compares = tpo_judge_compares(config);
  plan->n_judges = routed ? plan->routes.n_judges : 1;
  plan->judges = tpo_calloc((size_t)plan->n_judges, sizeof *plan->judges, err);
  for (int j = 0; plan->judges && j < plan->n_judges; j++) {
    plan->judges[j].kind = routed ? routes_first(&plan->routes, j)->kind : config->kind;
    plan->judges[j].unit = unit_of(config, plan->judges[j].kind);
  }
  return plan->judges ? 0 : TPO_E_MEMORY;
}

/* The judge of an instruction, NULL for none. */
static int find_judge(const struct plan *plan, const struct tpo_instruction *item, struct plan_judge **judge,
                      struct tpo_error *err)
{
  *judge = &plan->judges[0];
  if (plan->routes.n == 0) return 0;
  int found;
  struct tpo_judge_item asked = {.id = item->id, .instruction = item->instruction, .meta = item->meta};
  int status = routes_find(&plan->routes, &asked, &found, err);
  *judge = status == 0 && found >= 0 ? &plan->judges[plan->routes.list[found].judge] : NULL;
  return status;
}

static int add_calls(struct plan *plan, struct plan_set *set, const struct tpo_instruction *item,
                     struct tpo_error *err)
{
  const struct tpo_judge_config *config = &plan->config->judge;
  bool validates = set == &plan->validation;
  int k = validates ? plan->config->run.validation_k : plan->config->sampling.k;
  struct plan_judge *judge;
  int status = find_judge(plan, item, &judge, err);
  if (status < 0 || !judge) return status;
  double calls = calls_for(config, judge->kind, k, config->comparisons);
  double versus = k * calls_for(config, judge->kind, 2, 0); /* a couple is judged in both positions always */
  set->calls += calls;
  set->versus += versus;
  set->detail_bytes += tpo_h5_text_bytes(detail_length(judge->kind, item->meta ? item->meta : "{}"));
  if (validates) {
    judge->validation += calls;
    judge->versus += versus;
  } else
    judge->train += calls;
  return 0;
}

static double length(const char *text)
{
  return text ? (double)strlen(text) : 0;
}

/* One instruction, rendered. */
static int add_prompt(struct plan *plan, struct plan_set *set, const struct tpo_instruction *item,
                      struct tpo_error *err)
{
  struct tpo_ids ids = {0};
  struct tpo_buf text = {0};
  int context = plan->arch.context;
  int status = tpo_thought_render(&plan->config->thought, plan->tmpl, item->instruction, item->messages, &ids,
                                  &text, err);
  if (status == 0 && ids.n >= (size_t)context)
    status = tpo_fail(err, TPO_E_INPUT, "%zu tokens; the model's context of %d leaves no room for an answer",
                      ids.n, context);
  if (status == 0) {
    double room = context - (double)ids.n, most = plan->budget < room ? plan->budget : room;
    double expected = plan->expect_tokens > 0 ? plan->expect_tokens : most / 2;
    set->n++;
    if (ids.n > set->longest) set->longest = ids.n;
    set->prompt_tokens += (double)ids.n;
    set->most += most;
    set->expected += expected < most ? expected : most;
    set->text_bytes += (double)text.len;
    set->row_bytes += 4 * (double)ids.n + tpo_h5_text_bytes(length(item->id)) +
                      tpo_h5_text_bytes(length(item->instruction)) + tpo_h5_text_bytes((double)text.len) +
                      tpo_h5_text_bytes(length(item->meta)) + tpo_h5_text_bytes(strlen("length"));
    set->pair_token_bytes += 4 * (double)ids.n + tpo_h5_text_bytes(length(item->id));
    set->line_bytes += length(item->id) + length(item->messages ? item->messages : item->instruction) +
                       length(item->meta) + strlen("{\"id\":\"\",\"instruction\":\"\",}\n");
    status = add_calls(plan, set, item, err);
  }
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
  return status < 0 ? tpo_fail_prefix(err, "prompt %s", item->id) : 0;
}

static int add_set(struct plan *plan, struct plan_set *set, const struct tpo_instructions *items,
                   struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < items->n && status == 0; i++) {
    status = add_prompt(plan, set, &items->items[i], err);
    if (status == 0 && tpo_interrupted())
      status = tpo_fail(err, TPO_E_INTERRUPTED, "stopped by signal %d", tpo_interrupted());
  }
  return status;
}

/* The instructions of iteration i, from 1, or of validation, 0: chosen as step_prompts and validation do. */
static int plan_instructions(struct plan *plan, int iteration, struct tpo_error *err)
{
  const struct loop loop = {.config = plan->config, .first = true, .iteration = iteration};
  struct tpo_instructions items = {0};
  if (iteration == 0 && plan->config->data.validation_prompts == 0) return 0;
  int status = loop_choose_instructions(&loop, &items, err);
  if (status == 0)
    status = add_set(plan, iteration > 0 ? &plan->train[iteration - 1] : &plan->validation, &items, err);
  tpo_instructions_free(&items);
  return status;
}

/* Tokens that are drawn for an output at most: the thought's budget and the response's, where both have one,
 * else sampling.max_tokens. */
static int output_budget(const struct tpo_config *config)
{
  const struct tpo_thought_config *t = &config->thought;
  int most = config->sampling.max_tokens, thought = tpo_config_thought_limit(t, most);
  bool has_thought = given(t->response_marker);
  if (t->response_tokens == 0 || (has_thought && thought == 0)) return most;
  int64_t sum = (int64_t)t->response_tokens + (has_thought ? thought : 0);
  return sum < most ? (int)sum : most;
}

static int open_texts(struct plan *plan, struct tpo_error *err)
{
  const char *path = plan->config->model.path, *marker = plan->config->thought.response_marker;
  int status = tpo_arch_read(&plan->arch, path, err);
  if (status == 0) status = tpo_tokenizer_open(&plan->tokenizer, path, err);
  if (status == 0)
    status = tpo_template_open(&plan->tmpl, plan->tokenizer, &plan->config->template_pieces, err);
  plan->yaml = tpo_config_print(plan->config, false);
  if (status == 0 && !plan->yaml) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  plan->budget = output_budget(plan->config);
  if (status == 0 && plan->config->thought.force && given(marker)) {
    struct tpo_ids ids = {0};
    status = tpo_tokenizer_encode(plan->tokenizer, marker, strlen(marker), TPO_ENCODE_CONTINUE, &ids, err);
    plan->marker_tokens = (int)ids.n;
    tpo_ids_free(&ids);
  }
  return status;
}

int plan_validations(const struct plan *plan, int iteration)
{
  const struct tpo_config *c = plan->config;
  if (c->data.validation_prompts == 0) return 0;
  return 1 + (iteration > 0 && c->run.validate_each_epoch && c->train.epochs > 1 ? c->train.epochs : 0);
}

/* With the start model's at each validation, with the previous iteration's (of the first that is the same),
 * and with the baseline's. */
int plan_comparisons(const struct plan *plan, int iteration)
{
  if (!plan->compares || plan->config->data.validation_prompts == 0) return 0;
  return (iteration > 0 ? plan_validations(plan, iteration) : 0) + (iteration > 1) +
         given(plan->config->run.baseline);
}

double plan_pairs(const struct plan *plan, const struct plan_set *set)
{
  const struct tpo_pairs_config *pairs = &plan->config->pairs;
  double k = plan->config->sampling.k, all = k * (k - 1) / 2, limit = pairs->max_pairs_per_prompt;
  if (pairs->mode == TPO_PAIRS_BEST_WORST) return (double)set->n;
  return (double)set->n * (limit > 0 && limit < all ? limit : all);
}

double plan_steps(const struct plan *plan, const struct plan_set *set)
{
  const struct tpo_train_config *train = &plan->config->train;
  return ceil(plan_pairs(plan, set) / train->batch) * train->epochs;
}

static int gather(struct plan *plan, struct tpo_error *err)
{
  int n = plan->config->run.iterations;
  plan->train = tpo_calloc((size_t)n, sizeof *plan->train, err);
  int status = plan->train ? open_texts(plan, err) : TPO_E_MEMORY;
  if (status == 0) status = open_judges(plan, err);
  for (int i = 0; i <= n && status == 0; i++) status = plan_instructions(plan, i, err);
  return status < 0 ? status : plan_checkpoint_sizes(plan, err);
}

static void close_plan(struct plan *plan)
{
  tpo_template_close(plan->tmpl);
  tpo_tokenizer_close(plan->tokenizer);
  routes_free(&plan->routes);
  free(plan->judges);
  free(plan->train);
  free(plan->yaml);
}

int tpo_run_plan(const struct tpo_session *session, int expect_tokens, char **text, struct tpo_error *err)
{
  struct plan plan = {.session = session, .config = session->config, .expect_tokens = expect_tokens};
  struct tpo_buf out = {0};
  int status = 0;
  *text = NULL;
  if (tpo_comm_rank(session->comm) == 0) {
    status = gather(&plan, err);
    if (status == 0) plan_print(&plan, &out);
    if (status == 0 && out.failed) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
    if (status == 0) *text = tpo_buf_take(&out);
    tpo_buf_free(&out);
    close_plan(&plan);
  }
  status = tpo_comm_agree(session->comm, status, err);
  if (status < 0) free(*text), *text = NULL;
  return status;
}
