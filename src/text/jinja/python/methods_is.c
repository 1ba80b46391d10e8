/* Methods that ask what a string consists of: isdigit and its like. */
#include <string.h>
#include "text/jinja/builtin/builtins.h"
#include "text/unicode/space.h"

static bool is_alnum(uint32_t cp)
{
  return jinja_is_letter(cp) || jinja_is_numeric(cp);
}

static bool is_ascii(uint32_t cp)
{
  return cp < 0x80;
}

static const struct {
  const char *name;
  bool (*is)(uint32_t cp);
  bool of_empty;
} classes[] = {
    {"isalnum", is_alnum, false},
    {"isalpha", jinja_is_letter, false},
    {"isascii", is_ascii, true},
    {"isdecimal", jinja_is_decimal, false},
    {"isdigit", jinja_is_digit, false},
    {"isnumeric", jinja_is_numeric, false},
    {"isprintable", jinja_printable, true},
    {"isspace", tpo_is_space, false},
};

static int no_arguments(struct jinja_run *run, const struct jinja_callable *self,
                        const struct jinja_args *args)
{
  if (args->n + args->n_named == 0) return jinja_spend(run, self->self.string->len / 8);
  return jinja_fail(run, TPO_E_INPUT, "%s() takes no arguments", self->name);
}

static int method_class(struct jinja_run *run, const struct jinja_callable *self,
                        const struct jinja_args *args, struct jinja_value *out)
{
  const struct jinja_string *s = self->self.string;
  size_t row = 0;
  if (no_arguments(run, self, args) < 0) return TPO_E_INPUT;
  while (strcmp(classes[row].name, self->name) != 0) row++;
  bool all = s->len > 0 || classes[row].of_empty;
  for (size_t at = 0; all && at < s->len;) all = classes[row].is(jinja_next(s, &at));
  *out = jinja_bool(all);
  return 0;
}

/* At least one cased character, and none of the other case. */
static int one_case(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
                    bool upper, struct jinja_value *out)
{
  const struct jinja_string *s = self->self.string;
  bool some = false, other = false;
  if (no_arguments(run, self, args) < 0) return TPO_E_INPUT;
  for (size_t at = 0; at < s->len && !other;) {
    uint32_t cp = jinja_next(s, &at);
    other = jinja_is_title(cp) || (upper ? jinja_is_lower(cp) : jinja_is_upper(cp));
    some = some || (upper ? jinja_is_upper(cp) : jinja_is_lower(cp));
  }
  *out = jinja_bool(some && !other);
  return 0;
}

static int method_isupper(struct jinja_run *run, const struct jinja_callable *self,
                          const struct jinja_args *args, struct jinja_value *out)
{
  return one_case(run, self, args, true, out);
}

static int method_islower(struct jinja_run *run, const struct jinja_callable *self,
                          const struct jinja_args *args, struct jinja_value *out)
{
  return one_case(run, self, args, false, out);
}

static int method_istitle(struct jinja_run *run, const struct jinja_callable *self,
                          const struct jinja_args *args, struct jinja_value *out)
{
  const struct jinja_string *s = self->self.string;
  bool inside = false, some = false, good = true;
  if (no_arguments(run, self, args) < 0) return TPO_E_INPUT;
  for (size_t at = 0; at < s->len && good;) {
    uint32_t cp = jinja_next(s, &at);
    bool begins = jinja_is_upper(cp) || jinja_is_title(cp), goes_on = jinja_is_lower(cp);
    good = begins ? !inside : !goes_on || inside;
    some = some || begins || goes_on;
    inside = begins || goes_on;
  }
  *out = jinja_bool(some && good);
  return 0;
}

static int method_isidentifier(struct jinja_run *run, const struct jinja_callable *self,
                               const struct jinja_args *args, struct jinja_value *out)
{
  (void)args;
  (void)out;
  return jinja_fail(run, TPO_E_UNSUPPORTED, "the method %s of strings is not supported", self->name);
}

jinja_method_function jinja_find_is_method(const char *name)
{
  static const struct jinja_method_row rows[] = {{"isupper", method_isupper},
                                                 {"islower", method_islower},
                                                 {"istitle", method_istitle},
                                                 {"isidentifier", method_isidentifier}};
  if (name[0] != 'i' || name[1] != 's') return NULL;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, name) == 0) return rows[i].call;
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strcmp(classes[i].name, name) == 0) return method_class;
  return NULL;
}
