/* Builds the tree from libyaml's events, and refuses what configurations have no use for. */
#include <string.h>
#include <yaml.h>
#include "base/utf8.h"
#include "config/tree.h"

/* A configuration is a few kilobytes and three levels deep; more than this is no configuration. */
enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 8 };

struct reader {
  yaml_parser_t yaml;
  struct tpo_arena *arena;
  const char *text; /* the whole input */
  size_t len;
  const char *place;
  struct config_report *report;
};

static int line_at(const char *text, size_t offset)
{
  int line = 1;
  for (size_t i = 0; i < offset; i++) line += text[i] == '\n';
  return line;
}

static int next_event(struct reader *in, yaml_event_t *event)
{
  if (yaml_parser_parse(&in->yaml, event)) return 0;
  const yaml_parser_t *yaml = &in->yaml;
  if (yaml->error == YAML_MEMORY_ERROR) {
    config_problem(in->report, TPO_E_MEMORY, in->place, 0, "out of memory while reading YAML");
  } else if (yaml->error == YAML_READER_ERROR) {
    size_t offset = yaml->problem_offset < in->len ? yaml->problem_offset : in->len;
    config_problem(in->report, TPO_E_USAGE, in->place, line_at(in->text, offset),
                   "a character that YAML does not allow (%s)", yaml->problem ? yaml->problem : "unreadable");
  } else {
    config_problem(in->report, TPO_E_USAGE, in->place, (int)yaml->problem_mark.line + 1,
                   "not valid YAML: %s%s%s", yaml->context ? yaml->context : "", yaml->context ? ", " : "",
                   yaml->problem ? yaml->problem : "unreadable");
  }
  return -1;
}

static int refuse(struct reader *in, const yaml_event_t *event, const char *what)
{
  config_problem(in->report, TPO_E_USAGE, in->place, (int)event->start_mark.line + 1, "%s", what);
  return -1;
}

/* Anchors and tags can hide what a value is, and aliases can make a small file huge. */
static int refuse_extras(struct reader *in, const yaml_event_t *event)
{
  const yaml_char_t *anchor = NULL, *tag = NULL;
  switch (event->type) {
  case YAML_ALIAS_EVENT:
    return refuse(in, event, "YAML aliases (*name) are not used here; write the value out");
  case YAML_SCALAR_EVENT: anchor = event->data.scalar.anchor, tag = event->data.scalar.tag; break;
  case YAML_SEQUENCE_START_EVENT:
    anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    break;
  case YAML_MAPPING_START_EVENT:
    anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    break;
  default: break;
  }
  if (anchor) return refuse(in, event, "YAML anchors (&name) are not used here");
  if (tag) return refuse(in, event, "YAML tags (!name) are not used here");
  return 0;
}

static int read_node(struct reader *in, yaml_event_t *event, int depth, struct tree_node **out);

/* Items of a list or keys and values of a map, up to its end. */
static int read_children(struct reader *in, struct tree_node *parent, int depth)
{
  struct tree_node **tail = &parent->first;
  for (;;) {
    yaml_event_t event;
    if (next_event(in, &event) < 0) return -1;
    if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
      yaml_event_delete(&event);
      return 0;
    }
    int status = 0;
    if (parent->kind == TREE_MAP && event.type != YAML_SCALAR_EVENT)
      status = refuse(in, &event, "a key must be a name, not a list or a mapping");
    if (status == 0) status = read_node(in, &event, depth, tail);
    yaml_event_delete(&event);
    if (status == 0 && parent->kind == TREE_MAP) {
      if (next_event(in, &event) < 0) return -1;
      status = read_node(in, &event, depth, &(*tail)->value);
      yaml_event_delete(&event);
    }
    if (status < 0) return status;
    tail = &(*tail)->next;
  }
}

static int read_scalar(struct reader *in, const yaml_event_t *event, struct tree_node *node)
{
  node->kind = TREE_SCALAR;
  node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  node->len = event->data.scalar.length;
  if (node->len > 0 && memchr(event->data.scalar.value, 0, node->len))
    return refuse(in, event, "text must not hold a NUL byte");
  node->text = tpo_arena_memdup(in->arena, event->data.scalar.value, node->len);
  return node->text ? 0 : refuse(in, event, "out of memory while reading YAML");
}

static int read_node(struct reader *in, yaml_event_t *event, int depth, struct tree_node **out)
{
  if (refuse_extras(in, event) < 0) return -1;
  if (depth > MAX_DEPTH) return refuse(in, event, "nested too deeply");
  struct tree_node *node = tpo_arena_alloc(in->arena, sizeof *node);
  if (!node) return refuse(in, event, "out of memory while reading YAML");
  *out = node;
  node->line = (int)event->start_mark.line + 1;
  if (event->type == YAML_SCALAR_EVENT) return read_scalar(in, event, node);
  node->kind = event->type == YAML_MAPPING_START_EVENT ? TREE_MAP : TREE_LIST;
  return read_children(in, node, depth + 1);
}

static int read_document(struct reader *in, struct tree_node **root)
{
  yaml_event_t event;
  for (;;) { /* stream start, document start */
    if (next_event(in, &event) < 0) return -1;
    yaml_event_type_t type = event.type;
    if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT) break;
    yaml_event_delete(&event);
  }
  if (event.type == YAML_STREAM_END_EVENT) {
    yaml_event_delete(&event);
    return 0;
  }
  int status = read_node(in, &event, 0, root);
  yaml_event_delete(&event);
  if (status < 0) return status;
  if (next_event(in, &event) < 0) return -1; /* document end */
  yaml_event_delete(&event);
  if (next_event(in, &event) < 0) return -1;
  if (event.type != YAML_STREAM_END_EVENT)
    status = refuse(in, &event, "a second YAML document; only one is expected");
  yaml_event_delete(&event);
  return status;
}

int tree_parse(struct tree_node **root, struct tpo_arena *arena, const char *text, size_t len,
               const char *place, struct config_report *report)
{
  *root = NULL;
  size_t bad;
  if (len > MAX_BYTES) {
    config_problem(report, TPO_E_USAGE, place, 0, "%zu bytes are too many for a configuration (at most %d)",
                   len, MAX_BYTES);
    return -1;
  }
  if (!tpo_utf8_valid(text, len, &bad)) {
    config_problem(report, TPO_E_USAGE, place, line_at(text, bad), "not UTF-8 (byte 0x%02x)",
                   (unsigned char)text[bad]);
    return -1;
  }
  struct reader in = {.arena = arena, .text = text, .len = len, .place = place, .report = report};
  if (!yaml_parser_initialize(&in.yaml)) {
    config_problem(report, TPO_E_MEMORY, place, 0, "out of memory while reading YAML");
    return -1;
  }
  yaml_parser_set_encoding(&in.yaml, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&in.yaml, (const unsigned char *)text, len);
  int status = read_document(&in, root);
  yaml_parser_delete(&in.yaml);
  if (status < 0) *root = NULL;
  return status;
}

bool tree_is_null(const struct tree_node *node)
{
  if (node->kind != TREE_SCALAR || !node->plain) return false;
  return node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0;
}

struct config_value tree_value(const struct tree_node *scalar)
{
  return (struct config_value){
      .text = scalar->text, .len = scalar->len, .plain = scalar->plain, .missing = tree_is_null(scalar)};
}
