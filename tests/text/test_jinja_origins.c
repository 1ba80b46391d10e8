/* Whatever makes a string out of strings keeps each byte's origin. The inputs have characters that no other has, in any case, so
 * that the model is the character itself: what came of a character has its origin, however it is written then. */
#include "text_test.h"
#include "base/utf8.h"
#include "text/jinja_test.h"

/* `own` may become control tokens; `data` may not. Each alternates in the strings below. */
#define OWN "xX\xc3\xa9"
#define DATA "yY\xc3\x9f\n"
enum origin { COMPUTED, FROM_OWN, FROM_DATA, FROM_TEMPLATE };

static enum origin by_character(uint32_t cp)
{
  static const uint32_t own[] = {'x', 'X', 0xe9, 0xc9}, data[] = {'y', 'Y', 0xdf, 's', 'S', '\n'};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (own[i] == cp) return FROM_OWN;
  for (size_t i = 0; i < sizeof data / sizeof *data; i++)
    if (data[i] == cp) return FROM_DATA;
  return cp < 0x80 && strchr("pPqQ-*", (int)cp) && cp ? FROM_TEMPLATE : COMPUTED;
}

/* s: own, data, own, data; t: own and data without a line feed; w: own without its accent, then data. h: own characters
 * around data that HTML and addresses escape. */
#define SET                                                                                                  \
  "{% set s = own ~ data ~ own ~ data %}{% set t = own ~ data[:2] ~ own ~ data[:2] %}"                       \
  "{% set w = own[:2] ~ data ~ own[:2] ~ data %}{% set h = own[:2] ~ html ~ own[:2] %}"

