/* The table as Markdown, CSV (RFC 4180) and LaTeX. Labels and details are others' words: what can't be
 * seen is written by its name, and what would mean something to the format is escaped. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/visible.h"
#include "eval/table/table.h"

static void put_markdown(struct tpo_buf *out, const char *text)
{
  for (; *text; text++) {
    if (strchr("\\|`*_<>[]#~&", *text)) tpo_buf_putc(out, '\\');
    tpo_buf_putc(out, *text);
  }
}

static void put_csv(struct tpo_buf *out, const char *text)
{
  bool plain = !strpbrk(text, ",\"\r\n") && *text != ' ';
  if (!plain) tpo_buf_putc(out, '"');
  for (; *text; text++) {
    if (*text == '"') tpo_buf_putc(out, '"');
    tpo_buf_putc(out, *text);
  }
  if (!plain) tpo_buf_putc(out, '"');
}

static void put_latex(struct tpo_buf *out, const char *text)
{
  static const struct {
    char c;
    const char *as;
  } special[] = {{'\\', "\\textbackslash{}"},
                 {'~', "\\textasciitilde{}"},
                 {'^', "\\textasciicircum{}"},
                 {'<', "\\textless{}"},
                 {'>', "\\textgreater{}"},
                 {'|', "\\textbar{}"},
                 {'"', "''"}};
  for (; *text; text++) {
    const char *as = NULL;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
      if (*text == special[i].c) as = special[i].as;
    if (as)
      tpo_buf_puts(out, as);
    else
      tpo_buf_printf(out, strchr("{}$&#%_", *text) ? "\\%c" : "%c", *text);
    if (*text == '-' && text[1] == '-') tpo_buf_puts(out, "{}"); /* else they become a dash */
  }
}

static void put_text(struct tpo_buf *out, enum eval_table_format format, const char *text)
{
  struct tpo_buf seen = {0};
  tpo_visible_append(&seen, text, strlen(text));
  if (seen.failed)
    out->failed = true;
  else
    (format == EVAL_TABLE_MARKDOWN ? put_markdown
     : format == EVAL_TABLE_CSV    ? put_csv
                                   : put_latex)(out, seen.data ? seen.data : "");
  tpo_buf_free(&seen);
}

static void put_heading(struct tpo_buf *out, enum eval_table_format format, const struct table_column *column,
                        const char *more)
{
  struct tpo_buf heading = {0};
  table_heading(column, &heading);
  tpo_buf_puts(&heading, more);
  if (heading.failed) out->failed = true;
  put_text(out, format, heading.data ? heading.data : "");
  tpo_buf_free(&heading);
}

/* Rounded, with its error or interval. */
static void put_value(struct tpo_buf *out, const struct table_value *value, const char *missing,
                      const char *pm)
{
  if (!value || isnan(value->value)) {
    tpo_buf_puts(out, missing);
    return;
  }
  int decimals = table_figures[value->figure].decimals;
  tpo_buf_printf(out, "%.*f", decimals, value->value);
  if (isfinite(value->error)) tpo_buf_printf(out, "%s%.*f", pm, decimals, value->error);
  if (isfinite(value->lower) && isfinite(value->upper))
    tpo_buf_printf(out, " (%.*f, %.*f)", decimals, value->lower, decimals, value->upper);
}

static void write_markdown(const struct eval_table *table, struct tpo_buf *out)
{
  tpo_buf_puts(out, "| |");
  for (size_t c = 0; c < table->n_columns; c++) {
    tpo_buf_putc(out, ' ');
    put_heading(out, EVAL_TABLE_MARKDOWN, &table->columns[c], "");
    tpo_buf_puts(out, table->columns[c].differs ? " † |" : " |");
  }
  tpo_buf_puts(out, "\n| --- |");
  for (size_t c = 0; c < table->n_columns; c++) tpo_buf_puts(out, " ---: |");
  for (size_t r = 0; r < table->n; r++) {
    tpo_buf_puts(out, "\n| ");
    put_text(out, EVAL_TABLE_MARKDOWN, table->rows[r].label);
    for (size_t c = 0; c < table->n_columns; c++) {
      tpo_buf_puts(out, " | ");
      put_value(out, table_value_of(&table->rows[r], &table->columns[c]), "–", " ± ");
    }
    tpo_buf_puts(out, " |");
  }
  tpo_buf_putc(out, '\n');
  for (size_t i = 0; i < table->n_notes; i++) {
    tpo_buf_puts(out, "\n† ");
    put_text(out, EVAL_TABLE_MARKDOWN, table->notes[i]);
    tpo_buf_puts(out, ".\n");
  }
}

