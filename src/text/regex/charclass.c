/* Which properties make the shortest class is found greedily, by the number of ranges left beside them. */
#include "text/regex/charclass.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "text/unicode/table.h"

enum { FEW = 24, MAX_DEPTH = 2 };

/* Code points that no version of Unicode will change: ideographs, Hangul, private use, empty planes. */
static const struct tpo_range settled[] = {{0x3400, 0x4db5},   {0x4e00, 0x9fa5},   {0xac00, 0xd7a3},
                                           {0xd800, 0xf8ff},   {0x17000, 0x187ec}, {0x20000, 0x2a6d6},
                                           {0x40000, 0xdffff}, {0xe1000, 0x10ffff}};

void tpo_views_free(struct tpo_views *views)
{
  for (size_t i = 0; i < views->n; i++) tpo_set_free(&views->items[i].set);
  tpo_buf_free(&views->text);
  tpo_set_free(&views->differs);
  tpo_set_free(&views->asked);
  views->n = 0;
}

/* What PCRE2 is asked about: all others; if its Unicode is not newer than the table's, only those that the
 * table has assigned. Also as a text. */
static int choose_asked(struct tpo_views *views, struct tpo_error *err)
{
  char version[64] = "";
  struct tpo_set rest = {0};
  int status = TPO_OK;
  if (pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, NULL) <= (int)sizeof version)
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
  int major = atoi(version);
  for (size_t i = 0; i < sizeof settled / sizeof *settled && status == TPO_OK; i++)
    status = tpo_set_add(&rest, settled[i].from, settled[i].to, err);
  if (status == TPO_OK && major > 0 && major <= TPO_UNICODE_MAJOR)
    status = tpo_set_add_property(&rest, "cn", 2, err) < 0 ? TPO_E_MEMORY : TPO_OK;
  if (status == TPO_OK) status = tpo_set_unite(&views->asked, &rest, err);
  if (status == TPO_OK) status = tpo_set_invert(&views->asked, err);
  for (size_t i = 0; i < views->asked.n; i++)
    for (uint32_t cp = views->asked.items[i].from; cp <= views->asked.items[i].to; cp++)
      tpo_utf8_append(&views->text, cp);
  tpo_set_free(&rest);
  if (status == TPO_OK && views->text.failed)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a regular expression");
  return status;
}

static int add_text(struct tpo_set *set, const char *text, size_t len, struct tpo_error *err)
{
  uint32_t cp;
  for (size_t at = 0; at < len;) {
    at += (size_t)tpo_utf8_decode((const uint8_t *)text + at, len - at, &cp);
    if (set->n > 0 && set->items[set->n - 1].to + 1 == cp)
      set->items[set->n - 1].to = cp;
    else if (tpo_set_add(set, cp, cp, err) < 0)
      return TPO_E_MEMORY;
  }
  return TPO_OK;
}

/* What of the text matches. */
static int add_matches(const struct tpo_buf *text, struct tpo_set *set, pcre2_code *code,
                       struct tpo_error *err)
{
  pcre2_match_data *match = pcre2_match_data_create(1, NULL);
  int status = TPO_OK;
  if (status == TPO_OK && !match) status = tpo_fail(err, TPO_E_MEMORY, "no memory for a regular expression");
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  for (size_t from = 0; status == TPO_OK && from < text->len;) {
    int n = pcre2_match(code, (PCRE2_SPTR)text->data, text->len, from, PCRE2_NO_UTF_CHECK, match, NULL);
    if (n == PCRE2_ERROR_NOMATCH) break;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match);
    if (n < 0) status = tpo_fail(err, TPO_E_INPUT, "PCRE2 fails to match a property: %d", n);
    if (status == TPO_OK) status = add_text(set, text->data + at[0], at[1] - at[0], err);
    from = status == TPO_OK ? at[1] : text->len;
  }
  pcre2_match_data_free(match);
  return status;
}

/* Adds what PCRE2 was not asked about, in which it and the table agree, and notes in which of the others they
 * don't. */
