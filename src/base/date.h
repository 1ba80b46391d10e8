/* Dates as text. */
#ifndef TPO_BASE_DATE_H
#define TPO_BASE_DATE_H

#include <stdbool.h>

/* "YYYY-MM-DD", a day of the Gregorian calendar, from the year 1 on. */
bool tpo_is_date(const char *text);

#endif
