/* Which instructions an iteration gets, and that their files are good for all of the run before it begins. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/philox.h"
#include "run/loop.h"
#include "steps/judge_item.h"
#include "steps/room.h"
#include "tpo/data.h"
#include "tpo/judge.h"

struct instruction_file {
  const char *file; /* NULL: instructions are composed */
  size_t each;      /* instructions that are taken at a time, but for the last one of a run in steps */
  size_t needed;    /* in all */
};

static struct instruction_file source_of(const struct loop *loop, bool validation)
{
  const struct tpo_data_config *data = &loop->config->data;
  const struct tpo_run_config *run = &loop->config->run;
  const char *file = validation ? data->validation : data->train;
  int n = validation ? data->validation_prompts : tpo_config_prompts_per_iteration(loop->config);
  size_t each = (size_t)n, needed = validation ? each : each * (size_t)tpo_run_iterations(run);
  if (!validation && tpo_run_in_steps(run)) needed = (size_t)run->steps * (size_t)loop->config->train.batch;
  return (struct instruction_file){.file = file && *file ? file : NULL, .each = each, .needed = needed};
}

static int too_few(const struct loop *loop, const struct instruction_file *source, bool validation, size_t n,
                   struct tpo_error *err)
{
  if (validation)
    return tpo_fail(err, TPO_E_USAGE, "%s has %zu instructions; data.validation_prompts wants %zu",
                    source->file, n, source->needed);
  if (tpo_run_in_steps(&loop->config->run))
    return tpo_fail(
        err, TPO_E_USAGE,
        "%s has %zu instructions; fresh ones for %d steps of %d need %zu (run.steps, train.batch)",
        source->file, n, loop->config->run.steps, loop->config->train.batch, source->needed);
  return tpo_fail(err, TPO_E_USAGE,
                  "%s has %zu instructions; "
                  "fresh ones for %d iterations of %zu need %zu (data.prompts_per_iteration, run.iterations)",
                  source->file, n, tpo_run_iterations(&loop->config->run), source->each, source->needed);
}

struct requirements {
  const struct loop *loop;
  struct prompt_room *room;
};

static int check_item(void *arg, const struct tpo_instruction *of, struct tpo_error *err)
{
  const struct requirements *required = arg;
  const struct tpo_judge_item item = judge_item_of_instruction(of);
  int status = tpo_judge_validate(&required->loop->config->judge, &item, err);
  return status < 0 ? status : prompt_room_check(required->room, of, err);
}

/* The whole file: enough for the run, and nothing in it that the judge could not check or that is too long for
 * the model, but for the bad rows that are allowed. */
static int read_source(struct loop *loop, const struct instruction_file *source, bool validation,
                       struct tpo_instructions *all, struct tpo_error *err)
{
  struct requirements required = {.loop = loop};
  int status = prompt_room_open(&required.room, loop->config, NULL, err);
  if (status == 0)
    status = tpo_instructions_read_checked(all, source->file, loop->config->data.skip_bad, check_item,
                                           &required, err);
  prompt_room_close(required.room);
  if (status == 0 && all->n < source->needed) status = too_few(loop, source, validation, all->n, err);
  return status;
}

/* What the run takes of a file, in the order it takes it: the beginning of a keyed shuffle. */
static int choose(const struct loop *loop, const struct instruction_file *source,
                  const struct tpo_instructions *all, struct tpo_instructions *out, struct tpo_error *err)
{
  struct tpo_rng rng;
  uint32_t *order = tpo_calloc(all->n, sizeof *order, err);
  int status = order ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    tpo_rng_init(&rng, loop->config->seed, TPO_STREAM_SELECT, 0, 0);
    for (size_t i = 0; i < all->n; i++) order[i] = (uint32_t)i;
    tpo_rng_shuffle_u32(&rng, order, (uint32_t)all->n);
  }
  for (size_t i = 0; i < source->needed && status == 0; i++)
    status = tpo_instructions_add(out, &all->items[order[i]], err);
  free(order);
  return status;
}

