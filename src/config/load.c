/* YAML, --set and thought layouts into a struct tpo_config. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/utf8.h"
#include "config/layouts.h"
#include "config/map.h"
#include "config/terms.h"
#include "config/verdicts.h"
#include "config/watches.h"

struct loader {
  struct tpo_config *config;
  const char *place;  /* the file's name, or what stands for it */
  const char *dir;    /* where relative layout files are looked up, or NULL */
  const char *origin; /* for --set: the origin instead of place:line */
  bool layout;        /* a layout is read, not what a person gave beside it */
  struct config_report *report;
};

static void problem_at(const struct loader *in, int line, const char *text)
{
  config_problem(in->report, TPO_E_USAGE, in->place, line, "%s", text);
}

static void mark_origin(const struct loader *in, int key, int line)
{
  char origin[4200];
  if (line > 0 && !in->origin)
    snprintf(origin, sizeof origin, "%s:%d", in->place, line);
  else
    snprintf(origin, sizeof origin, "%s", in->origin ? in->origin : in->place);
  config_set_origin(in->config, key, origin);
}

static bool fits(const struct config_key *key, const struct tree_node *node)
{
  if (node->kind == TREE_SCALAR) return true;
  if (node->kind != TREE_LIST || key->type != KEY_LIST) return false;
  for (const struct tree_node *item = node->first; item; item = item->next)
    if (item->kind != TREE_SCALAR) return false;
  return true;
}

static void *field_of(const struct loader *in, int key)
{
  return (char *)in->config + config_keys[key].offset;
}

/* A field of a KEY_MAP, by its name within. */
static void store_in_map(struct loader *in, int key, const char *name, size_t len,
                         const struct tree_node *node)
{
  struct tpo_buf problem = {0};
  if (config_map_set(field_of(in, key), name, len, node, config_keys[key].path, &problem) == 0)
    mark_origin(in, key, 0);
  else
    problem_at(in, 0, problem.failed ? "out of memory" : problem.data);
  tpo_buf_free(&problem);
}

/* Of a value that is more than texts; -1: *problem tells what was expected at *line. */
static int store_map(struct loader *in, int key, const struct tree_node *node, struct tpo_buf *problem,
                     int *line)
{
  char *map;
  if (config_map_read(&map, node, config_keys[key].path, problem, line) < 0) return -1;
  config_release(in->config, key);
  *(char **)field_of(in, key) = map;
  return 0;
}

static int store_verdicts(struct loader *in, int key, const struct tree_node *node, struct tpo_buf *problem,
                          int *line)
{
  struct tpo_verdicts verdicts;
  struct tpo_buf why = {0};
  int status = config_verdicts_read(&verdicts, node, &why, line);
  if (status == 0) {
    config_release(in->config, key);
    memcpy(field_of(in, key), &verdicts, sizeof verdicts);
  } else
    tpo_buf_printf(problem, "%s: %s", config_keys[key].path, why.data ? why.data : "out of memory");
  tpo_buf_free(&why);
  return status;
}

static bool is_tree(enum key_type type)
{
  return type == KEY_TERMS || type == KEY_WATCHES || type == KEY_VERDICTS || type == KEY_MAP;
}

static void store_tree(struct loader *in, int key, const struct tree_node *node)
{
  int line;
  struct tpo_buf text = {0};
  enum key_type type = config_keys[key].type;
  int status = type == KEY_TERMS     ? terms_store(in->config, key, node, &text, &line)
               : type == KEY_WATCHES ? watches_store(in->config, key, node, in->dir, &text, &line)
               : type == KEY_MAP     ? store_map(in, key, node, &text, &line)
                                     : store_verdicts(in, key, node, &text, &line);
  if (status == 0)
    mark_origin(in, key, node->line);
  else
    problem_at(in, in->origin ? 0 : line, text.failed || !text.data ? "out of memory" : text.data);
  tpo_buf_free(&text);
}

