/* What a template could do to run or grow forever fails at once, with a message that names the bound or the value. */
#include <time.h>
#include "text_test.h"
#include "text/jinja_test.h"

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Lists that hold one list twice, over and over: small, but a tree of 2^60 values to who walks through it. */
#define SHARED(begin, end)                                                                                   \
  "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"                                           \
  "{% set ns.a = " begin "ns.a, ns.a" end " %}{% set ns.b = " begin "ns.b, ns.b" end " %}{% endfor %}"
#define TUPLES                                                                                               \
  "{% set ns = namespace(a=1, b=1) %}{% for i in range(60) %}{% set ns.a = (ns.a, ns.a) %}"                  \
  "{% set ns.b = (ns.b, ns.b) %}{% endfor %}"

static void what_never_ends_fails_at_once(void **state)
{
  (void)state;
  static const struct {
    const char *template, *message;
  } rows[] = {
      {"{{ 'a' * 1000000000000 }}", "memory"},
      {"{{ 'ab' * 9223372036854775807 }}", "memory"},
      {"{{ [0] * 1000000000000 }}", "memory"},
      {"{{ (0, 1) * 9223372036854775807 }}", "memory"},
      {"{{ 'a'.ljust(1000000000000) }}", "memory"},
      {"{{ 'a'.center(9223372036854775807) }}", "memory"},
      {"{{ 'a'.zfill(1000000000000) }}", "memory"},
      {"{{ 'a\\tb'.expandtabs(1000000000000) }}", "memory"},
      {"{{ 'a' | center(1000000000000) }}", "memory"},
      {"{{ 'a\\nb' | indent(1000000000000) }}", "memory"},
      {"{{ [1] | tojson(indent=1000000000000) }}", "memory"},
      {"{{ [1] | batch(1000000000000, 0) | list }}", "memory"},
      {"{{ [1] | slice(1000000000000) | list }}", "memory"},
      {"{{ '%1000000000000d' % 1 }}", "width"},
      {"{{ '%.1000000000000d' % 1 }}", "width"},
      {"{{ '%*s' % (99999999999, 'a') }}", "width"},
      {"{{ '{:99999999999}'.format('a') }}", "width"},
      {"{{ '{:.99999999999f}'.format(1.0) }}", "precision"},
      {"{{ range(1000000000) }}", "Range too big"},
      {"{{ range(-9223372036854775807, 9223372036854775807) }}", "Range too big"},
      {"{% set ns = namespace(a='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}"
       "{% set ns.a = ns.a.replace('a', 'aaaaaaaa') %}{% endfor %}",
       "memory"},
      {"{% set ns = namespace(a='ab') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
       "memory"},
      {"{% set ns = namespace(a='ab') %}{% for i in range(60) %}{% set ns.a = ns.a.join(ns.a) %}{% endfor %}",
       "memory"},
      {"{% set ns = namespace(a=[]) %}{% for i in range(5000) %}{% set ns.a = [ns.a] %}{% endfor %}",
       "nested"},
      {"{% set ns = namespace(a={}) %}{% for i in range(5000) %}{% set ns.a = {1: ns.a} %}{% endfor %}",
       "nested"},
      {"{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}", "nested"},
      /* macros, callers and loops that call themselves: nested, not long */
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested"},
      {"{% macro a() %}{% if true %}{{ b() }}{% endif %}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
       "nested"},
      {"{% macro m() %}{{ caller() if caller }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}", "nested"},
      {"{% macro m() %}{{ caller(caller) }}{% endmacro %}{% call(f) m() %}{{ f(f) }}{% endcall %}", "nested"},
      {"{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nested"},
      {"{% set l = range(90000) %}{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}", "steps"},
      {"{% set l = range(90000) %}{% for a in l %}{% for b in l if false %}{% endfor %}{% endfor %}",
       "a rendering may"},
      {"{% for a in range(90000) %}{{ 'a' * 100000 }}{% endfor %}", "a rendering may"},
      {"{% set ns = namespace(x=[]) %}{% for a in range(90000) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}",
       "nested"},
      {SHARED("[", "]") "{{ ns.a == ns.b }}", "steps"},
      {SHARED("[", "]") "{{ ns.a < ns.b }}", "steps"},
      {SHARED("[", "]") "{{ ns.a in [ns.b] }}", "steps"},
      {SHARED("[", "]") "{{ [ns.a, ns.b] | sort }}", "steps"},
      {SHARED("[", "]") "{{ [ns.a].index(ns.b) }}", "steps"},
      {SHARED("[", "]") "{{ ns.a }}", "a rendering may"},
      {SHARED("[", "]") "{{ ns.a | tojson }}", "a rendering may"},
      {SHARED("[", "]") "{{ ns.a | pprint }}", "a rendering may"},
      {TUPLES "{{ {ns.a: 1} }}", "steps"},
      {TUPLES "{{ {1: 1}[ns.a] }}", "steps"},
      {TUPLES "{{ [ns.a] | unique | list }}", "steps"},
      {"{% set x = 'ab' * 400000 %}{% set n = 'b' * 200000 %}{% for i in range(100000) %}"
       "{{ x.rfind('a' ~ n) }}{% endfor %}",
       "a rendering may"},
      {"{% set x = 'ab' * 400000 %}{% for i in range(100000) %}{{ x.isalpha() }}{% endfor %}", "steps"},
      {"{% set x = 'ab' * 400000 %}{% for i in range(100000) %}{{ x[1000:1001] }}{% endfor %}", "steps"},
      {"{% set x = range(100000) | list %}{% for i in range(100000) %}{{ -1 in x }}{% endfor %}", "steps"},
  };
  struct jinja_limits limits = jinja_default_limits; /* less of each, for the test's sake */
  limits.steps /= 64;
  limits.memory /= 64;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct tpo_rendered out = {0};
    double start = seconds();
    const char *source = rows[i].template;
    int status =
        jinja_render_source(source, strlen(source), NULL, 0, "2024-07-26", &limits, &out, &test_error);
    double took = seconds() - start;
    if (status >= 0) fail_msg("%s gives %zu bytes", source, out.text.len);
    if (!strstr(test_error.message, rows[i].message)) fail_msg("%s: %s", source, test_error.message);
    if (took > 5) fail_msg("%s took %.1f s", source, took);
    tpo_rendered_free(&out);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_never_ends_fails_at_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
