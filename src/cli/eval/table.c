/* `tpo eval table`: results of evaluations, side by side. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/eval/eval.h"
#include "eval/table/table.h"

static const struct option options[] = {
    {"--format", 'f', "FORMAT", NULL, "markdown (the default), csv or latex"},
    {"--out", 'o', "FILE", NULL, "write the table there; default: standard output"},
    OPTION_END,
};

static int format_of(const struct invocation *in, enum eval_table_format *out, struct tpo_error *err)
{
  static const char *const names[] = {"markdown", "csv", "latex"};
  const char *value = option_value(in, "--format");
  *out = EVAL_TABLE_MARKDOWN;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!value || strcmp(value, names[i]) == 0) {
      if (value) *out = (enum eval_table_format)i;
      return 0;
    }
  return tpo_fail(err, TPO_E_USAGE, "tpo %s: --format is '%s'; expected markdown, csv or latex",
                  in->command->name, value);
}

static int collect(const struct invocation *in, struct eval_table *table, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < in->n_positional && status == 0; i++)
    status = eval_table_add(table, in->positional[i], err);
  if (status == 0) status = eval_table_finish(table, err);
  for (size_t i = 0; i < table->n_notes && status == 0; i++) tpo_log(TPO_LOG_WARN, "%s", table->notes[i]);
  return status;
}

/* Of the folders too, whatever of their files was read. */
static int check_place(const struct invocation *in, const struct eval_table *table, const char *out,
                       struct tpo_error *err)
{
  for (size_t i = 0; i < table->n_files; i++)
    if (tpo_same_file(table->files[i], out))
      return tpo_fail(err, TPO_E_USAGE, "tpo %s: --out %s is a file that is read; name another",
                      in->command->name, out);
  return 0;
}

static int put(const char *out, const struct tpo_buf *text, struct tpo_error *err)
{
  if (out && strcmp(out, "-") != 0) return tpo_write_file(out, text->data, text->len, err);
  return fwrite(text->data, 1, text->len, stdout) == text->len
             ? 0
             : tpo_fail(err, TPO_E_IO, "standard output: can't be written: %m");
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct eval_table table = {0};
  struct tpo_buf text = {0};
  enum eval_table_format format;
  const char *out = option_value(in, "--out");
  int status = format_of(in, &format, err);
  if (status == 0 && out && strcmp(out, "-") != 0) status = check_output(in, "--out", out, NULL, err);
  if (status == 0) status = collect(in, &table, err);
  if (status == 0 && out && strcmp(out, "-") != 0) status = check_place(in, &table, out, err);
  if (status == 0) status = eval_table_write(&table, format, &text, err);
  if (status == 0) status = put(out, &text, err);
  tpo_buf_free(&text);
  eval_table_free(&table);
  return status;
}

const struct command cmd_eval_table = {
    .name = "eval table",
    .arguments = "DIR...",
    .summary = "results that --save kept, and what runs watched, in one table",
    .options = options,
    .n_positional_min = 1,
    .n_positional_max = MOST_POSITIONAL,
    .notes =
        "A row a folder (or result's file), a column a figure: shares and per cent as the results have them,\n"
        "with standard errors or intervals, rounded; in a CSV in full. Of a run, what it watched last. Columns\n"
        "whose rows were made with other instructions, baselines or judges are marked, and told of.",
    .run = run,
};
