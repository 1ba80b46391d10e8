/* What the files of values, methods, filters and tests share. Functions that can fail set run->err and
 * return a negative number, as in value.h. */
#ifndef TPO_TEXT_JINJA_BUILTIN_BUILTINS_H
#define TPO_TEXT_JINJA_BUILTIN_BUILTINS_H

#include "text/jinja/value/value.h"

enum {
  JINJA_DEPTH_MAX = 1000, /* levels of lists and dicts */
  JINJA_FLOAT_TEXT = 48,  /* bytes for repr() of a float */
  JINJA_ARGUMENTS_MAX = 8 /* parameters of a builtin function */
};

struct jinja_value jinja_float(double x);
/* An UNDEFINED whose use fails with that sentence (which has a space). */
int jinja_undefined_of(struct jinja_run *run, struct jinja_value *out, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int jinja_list_of_kind(struct jinja_run *run, enum jinja_list_kind kind, size_t capacity,
                       struct jinja_value *out);
/* Values in v at every level and 64 bytes of text, each one: what comparing or copying it all costs at
 * most. */
size_t jinja_weight(struct jinja_value v);
/* Adds an item to a container's weight and depth; too deep a nesting fails. */
int jinja_add_weight(struct jinja_run *run, struct jinja_value item, size_t *weight, unsigned *depth);

bool jinja_is_number(struct jinja_value v); /* bool, int, float */
bool jinja_is_integer(struct jinja_value v, int64_t *out);
uint64_t jinja_hash(struct jinja_value key); /* of a key that jinja_check_key let pass */
int jinja_check_key(struct jinja_run *run, struct jinja_value key);
int jinja_same(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
               bool *out); /* a == b, paid for */
/* -1, 0, 1; 2 where a NaN is among them. op is for the message. */
int jinja_order(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b, int *out);
bool jinja_find_bytes(const char *text, size_t len, const char *part, size_t part_len, size_t *at);

/* The last place of part; *at SIZE_MAX: nowhere. */
int jinja_find_last(struct jinja_run *run, const char *text, size_t len, const struct jinja_string *part,
                    size_t *at);

/* Strings. */
void jinja_build_string(struct jinja_builder *b, const struct jinja_string *from);
void jinja_build_text(struct jinja_builder *b, const char *text); /* computed */
void jinja_build_code_point(struct jinja_builder *b, uint32_t cp, tpo_origin origin);
void jinja_build_times(struct jinja_builder *b, const struct jinja_string *from, size_t times);
void jinja_build_escaped(struct jinja_builder *b, const struct jinja_string *from); /* for HTML */
/* The end of a string that is markup where `like` is. */
int jinja_build_end_like(struct jinja_builder *b, const struct jinja_string *like, struct jinja_value *out);
int jinja_mark(struct jinja_run *run, struct jinja_value v, struct jinja_value *out); /* as markup */
int jinja_substring(struct jinja_run *run, const struct jinja_string *s, size_t begin, size_t end,
                    struct jinja_value *out);      /* by bytes */
size_t jinja_length(const struct jinja_string *s); /* code points */
uint32_t jinja_next(const struct jinja_string *s, size_t *at);
size_t jinja_previous(const struct jinja_string *s, size_t at);  /* where the code point before begins */
size_t jinja_offset(const struct jinja_string *s, size_t index); /* of a code point, in bytes */
void jinja_float_text(double x, char out[JINJA_FLOAT_TEXT]);     /* repr() */
bool jinja_printable(uint32_t cp);

/* Characters (case.c, characters.c). */
enum jinja_case { JINJA_LOWER, JINJA_UPPER, JINJA_TITLE, JINJA_FOLD };
/* The code point at `at` of s, mapped, with its origin; a final sigma is seen where it stands. */
void jinja_build_cased(struct jinja_builder *b, const struct jinja_string *s, size_t at, enum jinja_case how);
bool jinja_is_line_end(uint32_t cp);
bool jinja_is_upper(uint32_t cp), jinja_is_lower(uint32_t cp), jinja_is_title(uint32_t cp);
bool jinja_is_letter(uint32_t cp), jinja_is_decimal(uint32_t cp), jinja_is_digit(uint32_t cp);
bool jinja_is_numeric(uint32_t cp);
/* A string of decimals' value, of any script; false: not one. */
bool jinja_parse_int(const struct jinja_string *s, int base, int64_t *out);
bool jinja_parse_float(const struct jinja_string *s, double *out);

/* Arguments. */
int jinja_want_string(struct jinja_run *run, const char *function, struct jinja_value v,
                      const struct jinja_string **out);
int jinja_want_int(struct jinja_run *run, const char *function, struct jinja_value v, int64_t *out);
/* Python's begin and end of a slice of n items, from optional None or int. */
int jinja_want_range(struct jinja_run *run, struct jinja_value begin, struct jinja_value end, size_t n,
                     size_t *first, size_t *last);
int jinja_call_named(struct jinja_run *run, jinja_function function, struct jinja_value first,
                     const struct jinja_args *args, size_t skip, struct jinja_value *out);
/* The keys, the values or the pairs of a dict, as a list of that kind. */
int jinja_dict_view(struct jinja_run *run, const struct jinja_dict *dict, enum jinja_list_kind kind,
                    struct jinja_value *out);
/* A bound method, or 0 with *found false. */
int jinja_method(struct jinja_run *run, struct jinja_value obj, const char *name, bool *found,
                 struct jinja_value *out);
typedef int (*jinja_method_function)(struct jinja_run *run, const struct jinja_callable *self,
                                     const struct jinja_args *args, struct jinja_value *out);
struct jinja_method_row {
  const char *name;
  jinja_method_function call;
};
jinja_method_function jinja_find_string_method(const char *name);
jinja_method_function jinja_find_split_method(const char *name); /* split, partition, ... */
jinja_method_function jinja_find_is_method(const char *name);    /* isdigit, ... */
/* An attribute that is no method: of cycler. */
int jinja_function_attribute(struct jinja_run *run, struct jinja_value obj, const char *name, bool *found,
                             struct jinja_value *out);

/* Formatting. */
int jinja_percent(struct jinja_run *run, const struct jinja_string *format, struct jinja_value args,
                  struct jinja_value *out);
/* format(v, spec), appended. */
int jinja_format_spec(struct jinja_run *run, struct jinja_value v, const struct jinja_string *spec,
                      struct jinja_builder *b);
int jinja_str_format(struct jinja_run *run, const struct jinja_string *format, const struct jinja_args *args,
                     struct jinja_value *out);
int jinja_strftime(struct jinja_run *run, const struct jinja_string *format, struct jinja_value *out);

/* Methods of strings that filters are made of. */
int jinja_strip(struct jinja_run *run, const struct jinja_string *s, const struct jinja_string *characters,
                bool left, bool right, struct jinja_value *out); /* characters NULL: white space */
int jinja_replace(struct jinja_run *run, const struct jinja_string *s, const struct jinja_string *from,
                  const struct jinja_string *to, int64_t count, struct jinja_value *out); /* count < 0: all */
int jinja_join(struct jinja_run *run, const struct jinja_string *between, const struct jinja_list *list,
               struct jinja_value *out); /* of strings */
int jinja_split_lines(struct jinja_run *run, const struct jinja_string *s, bool keep_ends,
                      struct jinja_value *out);
int jinja_split_spaces(struct jinja_run *run, const struct jinja_string *s, int64_t max,
                       struct jinja_value *out);
int jinja_pad(struct jinja_run *run, const struct jinja_string *s, int64_t width,
              const struct jinja_string *fill, int where,
              struct jinja_value *out); /* where: -1 ljust, 0 center, 1 rjust; fill NULL: spaces */
int jinja_convert_case(struct jinja_run *run, const struct jinja_string *s, enum jinja_case how,
                       struct jinja_value *out);
int jinja_capitalize(struct jinja_run *run, const struct jinja_string *s, struct jinja_value *out);

#endif