static void store_node(struct loader *in, int key, const struct tree_node *node)
{
  struct tpo_buf text = {0};
  if (is_tree(config_keys[key].type)) {
    store_tree(in, key, node);
    return;
  }
  if (!fits(&config_keys[key], node)) {
    tpo_buf_printf(&text, "%s: expected ", config_keys[key].path);
    config_describe(key, &text);
    tpo_buf_puts(&text, node->kind == TREE_MAP ? ", not a mapping" : ", not a list");
    problem_at(in, node->line, text.failed ? "out of memory" : text.data);
    tpo_buf_free(&text);
    return;
  }
  int n = 0;
  if (node->kind == TREE_LIST)
    for (const struct tree_node *item = node->first; item; item = item->next) n++;
  else
    n = 1;
  struct config_value *values = tpo_calloc((size_t)n, sizeof *values, NULL);
  if (!values) {
    problem_at(in, node->line, "out of memory");
    return;
  }
  if (node->kind == TREE_SCALAR)
    values[0] = tree_value(node);
  else {
    int i = 0;
    for (const struct tree_node *item = node->first; item; item = item->next) values[i++] = tree_value(item);
  }
  if (config_store(in->config, key, values, n, &text) == 0) {
    mark_origin(in, key, node->line);
    if (in->config->origins && strcmp(config_keys[key].path, "thought.prompt") == 0)
      in->config->origins->own_prompt = !in->layout;
  } else
    problem_at(in, node->line, text.failed ? "out of memory" : text.data);
  free(values);
  tpo_buf_free(&text);
}

static void unknown_key(struct loader *in, const struct tree_node *name, const char *section)
{
  enum { SHOWN = 60 };
  char near[64], shown[SHOWN + 4];
  size_t len = name->len;
  if (len > SHOWN) { /* cut between characters */
    len = SHOWN;
    while (len > 0 && ((unsigned char)name->text[len] & 0xc0) == 0x80) len--;
  }
  snprintf(shown, sizeof shown, "%.*s%s", (int)len, name->text, len < name->len ? "..." : "");
  const char *dot = section[0] ? "." : "";
  if (in->report->count < 100 && config_suggest(name->text, name->len, section, near))
    config_problem(in->report, TPO_E_USAGE, in->place, name->line, "unknown key %s%s%s; did you mean %s?",
                   section, dot, shown, near);
  else
    config_problem(in->report, TPO_E_USAGE, in->place, name->line, "unknown key %s%s%s", section, dot, shown);
}

/* True when `seen` (the line of a key's first occurrence, by the key's number) had the key already. */
static bool is_duplicate(struct loader *in, int *seen, int key, const struct tree_node *name,
                         const char *path)
{
  if (seen[key] == 0) {
    seen[key] = name->line;
    return false;
  }
  config_problem(in->report, TPO_E_USAGE, in->place, name->line, "%s is given twice; the first is in line %d",
                 path, seen[key]);
  return true;
}

static const struct tree_node *member(const struct tree_node *map, const char *name)
{
  for (const struct tree_node *key = map->first; key; key = key->next)
    if (strcmp(key->text, name) == 0) return key;
  return NULL;
}

static void walk_keys(struct loader *in, const struct tree_node *map, const char *section, const char *except)
{
  int seen[sizeof((struct tpo_config_origins *)0)->of / sizeof(char *)] = {0};
  for (const struct tree_node *name = map->first; name; name = name->next) {
    char path[128];
    int length = snprintf(path, sizeof path, "%s%s%s", section, section[0] ? "." : "", name->text);
    int key = length > 0 && (size_t)length < sizeof path ? config_find_key(path, (size_t)length) : -1;
    if (key >= 0 && (!config_in_section(key, section) || (except && strcmp(name->text, except) == 0)))
      key = -1;
    if (key < 0)
      unknown_key(in, name, section);
    else if (!is_duplicate(in, seen, key, name, path))
      store_node(in, key, name->value);
  }
}

