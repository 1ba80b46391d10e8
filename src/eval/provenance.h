/* Where the numbers of an evaluation come from: the files, model, judge and settings, in the result itself.
 *
 *   json_t *result = json_pack("{s:s, s:f}", "evaluation", "gsm8k", "accuracy", accuracy);
 *   json_t *provenance = eval_provenance(session, &err);
 *   eval_provenance_file(provenance, "prompts", path, &err);
 *   json_object_set_new(result, "provenance", provenance); */
#ifndef TPO_EVAL_PROVENANCE_H
#define TPO_EVAL_PROVENANCE_H

#include <jansson.h>
#include "tpo/steps.h"

/* {"tpo_version", "created", "seed", "ranks", "files": []}; NULL when memory is short. "created" is
 * SOURCE_DATE_EPOCH's where that is set. */
json_t *eval_provenance(const struct tpo_session *session, struct tpo_error *err);
/* Adds {"name", "path", "size", "hash"} to its files; "-", standard input, has no hash. */
int eval_provenance_file(json_t *provenance, const char *name, const char *path, struct tpo_error *err);
/* Sets "thought", "thought_hash" of what its layout says, and "sampling", as eval_draw_of takes them from config. */
int eval_provenance_draw(json_t *provenance, const struct tpo_config *config, struct tpo_error *err);
/* The same, and "model": {"path", "hash", "dtype"}. */
int eval_provenance_policy(json_t *provenance, const struct tpo_session *session,
                           const struct tpo_policy *policy, struct tpo_error *err);
/* Sets "judge": its kind (an address without its query), the server's model or the local ones' hashes, what answers
 * are drawn with, judge.request, "prompt_hash" and "system_hash" of the texts that ask: prompt and system, or where
 * they are NULL judge.prompt and judge.system; null where there is none, or it is the kind's own; and "settings_hash" of
 * all settings of the judge that bear on results but the kind and these texts. */
int eval_provenance_judge(json_t *provenance, const struct tpo_judge_config *judge, const char *system,
                          const char *prompt, struct tpo_error *err);

#endif
