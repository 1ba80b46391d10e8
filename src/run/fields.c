/* Numbers as the members of an event. */
#include "run/fields.h"

#include <math.h>

json_t *with_fields(json_t *object, const struct field *fields, size_t n)
{
  for (size_t i = 0; object && i < n; i++) {
    json_t *value = !isfinite(fields[i].value) ? json_null()
                    : fields[i].count          ? json_integer((json_int_t)fields[i].value)
                                               : json_real(fields[i].value);
    if (json_object_set_new(object, fields[i].key, value) == 0) continue;
    json_decref(object);
    return NULL;
  }
  return object;
}
