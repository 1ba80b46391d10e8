/* The value of run.watch: a list of what is measured beside validation. */
#ifndef TPO_CONFIG_WATCHES_H
#define TPO_CONFIG_WATCHES_H

#include "config/tree.h"

#define WATCHES_TOLD "a list of {name: NAME, prompts: FILE, kind: gsm8k|ifeval|rule, ...}"
enum { WATCHES_LONGEST_NAME = 32 };

/* Stores a list, or one mapping alone, into the field of `key`. dir (may be NULL) is where a layout's relative
 * path starts. On failure -1, *problem says what was expected and *line where. */
int watches_store(struct tpo_config *config, int key, const struct tree_node *node, const char *dir,
                  struct tpo_buf *problem, int *line);
void watches_free(struct tpo_watch_config **watch, int *n);
/* As YAML that reads back the same. */
void watches_append(const struct tpo_watch_config *watch, int n, struct tpo_buf *out);
const char *watch_kind_name(enum tpo_watch_kind kind);

/* The settings that a watch is drawn with: config's, with its own k, temperature and thought. `out` borrows from
 * config and from `own`, which holds a layout of the watch's own: tpo_config_free(own) later, after a failure
 * too. Reads a layout's file. */
int watch_settings(struct tpo_config *out, struct tpo_config *own, const struct tpo_config *config,
                   const struct tpo_watch_config *watch, struct tpo_error *err);
/* What is wrong with config->run.watch[at], its layout's file aside; false: nothing. */
bool watch_problem(const struct tpo_config *config, int at, struct tpo_buf *problem);

#endif