static int compare_view(struct tpo_views *views, struct tpo_view *view, struct tpo_error *err)
{
  struct tpo_set ours = {0}, theirs = {0};
  char plain[32];
  size_t n = 0;
  for (const char *c = view->name; *c; c++) plain[n++] = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
  int status = tpo_set_add_property(&ours, plain, n, err) < 0 ? TPO_E_MEMORY : TPO_OK;
  if (status == TPO_OK) status = tpo_set_unite(&theirs, &ours, err);
  if (status == TPO_OK) status = tpo_set_subtract(&theirs, &views->asked, err);
  if (status == TPO_OK) status = tpo_set_unite(&view->set, &theirs, err);
  if (status == TPO_OK) status = tpo_set_unite(&theirs, &view->set, err);
  if (status == TPO_OK) status = tpo_set_subtract(&theirs, &ours, err);
  if (status == TPO_OK) status = tpo_set_subtract(&ours, &view->set, err);
  if (status == TPO_OK) status = tpo_set_unite(&views->differs, &ours, err);
  if (status == TPO_OK) status = tpo_set_unite(&views->differs, &theirs, err);
  tpo_set_free(&ours);
  tpo_set_free(&theirs);
  return status;
}

int tpo_views_want(struct tpo_views *views, const char *name, struct tpo_error *err)
{
  if (views->n == TPO_MAX_VIEWS || strlen(name) >= sizeof views->items[0].name) return TPO_OK;
  for (size_t i = 0; i < views->n; i++)
    if (strcmp(views->items[i].name, name) == 0) return TPO_OK;
  char pattern[48];
  snprintf(pattern, sizeof pattern, "[\\p{%s}]+", name);
  int code;
  PCRE2_SIZE offset;
  pcre2_code *compiled =
      pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
  if (!compiled) return TPO_OK;
  struct tpo_view *view = &views->items[views->n++];
  *view = (struct tpo_view){0};
  strcpy(view->name, name);
  int status = views->text.len > 0 ? TPO_OK : choose_asked(views, err);
  if (status == TPO_OK) status = add_matches(&views->text, &view->set, compiled, err);
  if (status == TPO_OK) status = compare_view(views, view, err);
  pcre2_code_free(compiled);
  return status;
}

/* set = properties (a bit each) and more, without less. */
struct plan {
  uint32_t chosen;
  struct tpo_set have, more, less;
};

static void plan_free(struct plan *plan)
{
  tpo_set_free(&plan->have);
  tpo_set_free(&plan->more);
  tpo_set_free(&plan->less);
}

/* a without b */
static int difference(const struct tpo_set *a, const struct tpo_set *b, struct tpo_set *out,
                      struct tpo_error *err)
{
  int status = tpo_set_unite(out, a, err);
  return status == TPO_OK ? tpo_set_subtract(out, b, err) : status;
}

static size_t cost(const struct plan *plan)
{
  return plan->more.n + 2 * plan->less.n;
}

/* plan with one property more */
static int extend(const struct plan *plan, const struct tpo_views *views, size_t view,
                  const struct tpo_set *set, struct plan *out, struct tpo_error *err)
{
  *out = (struct plan){.chosen = plan->chosen | 1u << view};
  int status = tpo_set_unite(&out->have, &plan->have, err);
  if (status == TPO_OK) status = tpo_set_unite(&out->have, &views->items[view].set, err);
  if (status == TPO_OK) status = difference(set, &out->have, &out->more, err);
  if (status == TPO_OK) status = difference(&out->have, set, &out->less, err);
  if (status == TPO_OK && views->quick) status = tpo_set_subtract(&out->more, &views->differs, err);
  if (status == TPO_OK && views->quick) status = tpo_set_subtract(&out->less, &views->differs, err);
  return status;
}

static int make_plan(const struct tpo_views *views, const struct tpo_set *set, struct plan *best,
                     struct tpo_error *err)
{
  *best = (struct plan){0};
  int status = tpo_set_unite(&best->more, set, err);
  for (bool better = true; better && status == TPO_OK && cost(best) > FEW;) {
    struct plan base = *best;
    better = false;
    for (size_t i = 0; i < views->n && status == TPO_OK; i++) {
      struct plan next;
      if (base.chosen >> i & 1) continue;
      status = extend(&base, views, i, set, &next, err);
      bool take = status == TPO_OK && cost(&next) < cost(best);
      if (take && better) plan_free(best);
      if (take)
        *best = next;
      else
        plan_free(&next);
      better = better || take;
    }
    if (better) plan_free(&base);
  }
  return status;
}

