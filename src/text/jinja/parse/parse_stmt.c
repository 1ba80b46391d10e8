/* Statements: jinja2's tags with those of transformers' extensions (break, continue, generation). */
#include <stdio.h>
#include <string.h>
#include "text/jinja/parse/parser.h"

/* What holds inside a body and no longer behind it. */
struct surroundings {
  bool breakable, soft;
};

static struct surroundings enter_scope(struct jinja_parser *p, bool breakable)
{
  struct surroundings before = {p->breakable, p->soft};
  p->breakable = breakable;
  p->soft = false;
  return before;
}

static void leave_scope(struct jinja_parser *p, struct surroundings before)
{
  p->breakable = before.breakable;
  p->soft = before.soft;
}

static bool expect_block_end(struct jinja_parser *p)
{
  bool here = jinja_peek(p, 0)->kind == JINJA_T_BLOCK_END;
  if (here)
    jinja_advance(p);
  else
    jinja_parse_expected(p, "\"%}\"");
  return here;
}

/* The body of a statement whose tag ends here; stops at the name of the tag that ends the body. */
static bool parse_block(struct jinja_parser *p, struct jinja_nodes *out, const char *const *ends)
{
  jinja_skip_op(p, ":"); /* as Python has it */
  return expect_block_end(p) && jinja_parse_body(p, out, ends);
}

static bool parse_block_to(struct jinja_parser *p, struct jinja_nodes *out, const char *end)
{
  const char *const ends[] = {end, NULL};
  if (!parse_block(p, out, ends)) return false;
  jinja_advance(p);
  return true;
}

/* ---- targets ---- */

/* Whether node can be assigned to; its names are noted as stored. */
static bool check_target(struct jinja_parser *p, const struct jinja_node *node)
{
  switch (node->kind) {
  case JINJA_NAME:
    jinja_note_use(p, node->name, true);
    if (p->loops == 0 || strcmp(node->name, "loop") != 0) return true;
    jinja_fail(&p->run, TPO_E_INPUT, "\"loop\" can't be assigned to in a for loop");
    return false;
  case JINJA_ATTRIBUTE:
    if (node->a->kind == JINJA_NAME) return true;
    break;
  case JINJA_MAKE_TUPLE:
    for (size_t i = 0; i < node->items.n; i++)
      if (!check_target(p, node->items.items[i])) return false;
    return true;
  default: break;
  }
  jinja_fail(&p->run, TPO_E_INPUT, "expected a name or names to assign to");
  return false;
}

static bool has_attributes(const struct jinja_node *node)
{
  bool found = node->kind == JINJA_ATTRIBUTE;
  for (size_t i = 0; i < node->items.n; i++) found |= has_attributes(node->items.items[i]);
  return found;
}

static struct jinja_node *parse_target(struct jinja_parser *p, bool namespaces, const char *end)
{
  unsigned flags = JINJA_TUPLE_SIMPLE | (namespaces ? JINJA_TUPLE_NAMESPACES : 0);
  struct jinja_node *target = jinja_parse_tuple(p, flags, end);
  if (!target) return NULL;
  if (!namespaces && has_attributes(target)) return jinja_parse_expected(p, "names to assign to");
  return check_target(p, target) ? target : NULL;
}

static const char *parse_target_name(struct jinja_parser *p)
{
  static const char *const constants[] = {"true", "True", "false", "False", "none", "None"};
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
    if (jinja_at_name(p, constants[i])) return jinja_parse_expected(p, "a name to assign to");
  return jinja_expect_name(p);
}

/* ---- the statements; each begins behind its tag's name and ends before its "%}" ---- */

static bool parse_for_body(struct jinja_parser *p, struct jinja_node *node)
{
  static const char *const ends[] = {"endfor", "else", NULL};
  struct surroundings before = enter_scope(p, true);
  if (!parse_block(p, &node->body, ends)) return false;
  leave_scope(p, before);
  if (jinja_skip_name(p, "endfor")) return true;
  jinja_advance(p);
  before = enter_scope(p, before.breakable && !node->truth);
  if (!parse_block_to(p, &node->otherwise, "endfor")) return false;
  leave_scope(p, before);
  return true;
}

