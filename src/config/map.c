/* Between YAML's mappings and the JSON that they are kept as. */
#include "config/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/json.h"

struct reading {
  const char *path; /* of the key */
  struct tpo_buf *problem;
  int line; /* of the problem */
};

static json_t *refuse(struct reading *in, const struct tree_node *node, const char *what, const char *text)
{
  tpo_buf_printf(in->problem, "%s: %s%.60s", in->path, what, text);
  in->line = node->line;
  return NULL;
}

/* Words that some YAML readers take for truth values or nothing, and some for text. */
static bool is_ambiguous(const char *text)
{
  static const char *const words[] = {"yes", "no", "on", "off", "true", "false", "null"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasecmp(text, words[i]) == 0) return true;
  return false;
}

/* Numbers to some YAML readers and not to JSON, or that readers take differently: 010 is 8 or 10. */
static bool is_odd_number(const char *text)
{
  static const char *const words[] = {".inf", ".nan"};
  const char *at = text + (*text == '-' || *text == '+');
  bool is_prefix = at[0] == '0' && at[1] != '\0' && strchr("xXoO", at[1]) != NULL;
  const char *digits = is_prefix ? "0123456789abcdefABCDEF" : "0123456789.eE+-";
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasecmp(at, words[i]) == 0) return true;
  if (is_prefix) return at[2] != '\0' && at[2 + strspn(at + 2, digits)] == '\0';
  char *end;
  double x = strtod(at, &end);
  bool is_number = *at != '\0' && at[strspn(at, digits)] == '\0' && *end == '\0';
  return is_number && (!isfinite(x) || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'));
}

/* Whole numbers are integers however they are written, so that they read back the same. */
static json_t *number(double x, const struct config_value *value)
{
  const double exact = 9007199254740992; /* 2^53 */
  bool digits = value->len < 19 && strspn(value->text + (value->text[0] == '-'), "0123456789") ==
                                       value->len - (value->text[0] == '-');
  if (digits) return json_integer(strtoll(value->text, NULL, 10));
  if (x == floor(x) && fabs(x) < exact) return json_integer((json_int_t)x);
  return json_real(x);
}

static json_t *read_scalar(struct reading *in, const struct tree_node *node)
{
  double x;
  const struct config_value value = tree_value(node);
  if (!node->plain) return json_stringn(node->text, node->len);
  if (tree_is_null(node)) return json_null();
  if (strcmp(node->text, "true") == 0) return json_true();
  if (strcmp(node->text, "false") == 0) return json_false();
  if (is_odd_number(node->text))
    return refuse(in, node, "expected a decimal number that fits, or a text in quotes, not ", node->text);
  if (config_parse_number(&value, &x)) return number(x, &value);
  if (is_ambiguous(node->text))
    return refuse(in, node, "expected true, false, null or a text in quotes, not ", node->text);
  return json_stringn(node->text, node->len);
}

/* NULL with the problem told, or without one where memory is short. */
static json_t *read_any(struct reading *in, const struct tree_node *node)
{
  if (node->kind == TREE_SCALAR) return read_scalar(in, node);
  json_t *whole = node->kind == TREE_LIST ? json_array() : json_object();
  for (const struct tree_node *item = node->first; whole && item; item = item->next) {
    json_t *value = NULL;
    if (node->kind == TREE_MAP && json_object_get(whole, item->text))
      refuse(in, item, "this name is given twice: ", item->text);
    else
      value = read_any(in, node->kind == TREE_MAP ? item->value : item);
    int added = !value                    ? -1
                : node->kind == TREE_LIST ? json_array_append_new(whole, value)
                                          : json_object_set_new(whole, item->text, value);
    if (added == 0) continue;
    json_decref(whole);
    return NULL;
  }
  return whole;
}

static int no_memory(const char *path, struct tpo_buf *problem)
{
  if (problem->len == 0) tpo_buf_printf(problem, "%s: out of memory", path);
  return -1;
}

