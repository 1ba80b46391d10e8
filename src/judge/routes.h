/* Which judge an instruction goes to: the one that the configuration names, or that of the first of
 * judge.routes, texts that become conditions on an instruction's fields, which fits. */
#ifndef TPO_JUDGE_ROUTES_H
#define TPO_JUDGE_ROUTES_H

#include "judge/judge.h"

struct route {
  const char *text;  /* as given; borrowed from the configuration */
  char *field;       /* NULL: every instruction */
  const char *value; /* NULL: the field only has to be there; points into field's block */
  const char *kind;  /* KIND[:ARG]; likewise */
  char *block;       /* owns the three */
  int judge;         /* index of its kind among the distinct ones, in order of first appearance */
};
struct routes {
  struct route *list;              /* [n] */
  struct tpo_judge_config *judges; /* [n_judges] the configuration with each judge's own kind */
  int n, n_judges;
};

/* Of any configuration: a judge that is no route is one that every instruction takes. Error (usage) that
 * quotes the route. routes_free also after an error; what is borrowed from config must outlive it. */
int routes_open(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err);
void routes_free(struct routes *routes);
/* *found: the first route that fits, -1 for none. Error: the item's meta is no JSON object. */
int routes_find(const struct routes *routes, const struct tpo_judge_item *item, int *found,
                struct tpo_error *err);
/* *judge: that route's, among routes->judges; -1 for none. */
int routes_judge(const struct routes *routes, const struct tpo_judge_item *item, int *judge,
                 struct tpo_error *err);
/* The first route of a judge. */
const struct route *routes_first(const struct routes *routes, int judge);

#endif
