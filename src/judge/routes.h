/* The routes of judge.routes: texts to conditions on an instruction's fields. */
#ifndef TPO_JUDGE_ROUTE_H
#define TPO_JUDGE_ROUTE_H

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
  struct route *list;
  int n, n_judges;
};

/* Parses all of config->routes; error (usage) that quotes the route. routes_free also after an error. */
int routes_parse(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err);
void routes_free(struct routes *routes);
/* *found: the first route that fits, -1 for none. Error: the item's meta is no JSON object. */
int routes_find(const struct routes *routes, const struct tpo_judge_item *item, int *found,
                struct tpo_error *err);
/* The first route of a judge. */
const struct route *routes_first(const struct routes *routes, int judge);

#endif
