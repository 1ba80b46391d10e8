/* Numbers for people. */
#ifndef TPO_BASE_DIGITS_H
#define TPO_BASE_DIGITS_H

/* A whole number as "1,234,567"; returns out. */
const char *tpo_group_digits(double value, char out[40]);
/* Bytes in three digits, as "1.23 GB"; returns out. */
const char *tpo_size_text(double bytes, char out[40]);

#endif
