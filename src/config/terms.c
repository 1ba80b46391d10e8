/* Reads, prints and frees judge.terms. */
#include "config/terms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* Where a term is read from, and what is wrong with it. */
struct reading {
  const char *path; /* of the key */
  int number;       /* of the term, from 1 */
  struct tpo_buf *problem;
};

/* Returns the line. */
static int refuse(struct reading *in, const struct tree_node *node, const char *what)
{
  tpo_buf_printf(in->problem, "%s, term %d: expected %s, as in {kind: \"reward:DIR\", weight: 0.5}", in->path,
                 in->number, what);
  return node->line;
}

static int read_kind(struct reading *in, const struct tree_node *node, struct tpo_judge_term *term)
{
  if (node->kind != TREE_SCALAR || tree_is_null(node) || node->len == 0)
    return refuse(in, node, "a judge's KIND[:ARG] as kind");
  term->kind = strdup(node->text);
  return term->kind ? -1 : refuse(in, node, "memory for a judge's name");
}

static int read_weight(struct reading *in, const struct tree_node *node, struct tpo_judge_term *term)
{
  struct config_value value = {0};
  if (node->kind == TREE_SCALAR) value = tree_value(node);
  if (!value.plain || value.missing || !config_parse_number(&value, &term->weight) || term->weight == 0 ||
      fabs(term->weight) > TERMS_LARGEST_WEIGHT)
    return refuse(in, node, "a number from -1e6 to 1e6, not 0, as weight");
  return -1;
}

static int read_map(struct reading *in, const struct tree_node *map, struct tpo_judge_term *term)
{
  bool weighed = false;
  int line = -1;
  for (const struct tree_node *name = map->first; name && line < 0; name = name->next) {
    if (strcmp(name->text, "kind") == 0 && !term->kind)
      line = read_kind(in, name->value, term);
    else if (strcmp(name->text, "weight") == 0 && !weighed)
      line = read_weight(in, name->value, term), weighed = true;
    else
      line = refuse(in, name, "kind and weight, each once");
  }
  return line < 0 && !term->kind ? refuse(in, map, "a judge's KIND[:ARG] as kind") : line;
}

static int read_term(struct reading *in, const struct tree_node *item, struct tpo_judge_term *term)
{
  term->weight = 1;
  if (item->kind == TREE_MAP) return read_map(in, item, term);
  return read_kind(in, item, term);
}

int terms_store(struct tpo_config *config, int key, const struct tree_node *node, struct tpo_buf *problem,
                int *line)
{
  struct reading in = {.path = config_keys[key].path, .problem = problem};
  if (node->kind == TREE_MAP) {
    tpo_buf_printf(problem, "%s: expected " TERMS_TOLD ", not a mapping", in.path);
    *line = node->line;
    return -1;
  }
  const struct tree_node *first = node->kind == TREE_LIST ? node->first : tree_is_null(node) ? NULL : node;
  size_t n = 0;
  for (const struct tree_node *item = first; item; item = node->kind == TREE_LIST ? item->next : NULL) n++;
  struct tpo_judge_term *terms = tpo_calloc(n, sizeof *terms, NULL);
  *line = terms ? -1 : refuse(&in, node, "memory for judges");
  for (const struct tree_node *item = first; *line < 0 && in.number < (int)n; item = item->next) {
    in.number++;
    *line = read_term(&in, item, &terms[in.number - 1]);
  }
  if (*line >= 0) {
    terms_free(&terms, &in.number);
    return -1;
  }
  config_release(config, key);
  config->judge.terms = terms;
  config->judge.n_terms = (int)n;
  return 0;
}

void terms_free(struct tpo_judge_term **terms, int *n)
{
  for (int i = 0; *terms && i < *n; i++) free((*terms)[i].kind);
  free(*terms);
  *terms = NULL;
  *n = 0;
}

void terms_append(const struct tpo_judge_term *terms, int n, struct tpo_buf *out)
{
  tpo_buf_putc(out, '[');
  for (int i = 0; i < n; i++) {
    tpo_buf_puts(out, i > 0 ? ", {kind: " : "{kind: ");
    config_append_text(terms[i].kind, out);
    tpo_buf_puts(out, ", weight: ");
    tpo_json_append_double(out, terms[i].weight);
    tpo_buf_putc(out, '}');
  }
  tpo_buf_putc(out, ']');
}
