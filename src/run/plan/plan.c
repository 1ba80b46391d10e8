/* A run told before anything is spent: its instructions are chosen and rendered as the run itself would, and
 * what follows from their number and length is counted. No weights are read, and nothing is written. */
#include "run/plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/memory.h"
#include "run/loop.h"
#include "steps/judge_item.h"
#include "store/hdf5/layout.h"
#include "tpo/judge.h"

static bool given(const char *text)
{
  return text && *text;
}

static int open_judges(struct plan *plan, struct tpo_error *err)
{
  const struct tpo_judge_config *config = &plan->config->judge;
  int status = routes_open(&plan->routes, config, err);
  if (status < 0) return status;
  plan->compares = tpo_judge_compares(config);
  plan->judges = tpo_calloc((size_t)plan->routes.n_judges, sizeof *plan->judges, err);
  for (int j = 0; plan->judges && j < plan->routes.n_judges; j++) {
    const struct tpo_judge_config *own = &plan->routes.judges[j];
    struct tpo_judge_cost cost = tpo_judge_cost(own, &(struct tpo_judge_item){0}, 2, 0);
    plan->judges[j] = (struct plan_judge){.kind = own->kind, .unit = cost.unit, .asks = cost.calls > 0};
  }
  return plan->judges ? 0 : TPO_E_MEMORY;
}

/* What one instruction costs: calls on its k samples, and on a couple of responses for each of them, which
 * are judged in both positions always. */
static int add_calls(struct plan *plan, struct plan_set *set, const struct tpo_instruction *instruction,
                     struct tpo_error *err)
{
  bool validates = set == &plan->validation;
  int first, n, k = validates ? plan->config->run.validation_k : plan->config->sampling.k;
  struct tpo_judge_item item = judge_item_of_instruction(instruction);
  int status = routes_judges(&plan->routes, &item, &first, &n, err);
  double detail_bytes = 0;
  for (int j = first; status == 0 && j < first + n; j++) {
    const struct tpo_judge_config *config = &plan->routes.judges[j];
    struct tpo_judge_cost cost = tpo_judge_cost(config, &item, k, config->comparisons);
    double versus = k * tpo_judge_cost(config, &item, 2, 0).calls;
    set->calls += cost.calls;
    set->versus += versus;
    detail_bytes +=
        cost.detail_bytes + (plan->routes.all ? 100. + (double)strlen(config->kind) : 0); /* its term */
    *(validates ? &plan->judges[j].validation : &plan->judges[j].train) += cost.calls;
    if (validates) plan->judges[j].versus += versus;
  }
  if (status == 0 && n > 0) set->detail_bytes += tpo_h5_text_bytes(detail_bytes);
  return status;
}

static double length(const char *text)
{
  return text ? (double)strlen(text) : 0;
}

/* A prompt of n_tokens, and the outputs that its room leaves. */
static void add_tokens(const struct plan *plan, struct plan_set *set, size_t n_tokens)
{
  double room = plan->arch.context - (double)n_tokens, most = plan->budget < room ? plan->budget : room;
  double expected = plan->expect_tokens > 0 ? plan->expect_tokens : most / 2;
  set->n++;
  if (n_tokens > set->longest) set->longest = n_tokens;
  set->prompt_tokens += (double)n_tokens;
  set->most += most;
  set->expected += expected < most ? expected : most;
}

/* What is written of it beside outputs: in a row of samples, in a pair, in the file of instructions, where a
 * chat is told by its meta. */
static void add_bytes(struct plan_set *set, const struct tpo_instruction *item, size_t n_tokens,
                      double text_bytes)
{
  set->text_bytes += text_bytes;
  set->row_bytes += 4 * (double)n_tokens + tpo_h5_text_bytes(length(item->id)) +
                    tpo_h5_text_bytes(length(item->instruction)) + tpo_h5_text_bytes(text_bytes) +
                    tpo_h5_text_bytes(length(item->meta)) + tpo_h5_text_bytes(strlen("length"));
  set->pair_token_bytes += 4 * (double)n_tokens + tpo_h5_text_bytes(length(item->id));
  set->line_bytes += length(item->id) + (item->messages ? 0 : length(item->instruction)) +
                     length(item->meta) + strlen("{\"id\":\"\",\"instruction\":\"\",}\n");
}