static struct jinja_node *parse_for(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_FOR, line);
  p->loops++;
  if (!node || !(node->a = parse_target(p, false, "in"))) return NULL;
  if (!jinja_skip_name(p, "in")) return jinja_parse_expected(p, "\"in\"");
  if (!(node->b = jinja_parse_tuple(p, JINJA_TUPLE_NO_IF, "recursive"))) return NULL;
  if (jinja_skip_name(p, "if")) {
    struct surroundings before = enter_scope(p, p->breakable);
    if (!(node->c = jinja_parse_expression(p))) return NULL;
    leave_scope(p, before);
  }
  node->truth = jinja_skip_name(p, "recursive");
  if (!parse_for_body(p, node)) return NULL;
  p->loops--;
  return node;
}

static struct jinja_node *parse_if(struct jinja_parser *p, int line)
{
  static const char *const ends[] = {"endif", "elif", "else", NULL};
  struct jinja_node *first = jinja_node_new(p, JINJA_IF, line), *node = first;
  bool soft = p->soft;
  p->soft = true;
  while (node) {
    if (!(node->a = jinja_parse_tuple(p, JINJA_TUPLE_NO_IF, NULL)) || !parse_block(p, &node->body, ends))
      return NULL;
    if (jinja_skip_name(p, "endif")) break;
    if (jinja_skip_name(p, "else")) {
      if (!parse_block_to(p, &node->otherwise, "endif")) return NULL;
      break;
    }
    jinja_advance(p);
    struct jinja_node *next = jinja_node_new(p, JINJA_IF, jinja_peek(p, 0)->line);
    if (!jinja_nodes_push(p, &node->otherwise, next)) return NULL;
    node = next;
  }
  p->soft = soft;
  return node ? first : NULL;
}

static struct jinja_node *parse_set(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_SET, line);
  if (!node || !(node->a = parse_target(p, true, NULL))) return NULL;
  if (jinja_skip_op(p, "=")) return (node->b = jinja_parse_tuple(p, 0, NULL)) ? node : NULL;
  node->kind = JINJA_SET_BLOCK;
  struct surroundings before = enter_scope(p, p->breakable);
  if (jinja_at_op(p, "|") && !(node->b = jinja_parse_filters(p, NULL, false))) return NULL;
  if (!parse_block_to(p, &node->body, "endset")) return NULL;
  leave_scope(p, before);
  return node;
}

static bool parameter_exists(const struct jinja_node *node, const char *name)
{
  for (size_t i = 0; i < node->items.n; i++)
    if (strcmp(node->items.items[i]->name, name) == 0) return true;
  return false;
}

/* "(a, b=1)" as node's items. */
static bool parse_parameters(struct jinja_parser *p, struct jinja_node *node)
{
  bool defaults = false;
  if (!jinja_expect_op(p, "(")) return false;
  while (!jinja_at_op(p, ")")) {
    if (node->items.n > 0 && !jinja_expect_op(p, ",")) return false;
    struct jinja_node *parameter = jinja_node_new(p, JINJA_NAME, jinja_peek(p, 0)->line);
    if (!parameter || !(parameter->name = parse_target_name(p))) return false;
    jinja_note_use(p, parameter->name, true);
    const char *wrong = node->items.n == JINJA_CALL_MAX ? "too many of them stand before it" : NULL;
    if (parameter_exists(node, parameter->name)) wrong = "a parameter of this name stands before it";
    if (jinja_skip_op(p, "=")) {
      defaults = true;
      if (!(parameter->a = jinja_parse_expression(p))) return false;
    } else if (defaults) {
      wrong = "it has no default, but one before it has";
    }
    if (wrong) {
      jinja_fail(&p->run, TPO_E_INPUT, "parameter \"%.80s\": %s", parameter->name, wrong);
      return false;
    }
    if (!jinja_nodes_push(p, &node->items, parameter)) return false;
  }
  return jinja_expect_op(p, ")");
}

