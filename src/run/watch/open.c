/* All of run.watch, before anything is computed. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "run/loop.h"
#include "run/watch/watch.h"

/* What was measured before in this run was measured alike: numbers of other instructions or settings have no
 * difference. Without a measurement there is nothing to differ from. Rank 0; written with what the manifest
 * gets next. */
static int same_as_before(struct loop *loop, const struct watched *w, struct tpo_error *err)
{
  char step[WATCH_STEP];
  json_t *all = json_object_get(loop->manifest.root, "watch");
  const char *known = json_string_value(json_object_get(all, w->entry->name));
  if (known && strcmp(known, w->hash) == 0) return 0;
  watch_step_name(w, "", step);
  if (known && manifest_has_ever(&loop->manifest, step))
    return tpo_fail(err, TPO_E_STATE,
                    "run.watch, %s: %s measured other instructions or with other settings under this name; "
                    "expected the same, or another name",
                    w->entry->name, loop->config->run.dir);
  if (!all && json_object_set_new(loop->manifest.root, "watch", all = json_object()) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  return json_object_set_new(all, w->entry->name, json_string(w->hash)) < 0
             ? tpo_fail(err, TPO_E_MEMORY, "out of memory")
             : 0;
}

static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* As its file has it: a question stands there without what it is asked with. */
static const char *text_of(const struct watched *w, size_t at, size_t *question)
{
  const struct tpo_instruction *item = &w->instructions.items[at];
  while (*question < w->questions.n && strcmp(w->questions.rows[*question].id, item->id) != 0) ++*question;
  return *question < w->questions.n ? w->questions.rows[*question].question : item->instruction;
}

/* What is trained on tells little of what a run forgets. Rank 0. */
static int warn_of_trained(const struct loop *loop, const struct watched *w, struct tpo_error *err)
{
  const struct tpo_instructions *train = &loop->chosen[0];
  size_t shared = 0, question = 0;
  const char **texts = tpo_calloc(train->n, sizeof *texts, err);
  if (!texts) return TPO_E_MEMORY;
  for (size_t i = 0; i < train->n; i++) texts[i] = train->items[i].instruction;
  qsort(texts, train->n, sizeof *texts, by_text);
  for (size_t i = 0; i < w->instructions.n; i++) {
    const char *text = text_of(w, i, &question);
    shared += bsearch(&text, texts, train->n, sizeof *texts, by_text) != NULL;
  }
  free(texts);
  if (shared)
    tpo_log(TPO_LOG_WARN,
            "run.watch, %s: the run trains on %zu of its %zu instructions, which stand in %s too",
            w->entry->name, shared, w->instructions.n, loop->config->data.train);
  return 0;
}

/* The layouts that ranks read for themselves are the same. */
static int same_layouts(struct loop *loop, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < loop->config->run.n_watch && status == 0; i++) {
    char hash[33] = "";
    const struct watched *w = &loop->watched[i];
    status = loop_agree(loop, watched_hash(w, "", hash, err), err);
    const struct tpo_comm_fact fact = {w->entry->name, hash};
    if (status == 0)
      status = tpo_comm_same(loop->session->comm, "has another layout in run.watch", &fact, 1, err);
  }
  return status;
}

int loop_open_watched(struct loop *loop, struct tpo_error *err)
{
  int n = loop->config->run.n_watch, status = 0;
  if (n == 0) return 0;
  loop->watched = tpo_calloc((size_t)n, sizeof *loop->watched, err);
  if (!loop->watched) status = TPO_E_MEMORY;
  for (int i = 0; i < n && status == 0; i++) status = watched_open(&loop->watched[i], loop->config, i, err);
  status = loop_agree(loop, status, err);
  if (status == 0) status = same_layouts(loop, err);
  for (int i = 0; i < n && status == 0 && loop->first; i++) {
    status = watched_read(&loop->watched[i], err);
    if (status == 0) status = same_as_before(loop, &loop->watched[i], err);
    if (status == 0) status = warn_of_trained(loop, &loop->watched[i], err);
  }
  return loop_agree(loop, status, err);
}

void loop_close_watched(struct loop *loop)
{
  for (int i = 0; loop->watched && i < loop->config->run.n_watch; i++) watched_close(&loop->watched[i]);
  free(loop->watched);
  loop->watched = NULL;
}
