/* A template run over its inputs, and what it printed as text with runs of origins. */
#include "text/jinja/jinja.h"

#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "text/jinja/run/eval.h"
#include "text/jinja/input.h"

enum { STEPS_OF_VALUE = 2000, STEPS_OF_BYTE = 1, MEMORY_OF_VALUE = 1024, MEMORY_OF_BYTE = 32 };

int tpo_jinja_open(struct tpo_jinja **out, const char *source, size_t len, const char *place,
                   struct tpo_error *err)
{
  return jinja_parse(out, source, len, place, err);
}

void tpo_jinja_close(struct tpo_jinja *jinja)
{
  jinja_free(jinja);
}

void tpo_rendered_free(struct tpo_rendered *r)
{
  tpo_buf_free(&r->text);
  free(r->runs);
  tpo_origins_free(&r->origins);
  *r = (struct tpo_rendered){0};
}

/* Values, and bytes of their strings and names. */
static void measure(const json_t *json, size_t *values, size_t *bytes)
{
  const char *name;
  json_t *item;
  size_t i;
  ++*values;
  *bytes += json_string_length(json);
  json_array_foreach(json, i, item) measure(item, values, bytes);
  json_object_foreach((json_t *)json, name, item)
  {
    *bytes += strlen(name);
    measure(item, values, bytes);
  }
}

/* A long chat may take longer: each of its values lets a template look at some hundred others. */
static struct jinja_limits limits_of(const struct tpo_jinja_input *inputs, size_t n)
{
  struct jinja_limits limits = jinja_default_limits;
  size_t values = 0, bytes = 0;
  for (size_t i = 0; i < n; i++) measure(inputs[i].value, &values, &bytes);
  limits.steps += values * STEPS_OF_VALUE + bytes * STEPS_OF_BYTE;
  limits.memory += values * MEMORY_OF_VALUE + bytes * MEMORY_OF_BYTE;
  return limits;
}

static int set_inputs(struct jinja_evaluator *ev, const struct tpo_jinja_input *inputs, size_t n)
{
  struct jinja_value value;
  for (size_t i = 0; i < n; i++)
    if (jinja_input(&ev->run, &inputs[i], &value) < 0 ||
        jinja_scope_set(ev, ev->scope, inputs[i].name, value) < 0)
      return TPO_E_INPUT;
  return 0;
}

static int take_printed(const struct jinja_builder *printed, struct tpo_rendered *out, struct tpo_error *err)
{
  tpo_buf_append(&out->text, printed->len > 0 ? printed->bytes : "", printed->len);
  if (out->text.failed) return tpo_fail(err, TPO_E_MEMORY, "out of memory for a rendered chat");
  for (size_t begin = 0, end; begin < printed->len; begin = end) {
    for (end = begin + 1; end < printed->len && printed->origins[end] == printed->origins[begin];) end++;
    if (tpo_grow(&out->runs, &out->capacity, out->n + 1, sizeof *out->runs, err) < 0) return TPO_E_MEMORY;
    out->runs[out->n++] = (struct tpo_run){begin, end, printed->origins[begin]};
  }
  return 0;
}

static int render(struct jinja_evaluator *ev, const struct tpo_jinja *jinja,
                  const struct tpo_jinja_input *inputs, size_t n, struct tpo_rendered *out)
{
  ev->printed.run = &ev->run;
  ev->out = &ev->printed;
  if (!(ev->scope = jinja_scope_new(ev, NULL)) || set_inputs(ev, inputs, n) < 0 ||
      !(ev->scope = jinja_scope_new(ev, ev->scope)) || jinja_execute(ev, &jinja->body) < 0)
    return TPO_E_INPUT;
  return take_printed(&ev->printed, out, ev->run.err);
}

int tpo_jinja_render(const struct tpo_jinja *jinja, const struct tpo_jinja_input *inputs, size_t n,
                     const char *date, const struct jinja_limits *limits, struct tpo_rendered *out,
                     struct tpo_error *err)
{
  struct tpo_error unheard = {0};
  struct jinja_evaluator ev = {.run = {.limits = limits ? *limits : limits_of(inputs, n),
                                       .origins = &out->origins,
                                       .place = jinja->place,
                                       .line = 1,
                                       .date = date,
                                       .err = err ? err : &unheard}};
  int status = tpo_origins_copy(&out->origins, &jinja->origins, ev.run.err);
  if (status == 0) status = render(&ev, jinja, inputs, n, out);
  tpo_arena_free(&ev.run.arena);
  return status < 0 ? ev.run.err->code : TPO_OK;
}
