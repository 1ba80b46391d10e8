/* A number written as printf-like conversions ask for it: shared by `%` and by format specifications. */
#ifndef TPO_TEXT_JINJA_PYTHON_FORMAT_H
#define TPO_TEXT_JINJA_PYTHON_FORMAT_H

#include "text/jinja/builtin/builtins.h"

enum { JINJA_WIDTH_MAX = 1000000, JINJA_PRECISION_MAX = 1000 };

struct jinja_number_format {
  char type;      /* d b o x X c e E f F g G n %, or 0: as repr() of a float */
  char sign;      /* '-': of negative ones alone, '+', ' ' */
  char grouping;  /* ',', '_' or 0 */
  bool alternate; /* # */
  int precision;  /* digits; -1: not given */
  int zeros_to;   /* width to which zeros go between sign and digits; 0: none */
};
/* Digits of v, at most JINJA_NUMBER_TEXT bytes; *sign is where the fill of '=' goes, behind sign and 0x. */
enum { JINJA_NUMBER_TEXT = 4096 };
int jinja_format_number(struct jinja_run *run, struct jinja_value v, const struct jinja_number_format *format,
                        char out[JINJA_NUMBER_TEXT], size_t *sign);

#endif
