/* The page: one file that fetches nothing. */
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "report/html.h"
#include "report/page.h"
#include "report/parts.h"
#include "report/position.h"
#include "tpo/report.h"

/* hex digits of 32 bytes as base64, as a content security policy names a script by its hash. */
static void put_base64(struct tpo_buf *out, const char *hex)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned bytes[33] = {0};
  for (int i = 0; i < 32; i++) sscanf(hex + (ptrdiff_t)2 * i, "%2x", &bytes[i]);
  for (int i = 0; i < 33; i += 3) {
    unsigned group = bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2];
    for (int d = 0; d < 4; d++) tpo_buf_putc(out, i + d == 33 ? '=' : digits[group >> (18 - 6 * d) & 63]);
  }
}

/* Even if a text found its way past the escaping, the policy lets no script but ours run and nothing be
 * fetched. */
void page_begin(struct tpo_buf *out, const char *title)
{
  tpo_buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src 'sha256-");
  put_base64(out, page_js_sha256);
  tpo_buf_puts(out, "'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
  html_excerpt(out, title, 200);
  tpo_buf_puts(out, "</title>\n<style>\n");
  tpo_buf_puts(out, page_css);
  tpo_buf_puts(out, "</style>\n</head>\n<body>\n");
}

void page_end(struct tpo_buf *out, const char *remark)
{
  tpo_buf_printf(out, "</main>\n<footer>Made by tpo %s. %s</footer>\n<script>", tpo_version(), remark);
  tpo_buf_puts(out, page_js);
  tpo_buf_puts(out, "</script>\n</body>\n</html>\n");
}

static void put_navigation(struct tpo_buf *out, const struct report *report, const struct tpo_buf *body)
{
  const char *const parts[][2] = {{"iterations", report_in_steps(report) ? "Steps" : "Iterations"},
                                  {"watch", "Watch"},
                                  {"charts", "Charts"},
                                  {"groups", "By kind of instruction"},
                                  {"thoughts", "Kinds of thought"},
                                  {"samples", "Samples"},
                                  {"validation", "Validation answers"},
                                  {"notes", "Not shown"},
                                  {"configuration", "Configuration"}};
  tpo_buf_puts(out, "<nav class=\"top\" aria-label=\"Parts of this page\">\n");
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    char opening[64];
    snprintf(opening, sizeof opening, "<section id=\"%s\">", parts[i][0]);
    if (body->data && strstr(body->data, opening))
      tpo_buf_printf(out, "<a href=\"#%s\">%s</a>\n", parts[i][0], parts[i][1]);
  }
  tpo_buf_puts(out, "</nav>\n");
}

static int put_page(struct tpo_buf *out, struct report *report, struct tpo_error *err)
{
  struct tpo_buf body = {0}, samples = {0};
  int status = part_samples(&samples, report, err);
  if (status == 0) {
    part_result(&body, report);
    part_table(&body, report);
    part_watch(&body, report);
    part_charts(&body, report);
    part_groups(&body, report);
    part_thoughts(&body, report);
    tpo_buf_append(&body, samples.data, samples.len);
    part_validation(&body, report);
    part_configuration(&body, report);
    page_begin(out, report->dir);
    part_headline(out, report);
    put_navigation(out, report, &body);
    tpo_buf_puts(out, "<main>\n");
    tpo_buf_append(out, body.data, body.len);
    page_end(out, "This page fetches nothing and works without scripts; they add filters and search.");
    if (body.failed || samples.failed || out->failed || report->notes.failed)
      status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory for the report", report->dir);
  }
  tpo_buf_free(&body);
  tpo_buf_free(&samples);
  return status;
}

int tpo_report_write(const char *run_dir, const char *out_path, struct tpo_error *err)
{
  struct report report;
  struct tpo_buf page = {0};
  int status = report_load(&report, run_dir, err);
  if (status == 0) status = put_page(&page, &report, err);
  if (status == 0) status = tpo_write_file(out_path, page.data, page.len, err);
  tpo_buf_free(&page);
  report_free(&report);
  return status;
}