static void write_latex(const struct eval_table *table, struct tpo_buf *out)
{
  tpo_buf_puts(out, "\\begin{tabular}{l");
  for (size_t c = 0; c < table->n_columns; c++) tpo_buf_putc(out, 'r');
  tpo_buf_puts(out, "}\n\\hline\n");
  for (size_t c = 0; c < table->n_columns; c++) {
    tpo_buf_puts(out, " & ");
    put_heading(out, EVAL_TABLE_LATEX, &table->columns[c], "");
    if (table->columns[c].differs) tpo_buf_puts(out, "\\dag{}");
  }
  tpo_buf_puts(out, " \\\\\n\\hline\n");
  for (size_t r = 0; r < table->n; r++) {
    put_text(out, EVAL_TABLE_LATEX, table->rows[r].label);
    for (size_t c = 0; c < table->n_columns; c++) {
      tpo_buf_puts(out, " & ");
      put_value(out, table_value_of(&table->rows[r], &table->columns[c]), "--", " $\\pm$ ");
    }
    tpo_buf_puts(out, " \\\\\n");
  }
  tpo_buf_puts(out, "\\hline\n\\end{tabular}\n");
  for (size_t i = 0; i < table->n_notes; i++) {
    tpo_buf_puts(out, "\n\\dag{} ");
    put_text(out, EVAL_TABLE_LATEX, table->notes[i]);
    tpo_buf_puts(out, ".\n");
  }
}

static void put_number(struct tpo_buf *out, double number, int decimals)
{
  tpo_buf_putc(out, ',');
  if (!isfinite(number)) return;
  if (decimals > 0)
    tpo_json_append_double(out, number);
  else
    tpo_buf_printf(out, "%.0f", number);
}

static void write_csv(const struct eval_table *table, struct tpo_buf *out)
{
  tpo_buf_puts(out, "model");
  for (size_t c = 0; c < table->n_columns; c++) {
    const struct table_figure *figure = &table_figures[table->columns[c].figure];
    const char *const more[] = {"", figure->error ? " standard error" : NULL, figure->lower ? " lower" : NULL,
                                figure->upper ? " upper" : NULL};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
      if (!more[i]) continue;
      tpo_buf_putc(out, ',');
      put_heading(out, EVAL_TABLE_CSV, &table->columns[c], more[i]);
    }
  }
  for (size_t r = 0; r < table->n; r++) {
    tpo_buf_puts(out, "\r\n");
    put_text(out, EVAL_TABLE_CSV, table->rows[r].label);
    for (size_t c = 0; c < table->n_columns; c++) {
      const struct table_figure *figure = &table_figures[table->columns[c].figure];
      const struct table_value *value = table_value_of(&table->rows[r], &table->columns[c]);
      put_number(out, value ? value->value : NAN, figure->decimals);
      if (figure->error) put_number(out, value ? value->error : NAN, figure->decimals);
      if (figure->lower) put_number(out, value ? value->lower : NAN, figure->decimals);
      if (figure->upper) put_number(out, value ? value->upper : NAN, figure->decimals);
    }
  }
  tpo_buf_puts(out, "\r\n");
}

int eval_table_write(const struct eval_table *table, enum eval_table_format format, struct tpo_buf *out,
                     struct tpo_error *err)
{
  switch (format) {
  case EVAL_TABLE_MARKDOWN: write_markdown(table, out); break;
  case EVAL_TABLE_CSV: write_csv(table, out); break;
  case EVAL_TABLE_LATEX: write_latex(table, out); break;
  }
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a table") : 0;
}