/* The body of a macro or a call block, and what it reads. */
static struct jinja_node *parse_macro_body(struct jinja_parser *p, struct jinja_node *node, const char *end)
{
  struct jinja_reading reading = {.outer = p->reading};
  struct surroundings before = enter_scope(p, false);
  p->reading = &reading;
  if (!parse_block_to(p, &node->body, end)) return NULL;
  p->reading = reading.outer;
  leave_scope(p, before);
  node->uses = reading.uses;
  for (size_t i = 0; i < node->items.n; i++)
    if (node->uses & JINJA_USES_CALLER && strcmp(node->items.items[i]->name, "caller") == 0 &&
        !node->items.items[i]->a)
      return jinja_parse_failed(
          jinja_fail(&p->run, TPO_E_INPUT, "the parameter \"caller\" must have a default or go"));
  return node;
}

static struct jinja_node *parse_macro(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_MACRO, line);
  if (!node || !(node->name = parse_target_name(p))) return NULL;
  struct surroundings before = enter_scope(p, false);
  if (!parse_parameters(p, node)) return NULL;
  leave_scope(p, before);
  return parse_macro_body(p, node, "endmacro");
}

static struct jinja_node *parse_call_block(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_CALL_BLOCK, line);
  if (!node || (jinja_at_op(p, "(") && !parse_parameters(p, node))) return NULL;
  if (!(node->a = jinja_parse_expression(p))) return NULL;
  if (node->a->kind != JINJA_CALL) return jinja_parse_expected(p, "a call");
  return parse_macro_body(p, node, "endcall");
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_FILTER_BLOCK, line);
  struct surroundings before = enter_scope(p, p->breakable);
  if (!node || !(node->a = jinja_parse_filters(p, NULL, true)) ||
      !parse_block_to(p, &node->body, "endfilter"))
    return NULL;
  leave_scope(p, before);
  return node;
}

static struct jinja_node *parse_with(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_WITH, line);
  while (node && jinja_peek(p, 0)->kind != JINJA_T_BLOCK_END) {
    if (node->items.n > 0 && !jinja_expect_op(p, ",")) return NULL;
    if (!jinja_nodes_push(p, &node->items, parse_target(p, false, NULL)) || !jinja_expect_op(p, "=") ||
        !jinja_nodes_push(p, &node->items, jinja_parse_expression(p)))
      return NULL;
  }
  struct surroundings before = enter_scope(p, p->breakable);
  if (!node || !parse_block_to(p, &node->body, "endwith")) return NULL;
  leave_scope(p, before);
  return node;
}

static struct jinja_node *parse_generation(struct jinja_parser *p, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_SCOPE, line);
  struct surroundings before = enter_scope(p, false);
  if (!node || !parse_block_to(p, &node->body, "endgeneration")) return NULL;
  leave_scope(p, before);
  return node;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, enum jinja_kind kind, int line)
{
  if (p->breakable) return jinja_node_new(p, kind, line);
  return jinja_parse_failed(jinja_fail(&p->run, TPO_E_INPUT, "\"%s\" outside of a for loop",
                                       kind == JINJA_BREAK ? "break" : "continue"));
}

static struct jinja_node *parse_break(struct jinja_parser *p, int line)
{
  return parse_jump(p, JINJA_BREAK, line);
}

static struct jinja_node *parse_continue(struct jinja_parser *p, int line)
{
  return parse_jump(p, JINJA_CONTINUE, line);
}

static struct jinja_node *output(struct jinja_parser *p, struct jinja_node *expression, int line)
{
  struct jinja_node *node = expression ? jinja_node_new(p, JINJA_OUTPUT, line) : NULL;
  if (node) node->a = expression;
  return node;
}

