/* What the files of filters share. Each has a table of its own, which filters.c looks through. */
#ifndef TPO_TEXT_JINJA_BUILTIN_FILTERS_H
#define TPO_TEXT_JINJA_BUILTIN_FILTERS_H

#include "text/jinja/builtin/builtins.h"

struct jinja_filter_row {
  const char *name;
  jinja_function call;
};
#define JINJA_FIND(rows, name) jinja_find_row(rows, sizeof(rows) / sizeof *(rows), name)
jinja_function jinja_find_row(const struct jinja_filter_row *rows, size_t n, const char *name);

jinja_function jinja_find_text_filter(const char *name);     /* filters_text.c */
jinja_function jinja_find_lines_filter(const char *name);    /* filters_lines.c */
jinja_function jinja_find_html_filter(const char *name);     /* filters_html.c */
jinja_function jinja_find_number_filter(const char *name);   /* filters_number.c */
jinja_function jinja_find_sequence_filter(const char *name); /* filters_sequence.c */
jinja_function jinja_find_sort_filter(const char *name);     /* filters_sort.c */
jinja_function jinja_find_select_filter(const char *name);   /* filters_select.c */
int jinja_filter_wordwrap(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out);
int jinja_filter_tojson(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out);

/* "a.b.0" as jinja2 looks up what filters get as `attribute`; a default that isn't None stands for what is
 * undefined. */
int jinja_path(struct jinja_run *run, struct jinja_value item, struct jinja_value path,
               struct jinja_value otherwise, struct jinja_value *out);
/* The value with all dicts in it in the order of their keys, as pprint shows them. */
int jinja_sort_dicts(struct jinja_run *run, struct jinja_value v, struct jinja_value *out);
/* str() of the first argument. */
int jinja_text_of(struct jinja_run *run, const struct jinja_args *args, const struct jinja_string **out);

#endif