static const struct {
  const char *expression;
  const char *escapes;  /* characters in which only data is written here, besides its own; NULL: none */
  const char *computed; /* characters that only the function itself writes here */
} rows[] = {
    /* operators */
    {"s", NULL, NULL},
    {"s ~ 'p'", NULL, NULL},
    {"'p' + s + 'q'", NULL, NULL},
    {"s * 3", NULL, NULL},
    {"2 * s", NULL, NULL},
    {"'p%sq%s' % (s, t)", NULL, NULL},
    {"'%(p)s-%(p)s' % {'p': s}", NULL, NULL},
    {"'%-40s%40s%.3s' % (s, s, s)", NULL, NULL},
    {"s ~ none ~ 12 ~ [t]", NULL, NULL},
    {"s if true", NULL, NULL},
    {"'' or s", NULL, NULL},
    {"[s] ~ ''", "\\n", NULL},
    {"(w,) ~ {w: w}", "\\n", NULL},
    {"[s, t][0] + (s, t)[1]", NULL, NULL},
    {"([s] + [t])[1]", NULL, NULL},
    /* items and slices */
    {"s[0] ~ s[3]", NULL, NULL},
    {"s[1:]", NULL, NULL},
    {"s[:-1]", NULL, NULL},
    {"s[::-1]", NULL, NULL},
    {"s[1:12:2]", NULL, NULL},
    {"{'p': s}.p ~ {'p': s}['p'] ~ {'p': s}.get('p')", NULL, NULL},
    {"{s: 1}.keys()|join('-')", NULL, NULL},
    {"{1: s}.values()|join", NULL, NULL},
    {"{s: t}.items()|map('join', '-')|join", NULL, NULL},
    {"namespace(a=s).a", NULL, NULL},
    {"dict(p=s).p", NULL, NULL},
    {"dict([(s, 1)])|join", NULL, NULL},
    {"cycler(s, 1).next()", NULL, NULL},
    {"strftime_now(s ~ '%Y')", NULL, NULL},
    /* methods */
    {"s.upper()", NULL, NULL},
    {"s.lower()", NULL, NULL},
    {"s.title()", NULL, NULL},
    {"s.capitalize()", NULL, NULL},
    {"s.swapcase()", NULL, NULL},
    {"s.casefold()", NULL, NULL},
    {"s.strip()", NULL, NULL},
    {"s.strip('x')", NULL, NULL},
    {"s.lstrip('xX')", NULL, NULL},
    {"s.rstrip()", NULL, NULL},
    {"s.split()|join('-')", NULL, NULL},
    {"s.split(none, 1)|join", NULL, NULL},
    {"s.rsplit(none, 1)|join('-')", NULL, NULL},
    {"s.split('X')|join('-')", NULL, NULL},
    {"s.rsplit('y', 1)|join('-')", NULL, NULL},
    {"s.splitlines()|join('-')", NULL, NULL},
    {"s.splitlines(true)|join", NULL, NULL},
    {"s.partition('Xp'[0])|join('-')", NULL, NULL},
    {"s.rpartition('Y')|join('-')", NULL, NULL},
    {"s.replace('x', 'pq')", NULL, NULL},
    {"s.replace('', '-')", NULL, NULL},
    {"s.replace('Y', t, 1)", NULL, NULL},
    {"s.removeprefix('x')", NULL, NULL},
    {"s.removesuffix('\\n')", NULL, NULL},
    {"'p'.join([s, t])", NULL, NULL},
    {"s.join(['p', 'q'])", NULL, NULL},
    {"'-'.join(s)", NULL, NULL},
    {"'p{}q{}'.format(s, t)", NULL, NULL},
    {"'{a:*^40}{b[0]}{c.p!s}'.format(a=s, b=[s], c={'p': t})", NULL, NULL},
    {"'{!r}'.format(w)", "\\n", NULL},
    {"'{:40}{:.4}'.format(s, s)", NULL, NULL},
    {"(s ~ '{}').format('p')", NULL, NULL},
    {"'{p}'.format_map({'p': s})", NULL, NULL},
    {"s.zfill(30)", NULL, NULL},
    {"s.ljust(30)", NULL, NULL},
    {"s.rjust(30, 'p')", NULL, NULL},
    {"s.center(31, 'p')", NULL, NULL},
    {"s.center(31, own[0])", NULL, NULL},
    {"(s ~ '\\t' ~ t).expandtabs()", NULL, NULL},
    /* filters */
    {"s|upper", NULL, NULL},
    {"s|lower", NULL, NULL},
    {"s|title", NULL, NULL},
    {"s|capitalize", NULL, NULL},
    {"s|trim", NULL, NULL},
    {"s|trim('x')", NULL, NULL},
    {"s|center(31)", NULL, NULL},
    {"s|replace('x', 'p')", NULL, NULL},
    {"s|replace('x', data[0], 1)", NULL, NULL},
    {"[s, t]|join('p')", NULL, NULL},
    {"[{'p': s}, {'p': t}]|join('-', attribute='p')", NULL, NULL},
    {"s|join('-')", NULL, NULL},
    {"s|reverse", NULL, NULL},
    {"s|list|join", NULL, NULL},
    {"s|string", NULL, NULL},
    {"s|first ~ t|last", NULL, NULL},
    {"[s]|first ~ [t]|last", NULL, NULL},
    {"s|indent", NULL, NULL},
    {"s|indent('p', true)", NULL, NULL},
    {"s|indent(2, blank=true)", NULL, NULL},
    {"s|truncate(9, true, leeway=0)", NULL, NULL},
    {"s|truncate(6, true, 'p')", NULL, NULL},
    {"'p%sq'|format(s)", NULL, NULL},
    {"t|wordwrap(3)", NULL, "\n"},
    {"s|wordwrap(2, wrapstring='-')", NULL, NULL},
    {"nothing|default(s)", NULL, NULL},
    {"nothing|d(s)", NULL, NULL},
    {"s|batch(3)|map('join')|join('-')", NULL, NULL},
    {"s|slice(3)|map('join')|join('-')", NULL, NULL},
    {"[s]|map('upper')|join", NULL, NULL},
    {"[{'p': s}]|map(attribute='p')|join", NULL, NULL},
    {"[s, '']|select|join", NULL, NULL},
    {"[s, 1]|reject('number')|join", NULL, NULL},
    {"([{'p': s}]|selectattr('p')|first).p", NULL, NULL},
    {"([{'p': s}]|rejectattr('q')|first).p", NULL, NULL},
    {"[s, t]|sort|join('-')", NULL, NULL},
    {"{s: 1}|dictsort|map('first')|join", NULL, NULL},
    {"[s, s]|unique|join", NULL, NULL},
    {"[s, t]|min", NULL, NULL},
    {"[s, t]|max", NULL, NULL},
    {"([{'p': s}]|groupby('p')|first).grouper", NULL, NULL},
    {"({1: s}|items|first)[1]", NULL, NULL},
    {"([[s], [t]]|sum(start=[]))|join", NULL, NULL},
    {"{'p': s}|attr('get')('p')", NULL, NULL},
    {"w|pprint", "\\n", NULL},
    {"w|tojson", "\\n", NULL},
    {"[t, {t: t}]|tojson(indent=2)", NULL, "\n"},
    {"{t: 1}|tojson(separators=('-', 'p'), indent='q')", NULL, "\n"},
    {"w|tojson(ensure_ascii=true)", "\\u00dfn", NULL},
    {"s|safe", NULL, NULL},
    {"(s|safe) + t", NULL, NULL},
    {"h|escape", "&lt;#39", NULL},
    {"h|e|forceescape", "&amplt;#39", NULL},
    {"h|safe + h", "&lt;#39<'", NULL},
    {"{'p': h}|xmlattr", "&lt;#39", NULL},
    {"h|urlencode", "%3C27", NULL},
    {"{'p': h}|urlencode", "%3C27", NULL},
    {"(h ~ '<p>' ~ s)|striptags", NULL, NULL},
};

static enum origin origin_of(const struct tpo_origin_info *info)
{
  if (strcmp(info->name, "own") == 0) return FROM_OWN;
  if (strcmp(info->name, "data") == 0 || strcmp(info->name, "html") == 0) return FROM_DATA;
  return strncmp(info->name, "template", 8) == 0 ? FROM_TEMPLATE : COMPUTED;
}

