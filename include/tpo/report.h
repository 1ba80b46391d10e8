/* report: one self-contained HTML page about a run folder: no network, model text escaped. */
#ifndef TPO_REPORT_H
#define TPO_REPORT_H

#include "tpo/base.h"

/* Reads run_dir/manifest.json, metrics.jsonl and iter-NNN/ files, as far as they exist, and writes the page
 * atomically. */
int tpo_report_write(const char *run_dir, const char *out_path, struct tpo_error *err);

#endif
