/* judge: scores for responses. A judge sees the instruction and the responses, never a thought.
 *
 *   struct tpo_judge *judge;
 *   struct tpo_judge_env env = {.backend = be, .size = 1};
 *   tpo_judge_open(&judge, &config.judge, &env, &err);
 *   tpo_judge_score(judge, items, n_items, results, &err);
 *   tpo_judge_close(judge);
 *
 * src/judge/README.md tells what each kind does and how to add one. A judge's failure is never a score: the
 * result's `ok` is false and its detail tells why. */
#ifndef TPO_JUDGE_H
#define TPO_JUDGE_H

#include "tpo/backend.h"
#include "tpo/base.h"
#include "tpo/config.h"

struct tpo_judge;
struct tpo_model_shelf;

struct tpo_judge_item {
  const char *id;
  const char *instruction;
  const char *meta; /* JSON object: reference, checks, messages, ... */
  int n_responses;
  const char *const *responses; /* [n_responses] UTF-8; NULL entries (format failed) are not scored */
};
struct tpo_judge_result { /* one response */
  bool ok;
  double score;
  char *detail; /* JSON object; free() */
};

/* What a judge works with; borrowed while it is open. Zero where a kind has no need of it. */
struct tpo_judge_env {
  struct tpo_backend *backend;  /* for kinds that compute with a model */
  enum tpo_compute_dtype dtype; /* of such a model */
  /* Where such models stay when the judge is closed, and the next one finds them; NULL: each reads its own. */
  struct tpo_model_shelf *models;
  uint64_t seed;
  int rank, size;        /* this process among those that judge at the same time; size 0 counts as 1 */
  double deadline;       /* seconds that the others wait for this one at most; 0: for ever */
  const char *cache_dir; /* where answers are kept; NULL: nowhere */
  /* Names the work that answers are asked for, alike on all ranks and whenever it is taken up again: those that
   * it asked for before it was stopped count as asked, not as found in the cache. NULL: is never taken up. */
  const char *work;
  struct tpo_watch watch; /* told how much of a call of tpo_judge_score is done */
};

/* config->kind is KIND[:ARG]. An unknown kind is refused with the list of those there are. */
TPO_API int tpo_judge_open(struct tpo_judge **out, const struct tpo_judge_config *config,
                           const struct tpo_judge_env *env, struct tpo_error *err);
/* What can be told of the settings before anything is computed: that the kind exists, its program is there,
 * its pattern compiles, its model's folder has all that is needed. Reads no weights. */
TPO_API int tpo_judge_check(const struct tpo_judge_config *config, struct tpo_error *err);
/* That the instruction can be judged, as far as can be told before there are responses: that its checks can
 * be verified, where it would go to a rule judge. What is refused here would be left without a score,
 * whatever the response. */
TPO_API int tpo_judge_validate(const struct tpo_judge_config *config, const struct tpo_judge_item *item,
                               struct tpo_error *err);
/* Whether the judge computes with a model, and so needs env.backend. */
TPO_API bool tpo_judge_needs_model(const struct tpo_judge_config *config);
/* Whether it compares an item's responses with each other: a score then means nothing beside one from another
 * call, and one response alone has 0 without anything being asked. The detail of a score has "wins", "losses"
 * and "comparisons" (both positions counted), all 0 where there was nothing to compare with; that of a route has
 * them within, and a sum, of which a term compares, in that term. */
TPO_API bool tpo_judge_compares(const struct tpo_judge_config *config);
/* Whether all of its judges wait for others (http, command) or have next to nothing to do (rule), without the
 * backend: such a judge may score in a thread of its own while the backend computes. */
TPO_API bool tpo_judge_waits(const struct tpo_judge_config *config);
/* Whether it keeps what it was told in env.cache_dir. */
TPO_API bool tpo_judge_keeps_answers(const struct tpo_judge_config *config);
/* Whether its scores come from several judges, whose scales differ: tpo_score_samples brings them to one. */
TPO_API bool tpo_judge_mixes(const struct tpo_judge_config *config);

/* What judging an instruction's k responses takes; comparisons: in the place of judge.comparisons, 0: all.
 * The item's own responses are not looked at. Of an instruction that no judge would get, all is 0. */
struct tpo_judge_cost {
  double calls;        /* at most */
  const char *unit;    /* what a call is, in the plural: "comparisons" */
  double detail_bytes; /* of one score's detail, about */
};
TPO_API struct tpo_judge_cost tpo_judge_cost(const struct tpo_judge_config *config,
                                             const struct tpo_judge_item *item, int k, int comparisons);

/* results: [sum of n_responses], in order. All of a caller's items at once let the judge fill its batches. */
TPO_API int tpo_judge_score(struct tpo_judge *judge, const struct tpo_judge_item *items, int n_items,
                            struct tpo_judge_result *results, struct tpo_error *err);
/* Counts since the judge was opened (requests, ties, unparsable answers, ...) as a JSON object of numbers, to
 * be summed over ranks; those whose name begins with "max_" take the largest. free() it; NULL when memory is
 * short. */
TPO_API char *tpo_judge_counts(const struct tpo_judge *judge);
TPO_API void tpo_judge_close(struct tpo_judge *judge);
TPO_API const char *tpo_judge_kinds(void); /* "rule, reward:DIR, ... or sum" */

#endif
