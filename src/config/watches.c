/* Reads, checks, prints and frees run.watch. */
#include "config/watches.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "config/layouts.h"

/* Where an entry is read from, and what is wrong with it. */
struct reading {
  const char *path; /* of the key */
  const char *dir;  /* of the file, or NULL */
  int number;       /* of the entry, from 1 */
  struct tpo_buf *problem;
};

static const char *const kinds[] = {
    [TPO_WATCH_GSM8K] = "gsm8k", [TPO_WATCH_IFEVAL] = "ifeval", [TPO_WATCH_RULE] = "rule"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };
#define KINDS_TOLD "gsm8k, ifeval or rule"

enum field { NAME, PROMPTS, KIND, LIMIT, THOUGHT, TEMPERATURE, K, N_FIELDS };
static const char *const fields[N_FIELDS] = {"name",    "prompts",     "kind", "limit",
                                             "thought", "temperature", "k"};
enum { MOST_LIMIT = 100000000, MOST_TEMPERATURE = 100, MOST_K = 1024 };

const char *watch_kind_name(enum tpo_watch_kind kind)
{
  return kinds[kind];
}

/* Returns the line. */
static int refuse(struct reading *in, const struct tree_node *node, const char *what)
{
  tpo_buf_printf(in->problem, "%s, entry %d: %s", in->path, in->number, what);
  return node->line;
}

/* "...; did you mean NAME?" where one is near. */
static int refuse_unlike(struct reading *in, const struct tree_node *node, const char *what,
                         const char *const *names, int n)
{
  int line = refuse(in, node, what);
  const char *near = NULL;
  if (node->kind == TREE_SCALAR) {
    near = config_suggest_among(node->text, node->len, names, n);
    tpo_buf_puts(in->problem, ", not ");
    tpo_json_append_string(in->problem, node->text, strnlen(node->text, 60));
  }
  if (near) tpo_buf_printf(in->problem, "; did you mean %s?", near);
  return line;
}

static int read_text(struct reading *in, const struct tree_node *node, const char *what, char **out)
{
  if (node->kind != TREE_SCALAR || tree_is_null(node) || node->len == 0) return refuse(in, node, what);
  *out = strdup(node->text);
  return *out ? -1 : refuse(in, node, "out of memory");
}

static int read_kind(struct reading *in, const struct tree_node *node, struct tpo_watch_config *watch)
{
  for (int i = 0; node->kind == TREE_SCALAR && i < N_KINDS; i++)
    if (strcmp(node->text, kinds[i]) == 0) {
      watch->kind = (enum tpo_watch_kind)i;
      return -1;
    }
  return refuse_unlike(in, node, "expected " KINDS_TOLD " as kind", kinds, N_KINDS);
}

static bool read_number(const struct tree_node *node, double least, double most, double *out)
{
  struct config_value value = {0};
  if (node->kind == TREE_SCALAR) value = tree_value(node);
  return value.plain && !value.missing && config_parse_number(&value, out) && *out >= least && *out <= most;
}

static int read_whole(struct reading *in, const struct tree_node *node, int least, int most, const char *what,
                      int *out)
{
  double number;
  if (!read_number(node, least, most, &number) || number != (double)(int)number)
    return refuse(in, node, what);
  *out = (int)number;
  return -1;
}

/* A layout's file is named from where it is found later too: the configuration that a run keeps stands in
 * another folder. */
static int read_thought(struct reading *in, const struct tree_node *node, struct tpo_watch_config *watch)
{
  char path[4096];
  if (node->kind == TREE_SCALAR && tree_is_null(node)) return -1; /* the run's */
  int line = read_text(in, node, "expected " CONFIG_LAYOUTS " as thought", &watch->thought);
  if (line >= 0 || config_is_builtin_thought(watch->thought)) return line;
  const char *dir = in->dir && watch->thought[0] != '/' ? in->dir : NULL;
  if (dir && tpo_path_join(path, sizeof path, dir, watch->thought, NULL) < 0)
    return refuse(in, node, "the path of its thought is too long");
  char *whole = realpath(dir ? path : watch->thought, NULL);
  if (!whole && dir) whole = strdup(path); /* a check tells that it is not there */
  if (!whole) return -1;
  free(watch->thought);
  watch->thought = whole;
  return -1;
}

static int read_field(struct reading *in, enum field field, const struct tree_node *node,
                      struct tpo_watch_config *watch)
{
  switch (field) {
  case NAME: return read_text(in, node, "expected a text as name", &watch->name);
  case PROMPTS: return read_text(in, node, "expected a file as prompts", &watch->prompts);
  case KIND: return read_kind(in, node, watch);
  case LIMIT:
    return read_whole(in, node, 0, MOST_LIMIT, "expected an integer from 0 (all) to 100000000 as limit",
                      &watch->limit);
  case THOUGHT: return read_thought(in, node, watch);
  case TEMPERATURE:
    return read_number(node, 0, MOST_TEMPERATURE, &watch->temperature)
               ? -1
               : refuse(in, node, "expected a number from 0 to 100 as temperature");
  case K: return read_whole(in, node, 1, MOST_K, "expected an integer from 1 to 1024 as k", &watch->k);
  case N_FIELDS: break;
  }
  return -1;
}

