/* Reads, checks and prints maps of verdicts. */
#include "config/verdicts.h"

#include <stdlib.h>
#include <string.h>
#include "base/json.h"

/* Of Arena-Hard, https://github.com/lmarena/arena-hard-auto: its pattern, and its weight of a strong
 * verdict. */
static const struct tpo_verdict_label arena_hard[] = {{(char *)"A>>B", TPO_VERDICT_A, 3},
                                                      {(char *)"A>B", TPO_VERDICT_A, 1},
                                                      {(char *)"A=B", TPO_VERDICT_TIE, 1},
                                                      {(char *)"B>A", TPO_VERDICT_B, 1},
                                                      {(char *)"B>>A", TPO_VERDICT_B, 3}};
static const struct config_verdict_preset presets[] = {
    {.name = "arena-hard",
     .pattern = "\\[\\[([AB<>=]+)\\]\\]",
     .ask = "Then give your verdict as the last line, one of these five in double square brackets: "
            "[[A>>B]] when answer A is much better, [[A>B]] when answer A is somewhat better, "
            "[[A=B]] when they are about equally good, [[B>A]] when answer B is somewhat better, "
            "[[B>>A]] when answer B is much better.",
     .labels = arena_hard,
     .n = sizeof arena_hard / sizeof *arena_hard}};

static const char *const names[] = {[TPO_VERDICT_A] = "A", [TPO_VERDICT_B] = "B", [TPO_VERDICT_TIE] = "tie"};
enum { N_NAMES = sizeof names / sizeof *names };

const struct config_verdict_preset *config_verdict_preset(const char *name)
{
  for (size_t i = 0; name && i < sizeof presets / sizeof *presets; i++)
    if (strcmp(presets[i].name, name) == 0) return &presets[i];
  return NULL;
}

static bool read_is(const struct tree_node *node, struct tpo_verdict_label *label)
{
  for (int i = 0; node->kind == TREE_SCALAR && i < N_NAMES; i++)
    if (strcasecmp(node->text, names[i]) == 0) {
      label->is = (enum tpo_verdict)i;
      return true;
    }
  return false;
}

static bool read_weight(const struct tree_node *node, struct tpo_verdict_label *label)
{
  if (node->kind != TREE_SCALAR || !node->plain) return false;
  const struct config_value value = tree_value(node);
  return config_parse_number(&value, &label->weight);
}

/* The value of a text: A, or {is: A, weight: 3}. The node that is wrong, or NULL. */
static const struct tree_node *read_meaning(const struct tree_node *node, struct tpo_verdict_label *label)
{
  bool has_is = false, has_weight = false;
  label->weight = 1;
  if (node->kind != TREE_MAP) return read_is(node, label) ? NULL : node;
  for (const struct tree_node *name = node->first; name; name = name->next) {
    bool is = strcmp(name->text, "is") == 0, *seen = is ? &has_is : &has_weight;
    if (*seen || (!is && strcmp(name->text, "weight") != 0)) return name;
    if (!(is ? read_is : read_weight)(name->value, label)) return name->value;
    *seen = true;
  }
  return has_is ? NULL : node;
}

static int refuse(struct tpo_verdicts *out, const struct tree_node *node, const char *text,
                  struct tpo_buf *problem, int *line)
{
  *line = node->line;
  tpo_buf_puts(problem, "expected ");
  tpo_buf_puts(problem, text ? "A, B or tie, or {is: A, weight: 3}, for " : CONFIG_VERDICTS_TOLD);
  if (text) tpo_json_append_string(problem, text, strlen(text));
  if (node->kind == TREE_SCALAR) {
    tpo_buf_puts(problem, ", not ");
    tpo_json_append_string(problem, node->text, strnlen(node->text, 60));
  }
  config_verdicts_free(out);
  return -1;
}

static int read_map(struct tpo_verdicts *out, const struct tree_node *map, struct tpo_buf *problem, int *line)
{
  size_t n = 0;
  for (const struct tree_node *name = map->first; name; name = name->next) n++;
  out->labels = calloc(n + 1, sizeof *out->labels);
  for (const struct tree_node *name = map->first; name && out->labels; name = name->next) {
    struct tpo_verdict_label *label = &out->labels[out->n];
    const struct tree_node *wrong = read_meaning(name->value, label);
    if (wrong) return refuse(out, wrong, name->text, problem, line);
    if (!(label->text = strdup(name->text))) break;
    out->n++;
  }
  if (out->labels && (size_t)out->n == n) return 0;
  tpo_buf_puts(problem, "out of memory");
  return -1;
}