/* The name first, whose layout the other keys then change. Beside a prompt, as `tpo config` prints it, the
 * section is complete without reading any layout. */
static void walk_thought(struct loader *in, const struct tree_node *map)
{
  const struct tree_node *name = member(map, "name");
  if (name && name->value->kind == TREE_SCALAR && !tree_is_null(name->value)) {
    if (!member(map, "prompt")) {
      config_load_thought(in->config, name->value->text, in->dir, in->place, name->value->line, in->report);
    } else {
      for (int key = 0; key < config_n_keys; key++)
        if (config_in_section(key, "thought")) config_reset(in->config, key);
    }
  }
  walk_keys(in, map, "thought", NULL);
}

static void walk_section(struct loader *in, int section, const struct tree_node *node)
{
  const struct config_section *info = &config_sections[section];
  if (tree_is_null(node)) return; /* a section whose keys are all commented out */
  if (node->kind == TREE_MAP) {
    if (strcmp(info->name, "thought") == 0)
      walk_thought(in, node);
    else
      walk_keys(in, node, info->name, NULL);
  } else if (node->kind == TREE_SCALAR && info->shorthand) {
    char path[128];
    int length = snprintf(path, sizeof path, "%s.%s", info->name, info->shorthand);
    int key = config_find_key(path, (size_t)length);
    if (strcmp(info->name, "thought") == 0)
      config_load_thought(in->config, node->text, in->dir, in->place, node->line, in->report);
    store_node(in, key, node);
  } else {
    config_problem(in->report, TPO_E_USAGE, in->place, node->line, "%s: expected a mapping of keys%s, not %s",
                   info->name, info->shorthand ? " or a name" : "",
                   node->kind == TREE_LIST ? "a list" : "a value");
  }
}

static void walk_top(struct loader *in, const struct tree_node *root)
{
  if (root->kind != TREE_MAP) {
    problem_at(in, root->line, "expected a mapping of sections, like `model:` with `path: ...` below it");
    return;
  }
  int seen_keys[sizeof((struct tpo_config_origins *)0)->of / sizeof(char *)] = {0};
  int seen_sections[32] = {0};
  for (const struct tree_node *name = root->first; name; name = name->next) {
    int section = config_find_section(name->text, name->len);
    int key = section < 0 ? config_find_key(name->text, name->len) : -1;
    if (key >= 0 && !config_in_section(key, "")) key = -1; /* "sampling.k": a path is not a key in YAML */
    if (section >= 0) {
      if (!is_duplicate(in, seen_sections, section, name, name->text)) walk_section(in, section, name->value);
    } else if (key >= 0) {
      if (!is_duplicate(in, seen_keys, key, name, name->text)) store_node(in, key, name->value);
    } else
      unknown_key(in, name, "");
  }
}

static void load_bytes(struct loader *in, const char *text, size_t len)
{
  struct tpo_arena arena = {0};
  struct tree_node *root;
  if (tree_parse(&root, &arena, text, len, in->place, in->report) == 0 && root && !tree_is_null(root))
    walk_top(in, root);
  tpo_arena_free(&arena);
}

int tpo_config_load_text(struct tpo_config *config, const char *yaml, size_t len, const char *place,
                         char **report, struct tpo_error *err)
{
  struct config_report problems = {0};
  struct loader in = {.config = config, .place = place, .report = &problems};
  load_bytes(&in, yaml, len);
  return config_report_end(&problems, report, err);
}

static char *folder_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  if (!slash) return strdup(".");
  return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Far above what a configuration may have, so that tree_parse is the one that says how much is too much. */
enum { MAX_FILE_BYTES = 16 << 20 };