static int read_entry(struct reading *in, const struct tree_node *map, struct tpo_watch_config *watch)
{
  bool seen[N_FIELDS] = {false};
  int line = -1;
  watch->k = 1;
  if (map->kind != TREE_MAP)
    return refuse(in, map, "expected a mapping, as in {name: maths, prompts: FILE, kind: gsm8k}");
  for (const struct tree_node *name = map->first; name && line < 0; name = name->next) {
    int at = 0;
    while (at < N_FIELDS && strcmp(name->text, fields[at]) != 0) at++;
    if (at == N_FIELDS)
      line = refuse_unlike(in, name, "expected name, prompts, kind, limit, thought, temperature or k", fields,
                           N_FIELDS);
    else if (seen[at])
      line = refuse_unlike(in, name, "expected each key once", fields, 0);
    else
      line = read_field(in, (enum field)at, name->value, watch);
    if (at < N_FIELDS) seen[at] = true;
  }
  for (int at = NAME; at <= KIND && line < 0; at++)
    if (!seen[at]) {
      line = refuse(in, map, fields[at]);
      tpo_buf_puts(in->problem, " is missing; expected name, prompts and kind");
    }
  return line;
}

int watches_store(struct tpo_config *config, int key, const struct tree_node *node, const char *dir,
                  struct tpo_buf *problem, int *line)
{
  struct reading in = {.path = config_keys[key].path, .dir = dir, .problem = problem};
  const struct tree_node *first = node->kind == TREE_LIST ? node->first : tree_is_null(node) ? NULL : node;
  size_t n = 0;
  if (node->kind == TREE_SCALAR && first) {
    tpo_buf_printf(problem, "%s: expected " WATCHES_TOLD, in.path);
    *line = node->line;
    return -1;
  }
  for (const struct tree_node *item = first; item; item = node->kind == TREE_LIST ? item->next : NULL) n++;
  struct tpo_watch_config *watch = tpo_calloc(n, sizeof *watch, NULL);
  *line = watch ? -1 : refuse(&in, node, "out of memory");
  for (const struct tree_node *item = first; *line < 0 && in.number < (int)n; item = item->next)
    *line = read_entry(&in, item, &watch[in.number++]);
  if (*line >= 0) {
    watches_free(&watch, &in.number);
    return -1;
  }
  config_release(config, key);
  config->run.watch = watch;
  config->run.n_watch = (int)n;
  return 0;
}

void watches_free(struct tpo_watch_config **watch, int *n)
{
  for (int i = 0; *watch && i < *n; i++) {
    free((*watch)[i].name);
    free((*watch)[i].prompts);
    free((*watch)[i].thought);
  }
  free(*watch);
  *watch = NULL;
  *n = 0;
}

void watches_append(const struct tpo_watch_config *watch, int n, struct tpo_buf *out)
{
  tpo_buf_putc(out, '[');
  for (int i = 0; i < n; i++) {
    const struct tpo_watch_config *w = &watch[i];
    tpo_buf_puts(out, i > 0 ? ", {name: " : "{name: ");
    config_append_text(w->name, out);
    tpo_buf_puts(out, ", prompts: ");
    config_append_text(w->prompts, out);
    tpo_buf_printf(out, ", kind: %s, limit: %d, thought: ", kinds[w->kind], w->limit);
    if (w->thought)
      config_append_text(w->thought, out);
    else
      tpo_buf_puts(out, "null");
    tpo_buf_puts(out, ", temperature: ");
    tpo_json_append_double(out, w->temperature);
    tpo_buf_printf(out, ", k: %d}", w->k);
  }
  tpo_buf_putc(out, ']');
}

int watch_settings(struct tpo_config *out, struct tpo_config *own, const struct tpo_config *config,
                   const struct tpo_watch_config *watch, struct tpo_error *err)
{
  *out = *config;
  tpo_config_default(own);
  out->sampling.k = watch->k;
  out->sampling.temperature = watch->temperature;
  if (!watch->thought) return 0;
  int status = tpo_config_set_thought(own, watch->thought, "run.watch", err);
  if (status < 0) return status;
  out->thought = own->thought;
  out->thought.train_forced = config->thought.train_forced;
  return 0;
}

static bool is_named_well(const char *name)
{
  size_t len = strlen(name);
  return len > 0 && len <= WATCHES_LONGEST_NAME &&
         strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static bool in_range(const struct tpo_watch_config *w)
{
  return (unsigned)w->kind < N_KINDS && w->limit >= 0 && w->limit <= MOST_LIMIT && w->temperature >= 0 &&
         w->temperature <= MOST_TEMPERATURE && w->k >= 1 && w->k <= MOST_K;
}

bool watch_problem(const struct tpo_config *config, int at, struct tpo_buf *problem)
{
  const struct tpo_watch_config *all = config->run.watch, *w = &all[at];
  if (!w->name || !w->prompts || !in_range(w)) {
    tpo_buf_puts(problem, "name, prompts or kind is missing, or a number out of range");
    return true;
  }
  if (!is_named_well(w->name)) {
    tpo_buf_printf(problem, "expected a name of letters, digits, - and _, at most %d of them, not ",
                   WATCHES_LONGEST_NAME);
    tpo_json_append_string(problem, w->name, strnlen(w->name, 60));
    return true;
  }
  for (int i = 0; i < at; i++)
    if (all[i].name &&
        strcasecmp(all[i].name, w->name) == 0) { /* its files would be one where case is nothing */
      tpo_buf_printf(problem, "the name %s is entry %d's already", w->name, i + 1);
      return true;
    }
  if (w->k > 1 && w->temperature == 0)
    tpo_buf_printf(problem, "k is %d, but temperature is 0, so the samples of an instruction would be equal",
                   w->k);
  return problem->len > 0;
}
