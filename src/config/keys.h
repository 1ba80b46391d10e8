/* The table that all of the configuration is made from. */
#ifndef TPO_CONFIG_KEYS_H
#define TPO_CONFIG_KEYS_H

#include "tpo/config.h"
#include "base/buf.h"

enum key_type {
  KEY_INT,         /* int */
  KEY_UINT64,      /* uint64_t */
  KEY_DOUBLE,      /* double, finite */
  KEY_BOOL,        /* bool */
  KEY_TEXT,        /* char *, NULL when not given */
  KEY_CHOICE,      /* an enum whose values are the positions in `choices` */
  KEY_CHOICE_BOOL, /* bool: false is the first of two choices */
  KEY_LIST,        /* char **, with its int count at `second` */
  KEY_TERMS,       /* struct tpo_judge_term *, with its int count at `second` */
  KEY_WATCHES,     /* struct tpo_watch_config *, with its int count at `second` */
  KEY_AUTO,        /* double, or the word auto, which sets the bool at `second` */
  KEY_REFERENCE,   /* enum tpo_reference, with the int of every:N at `second` */
  KEY_MAP,         /* char *, JSON of an object (config/map.h), NULL when not given */
  KEY_VERDICTS,    /* struct tpo_verdicts (config/verdicts.h) */
};

enum { KEY_ABOVE_MIN = 1, KEY_BELOW_MAX = 2 }; /* the limit itself is not allowed */

struct config_key {
  const char *path; /* "section.name", or "name" at the top */
  enum key_type type;
  size_t offset, second; /* of the fields, in struct tpo_config */
  double min, max;       /* of numbers */
  unsigned limits;
  const char *fallback; /* the default as one would write it; NULL: not given */
  const char *choices;  /* "a|b|c" */
  const char *doc;
};
extern const struct config_key config_keys[];
extern const int config_n_keys;

struct config_section {
  const char *name;
  const char *shorthand; /* the key that `name: value` means, or NULL */
  const char *doc;
};
extern const struct config_section config_sections[];
extern const int config_n_sections;

/* The built-in thought prompts, compiled in from configs/thought/. */
struct config_builtin {
  const char *name, *yaml;
};
extern const struct config_builtin config_builtins[];
extern const int config_n_builtins;

/* Where values came from: NULL is the default. */
struct tpo_config_origins {
  char *of[160];   /* by the key's place in the table */
  bool own_prompt; /* thought.prompt was given by itself, not by a layout */
};
const char *config_origin(const struct tpo_config *config, int key); /* never NULL */
bool config_is_set(const struct tpo_config *config, int key);        /* not left at its default */
void config_set_origin(struct tpo_config *config, int key, const char *origin);
/* The sections of that name change places, with where their values came from. */
void config_exchange_thought(struct tpo_config *a, struct tpo_config *b);
void config_exchange_template(struct tpo_config *a, struct tpo_config *b);

int config_find_key(const char *path, size_t len); /* -1: none */
int config_find_section(const char *name, size_t len);
bool config_in_section(int key, const char *section); /* section "": keys at the top */
const char *config_key_name(int key);                 /* the path's last part */
/* Whether samples, scores or weights depend on the key: a run may go
 * on with another value where they don't. */
bool config_bears_on_results(int key);
/* Whether validation's scores depend on it, apart from the model and its thoughts: those of runs that have other
 * values say nothing beside each other. */
bool config_bears_on_validation(int key);
/* Whether any part of the judge tells of two responses which is better, so that scores are shares of comparisons. */
bool config_judge_compares(const struct tpo_judge_config *judge);
/* Whether the ranks of one run may have different values: what depends on the host, and paths whose contents
 * are compared instead, or that rank 0 alone reads. */
bool config_may_differ_by_host(int key);
/* Of a text: that it is there and not empty; anything else always has a value. */
bool config_is_given(const struct tpo_config *config, int key);

/* One scalar, or one item of a list. */
struct config_value {
  const char *text;
  size_t len;
  bool plain;   /* not quoted, so it may be a number, a truth value or null */
  bool missing; /* null */
};
/* A finite decimal number, and nothing else. */
bool config_parse_number(const struct config_value *value, double *out);
/* Stores a value into the field of `key`, but for those that are read from a tree: KEY_MAP, KEY_VERDICTS, KEY_TERMS and KEY_WATCHES.
 * On failure 0 is not returned and *problem says what was expected. */
int config_store(struct tpo_config *config, int key, const struct config_value *values, int n_values,
                 struct tpo_buf *problem);
/* Sets the field to the table's default and forgets its origin. */
void config_reset(struct tpo_config *config, int key);
void config_release(struct tpo_config *config, int key); /* frees what the field owns */
/* "an integer from 1 to 1024", for messages and the reference page. */
void config_describe(int key, struct tpo_buf *out);
/* Text as a YAML scalar, in quotes where it needs them, or in any case. */
void config_append_text(const char *text, struct tpo_buf *out);
void config_append_quoted(const char *text, struct tpo_buf *out);
/* The value as YAML that reads back the same. */
void config_append_value(const struct tpo_config *config, int key, struct tpo_buf *out);
/* A message when the field's value is outside its key's range. */
bool config_in_range(const struct tpo_config *config, int key);

/* The known name most like `name` among keys of `section` first, then anywhere; false when none is near. */
bool config_suggest(const char *name, size_t len, const char *section, char out[64]);
/* The one of names most like it; NULL when none is near. */
const char *config_suggest_among(const char *name, size_t len, const char *const *names, int n);
int config_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len);

/* Problems, a line each. */
struct config_report {
  struct tpo_buf lines;
  int count;
  int code; /* of the first */
  char first[1024];
};
void config_problem(struct config_report *report, int code, const char *place, int line, const char *format,
                    ...) __attribute__((format(printf, 5, 6)));
/* Moves the lines to *out (when not NULL) and the first with the count
 * to err; returns 0 when there were none. */
int config_report_end(struct config_report *report, char **out, struct tpo_error *err);

/* Whether it is the name of a built-in layout, or auto. */
bool config_is_builtin_thought(const char *name);
/* `thought: NAME`: resets the section, then reads the built-in or the file. dir (may be NULL) is where a
 * relative path starts. Problems go to report at place:line. */
void config_load_thought(struct tpo_config *config, const char *name, const char *dir, const char *place,
                         int line, struct config_report *report);

#endif
