/* report: one self-contained HTML page about a run folder (no network, model text escaped), and its numbers
 * for TensorBoard. */
#ifndef TPO_REPORT_H
#define TPO_REPORT_H

#include "tpo/base.h"

/* Reads run_dir/manifest.json, metrics.jsonl and iter-NNN/ files, as far as they exist, and writes the page
 * atomically. */
TPO_API int tpo_report_write(const char *run_dir, const char *out_path, struct tpo_error *err);

/* Where a run stands, from its folder's files alone, so that any host that sees them can ask: as text or a JSON
 * object. *out is the caller's to free. */
TPO_API int tpo_run_status(const char *run_dir, bool json, char **out, struct tpo_error *err);

enum tpo_compare_form { TPO_COMPARE_TEXT, TPO_COMPARE_JSON, TPO_COMPARE_HTML };
struct tpo_compare_options {
  enum tpo_compare_form form;
  int iteration; /* whose validation is compared; negative: each run's last one that was validated */
  size_t shown;  /* instructions whose responses are shown, those whose scores differ most */
  bool force;    /* runs that were judged or validated otherwise are shown too, with a warning */
  uint64_t seed; /* of the bootstrap */
};
/* Compares runs on the validation instructions that all of the folders [n >= 2] have, as text, JSON or a page of HTML; *out is
 * the caller's to free. Differences are to the first run, paired by instruction. */
TPO_API int tpo_compare_runs(const char *const *dirs, size_t n, const struct tpo_compare_options *options,
                             char **out, struct tpo_error *err);

/* Makes run_dir/tensorboard/events.out.tfevents.0000000000.tpo, an event file of TensorFlow's format, hold
 * the numbers of run_dir/metrics.jsonl: train/... against the training step counted through the run,
 * iteration/... against the iteration. The same metrics give the same bytes; what the file holds already is
 * left standing and the rest appended, so that a TensorBoard that has it open sees it grow. A line that is
 * not JSON is an error. */
TPO_API int tpo_tensorboard_write(const char *run_dir, struct tpo_error *err);

#endif