/* Reads a file whole, and keeps what the run takes of it. */
static int read_and_choose(struct loop *loop, bool validation, struct tpo_instructions *all,
                           struct tpo_error *err)
{
  const struct instruction_file source = source_of(loop, validation);
  if (!source.file || source.each == 0) return 0;
  int status = read_source(loop, &source, validation, all, err);
  return status < 0 ? status : choose(loop, &source, all, &loop->chosen[validation], err);
}

int loop_choose_instructions(struct loop *loop, struct tpo_instructions *out, struct tpo_error *err)
{
  bool validation = loop->iteration == 0;
  const struct instruction_file source = source_of(loop, validation);
  size_t first = validation ? 0 : (size_t)(loop->iteration - 1) * source.each;
  size_t n = first + source.each < source.needed ? source.each : source.needed - first;
  if (!source.file)
    return tpo_compose_instructions(out, loop->config->seed,
                                    validation ? TPO_COMPOSE_VALIDATION : TPO_COMPOSE_TRAIN, first, n, err);
  struct tpo_instructions all = {0};
  const struct tpo_instructions *chosen = &loop->chosen[validation];
  int status = chosen->n == 0 ? read_and_choose(loop, validation, &all, err) : 0;
  tpo_instructions_free(&all);
  for (size_t i = first; i < first + n && status == 0; i++)
    status = tpo_instructions_add(out, &chosen->items[i], err);
  return status;
}

/* A run goes on with the instructions that it began with:
 * the shuffle of others could bring back used ones. */
static int same_as_before(struct loop *loop, const char *file, const char *key, bool allow_changes,
                          struct tpo_error *err)
{
  char hash[33];
  uint64_t size;
  const char *known = manifest_string(&loop->manifest, key);
  int status = tpo_hash_file(file, hash, &size, err);
  if (status < 0 || strcmp(known, hash) == 0) return status;
  if (*known && !allow_changes)
    return tpo_fail(err, TPO_E_STATE,
                    "%s is not the file that %s was started with; --allow-changes goes on all the same", file,
                    loop->config->run.dir);
  if (*known) tpo_log(TPO_LOG_WARN, "%s is not the file that this run was started with", file);
  /* Written with what the manifest gets next: a run that is refused now has not begun. */
  if (json_object_set_new(loop->manifest.root, key, json_string(hash)) == 0) return 0;
  return tpo_fail(err, TPO_E_MEMORY, "out of memory");
}

static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Validation is to be held back from training, so that its scores tell of what was not trained on. */
static int warn_of_shared(const struct tpo_instructions *train, const struct tpo_instructions *validation,
                          const char *file, struct tpo_error *err)
{
  size_t shared = 0;
  if (train->n == 0 || validation->n == 0) return 0;
  const char **texts = tpo_calloc(train->n, sizeof *texts, err);
  if (!texts) return TPO_E_MEMORY;
  for (size_t i = 0; i < train->n; i++) texts[i] = train->items[i].instruction;
  qsort(texts, train->n, sizeof *texts, by_text);
  for (size_t i = 0; i < validation->n; i++)
    shared += bsearch(&validation->items[i].instruction, texts, train->n, sizeof *texts, by_text) != NULL;
  free(texts);
  if (shared)
    tpo_log(TPO_LOG_WARN,
            "%zu of the %zu instructions of %s stand in data.train too, so they are not held back", shared,
            validation->n, file);
  return 0;
}

int loop_check_data(struct loop *loop, bool allow_changes, struct tpo_error *err)
{
  static const char *const keys[] = {"train_hash", "validation_hash"};
  struct tpo_instructions sets[2] = {0};
  int status = 0;
  for (int validation = 0; loop->first && validation < 2 && status == 0; validation++) {
    status = read_and_choose(loop, validation, &sets[validation], err);
    if (status == 0 && loop->chosen[validation].n > 0)
      status = same_as_before(loop, source_of(loop, validation).file, keys[validation], allow_changes, err);
  }
  if (status == 0) status = warn_of_shared(&sets[0], &sets[1], loop->config->data.validation, err);
  tpo_instructions_free(&sets[0]);
  tpo_instructions_free(&sets[1]);
  return loop_agree(loop, status, err);
}
