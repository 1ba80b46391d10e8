/* Files in a format that is not read here are known by their first bytes, and a person told what to do. */
#ifndef TPO_BASE_FOREIGN_H
#define TPO_BASE_FOREIGN_H

#include "base/file.h"

/* Before the first line of what should be JSON Lines: an error that names the format and how to convert it,
 * where the file is Parquet, zstd, a JSON array and the like. Consumes nothing. */
int tpo_lines_refuse_foreign(struct tpo_lines *lines, struct tpo_error *err);

#endif
