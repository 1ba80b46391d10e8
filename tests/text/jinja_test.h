/* Shared by the tests of templates and their fuzzing: variables out of a JSON object, a rendering of a source's text. */
#ifndef TPO_TESTS_JINJA_TEST_H
#define TPO_TESTS_JINJA_TEST_H

#include <string.h>
#include "text/jinja/jinja.h"

enum { JINJA_MAX_INPUTS = 16 }; /* what an object has beyond is left out */

/* The names of the tokenizer's tokens are the template's own, as in a chat. */
__attribute__((unused)) static size_t jinja_inputs(const json_t *variables,
                                                   struct tpo_jinja_input inputs[JINJA_MAX_INPUTS])
{
  size_t n = 0;
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)variables, name, value)
  {
    if (n == JINJA_MAX_INPUTS) break;
    inputs[n++] = (struct tpo_jinja_input){name, value, strstr(name, "_token") != NULL};
  }
  return n;
}

__attribute__((unused)) static int jinja_render(const struct tpo_jinja *jinja, const json_t *variables,
                                                const struct jinja_limits *limits, struct tpo_rendered *out,
                                                struct tpo_error *err)
{
  struct tpo_jinja_input inputs[JINJA_MAX_INPUTS];
  size_t n = jinja_inputs(variables, inputs);
  return tpo_jinja_render(jinja, inputs, n, "2024-07-26", limits, out, err);
}

/* inputs[n], date: as tpo_jinja_render's. */
__attribute__((unused)) static int jinja_render_source(const char *source, size_t len,
                                                       const struct tpo_jinja_input *inputs, size_t n,
                                                       const char *date, const struct jinja_limits *limits,
                                                       struct tpo_rendered *out, struct tpo_error *err)
{
  struct tpo_jinja *jinja;
  int status = tpo_jinja_open(&jinja, source, len, "model", err);
  if (status < 0) return status;
  status = tpo_jinja_render(jinja, inputs, n, date, limits, out, err);
  tpo_jinja_close(jinja);
  return status;
}

#endif