int tpo_config_load(struct tpo_config *config, const char *path, char **report, struct tpo_error *err)
{
  struct config_report problems = {0};
  struct tpo_buf text = {0};
  struct tpo_error why = {0};
  char *dir = folder_of(path);
  if (tpo_read_file(path, MAX_FILE_BYTES, &text, &why) < 0) {
    if (report) *report = NULL;
    free(dir);
    tpo_buf_free(&text);
    return tpo_fail(err, why.code, "%s", why.message);
  }
  struct loader in = {.config = config, .place = path, .dir = dir, .report = &problems};
  load_bytes(&in, text.data, text.len);
  free(dir);
  tpo_buf_free(&text);
  return config_report_end(&problems, report, err);
}

/* A layout's keys over a section that was just reset. */
static void walk_layout(struct loader *in, const char *text, size_t len)
{
  struct tpo_arena arena = {0};
  struct tree_node *root;
  if (tree_parse(&root, &arena, text, len, in->place, in->report) == 0) {
    if (!root || root->kind != TREE_MAP)
      problem_at(in, 1, "expected a mapping of the keys of a thought layout");
    else {
      if (!member(root, "prompt")) problem_at(in, root->line, "the layout has no key `prompt`");
      walk_keys(in, root, "thought", "name");
    }
  }
  tpo_arena_free(&arena);
}

static void load_layout_file(struct tpo_config *config, const char *path, const char *place, int line,
                             struct config_report *report)
{
  struct tpo_buf text = {0};
  struct tpo_error why = {0};
  struct loader in = {.config = config, .place = path, .layout = true, .report = report};
  if (tpo_read_file(path, MAX_FILE_BYTES, &text, &why) == 0)
    walk_layout(&in, text.data, text.len);
  else
    config_problem(report, why.code, place, line, "thought: expected " CONFIG_LAYOUTS ": %s", why.message);
  tpo_buf_free(&text);
}

bool config_is_builtin_thought(const char *name)
{
  for (int i = 0; i < config_n_builtins; i++)
    if (strcmp(config_builtins[i].name, name) == 0) return true;
  return strcmp(name, LAYOUT_AUTO) == 0;
}

void config_load_thought(struct tpo_config *config, const char *name, const char *dir, const char *place,
                         int line, struct config_report *report)
{
  for (int key = 0; key < config_n_keys; key++)
    if (config_in_section(key, "thought")) config_reset(config, key);
  if (config->origins) config->origins->own_prompt = false;
  for (int i = 0; i < config_n_builtins; i++) {
    if (strcmp(config_builtins[i].name, layout_standing_for(name)) != 0) continue;
    char label[64];
    snprintf(label, sizeof label, "built-in %s", name);
    struct loader in = {.config = config, .place = label, .origin = label, .layout = true, .report = report};
    walk_layout(&in, config_builtins[i].yaml, strlen(config_builtins[i].yaml));
    return;
  }
  char path[4096];
  struct tpo_error why = {0};
  if (name[0] == '\0') {
    config_problem(report, TPO_E_USAGE, place, line, "thought: expected " CONFIG_LAYOUTS);
  } else if (name[0] == '/' || !dir) {
    load_layout_file(config, name, place, line, report);
  } else if (tpo_path_join(path, sizeof path, dir, name, &why) < 0) {
    config_problem(report, TPO_E_USAGE, place, line, "%s", why.message);
  } else {
    load_layout_file(config, path, place, line, report);
  }
}

int tpo_config_set_thought(struct tpo_config *config, const char *name_or_path, const char *origin,
                           struct tpo_error *err)
{
  struct config_report problems = {0};
  char *name = strdup(name_or_path); /* it may be config's own, which is about to be replaced */
  if (!name) return tpo_fail(err, TPO_E_MEMORY, "out of memory");
  config_load_thought(config, name, NULL, origin, 0, &problems);
  struct loader in = {.config = config, .place = origin, .origin = origin, .report = &problems};
  struct tree_node node = {.kind = TREE_SCALAR, .text = name, .len = strlen(name)};
  store_node(&in, config_find_key("thought.name", strlen("thought.name")), &node);
  free(name);
  return config_report_end(&problems, NULL, err);
}

