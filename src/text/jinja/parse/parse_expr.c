/* Expressions: jinja2's grammar, level by level. */
#include <string.h>
#include "text/jinja/parse/parser.h"

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filters);

static struct jinja_node *binary(struct jinja_parser *p, enum jinja_kind kind, const char *op,
                                 struct jinja_node *a, struct jinja_node *b, int line)
{
  struct jinja_node *node = a && b ? jinja_node_new(p, kind, line) : NULL;
  if (!node) return NULL;
  node->name = op;
  node->a = a;
  node->b = b;
  return node;
}

static struct jinja_node *unary(struct jinja_parser *p, enum jinja_kind kind, const char *op,
                                struct jinja_node *a, int line)
{
  struct jinja_node *node = a ? jinja_node_new(p, kind, line) : NULL;
  if (!node) return NULL;
  node->name = op;
  node->a = a;
  return node;
}

/* A level of binary operators that group to the left. */
static struct jinja_node *left_chain(struct jinja_parser *p, enum jinja_kind kind, const char *const *ops,
                                     struct jinja_node *(*next)(struct jinja_parser *))
{
  int line = jinja_peek(p, 0)->line;
  struct jinja_node *left = next(p);
  for (size_t i = 0; left && ops[i];) {
    bool here = kind == JINJA_ARITHMETIC ? jinja_skip_op(p, ops[i]) : jinja_skip_name(p, ops[i]);
    if (here) left = binary(p, kind, ops[i], left, next(p), line);
    i = here ? 0 : i + 1;
  }
  return left;
}

static struct jinja_node *parse_operand(struct jinja_parser *p)
{
  return parse_unary(p, true);
}

static struct jinja_node *parse_power(struct jinja_parser *p)
{
  static const char *const ops[] = {"**", NULL};
  return left_chain(p, JINJA_ARITHMETIC, ops, parse_operand);
}

static struct jinja_node *parse_product(struct jinja_parser *p)
{
  static const char *const ops[] = {"*", "/", "//", "%", NULL};
  return left_chain(p, JINJA_ARITHMETIC, ops, parse_power);
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
  static const char *const ops[] = {"~", NULL};
  return left_chain(p, JINJA_ARITHMETIC, ops, parse_product);
}

static struct jinja_node *parse_sum(struct jinja_parser *p)
{
  static const char *const ops[] = {"+", "-", NULL};
  return left_chain(p, JINJA_ARITHMETIC, ops, parse_concat);
}

/* Past a comparison's operator; NULL: there is none. */
static const char *comparison_operator(struct jinja_parser *p)
{
  static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">", NULL};
  for (size_t i = 0; ops[i]; i++)
    if (jinja_skip_op(p, ops[i])) return ops[i];
  if (jinja_skip_name(p, "in")) return "in";
  const struct jinja_token *after = jinja_peek(p, 1);
  if (!jinja_at_name(p, "not") || after->kind != JINJA_T_NAME || strcmp(after->text, "in") != 0) return NULL;
  jinja_advance(p);
  jinja_advance(p);
  return "not in";
}

static struct jinja_node *parse_comparison(struct jinja_parser *p)
{
  int line = jinja_peek(p, 0)->line;
  struct jinja_node *first = parse_sum(p), *chain = NULL;
  for (const char *op; first && (op = comparison_operator(p));) {
    if (!chain && !(chain = unary(p, JINJA_COMPARISON, NULL, first, line))) return NULL;
    struct jinja_node *operand = unary(p, JINJA_OPERAND, op, parse_sum(p), line);
    if (!operand || !jinja_nodes_push(p, &chain->items, operand)) return NULL;
  }
  return chain ? chain : first;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
  int line = jinja_peek(p, 0)->line;
  if (!jinja_at_name(p, "not")) return parse_comparison(p);
  if (!jinja_parse_enter(p)) return NULL;
  jinja_advance(p);
  struct jinja_node *node = unary(p, JINJA_NOT, NULL, parse_not(p), line);
  p->nesting--;
  return node;
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
  static const char *const ops[] = {"and", NULL};
  return left_chain(p, JINJA_AND, ops, parse_not);
}

static struct jinja_node *parse_or(struct jinja_parser *p)
{
  static const char *const ops[] = {"or", NULL};
  return left_chain(p, JINJA_OR, ops, parse_and);
}

