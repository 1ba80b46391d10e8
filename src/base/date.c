/* Dates as text. */
#include "base/date.h"

#include <ctype.h>
#include <string.h>

static int number(const char *text, int n_digits)
{
  int value = 0;
  for (int i = 0; i < n_digits; i++) value = 10 * value + (text[i] - '0');
  return value;
}

static int days_of(int year, int month)
{
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days[month - 1] + (month == 2 && leap);
}

bool tpo_is_date(const char *text)
{
  static const char form[] = "0000-00-00";
  if (strlen(text) != strlen(form)) return false;
  for (size_t i = 0; i < strlen(form); i++)
    if (form[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != form[i]) return false;
  int year = number(text, 4), month = number(text + 5, 2), day = number(text + 8, 2);
  return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days_of(year, month);
}
