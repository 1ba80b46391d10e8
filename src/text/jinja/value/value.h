/* Values of a chat template while it runs: Python's, as far as templates see them. All of a rendering
 * lives in one arena, which is freed as a whole; values are small and copied. */
#ifndef TPO_TEXT_JINJA_VALUE_VALUE_H
#define TPO_TEXT_JINJA_VALUE_VALUE_H

#include "base/memory.h"
#include "text/jinja/value/origin.h"
#include "tpo/base.h"

enum jinja_type {
  JINJA_UNDEFINED, /* jinja2's default Undefined: prints as nothing, iterates as nothing, else an error */
  JINJA_NONE,
  JINJA_BOOL,
  JINJA_INT, /* 64 bits; what exceeds them is an error */
  JINJA_FLOAT,
  JINJA_STRING,
  JINJA_LIST, /* and what else is a row of values to a template: see enum jinja_list_kind */
  JINJA_TUPLE,
  JINJA_DICT,
  JINJA_NAMESPACE, /* a dict whose items `set ns.x = ...` changes */
  JINJA_CALLABLE,  /* macro, bound method, function of the environment */
  JINJA_LOOP,      /* `loop` of a for statement */
};

/* UTF-8. origins[i] is where bytes[i] came from; all bytes of a code point have one. */
struct jinja_string {
  const char *bytes; /* a NUL follows, which is not counted; there may be others */
  const tpo_origin *origins;
  size_t len;
  bool markup; /* of the filters safe and escape: what is added to it is escaped for HTML */
};

struct jinja_value {
  enum jinja_type type;
  union {
    bool truth;
    int64_t integer;
    double real;
    const struct jinja_string *string;
    struct jinja_list *list; /* LIST, TUPLE */
    struct jinja_dict *dict; /* DICT, NAMESPACE */
    const struct jinja_callable *callable;
    struct jinja_loop *loop;
    const char *
        missing; /* UNDEFINED: the name that was looked for, or a sentence (which has a space); may be NULL */
  };
};

/* What a value of type LIST is. All but the plain one are what Python has instead of a list in that place:
 * they print, compare and index otherwise. Iterating a generator empties it; it is always true and has no
 * length. */
enum jinja_list_kind {
  JINJA_PLAIN_LIST,
  JINJA_GENERATOR, /* of map, select, reject, unique, batch, slice, reverse, items */
  JINJA_RANGE,
  JINJA_KEYS,
  JINJA_VALUES,
  JINJA_ITEMS,
};
struct jinja_list {
  struct jinja_value *items;
  size_t n, capacity;
  enum jinja_list_kind kind;
  const char *const *names; /* of a TUPLE that groupby made: its items' names; else NULL */
  const int64_t *bounds;    /* of a RANGE: begin, end, step */
  size_t weight;            /* values in it, counted at every level; 0 for none */
  unsigned depth;           /* levels of lists and dicts below it */
};
/* In the order in which keys were put; found by a linear search, or by hash where there are many:
 * dict.c's. */
struct jinja_dict {
  struct jinja_value *keys, *values;
  size_t n, capacity;
  uint32_t *slots; /* [n_slots] index + 1 of a key, 0: free; NULL while there are few keys */
  size_t n_slots;
  size_t weight; /* as a list's */
  unsigned depth;
};

struct jinja_limits {
  size_t steps;  /* nodes evaluated, elements visited, bytes built and read by 64, pieces of texts by 8 */
  size_t depth;  /* of nested calls and statements */
  size_t memory; /* bytes of all values together */
  size_t output; /* bytes */
};
extern const struct jinja_limits jinja_default_limits; /* what there is beside what inputs add: jinja.c */

/* One rendering. Every function below that fails sets err with a message about the template's line `line`
 * and returns a negative number; which code it is stands in err. */
struct jinja_run {
  struct tpo_arena arena;
  struct jinja_limits limits; /* what is left */
  struct tpo_origins *origins;
  const char *place; /* of the template, for messages */
  int line;          /* of what is being evaluated */
  const char *date;  /* strftime_now's: "2024-07-26" or with a time, "2024-07-26T00:00:00" */
  struct tpo_error *err;
};