/* The name alone, beside a prompt of its own: a label. `thought=NAME` is a layout always. */
static bool is_label(const struct tpo_config *config, const char *path, size_t len)
{
  const char *name = "thought.name";
  return config->origins && config->origins->own_prompt && len == strlen(name) &&
         strncmp(path, name, len) == 0;
}

/* The key that a --set path means: itself, or a section's shorthand. */
static int key_of_path(const char *path, size_t len)
{
  int key = config_find_key(path, len), section = config_find_section(path, len);
  if (key >= 0 || section < 0 || !config_sections[section].shorthand) return key;
  char full[128];
  int length =
      snprintf(full, sizeof full, "%s.%s", config_sections[section].name, config_sections[section].shorthand);
  return config_find_key(full, (size_t)length);
}

/* The key that a path leads into, "judge.request.seed", and where the name within it begins; -1: none. */
static int map_of_path(const char *path, size_t len, size_t *begin)
{
  for (int key = 0; key < config_n_keys; key++) {
    size_t n = strlen(config_keys[key].path);
    *begin = n + 1;
    if (config_keys[key].type == KEY_MAP && len > n && path[n] == '.' &&
        memcmp(path, config_keys[key].path, n) == 0)
      return key;
  }
  return -1;
}

/* Whether a value of --set is written as in YAML, with escapes, as a list or a mapping, by how it begins. */
static bool is_yaml(char first, enum key_type type)
{
  if (first == '[') return type == KEY_LIST || type == KEY_TERMS || type == KEY_WATCHES || type == KEY_MAP;
  return first == '"' || first == '\'' || (first == '{' && is_tree(type));
}

int tpo_config_set(struct tpo_config *config, const char *assignment, const char *origin,
                   struct tpo_error *err)
{
  const char *equals = strchr(assignment, '=');
  if (!equals)
    return tpo_fail(err, TPO_E_USAGE, "%s: expected key.path=value, not \"%.100s\"", origin, assignment);
  size_t len = (size_t)(equals - assignment), inner = 0;
  int key = key_of_path(assignment, len);
  if (key < 0) {
    key = map_of_path(assignment, len, &inner);
    if (key < 0) inner = 0;
  }
  if (key < 0) {
    char near[64];
    bool found = config_suggest(assignment, len, "", near);
    if (found && strlen(near) == len && strncmp(near, assignment, len) == 0)
      return tpo_fail(err, TPO_E_USAGE, "%s: %s is a section; expected one of its keys, as %s.key=value",
                      origin, near, near);
    return tpo_fail(err, TPO_E_USAGE, "%s: unknown key %.*s%s%s%s", origin, (int)(len < 60 ? len : 60),
                    assignment, found ? "; did you mean " : "", found ? near : "", found ? "?" : "");
  }
  const char *text = equals + 1;
  struct config_report problems = {0};
  struct loader in = {.config = config, .place = origin, .origin = origin, .report = &problems};
  struct tpo_arena arena = {0};
  struct tree_node literal = {.kind = TREE_SCALAR, .plain = true, .text = text, .len = strlen(text)};
  struct tree_node *node = &literal;
  size_t bad;
  if (!tpo_utf8_valid(text, literal.len, &bad)) {
    problem_at(&in, 0, "the value is not UTF-8");
  } else if (is_yaml(text[0], config_keys[key].type)) {
    if (tree_parse(&node, &arena, text, literal.len, origin, &problems) == 0 && !node) node = &literal;
  }
  if (problems.count == 0) {
    node->line = 0;
    bool layout = strcmp(config_keys[key].path, "thought.name") == 0 && node->kind == TREE_SCALAR &&
                  !is_label(config, assignment, len);
    if (layout) config_load_thought(config, node->text, NULL, origin, 0, &problems);
    if (inner > 0)
      store_in_map(&in, key, assignment + inner, len - inner, node);
    else
      store_node(&in, key, node);
  }
  tpo_arena_free(&arena);
  return config_report_end(&problems, NULL, err);
}