static const struct tpo_origin_info *info_at(const struct tpo_rendered *out, size_t at)
{
  for (size_t i = 0; i < out->n; i++)
    if (at < out->runs[i].end) return &out->origins.items[out->runs[i].origin];
  fail_msg("byte %zu has no origin", at);
  return NULL;
}

static void render(const char *expression, struct tpo_rendered *out)
{
  struct tpo_buf source = {0};
  json_t *own = json_string(OWN), *data = json_string(DATA), *html = json_string("<'");
  struct tpo_jinja_input inputs[] = {{"own", own, true}, {"data", data, false}, {"html", html, false}};
  tpo_buf_printf(&source, "%s{{ %s }}", SET, expression);
  if (jinja_render_source(source.data, source.len, inputs, 3, "2024-07-26", NULL, out, &test_error) < 0)
    fail_msg("%s: %s", expression, test_error.message);
  tpo_buf_free(&source);
  json_decref(own);
  json_decref(data);
  json_decref(html);
}

/* A bit for each origin that was seen; 0 where a byte's is another than its character's. */
static unsigned check_origins(const char *expression, const char *escapes, const char *computed,
                              const struct tpo_rendered *out)
{
  unsigned seen = 0;
  for (size_t at = 0; at < out->text.len;) {
    size_t begin = at;
    uint32_t cp = tpo_utf8_next(out->text.data, out->text.len, &at);
    bool escape = escapes && cp < 0x80 && strchr(escapes, (int)cp);
    enum origin wanted = escape ? FROM_DATA : by_character(cp);
    if (computed && cp < 0x80 && strchr(computed, (int)cp)) wanted = COMPUTED;
    for (size_t i = begin; i < at; i++) {
      const struct tpo_origin_info *info = info_at(out, i);
      bool own = wanted == FROM_OWN || wanted == FROM_TEMPLATE;
      if (origin_of(info) == wanted && info->own == own) continue;
      fprintf(stderr, "%s gives %s: byte %zu is of %s\n", expression, out->text.data, i, info->name);
      return 0;
    }
    seen |= 1u << wanted;
  }
  return seen;
}

static void every_function_keeps_origins(void **state)
{
  (void)state;
  int bad = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct tpo_rendered out = {0};
    render(rows[i].expression, &out);
    unsigned seen = check_origins(rows[i].expression, rows[i].escapes, rows[i].computed, &out);
    bool both = (seen & 1u << FROM_OWN) && (seen & 1u << FROM_DATA);
    if (seen && !both)
      fprintf(stderr, "%s gives %s, in which not both are left\n", rows[i].expression, out.text.data);
    bad += !both;
    tpo_rendered_free(&out);
  }
  assert_int_equal(bad, 0);
}

static tpo_origin add_origin(struct tpo_origins *origins, const char *format, int i, bool own)
{
  tpo_origin origin;
  char name[32];
  snprintf(name, sizeof name, format, i);
  assert_int_equal(tpo_origins_add(origins, name, own, &origin, &test_error), 0);
  assert_int_equal(origins->items[origin].own, own);
  return origin;
}

/* A table that is full gives data none of their own, which may never become control tokens, and what is own the last
 * that is. */
static void a_full_table_of_origins_keeps_data_and_own_apart(void **state)
{
  (void)state;
  struct tpo_origins origins = {0}, copy = {0};
  tpo_origin last = 0, seventh;
  for (int i = 0; i < 70000; i++) last = add_origin(&origins, "messages[%d].content", i, false);
  assert_int_equal(last, 0);
  assert_int_equal(origins.n, 65535);
  seventh = add_origin(&origins, "messages[%d].content", 7, false);
  assert_string_equal(origins.items[seventh].name, "messages[7].content");
  last = add_origin(&origins, "line %d", 1, true);
  assert_string_equal(origins.items[last].name, "line 1"); /* room was left */
  assert_int_equal(origins.n, 65536);
  assert_int_equal(add_origin(&origins, "line %d", 2, true), last);
  assert_int_equal(tpo_origins_copy(&copy, &origins, &test_error), 0);
  assert_int_equal(copy.n, origins.n);
  assert_int_equal(add_origin(&copy, "messages[%d].content", 7, false), seventh);
  tpo_origins_free(&copy);
  tpo_origins_free(&origins);
  /* lines of a template leave room for a chat */
  for (int i = 0; i < 100000; i++) last = add_origin(&origins, "line %d", i, true);
  assert_int_equal(origins.n, 32769);
  assert_string_equal(origins.items[last].name, "line 32767");
  last = add_origin(&origins, "messages[%d].content", 1, false);
  assert_string_equal(origins.items[last].name, "messages[1].content");
  tpo_origins_free(&origins);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_function_keeps_origins),
      cmocka_unit_test(a_full_table_of_origins_keeps_data_and_own_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