int plan_add_prompt(const struct plan *plan, struct plan_set *set, const struct tpo_instruction *item,
                    struct tpo_error *err)
{
  struct tpo_ids ids = {0};
  struct tpo_buf text = {0};
  int status = tpo_thought_render(&plan->config->thought, plan->tmpl, item->instruction, item->messages, &ids,
                                  &text, err);
  if (status == 0)
    status = tpo_config_check_room(&plan->config->thought, plan->config->sampling.max_tokens,
                                   plan->marker_tokens, ids.n, plan->arch.context, err);
  if (status == 0) {
    add_tokens(plan, set, ids.n);
    add_bytes(set, item, ids.n, (double)text.len);
  }
  tpo_ids_free(&ids);
  tpo_buf_free(&text);
  return status < 0 ? tpo_fail_prefix(err, "prompt %s", item->id) : 0;
}

static int add_prompt(struct plan *plan, struct plan_set *set, const struct tpo_instruction *item,
                      struct tpo_error *err)
{
  int status = plan_add_prompt(plan, set, item, err);
  if (status < 0) return status;
  status = add_calls(plan, set, item, err);
  return status < 0 ? tpo_fail_prefix(err, "prompt %s", item->id) : 0;
}

static int add_set(struct plan *plan, struct plan_set *set, const struct tpo_instructions *items,
                   struct tpo_error *err)
{
  int status = 0;
  for (size_t i = 0; i < items->n && status == 0; i++) {
    status = add_prompt(plan, set, &items->items[i], err);
    if (status == 0) status = tpo_stopped(NULL, err);
  }
  return status;
}

/* The instructions of iteration i, from 1, or of validation, 0: chosen as step_prompts and validation do. */
static int plan_instructions(struct plan *plan, struct loop *loop, int iteration, struct tpo_error *err)
{
  struct tpo_instructions items = {0};
  if (iteration == 0 && plan->config->data.validation_prompts == 0) return 0;
  loop->iteration = iteration;
  int status = loop_choose_instructions(loop, &items, err);
  if (status == 0)
    status = add_set(plan, iteration > 0 ? &plan->train[iteration - 1] : &plan->validation, &items, err);
  tpo_instructions_free(&items);
  return status;
}

static int open_texts(struct plan *plan, struct tpo_error *err)
{
  const char *path = plan->config->model.path;
  int status = tpo_arch_read(&plan->arch, path, err);
  if (status == 0) status = tpo_tokenizer_open(&plan->tokenizer, path, err);
  if (status == 0)
    status = tpo_template_open(&plan->tmpl, plan->tokenizer, &plan->config->template_pieces, err);
  plan->yaml = tpo_config_print(plan->config, false);
  if (status == 0 && !plan->yaml) status = tpo_fail(err, TPO_E_MEMORY, "out of memory");
  plan->budget = tpo_config_output_limit(&plan->config->thought, plan->config->sampling.max_tokens);
  if (status == 0)
    status = tpo_thought_marker_tokens(&plan->config->thought, plan->tokenizer, &plan->marker_tokens, err);
  if (status == 0) status = tpo_config_check_marker(plan->config, plan->marker_tokens, err);
  return status < 0 ? status
                    : tpo_thought_check_and_warn(&plan->config->thought, plan->tokenizer, plan->tmpl, err);
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
  if (tpo_run_in_steps(&plan->config->run)) return (double)set->n / train->batch;
  return ceil(plan_pairs(plan, set) / train->batch) * train->epochs;
}

static int gather(struct plan *plan, struct tpo_error *err)
{
  int n = tpo_run_iterations(&plan->config->run);
  struct loop loop = {.config = plan->config, .first = true}; /* what a run would choose from */
  plan->train = tpo_calloc((size_t)n, sizeof *plan->train, err);
  int status = plan->train ? open_texts(plan, err) : TPO_E_MEMORY;
  if (status == 0) status = open_judges(plan, err);
  for (int i = 0; i <= n && status == 0; i++) status = plan_instructions(plan, &loop, i, err);
  loop_drop_all(&loop);
  if (status == 0) status = plan_watches(plan, err);
  return status < 0 ? status : plan_checkpoint_sizes(plan, err);
}

static void close_plan(struct plan *plan)
{
  tpo_template_close(plan->tmpl);
  tpo_tokenizer_close(plan->tokenizer);
  routes_free(&plan->routes);
  free(plan->judges);
  free(plan->watch);
  free(plan->train);
  free(plan->yaml);
}

int tpo_run_plan(const struct tpo_session *session, int expect_tokens, char **text, struct tpo_error *err)
{
  struct tpo_config config = *session->config; /* borrows */
  struct plan plan = {.session = session, .config = &config, .expect_tokens = expect_tokens};
  struct tpo_buf out = {0};
  int status = 0;
  config.template_pieces.dispensable = true;
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
