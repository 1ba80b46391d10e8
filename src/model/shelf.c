/* Models that stay in memory between those who compute with them. */
#include "model/shelf.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/reward/reward.h"

/* What a model was opened by, and so is found again by. */
struct key {
  const char *path, *head; /* head: "" for none */
  struct tpo_backend *backend;
  enum tpo_compute_dtype dtype;
};

/* One of both, or none: then it is a place where one is to stand. */
struct entry {
  char *path, *head;
  struct tpo_backend *backend;
  enum tpo_compute_dtype dtype;
  struct tpo_model *model;
  struct tpo_reward *reward;
  bool lent;
};

struct tpo_model_shelf {
  struct entry *entries; /* [n] */
  size_t n, capacity;
};

int tpo_model_shelf_open(struct tpo_model_shelf **out, struct tpo_error *err)
{
  *out = tpo_calloc(1, sizeof **out, err);
  return *out ? 0 : TPO_E_MEMORY;
}

static void close_entry(struct entry *entry)
{
  tpo_model_close(entry->model);
  tpo_reward_close(entry->reward);
  free(entry->path);
  free(entry->head);
}

void tpo_model_shelf_clear(struct tpo_model_shelf *shelf)
{
  size_t lent = 0;
  for (size_t i = 0; shelf && i < shelf->n; i++)
    if (shelf->entries[i].lent)
      shelf->entries[lent++] = shelf->entries[i];
    else
      close_entry(&shelf->entries[i]);
  if (shelf) shelf->n = lent;
}

void tpo_model_shelf_close(struct tpo_model_shelf *shelf)
{
  tpo_model_shelf_clear(shelf);
  if (shelf) free(shelf->entries);
  free(shelf);
}

/* NULL: there is none that nobody has. */
static struct entry *find(const struct tpo_model_shelf *shelf, const struct key *key, bool reward)
{
  for (size_t i = 0; shelf && i < shelf->n; i++) {
    struct entry *e = &shelf->entries[i];
    if (!e->lent && (e->reward != NULL) == reward && e->backend == key->backend && e->dtype == key->dtype &&
        strcmp(e->path, key->path) == 0 && strcmp(e->head, key->head) == 0)
      return e;
  }
  return NULL;
}

/* A model that was just opened gets its place, unless there is no shelf; it is lent. */
static int add(struct tpo_model_shelf *shelf, const struct key *key, struct tpo_model *model,
               struct tpo_reward *reward, struct tpo_error *err)
{
  struct entry entry = {
      .backend = key->backend, .dtype = key->dtype, .model = model, .reward = reward, .lent = true};
  tpo_log(TPO_LOG_DEBUG, "weights of %s read", key->path);
  if (!shelf) return 0;
  int status = tpo_grow(&shelf->entries, &shelf->capacity, shelf->n + 1, sizeof *shelf->entries, err);
  entry.path = strdup(key->path);
  entry.head = strdup(key->head);
  if (status == 0 && (!entry.path || !entry.head))
    status = tpo_fail(err, TPO_E_MEMORY, "no memory to keep the model %s", key->path);
  if (status < 0) {
    free(entry.path);
    free(entry.head);
    return status;
  }
  shelf->entries[shelf->n++] = entry;
  return 0;
}

int shelf_take_model(struct tpo_model **out, struct tpo_model_shelf *shelf, const char *path,
                     const struct tpo_model_options *options, struct tpo_error *err)
{
  const struct key key = {path, "", options->backend, options->dtype};
  struct entry *entry = find(shelf, &key, false);
  *out = NULL;
  if (entry) {
    entry->lent = true;
    *out = entry->model;
    return 0;
  }
  struct tpo_model *model;
  int status = tpo_model_open(&model, path, options, err);
  if (status < 0) return status;
  status = add(shelf, &key, model, NULL, err);
  if (status < 0)
    tpo_model_close(model);
  else
    *out = model;
  return status;
}

int shelf_take_reward(struct tpo_reward **out, struct tpo_model_shelf *shelf, const char *folder,
                      const struct tpo_reward_options *options, struct tpo_error *err)
{
  const struct key key = {folder, options->head ? options->head : "", options->backend, options->dtype};
  struct entry *entry = find(shelf, &key, true);
  *out = NULL;
  if (entry) {
    entry->lent = true;
    *out = entry->reward;
    reward_begin(*out, options);
    return 0;
  }
  struct tpo_reward *reward;
  int status = tpo_reward_open(&reward, folder, options, err);
  if (status < 0) return status;
  status = add(shelf, &key, NULL, reward, err);
  if (status < 0)
    tpo_reward_close(reward);
  else
    *out = reward;
  return status;
}

/* Whether the shelf has it, and gets it back. */
static bool take_back(struct tpo_model_shelf *shelf, const void *model)
{
  for (size_t i = 0; shelf && i < shelf->n; i++) {
    struct entry *e = &shelf->entries[i];
    if (e->model != model && e->reward != model) continue;
    e->lent = false;
    return true;
  }
  return false;
}

void shelf_put_model(struct tpo_model_shelf *shelf, struct tpo_model *model)
{
  if (!model) return;
  if (take_back(shelf, model))
    tpo_model_rest(model);
  else
    tpo_model_close(model);
}

void shelf_put_reward(struct tpo_model_shelf *shelf, struct tpo_reward *reward)
{
  if (!reward) return;
  if (take_back(shelf, reward))
    reward_rest(reward);
  else
    tpo_reward_close(reward);
}