/* The rest of `value if ...`, whose "if" is past. */
static struct jinja_node *parse_if_rest(struct jinja_parser *p, struct jinja_node *value, int line)
{
  struct jinja_node *node = jinja_node_new(p, JINJA_CONDITIONAL, line);
  if (!node || !(node->b = parse_or(p))) return NULL;
  node->a = value;
  if (jinja_skip_name(p, "else") && !(node->c = jinja_parse_expression(p))) return NULL;
  return node;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p)
{
  int line = jinja_peek(p, 0)->line;
  size_t unknown = p->unknown.n;
  bool soft = p->soft;
  if (!jinja_parse_enter(p)) return NULL;
  struct jinja_node *node = parse_or(p);
  while (node && jinja_skip_name(p, "if")) {
    p->soft = true;
    p->unknown.n = unknown;
    node = parse_if_rest(p, node, line);
  }
  p->soft = soft;
  p->nesting--;
  return node;
}

/* ---- what binds closest ---- */

static struct jinja_node *parse_list(struct jinja_parser *p)
{
  struct jinja_node *list = jinja_node_new(p, JINJA_MAKE_LIST, jinja_peek(p, 0)->line);
  jinja_advance(p);
  while (list && !jinja_at_op(p, "]")) {
    if (list->items.n > 0 && !jinja_expect_op(p, ",")) return NULL;
    if (jinja_at_op(p, "]")) break;
    if (!jinja_nodes_push(p, &list->items, jinja_parse_expression(p))) return NULL;
  }
  return list && jinja_expect_op(p, "]") ? list : NULL;
}

static struct jinja_node *parse_dict(struct jinja_parser *p)
{
  struct jinja_node *dict = jinja_node_new(p, JINJA_MAKE_DICT, jinja_peek(p, 0)->line);
  jinja_advance(p);
  while (dict && !jinja_at_op(p, "}")) {
    if (dict->items.n > 0 && !jinja_expect_op(p, ",")) return NULL;
    if (jinja_at_op(p, "}")) break;
    if (!jinja_nodes_push(p, &dict->items, jinja_parse_expression(p)) || !jinja_expect_op(p, ":") ||
        !jinja_nodes_push(p, &dict->items, jinja_parse_expression(p)))
      return NULL;
  }
  return dict && jinja_expect_op(p, "}") ? dict : NULL;
}

/* A constant's name gives its value. */
static bool constant(const char *name, struct jinja_value *out)
{
  bool truth = strcmp(name, "true") == 0 || strcmp(name, "True") == 0;
  if (truth || strcmp(name, "false") == 0 || strcmp(name, "False") == 0)
    *out = jinja_bool(truth);
  else if (strcmp(name, "none") == 0 || strcmp(name, "None") == 0)
    *out = jinja_none();
  else
    return false;
  return true;
}

static struct jinja_node *parse_name(struct jinja_parser *p, bool namespaces)
{
  struct jinja_value value;
  const struct jinja_token *token = jinja_peek(p, 0);
  jinja_advance(p);
  bool literal = constant(token->text, &value);
  struct jinja_node *node = jinja_node_new(p, literal ? JINJA_LITERAL : JINJA_NAME, token->line);
  if (!node) return NULL;
  if (literal) {
    node->value = value;
    return node;
  }
  node->name = token->text;
  if (!namespaces || !jinja_skip_op(p, ".")) return node;
  const char *attribute = jinja_expect_name(p);
  if (!attribute) return NULL;
  jinja_note_use(p, token->text, false);
  return unary(p, JINJA_ATTRIBUTE, attribute, node, token->line);
}

/* Strings that follow each other are one. */
static struct jinja_node *parse_strings(struct jinja_parser *p)
{
  const struct jinja_token *first = jinja_peek(p, 0);
  struct jinja_node *node = jinja_node_new(p, JINJA_LITERAL, first->line);
  if (!node || !jinja_parse_string(p, first->text, first->len, first->line, &node->value)) return NULL;
  size_t n = 1;
  while (jinja_peek(p, n)->kind == JINJA_T_STRING) n++;
  struct jinja_builder whole = {.run = &p->run};
  for (size_t i = 0; n > 1 && i < n; i++) {
    struct jinja_value piece;
    const struct jinja_token *token = jinja_peek(p, i);
    if (!jinja_parse_string(p, token->text, token->len, token->line, &piece)) return NULL;
    jinja_build_slice(&whole, piece.string, 0, piece.string->len);
  }
  for (size_t i = 0; i < n; i++) jinja_advance(p);
  int status = n > 1 ? jinja_build_end(&whole, &node->value) : TPO_OK;
  return status < 0 ? NULL : node;
}