/* "<place>: chat template, line 12: ..." ; returns code, negative. */
int jinja_fail(struct jinja_run *run, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "'x' is undefined" and the like, of an UNDEFINED that was used. */
int jinja_fail_undefined(struct jinja_run *run, struct jinja_value v);
/* Takes from what is left; negative with a message naming the limit. */
int jinja_spend(struct jinja_run *run, size_t steps);
/* The same for bytes that are gone through without a copy: a step for each 64. */
int jinja_spend_bytes(struct jinja_run *run, size_t bytes);
void *jinja_alloc(struct jinja_run *run, size_t bytes); /* NULL with err set */

/* Making values. */
int jinja_string_new(struct jinja_run *run, const char *bytes, size_t len, tpo_origin origin,
                     struct jinja_value *out);
struct jinja_value jinja_int(int64_t i);
struct jinja_value jinja_bool(bool b);
struct jinja_value jinja_none(void);
struct jinja_value jinja_undefined(const char *name);
int jinja_list_new(struct jinja_run *run, enum jinja_type list_or_tuple, size_t capacity,
                   struct jinja_value *out);
int jinja_list_push(struct jinja_run *run, struct jinja_list *list, struct jinja_value item);
int jinja_dict_new(struct jinja_run *run, struct jinja_value *out);
int jinja_dict_put(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key,
                   struct jinja_value value); /* unhashable keys fail */
/* false: no such key. Keys compare as in Python: 1 == 1.0 == True. */
bool jinja_dict_get(const struct jinja_dict *dict, struct jinja_value key, struct jinja_value *out);
bool jinja_dict_find(const struct jinja_dict *dict, const char *key, struct jinja_value *out);

/* A text as it is put together. Origins go with the bytes. */
enum { JINJA_PIECES = 8 };
struct jinja_builder {
  struct jinja_run *run;
  char *bytes;
  tpo_origin *origins;
  size_t len, capacity;
  unsigned pieces; /* put in since they last cost a step: JINJA_PIECES of them cost one */
  bool failed;     /* run->err is set */
};
bool jinja_build_reserve(struct jinja_builder *b, size_t more); /* bytes to come; false: failed */
void jinja_build_bytes(struct jinja_builder *b, const char *bytes, size_t len, tpo_origin origin);
void jinja_build_slice(struct jinja_builder *b, const struct jinja_string *from, size_t begin, size_t end);
void jinja_build_value(struct jinja_builder *b, struct jinja_value value); /* as str() gives it */
int jinja_build_end(struct jinja_builder *b, struct jinja_value *out);

/* Python's ways. */
bool jinja_truthy(struct jinja_value v);
bool jinja_equal(struct jinja_value a, struct jinja_value b);
int jinja_compare(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b,
                  bool *out); /* op: == != < <= > >= in "not in" ; TypeError is an error */
int jinja_unary(struct jinja_run *run, char op, struct jinja_value v, struct jinja_value *out); /* + - */
/* op: + - * / // % ** ~ */
int jinja_binary(struct jinja_run *run, const char *op, struct jinja_value a, struct jinja_value b,
                 struct jinja_value *out);
int jinja_str(struct jinja_run *run, struct jinja_value v, struct jinja_value *out);  /* a STRING */
int jinja_repr(struct jinja_run *run, struct jinja_value v, struct jinja_builder *b); /* appended */
const char *jinja_type_name(struct jinja_value v); /* Python's: "str", "dict", "NoneType", ... */
/* obj.name of jinja2: an attribute (a method of Python's, bound), else an item of that name, else
 * undefined. */
int jinja_attribute(struct jinja_run *run, struct jinja_value obj, const char *name, struct jinja_value *out);
/* obj[key] of jinja2: an item, else where key is a string the attribute of that name, else undefined. */
int jinja_item(struct jinja_run *run, struct jinja_value obj, struct jinja_value key,
               struct jinja_value *out);
/* obj[begin:end:step]; NULL: not given. Strings by code points, with their origins. */
int jinja_slice(struct jinja_run *run, struct jinja_value obj, const struct jinja_value *begin,
                const struct jinja_value *end, const struct jinja_value *step, struct jinja_value *out);
/* What a for statement goes through, as a list: of a dict its keys, of a string its code points. A list is
 * not copied (it can't change), but what a generator has left is taken out of it. */
int jinja_iterate(struct jinja_run *run, struct jinja_value v, struct jinja_value *out);

/* Calls. args[n] positional, then n_named of names[i] = named[i]. */
struct jinja_args {
  const struct jinja_value *args;
  size_t n;
  const char *const *names;
  const struct jinja_value *named;
  size_t n_named;
};
struct jinja_callable {
  const char *name;
  int (*call)(struct jinja_run *run, const struct jinja_callable *self, const struct jinja_args *args,
              struct jinja_value *out);
  struct jinja_value self; /* of a bound method: its object */
  void *data;              /* of a macro: its evaluator's */
};
int jinja_call(struct jinja_run *run, struct jinja_value callee, const struct jinja_args *args,
               struct jinja_value *out); /* what can't be called is an error */
/* A CALLABLE of a filter-like function, such as jinja_find_global gives. name must stay. */
int jinja_function_new(struct jinja_run *run, const char *name,
                       int (*function)(struct jinja_run *run, const struct jinja_args *args,
                                       struct jinja_value *out),
                       struct jinja_value *out);
/* Puts arguments to their names, as Python does: names[] in order, those from n_required on may lack, then
 * out[i] is as it was before. Unknown, doubled and missing ones fail as a TypeError of `function`. */
int jinja_bind(struct jinja_run *run, const char *function, const struct jinja_args *args,
               const char *const *names, size_t n_names, size_t n_required, struct jinja_value *out);

/* Filters, tests and the environment's functions. The value comes first in args. */
typedef int (*jinja_function)(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out);
jinja_function jinja_find_filter(const char *name); /* NULL: there is none */
jinja_function jinja_find_test(const char *name);   /* out is a BOOL */
jinja_function
jinja_find_global(const char *name); /* range, dict, namespace, raise_exception, strftime_now, ... */

#endif