/* Puts the object's text into *map, in the place of what is there. */
static int put(char **map, const json_t *object, const char *path, struct tpo_buf *problem)
{
  char *text = json_object_size(object) > 0 ? tpo_json_dump(object) : NULL;
  if (!text && json_object_size(object) > 0) return no_memory(path, problem);
  free(*map);
  *map = text;
  return 0;
}

int config_map_read(char **out, const struct tree_node *node, const char *path, struct tpo_buf *problem,
                    int *line)
{
  struct reading in = {.path = path, .problem = problem, .line = node->line};
  *out = NULL;
  *line = node->line;
  if (tree_is_null(node)) return 0;
  if (node->kind != TREE_MAP) {
    tpo_buf_printf(problem, "%s: expected " CONFIG_MAP_TOLD ", not a %s", path,
                   node->kind == TREE_LIST ? "list" : "value");
    return -1;
  }
  json_t *object = read_any(&in, node);
  *line = in.line;
  int status = object ? put(out, object, path, problem) : no_memory(path, problem);
  json_decref(object);
  return status;
}

/* The object that `name`'s last part is set in; *name moves to that part. NULL when memory is short. */
static json_t *reach(json_t *object, const char **name, size_t *len)
{
  const char *dot;
  while (object && (dot = memchr(*name, '.', *len))) {
    size_t n = (size_t)(dot - *name);
    char *part = strndup(*name, n);
    json_t *next = part ? json_object_get(object, part) : NULL;
    if (part && !json_is_object(next)) {
      next = json_object();
      if (json_object_set_new(object, part, next) < 0) next = NULL;
    }
    free(part);
    object = next;
    *len -= n + 1;
    *name = dot + 1;
  }
  return object;
}

int config_map_set(char **map, const char *name, size_t len, const struct tree_node *value, const char *path,
                   struct tpo_buf *problem)
{
  struct reading in = {.path = path, .problem = problem};
  if (len == 0 || name[0] == '.' || name[len - 1] == '.' || memmem(name, len, "..", 2)) {
    tpo_buf_printf(problem, "%s.%.*s: expected a name after each dot", path, (int)(len < 60 ? len : 60),
                   name);
    return -1;
  }
  json_t *root = *map ? tpo_json_parse(*map, strlen(*map), path, NULL) : json_object();
  json_t *within = reach(root, &name, &len), *set = within ? read_any(&in, value) : NULL;
  char *last = set ? strndup(name, len) : NULL;
  int status = last && json_object_set(within, last, set) == 0 ? put(map, root, path, problem)
                                                               : no_memory(path, problem);
  json_decref(set);
  json_decref(root);
  free(last);
  return status;
}

static void append_any(const json_t *value, struct tpo_buf *out)
{
  const char *name, *before = "";
  json_t *item;
  size_t i;
  switch (json_typeof(value)) {
  case JSON_OBJECT:
    tpo_buf_putc(out, '{');
    json_object_foreach((json_t *)value, name, item)
    {
      tpo_buf_puts(out, before);
      config_append_text(name, out);
      tpo_buf_puts(out, ": ");
      append_any(item, out);
      before = ", ";
    }
    tpo_buf_putc(out, '}');
    break;
  case JSON_ARRAY:
    tpo_buf_putc(out, '[');
    json_array_foreach(value, i, item)
    {
      tpo_buf_puts(out, before);
      append_any(item, out);
      before = ", ";
    }
    tpo_buf_putc(out, ']');
    break;
  case JSON_STRING: config_append_quoted(json_string_value(value), out); break;
  case JSON_INTEGER: tpo_buf_printf(out, "%lld", (long long)json_integer_value(value)); break;
  case JSON_REAL: tpo_json_append_double(out, json_real_value(value)); break;
  case JSON_TRUE: tpo_buf_puts(out, "true"); break;
  case JSON_FALSE: tpo_buf_puts(out, "false"); break;
  default: tpo_buf_puts(out, "null");
  }
}

void config_map_append(const char *map, struct tpo_buf *out)
{
  json_t *object = map ? tpo_json_parse(map, strlen(map), "", NULL) : NULL;
  if (object)
    append_any(object, out);
  else
    tpo_buf_puts(out, "null");
  json_decref(object);
}
