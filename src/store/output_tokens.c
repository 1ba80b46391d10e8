/* The most tokens that an output could have had, as text in an attribute: contents that are equal keep their
 * content_hash. */
#include "store/output_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/show.h"

static const char attribute[] = "output_tokens";
enum { MOST_DIGITS = 9 }; /* every such number is an int32_t */

int store_put_output_tokens(struct tpo_h5_writer *w, int32_t n, struct tpo_error *err)
{
  char text[16];
  if (n <= 0) return 0;
  snprintf(text, sizeof text, "%d", n);
  return tpo_h5_put_attribute(w, "/", attribute, text, err);
}

int store_get_output_tokens(const struct tpo_h5_reader *r, int32_t *n, struct tpo_error *err)
{
  char *text = NULL;
  *n = 0;
  int status = tpo_h5_get_attribute(r, "/", attribute, &text, err);
  if (status != 1) return status;
  size_t len = strlen(text);
  if (len <= MOST_DIGITS && strspn(text, "0123456789") == len) *n = (int32_t)strtol(text, NULL, 10);
  if (*n <= 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: attribute %s is '%s', expected a number of tokens", r->path,
                      attribute, tpo_show_name(text, len).text);
  free(text);
  return status < 0 ? status : 0;
}
