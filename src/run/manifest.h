/* manifest.json of a run folder: what is finished,
 * with sizes and hashes; always written last. Rank 0 only. */
#ifndef TPO_RUN_MANIFEST_H
#define TPO_RUN_MANIFEST_H

#include <jansson.h>
#include "tpo/base.h"

struct manifest {
  char path[4096];
  char dir[4000];
  json_t *root;
};

/* A new one, in memory; nothing is written yet. */
int manifest_create(struct manifest *m, const char *dir, const char *config_hash, uint64_t seed, int ranks,
                    struct tpo_error *err);
int manifest_load(struct manifest *m, const char *dir, struct tpo_error *err);
void manifest_free(struct manifest *m);
/* Every file of every finished step is there with its size and hash. */
int manifest_verify(const struct manifest *m, struct tpo_error *err);
bool manifest_has(const struct manifest *m, int iteration, const char *step);
bool manifest_has_ever(const struct manifest *m, const char *step); /* in any iteration */
int manifest_last(
    const struct manifest *m); /* the latest iteration with a finished step; -1: there is none */
/* Records a finished step and writes the manifest. files: NULL-terminated paths relative to the run folder.
 * metrics_size: bytes of metrics.jsonl by now, so that a resume can cut off what came after. */
int manifest_add(struct manifest *m, int iteration, const char *step, const char *const *files,
                 double seconds, int64_t metrics_size, struct tpo_error *err);
int64_t manifest_metrics_size(const struct manifest *m);
int manifest_set(struct manifest *m, const char *key, json_t *value, struct tpo_error *err); /* and writes */
const char *manifest_string(const struct manifest *m, const char *key); /* "" when absent */

#endif
