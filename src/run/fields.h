/* Numbers as the members of an event. */
#ifndef TPO_RUN_FIELDS_H
#define TPO_RUN_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct field {
  const char *key;
  double value;
  bool count; /* a whole number */
};
#define COUNT(key, value)                                                                                    \
  {                                                                                                          \
    key, (double)(value), true                                                                               \
  }
#define REAL(key, value)                                                                                     \
  {                                                                                                          \
    key, value, false                                                                                        \
  }
#define QUARTILES(key, q) REAL(key "_25", (q).q25), REAL(key "_50", (q).q50), REAL(key "_75", (q).q75)

/* object with the fields added, NULL when memory is short; takes object, which may be NULL. A number that is
 * not finite is null. */
json_t *with_fields(json_t *object, const struct field *fields, size_t n);

#define FIELDS(object, fields) with_fields(object, fields, sizeof(fields) / sizeof *(fields))

#endif
