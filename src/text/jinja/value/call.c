/* Calling what can be called, and putting arguments to names and types. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"

int jinja_call(struct jinja_run *run, struct jinja_value callee, const struct jinja_args *args,
               struct jinja_value *out)
{
  if (callee.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, callee);
  if (callee.type != JINJA_CALLABLE)
    return jinja_fail(run, TPO_E_INPUT, "'%s' object is not callable", jinja_type_name(callee));
  if (jinja_spend(run, 1) < 0) return TPO_E_INPUT;
  return callee.callable->call(run, callee.callable, args, out);
}

static int find_name(const char *const *names, size_t n, const char *name)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp(names[i], name) == 0) return (int)i;
  return -1;
}

int jinja_bind(struct jinja_run *run, const char *function, const struct jinja_args *args,
               const char *const *names, size_t n_names, size_t n_required, struct jinja_value *out)
{
  uint64_t given = 0;
  if (args->n > n_names)
    return jinja_fail(run, TPO_E_INPUT, "%s() takes at most %zu arguments, not %zu", function, n_names,
                      args->n);
  for (size_t i = 0; i < args->n; i++) out[i] = args->args[i], given |= (uint64_t)1 << i;
  for (size_t k = 0; k < args->n_named; k++) {
    int i = find_name(names, n_names, args->names[k]);
    if (i < 0)
      return jinja_fail(run, TPO_E_INPUT, "%s() got an unexpected keyword argument '%s'", function,
                        args->names[k]);
    if (given >> i & 1)
      return jinja_fail(run, TPO_E_INPUT, "%s() got multiple values for argument '%s'", function, names[i]);
    out[i] = args->named[k];
    given |= (uint64_t)1 << i;
  }
  for (size_t i = 0; i < n_required; i++)
    if (!(given >> i & 1))
      return jinja_fail(run, TPO_E_INPUT, "%s() is missing its argument '%s'", function, names[i]);
  return 0;
}

static int call_function(struct jinja_run *run, const struct jinja_callable *self,
                         const struct jinja_args *args, struct jinja_value *out)
{
  jinja_function function;
  memcpy(&function, &self->data, sizeof function);
  return function(run, args, out);
}

int jinja_function_new(struct jinja_run *run, const char *name, jinja_function function,
                       struct jinja_value *out)
{
  struct jinja_callable *callable = jinja_alloc(run, sizeof *callable);
  if (!callable) return TPO_E_INPUT;
  callable->name = name;
  callable->call = call_function;
  memcpy(&callable->data, &function, sizeof function);
  *out = (struct jinja_value){.type = JINJA_CALLABLE, .callable = callable};
  return 0;
}

int jinja_call_named(struct jinja_run *run, jinja_function function, struct jinja_value first,
                     const struct jinja_args *args, size_t skip, struct jinja_value *out)
{
  struct jinja_value values[JINJA_ARGUMENTS_MAX + 1] = {first};
  size_t n = args->n > skip ? args->n - skip : 0;
  if (n > JINJA_ARGUMENTS_MAX)
    return jinja_fail(run, TPO_E_INPUT, "no filter or test takes %zu arguments", n);
  for (size_t i = 0; i < n; i++) values[i + 1] = args->args[skip + i];
  struct jinja_args all = *args;
  all.args = values;
  all.n = n + 1;
  return function(run, &all, out);
}

int jinja_want_string(struct jinja_run *run, const char *function, struct jinja_value v,
                      const struct jinja_string **out)
{
  if (v.type == JINJA_UNDEFINED && v.missing) return jinja_fail_undefined(run, v);
  if (v.type != JINJA_STRING)
    return jinja_fail(run, TPO_E_INPUT, "%s() wants a string where it got '%s'", function,
                      jinja_type_name(v));
  *out = v.string;
  return 0;
}

int jinja_want_int(struct jinja_run *run, const char *function, struct jinja_value v, int64_t *out)
{
  if (jinja_is_integer(v, out)) return 0;
  if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(run, v);
  return jinja_fail(run, TPO_E_INPUT, "%s() wants an integer where it got '%s'", function,
                    jinja_type_name(v));
}