/* {% print a, b %} */
static bool parse_print(struct jinja_parser *p, struct jinja_nodes *out, int line)
{
  for (bool first = true; jinja_peek(p, 0)->kind != JINJA_T_BLOCK_END; first = false) {
    if (!first && !jinja_expect_op(p, ",")) return false;
    if (!jinja_nodes_push(p, out, output(p, jinja_parse_expression(p), line))) return false;
  }
  return true;
}

static const struct {
  const char *name;
  struct jinja_node *(*parse)(struct jinja_parser *, int line);
} statements[] = {{"if", parse_if},           {"for", parse_for},
                  {"set", parse_set},         {"macro", parse_macro},
                  {"call", parse_call_block}, {"filter", parse_filter_block},
                  {"with", parse_with},       {"generation", parse_generation},
                  {"break", parse_break},     {"continue", parse_continue}};

static bool unknown_tag(struct jinja_parser *p, const char *name, const char *const *ends)
{
  static const char *const others[] = {"include",    "import", "from",  "extends",   "block",
                                       "autoescape", "do",     "trans", "pluralize", "debug"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strcmp(name, others[i]) == 0) {
      jinja_fail(&p->run, TPO_E_UNSUPPORTED, "the tag \"%s\" is not supported", name);
      return false;
    }
  jinja_fail(&p->run, TPO_E_INPUT, "unknown tag \"%.80s\"%s%s%s", name, ends ? ", expected \"" : "",
             ends ? ends[0] : "", ends ? "\"" : "");
  return false;
}

/* From the tag's name to before its end. */
static bool parse_statement(struct jinja_parser *p, struct jinja_nodes *out, const char *const *ends)
{
  int line = jinja_peek(p, 0)->line;
  const struct jinja_token *token = jinja_peek(p, 0);
  if (token->kind != JINJA_T_NAME) return jinja_parse_expected(p, "a tag's name") != NULL;
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
    if (jinja_skip_name(p, statements[i].name)) return jinja_nodes_push(p, out, statements[i].parse(p, line));
  return jinja_skip_name(p, "print") ? parse_print(p, out, line) : unknown_tag(p, token->text, ends);
}

static bool ends_here(const struct jinja_parser *p, const char *const *ends)
{
  for (size_t i = 0; ends && ends[i]; i++)
    if (jinja_at_name(p, ends[i])) return true;
  return false;
}

/* A text, an output or a statement, whose first token is past; the end of the body is none. */
static bool parse_piece(struct jinja_parser *p, const struct jinja_token *token, struct jinja_nodes *out,
                        const char *const *ends)
{
  if (token->kind == JINJA_T_ERROR) return jinja_parse_expected(p, "text or a tag") != NULL;
  if (token->kind == JINJA_T_BLOCK_BEGIN) return parse_statement(p, out, ends) && expect_block_end(p);
  if (token->kind == JINJA_T_TEXT) {
    struct jinja_node *text = jinja_node_new(p, JINJA_TEXT, token->line);
    return text && jinja_parse_string(p, token->text, token->len, token->line, &text->value) &&
           jinja_nodes_push(p, out, text);
  }
  if (!jinja_nodes_push(p, out, output(p, jinja_parse_tuple(p, 0, NULL), token->line))) return false;
  if (jinja_peek(p, 0)->kind != JINJA_T_OUTPUT_END) return jinja_parse_expected(p, "\"}}\"") != NULL;
  jinja_advance(p);
  return true;
}

bool jinja_parse_body(struct jinja_parser *p, struct jinja_nodes *out, const char *const *ends)
{
  char what[40];
  if (!jinja_parse_enter(p)) return false;
  while (jinja_peek(p, 0)->kind != JINJA_T_END) {
    const struct jinja_token *token = jinja_peek(p, 0);
    jinja_advance(p);
    if (token->kind == JINJA_T_BLOCK_BEGIN && ends_here(p, ends)) {
      p->nesting--;
      return true;
    }
    if (!parse_piece(p, token, out, ends)) return false;
  }
  p->nesting--;
  if (!ends) return true;
  snprintf(what, sizeof what, "\"%s\"", ends[0]);
  return jinja_parse_expected(p, what) != NULL;
}