int config_verdicts_read(struct tpo_verdicts *out, const struct tree_node *node, struct tpo_buf *problem,
                         int *line)
{
  *out = (struct tpo_verdicts){0};
  *line = node->line;
  if (tree_is_null(node)) return 0;
  if (node->kind == TREE_LIST || (node->kind == TREE_SCALAR && !config_verdict_preset(node->text)))
    return refuse(out, node, NULL, problem, line);
  int status = 0;
  if (node->kind == TREE_MAP)
    status = read_map(out, node, problem, line);
  else if (!(out->preset = strdup(node->text)))
    status = -1;
  if (status == 0 && !config_verdicts_sound(out, problem)) status = -1;
  if (status < 0) config_verdicts_free(out);
  return status;
}

/* Without the white space around it, which isn't looked at. */
static size_t core(const char **text)
{
  *text += strspn(*text, " \t\r\n");
  size_t len = strlen(*text);
  while (len > 0 && strchr(" \t\r\n", (*text)[len - 1])) len--;
  return len;
}

static bool equal(const char *a, const char *b)
{
  size_t len = core(&a);
  return len == core(&b) && strncasecmp(a, b, len) == 0;
}

static bool label_is_sound(const struct tpo_verdicts *v, int at, struct tpo_buf *problem)
{
  const struct tpo_verdict_label *label = &v->labels[at];
  int same = 0;
  while (!equal(v->labels[same].text, label->text)) same++;
  if (same == at && (unsigned)label->is < N_NAMES && label->weight > 0 &&
      label->weight <= CONFIG_HEAVIEST_VERDICT)
    return true;
  tpo_json_append_string(problem, label->text, strlen(label->text));
  if (same < at)
    tpo_buf_puts(problem, " is named twice (letter case and white space around it don't count)");
  else
    tpo_buf_printf(problem, " has the weight %g, expected a number above 0, at most %d", label->weight,
                   CONFIG_HEAVIEST_VERDICT);
  return false;
}

bool config_verdicts_sound(const struct tpo_verdicts *v, struct tpo_buf *problem)
{
  bool has[N_NAMES] = {false};
  if (v->preset && !config_verdict_preset(v->preset)) {
    tpo_buf_printf(problem, "expected %s, not %.60s", CONFIG_VERDICTS_TOLD, v->preset);
    return false;
  }
  if (v->preset || !v->labels) return true;
  for (int i = 0; i < v->n; i++) {
    if (!label_is_sound(v, i, problem)) return false;
    has[v->labels[i].is] = true;
  }
  if (has[TPO_VERDICT_A] && has[TPO_VERDICT_B]) return true;
  tpo_buf_printf(problem, "no text means %s: what stands for A and what for B must both be there",
                 has[TPO_VERDICT_A] ? "B" : "A");
  return false;
}

void config_verdicts_append(const struct tpo_verdicts *v, struct tpo_buf *out)
{
  if (v->preset || !v->labels) {
    tpo_buf_puts(out, v->preset ? v->preset : "null");
    return;
  }
  tpo_buf_putc(out, '{');
  for (int i = 0; i < v->n; i++) {
    const struct tpo_verdict_label *label = &v->labels[i];
    tpo_buf_puts(out, i > 0 ? ", " : "");
    config_append_text(label->text, out);
    if (label->weight != 1) tpo_buf_puts(out, ": {is");
    tpo_buf_printf(out, ": %s", names[label->is]);
    if (label->weight == 1) continue;
    tpo_buf_puts(out, ", weight: ");
    tpo_json_append_double(out, label->weight);
    tpo_buf_putc(out, '}');
  }
  tpo_buf_putc(out, '}');
}

void config_verdicts_free(struct tpo_verdicts *v)
{
  for (int i = 0; i < v->n; i++) free(v->labels[i].text);
  free(v->labels);
  free(v->preset);
  *v = (struct tpo_verdicts){0};
}