static struct jinja_node *parse_number(struct jinja_parser *p)
{
  const struct jinja_token *token = jinja_peek(p, 0);
  struct jinja_node *node = jinja_node_new(p, JINJA_LITERAL, token->line);
  jinja_advance(p);
  if (!node) return NULL;
  node->value = jinja_int(token->integer);
  if (token->kind == JINJA_T_FLOAT)
    node->value = (struct jinja_value){.type = JINJA_FLOAT, .real = token->real};
  return node;
}

static struct jinja_node *parse_primary(struct jinja_parser *p, bool target, bool namespaces)
{
  const struct jinja_token *token = jinja_peek(p, 0);
  struct jinja_node *node;
  switch (token->kind) {
  case JINJA_T_NAME:
    node = parse_name(p, namespaces);
    if (node && node->kind == JINJA_NAME && !target) jinja_note_use(p, node->name, false);
    return node;
  case JINJA_T_STRING: return parse_strings(p);
  case JINJA_T_INTEGER:
  case JINJA_T_FLOAT: return parse_number(p);
  default: break;
  }
  if (jinja_at_op(p, "[")) return parse_list(p);
  if (jinja_at_op(p, "{")) return parse_dict(p);
  if (!jinja_skip_op(p, "(")) return jinja_parse_expected(p, "an expression");
  node = jinja_parse_tuple(p, JINJA_TUPLE_BRACKETS, NULL);
  return node && jinja_expect_op(p, ")") ? node : NULL;
}

/* ---- subscripts, calls, filters, tests ---- */

static bool subscript_ends(const struct jinja_parser *p)
{
  return jinja_at_op(p, "]") || jinja_at_op(p, ",");
}

/* An index, or a SLICE without the object, between the brackets. */
static struct jinja_node *parse_index(struct jinja_parser *p)
{
  int line = jinja_peek(p, 0)->line;
  struct jinja_node *begin = NULL, *slice;
  if (!jinja_at_op(p, ":") && !(begin = jinja_parse_expression(p))) return NULL;
  if (!jinja_skip_op(p, ":")) return begin;
  if (!(slice = jinja_node_new(p, JINJA_SLICE, line))) return NULL;
  slice->b = begin;
  if (!jinja_at_op(p, ":") && !subscript_ends(p) && !(slice->c = jinja_parse_expression(p))) return NULL;
  if (jinja_skip_op(p, ":") && !subscript_ends(p) && !(slice->d = jinja_parse_expression(p))) return NULL;
  return slice;
}

static struct jinja_node *parse_brackets(struct jinja_parser *p, struct jinja_node *object)
{
  int line = jinja_peek(p, 0)->line;
  bool slices = false;
  struct jinja_node *all = jinja_node_new(p, JINJA_MAKE_TUPLE, line);
  jinja_advance(p);
  while (all && !jinja_at_op(p, "]")) {
    if (all->items.n > 0 && !jinja_expect_op(p, ",")) return NULL;
    struct jinja_node *index = parse_index(p);
    if (!index || !jinja_nodes_push(p, &all->items, index)) return NULL;
    slices |= index->kind == JINJA_SLICE && !index->a; /* an index may be a slice of something */
  }
  if (!all || !jinja_expect_op(p, "]")) return NULL;
  if (all->items.n == 1 && slices) {
    all->items.items[0]->a = object;
    return all->items.items[0];
  }
  if (slices)
    return jinja_parse_failed(
        jinja_fail(&p->run, TPO_E_UNSUPPORTED, "a slice among other indices is not supported"));
  return binary(p, JINJA_ITEM, NULL, object, all->items.n == 1 ? all->items.items[0] : all, line);
}

static struct jinja_node *parse_dot(struct jinja_parser *p, struct jinja_node *object)
{
  jinja_advance(p);
  const struct jinja_token *token = jinja_peek(p, 0);
  if (token->kind == JINJA_T_INTEGER)
    return binary(p, JINJA_ITEM, NULL, object, parse_number(p), token->line);
  const char *name = token->kind == JINJA_T_NAME ? token->text : NULL;
  if (!name) return jinja_parse_expected(p, "a name or a number");
  jinja_advance(p);
  return unary(p, JINJA_ATTRIBUTE, name, object, token->line);
}