/* A range as a class has it; surrogates, which no text has, can't be named. */
static void write_range(struct tpo_buf *out, uint32_t from, uint32_t to)
{
  if (from >= 0xd800 && from < 0xe000) from = 0xe000;
  if (to >= 0xd800 && to < 0xe000) to = 0xd7ff;
  if (from > to) return;
  tpo_buf_printf(out, "\\x{%x}", from);
  if (to > from) tpo_buf_printf(out, "-\\x{%x}", to);
}

static int write_planned(const struct tpo_views *views, const struct tpo_set *set, const struct plan *plan,
                         bool inverted, int depth, struct tpo_buf *out, struct tpo_error *err);

static int write_set(const struct tpo_views *views, const struct tpo_set *set, bool inverted, int depth,
                     struct tpo_buf *out, struct tpo_error *err)
{
  struct plan plan;
  static const struct tpo_views none;
  int status = make_plan(depth < MAX_DEPTH ? views : &none, set, &plan, err);
  if (status == TPO_OK) status = write_planned(views, set, &plan, inverted, depth, out, err);
  plan_free(&plan);
  return status;
}

/* First the characters of one byte, which PCRE2 looks up in a map, then properties, then ranges. Where a
 * property says all of it, nothing is quicker. */
static int write_planned(const struct tpo_views *views, const struct tpo_set *set, const struct plan *plan,
                         bool inverted, int depth, struct tpo_buf *out, struct tpo_error *err)
{
  int status = TPO_OK;
  if (plan->less.n > 0) {
    tpo_buf_puts(out, inverted ? "(?:" : "(?:(?!");
    status = write_set(views, &plan->less, false, depth + 1, out, err);
    tpo_buf_puts(out, inverted ? "|" : ")");
  }
  bool listed = !views->quick || plan->chosen == 0;
  bool alone = !listed && plan->more.n == 0 && (plan->chosen & (plan->chosen - 1)) == 0;
  if (alone) {
    size_t i = 0;
    while (plan->chosen >> i > 1) i++;
    tpo_buf_printf(out, "\\%c{%s}%s", inverted ? 'P' : 'p', views->items[i].name,
                   plan->less.n > 0 ? ")" : "");
    return status;
  }
  tpo_buf_puts(out, inverted ? "[^" : "[");
  for (size_t i = 0; listed && i < set->n && set->items[i].from < 0x100; i++)
    write_range(out, set->items[i].from, set->items[i].to < 0xff ? set->items[i].to : 0xff);
  for (size_t i = 0; i < views->n; i++)
    if (plan->chosen >> i & 1) tpo_buf_printf(out, "\\p{%s}", views->items[i].name);
  for (size_t i = 0; i < plan->more.n; i++) {
    const struct tpo_range *range = &plan->more.items[i];
    uint32_t least = listed ? 0x100 : 0;
    if (range->to >= least) write_range(out, range->from < least ? least : range->from, range->to);
  }
  tpo_buf_puts(out, "]");
  if (plan->less.n > 0) tpo_buf_puts(out, ")");
  return status;
}

int tpo_charclass_write(const struct tpo_views *views, const struct tpo_set *set, bool inverted,
                        struct tpo_buf *out, struct tpo_error *err)
{
  struct tpo_set rest = {0};
  struct plan direct = {0}, turned = {0};
  int status = tpo_set_unite(&rest, set, err);
  if (status == TPO_OK) status = tpo_set_invert(&rest, err);
  if (set->n == 0 || rest.n == 0) /* PCRE2 has no class of nothing */
    tpo_buf_puts(out, (set->n == 0) != inverted ? "(?!)" : "(?s:.)");
  else {
    if (status == TPO_OK) status = make_plan(views, set, &direct, err);
    bool turn = status == TPO_OK && cost(&direct) > FEW && !views->whole;
    if (turn) status = make_plan(views, &rest, &turned, err);
    turn = turn && cost(&turned) < cost(&direct);
    if (status == TPO_OK)
      status =
          write_planned(views, turn ? &rest : set, turn ? &turned : &direct, inverted != turn, 0, out, err);
  }
  plan_free(&direct);
  plan_free(&turned);
  tpo_set_free(&rest);
  return status;
}
