/* What a judge model's words mean: `judge.verdicts`, a map from texts to A, B or tie, or the name of one
 * that is built in. */
#ifndef TPO_CONFIG_VERDICTS_H
#define TPO_CONFIG_VERDICTS_H

#include "config/tree.h"

#define CONFIG_VERDICTS_TOLD "arena-hard, or a mapping of texts to A, B or tie"
enum { CONFIG_HEAVIEST_VERDICT = 100 };

struct config_verdict_preset {
  const char *name;
  const char *pattern; /* that finds its texts */
  const char *ask;     /* the sentence by which a built-in prompt asks for them */
  const struct tpo_verdict_label *labels;
  int n;
};
/* NULL: none of this name; name may be NULL. */
const struct config_verdict_preset *config_verdict_preset(const char *name);

/* From a name, or a mapping whose values are A, B or tie, or {is: ..., weight: ...}; null gives none. On
 * failure -1, *problem says what was expected and *line where; out then holds nothing.
 * config_verdicts_free later. */
int config_verdicts_read(struct tpo_verdicts *out, const struct tree_node *node, struct tpo_buf *problem,
                         int *line);
/* That they can be used: known, each text once, for A and for B, weights in range. False: *problem tells. */
bool config_verdicts_sound(const struct tpo_verdicts *verdicts, struct tpo_buf *problem);
/* As YAML that reads back the same. */
void config_verdicts_append(const struct tpo_verdicts *verdicts, struct tpo_buf *out);
void config_verdicts_free(struct tpo_verdicts *verdicts);

#endif