/* Whether an argument may stand after those before it. */
static bool argument_fits(const struct jinja_node *node, const struct jinja_argument *next)
{
  for (size_t i = 0; i < node->n_arguments; i++) {
    const struct jinja_argument *before = &node->arguments[i];
    if (before->stars == 2 || (before->stars == 1 && !next->name && next->stars < 2)) return false;
    if (before->name && !next->name && next->stars == 0) return false;
    if (before->name && next->name && strcmp(before->name, next->name) == 0) return false;
  }
  return true;
}

static bool add_argument(struct jinja_parser *p, struct jinja_node *node, size_t *capacity,
                         const struct jinja_argument *argument)
{
  if (!argument->value) return false;
  if (node->n_arguments == JINJA_CALL_MAX) {
    jinja_fail(&p->run, TPO_E_UNSUPPORTED, "more than %d arguments of a call are not supported",
               JINJA_CALL_MAX);
    return false;
  }
  if (!argument_fits(node, argument)) {
    jinja_fail(&p->run, TPO_E_INPUT, "arguments of a call are out of order or doubled");
    return false;
  }
  if (node->n_arguments == *capacity) {
    *capacity = *capacity ? 2 * *capacity : 4;
    struct jinja_argument *grown = jinja_alloc(&p->run, *capacity * sizeof *grown);
    if (!grown) return false;
    if (node->n_arguments > 0) memcpy(grown, node->arguments, node->n_arguments * sizeof *grown);
    node->arguments = grown;
  }
  node->arguments[node->n_arguments++] = *argument;
  return true;
}

/* From "(" to ")". */
static bool parse_arguments(struct jinja_parser *p, struct jinja_node *node)
{
  size_t capacity = 0;
  jinja_advance(p);
  while (!jinja_at_op(p, ")")) {
    struct jinja_argument argument = {0};
    if (node->n_arguments > 0 && !jinja_expect_op(p, ",")) return false;
    if (node->n_arguments > 0 && jinja_at_op(p, ")")) break;
    const struct jinja_token *token = jinja_peek(p, 0), *after = jinja_peek(p, 1);
    if (jinja_skip_op(p, "**")) {
      argument.stars = 2;
    } else if (jinja_skip_op(p, "*")) {
      argument.stars = 1;
    } else if (token->kind == JINJA_T_NAME && after->kind == JINJA_T_OPERATOR &&
               strcmp(after->text, "=") == 0) {
      argument.name = token->text;
      jinja_advance(p);
      jinja_advance(p);
    }
    argument.value = jinja_parse_expression(p);
    if (!add_argument(p, node, &capacity, &argument)) return false;
  }
  return jinja_expect_op(p, ")");
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *callee)
{
  struct jinja_node *call = unary(p, JINJA_CALL, NULL, callee, jinja_peek(p, 0)->line);
  return call && parse_arguments(p, call) ? call : NULL;
}

/* A name that may have dots in it; NULL: failed. */
static const char *parse_dotted_name(struct jinja_parser *p)
{
  const char *name = jinja_expect_name(p), *more;
  while (name && jinja_skip_op(p, ".")) {
    if (!(more = jinja_expect_name(p))) return NULL;
    size_t len = strlen(name), more_len = strlen(more);
    char *whole = jinja_alloc(&p->run, len + more_len + 2);
    if (!whole) return NULL;
    memcpy(whole, name, len);
    whole[len] = '.';
    memcpy(whole + len + 1, more, more_len + 1);
    name = whole;
  }
  return name;
}

/* A filter or test whose name stands here, and what it is. */
static bool parse_function_name(struct jinja_parser *p, struct jinja_node *node)
{
  node->name = parse_dotted_name(p);
  if (!node->name) return false;
  node->function = node->kind == JINJA_FILTER ? jinja_find_filter(node->name) : jinja_find_test(node->name);
  return node->function || p->soft || jinja_nodes_push(p, &p->unknown, node);
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *node, bool first)
{
  while (first || jinja_skip_op(p, "|")) {
    struct jinja_node *filter = jinja_node_new(p, JINJA_FILTER, jinja_peek(p, 0)->line);
    first = false;
    if (!filter || !parse_function_name(p, filter)) return NULL;
    filter->a = node;
    if (jinja_at_op(p, "(") && !parse_arguments(p, filter)) return NULL;
    node = filter;
  }
  return node;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *node)
{
  while (node) {
    if (jinja_at_op(p, "."))
      node = parse_dot(p, node);
    else if (jinja_at_op(p, "["))
      node = parse_brackets(p, node);
    else if (jinja_at_op(p, "("))
      node = parse_call(p, node);
    else
      break;
  }
  return node;
}

