/* The settings and instructions of what is watched, before a run. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/philox.h"
#include "config/watches.h"
#include "run/watch/watch.h"
#include "steps/room.h"

int watched_open(struct watched *w, const struct tpo_config *config, int at, struct tpo_error *err)
{
  *w = (struct watched){
      .entry = &config->run.watch[at], .retry_temperature = config->sampling.temperature, .opened = true};
  int status = watch_settings(&w->settings, &w->own, config, w->entry, err);
  w->settings.judge.kind = (char *)"rule"; /* borrowed, as all of the settings is */
  return status < 0 ? tpo_fail_prefix(err, "run.watch, %s", w->entry->name) : 0;
}

void watched_close(struct watched *w)
{
  if (w->opened) tpo_config_free(&w->own);
  tpo_instructions_free(&w->instructions);
  eval_gsm8k_free(&w->questions);
  *w = (struct watched){0};
}

struct requirements {
  const struct watched *w;
  struct prompt_room *room;
};

static int check_item(void *arg, const struct tpo_instruction *item, struct tpo_error *err)
{
  const struct requirements *required = arg;
  int status = watch_kind_check(required->w, item, err);
  return status < 0 ? status : prompt_room_check(required->room, item, err);
}

/* `limit` of them, the same ones in every run whatever its seed, in the file's order: a keyed shuffle's first. */
static int choose(const struct watched *w, const struct tpo_instructions *all, struct tpo_instructions *out,
                  struct tpo_error *err)
{
  struct tpo_rng rng;
  size_t limit = w->entry->limit == 0 ? all->n : (size_t)w->entry->limit;
  uint32_t *order = tpo_calloc(all->n, sizeof *order, err);
  bool *taken = tpo_calloc(all->n, sizeof *taken, err);
  int status = order && taken ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    tpo_rng_init(&rng, 0, TPO_STREAM_SELECT, 0, 0);
    for (size_t i = 0; i < all->n; i++) order[i] = (uint32_t)i;
    tpo_rng_shuffle_u32(&rng, order, (uint32_t)all->n);
    for (size_t i = 0; i < all->n && i < limit; i++) taken[order[i]] = true;
  }
  for (size_t i = 0; i < all->n && status == 0; i++)
    if (taken[i]) status = tpo_instructions_add(out, &all->items[i], err);
  free(order);
  free(taken);
  return status;
}

static void add_text(struct tpo_hash *hash, const char *text)
{
  tpo_hash_add(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

static int hash_instructions(const struct tpo_instructions *set, char hex[33], struct tpo_error *err)
{
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  for (size_t i = 0; i < set->n; i++) {
    const struct tpo_instruction *item = &set->items[i];
    const char *texts[] = {item->id, item->instruction, item->messages, item->meta};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) add_text(&hash, texts[t]);
  }
  tpo_hash_end(&hash, hex);
  return 0;
}

static bool is_among(int key, const char *const *paths, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(config_keys[key].path, paths[i]) == 0) return true;
  return false;
}

/* Whether a value of the key gives other measurements. The model's own changes are what is measured. */
static bool bears_on_watch(const struct watched *w, int key)
{
  static const char *const labels[] = {"thought.name", "thought.train_forced", "sampling.slots"};
  static const char *const draws[] = {"seed", "run.validation_resample"};
  static const char *const rule[] = {"judge.strict", "judge.repetition_penalty", "judge.empty_score",
                                     "judge.repetition"};
  if (is_among(key, labels, sizeof labels / sizeof *labels)) return false;
  if (is_among(key, draws, sizeof draws / sizeof *draws)) return true;
  if (is_among(key, rule, sizeof rule / sizeof *rule)) return w->entry->kind == TPO_WATCH_RULE;
  return config_in_section(key, "thought") || config_in_section(key, "sampling") ||
         config_in_section(key, "template");
}

int watched_hash(const struct watched *w, const char *prompts, char hex[33], struct tpo_error *err)
{
  struct tpo_buf text = {0};
  struct tpo_hash hash;
  tpo_buf_printf(&text, "kind: %s\nprompts: %s\n", watch_kind_name(w->entry->kind), prompts);
  if (w->entry->temperature == 0 && w->settings.run.validation_resample > 0)
    tpo_buf_printf(&text, "retry_temperature: %.17g\n", w->retry_temperature);
  for (int key = 0; key < config_n_keys; key++) {
    if (!bears_on_watch(w, key)) continue;
    tpo_buf_printf(&text, "%s: ", config_keys[key].path);
    config_append_value(&w->settings, key, &text);
    tpo_buf_putc(&text, '\n');
  }
  int status = text.failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : tpo_hash_begin(&hash, err);
  if (status == 0) {
    tpo_hash_add(&hash, text.data, text.len);
    tpo_hash_end(&hash, hex);
  }
  tpo_buf_free(&text);
  return status;
}

int watched_read(struct watched *w, struct tpo_error *err)
{
  struct tpo_policy policy;
  struct tpo_instructions all = {0};
  struct requirements required = {.w = w};
  int status = tpo_policy_open_text(&policy, &w->settings, w->settings.model.path, err);
  if (status == 0) status = tpo_policy_check_thought(&policy, &w->settings, err);
  if (status == 0) status = prompt_room_open(&required.room, &w->settings, &policy, err);
  if (status == 0) status = watch_kind_read(w, &all, check_item, &required, err);
  prompt_room_close(required.room);
  tpo_policy_close(&policy);
  if (status == 0 && (size_t)w->entry->limit > all.n)
    tpo_log(TPO_LOG_WARN, "run.watch, %s: %s has %zu instructions, fewer than its limit of %d; all are taken",
            w->entry->name, w->entry->prompts, all.n, w->entry->limit);
  if (status == 0) status = choose(w, &all, &w->instructions, err);
  if (status == 0) status = hash_instructions(&w->instructions, w->instructions_hash, err);
  if (status == 0) status = watched_hash(w, w->instructions_hash, w->hash, err);
  tpo_instructions_free(&all);
  return status < 0 ? tpo_fail_prefix(err, "run.watch, %s", w->entry->name) : 0;
}
