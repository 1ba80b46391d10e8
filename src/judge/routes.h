/* Which judges an instruction goes to: the one that the configuration names, that of the first of
 * judge.routes, texts that become conditions on an instruction's fields, which fits, or all of
 * judge.terms. */
#ifndef TPO_JUDGE_ROUTES_H
#define TPO_JUDGE_ROUTES_H

#include "judge/judge.h"

struct route {
  const char *text;  /* as given, or a term's kind; borrowed from the configuration */
  char *field;       /* NULL: every instruction */
  const char *value; /* NULL: the field only has to be there; points into field's block */
  const char *kind;  /* KIND[:ARG]; likewise */
  char *block;       /* owns the three */
  double weight;     /* a term's */
  int judge;         /* index of its kind among the distinct ones, in order of first appearance */
};
struct routes {
  struct route *list;              /* [n] */
  struct tpo_judge_config *judges; /* [n_judges] the configuration with each judge's own kind */
  int n, n_judges;
  bool all; /* terms: every instruction goes to all judges, of which term i is number i */
};

/* Of any configuration: a judge that is neither route nor sum is one that every instruction takes. Error
 * (usage) that quotes the route or term. routes_free also after an error; what is borrowed from config
 * must outlive it. */
int routes_open(struct routes *routes, const struct tpo_judge_config *config, struct tpo_error *err);
void routes_free(struct routes *routes);
/* *found: the first route that fits, -1 for none. Error: the item's meta is no JSON object. */
int routes_find(const struct routes *routes, const struct tpo_judge_item *item, int *found,
                struct tpo_error *err);
/* Those of routes->judges that the item goes to: *n from *first on; 0 where no route fits. */
int routes_judges(const struct routes *routes, const struct tpo_judge_item *item, int *first, int *n,
                  struct tpo_error *err);
/* The first route of a judge. */
const struct route *routes_first(const struct routes *routes, int judge);

#endif