/* Whether a test's one argument stands here without parentheses. */
static bool bare_argument(const struct jinja_parser *p)
{
  switch (jinja_peek(p, 0)->kind) {
  case JINJA_T_NAME: return !jinja_at_name(p, "else") && !jinja_at_name(p, "or") && !jinja_at_name(p, "and");
  case JINJA_T_STRING:
  case JINJA_T_INTEGER:
  case JINJA_T_FLOAT: return true;
  default: return jinja_at_op(p, "[") || jinja_at_op(p, "{");
  }
}

/* Behind "is". */
static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *value)
{
  int line = jinja_peek(p, 0)->line;
  bool negated = jinja_skip_name(p, "not");
  struct jinja_node *test = unary(p, JINJA_TEST, NULL, value, line);
  if (!test || !parse_function_name(p, test)) return NULL;
  if (jinja_at_op(p, "(")) {
    if (!parse_arguments(p, test)) return NULL;
  } else if (bare_argument(p)) {
    if (jinja_at_name(p, "is"))
      return jinja_parse_failed(jinja_fail(&p->run, TPO_E_INPUT, "tests can't be chained with \"is\""));
    size_t capacity = 0;
    struct jinja_argument argument = {.value = parse_postfix(p, parse_primary(p, false, false))};
    if (!add_argument(p, test, &capacity, &argument)) return NULL;
  }
  return negated ? unary(p, JINJA_NOT, NULL, test, line) : test;
}

static struct jinja_node *parse_filters_and_tests(struct jinja_parser *p, struct jinja_node *node)
{
  while (node) {
    if (jinja_at_op(p, "|"))
      node = jinja_parse_filters(p, node, false);
    else if (jinja_skip_name(p, "is"))
      node = parse_test(p, node);
    else if (jinja_at_op(p, "("))
      node = parse_call(p, node);
    else
      break;
  }
  return node;
}

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filters)
{
  int line = jinja_peek(p, 0)->line;
  struct jinja_node *node;
  if (!jinja_parse_enter(p)) return NULL;
  const char *sign = jinja_skip_op(p, "-") ? "-" : jinja_skip_op(p, "+") ? "+" : NULL;
  if (sign)
    node = unary(p, JINJA_NEGATE, sign, parse_unary(p, false), line);
  else
    node = parse_primary(p, false, false);
  node = parse_postfix(p, node);
  if (with_filters) node = parse_filters_and_tests(p, node);
  p->nesting--;
  return node;
}

/* ---- tuples ---- */

static bool tuple_ends(const struct jinja_parser *p, const char *end)
{
  enum jinja_token_kind kind = jinja_peek(p, 0)->kind;
  return kind == JINJA_T_OUTPUT_END || kind == JINJA_T_BLOCK_END || jinja_at_op(p, ")") ||
         (end && jinja_at_name(p, end));
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, unsigned flags, const char *end)
{
  struct jinja_node *tuple = jinja_node_new(p, JINJA_MAKE_TUPLE, jinja_peek(p, 0)->line), *item;
  bool is_tuple = false;
  while (tuple) {
    if (tuple->items.n > 0 && !jinja_expect_op(p, ",")) return NULL;
    if (tuple_ends(p, end)) break;
    if (flags & JINJA_TUPLE_SIMPLE)
      item = parse_primary(p, true, flags & JINJA_TUPLE_NAMESPACES);
    else
      item = flags & JINJA_TUPLE_NO_IF ? parse_or(p) : jinja_parse_expression(p);
    if (!item || !jinja_nodes_push(p, &tuple->items, item)) return NULL;
    if (!jinja_at_op(p, ",")) break;
    is_tuple = true;
  }
  if (!tuple || is_tuple) return tuple;
  if (tuple->items.n > 0) return tuple->items.items[0];
  return flags & JINJA_TUPLE_BRACKETS ? tuple : jinja_parse_expected(p, "an expression");
}
