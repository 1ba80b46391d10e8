/* What sort of thoughts the model writes, over the iterations, with examples and the rules. */
#include <math.h>
#include <string.h>

#include "measure/thoughts.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/position.h"

enum { MOST_EXAMPLE = 300 };

static const struct {
  const char *of, *title;
} sets[] = {{"sample", "Sampled thoughts"}, {"validate", "Validation"}};

static const char *kind_name(int kind)
{
  return kind < N_THOUGHT_KINDS ? thought_rules[kind].name : "other";
}

/* The last event of that sort; NULL: none. */
static const json_t *last_of(const struct report *report, const char *of, int *iteration)
{
  for (size_t i = report->n_iterations; i-- > 0;) {
    const json_t *event = report_breakdown(&report->iterations[i], "thoughts", of, NULL);
    *iteration = report->iterations[i].number;
    if (event) return event;
  }
  return NULL;
}

/* A row a quantity, a column an iteration that tells of thoughts. share: of "shares", else the event's own. */
static void put_row(struct tpo_buf *out, const struct report *report, const char *of, const char *title,
                    const char *key, bool share)
{
  bool percent = strcmp(key, "thoughts") != 0;
  tpo_buf_printf(out, "<tr><th scope=\"row\">%s</th>", title);
  for (size_t i = 0; i < report->n_iterations; i++) {
    const json_t *event = report_breakdown(&report->iterations[i], "thoughts", of, NULL);
    if (!event) continue;
    double value = report_number(share ? json_object_get(event, "shares") : event, key);
    tpo_buf_puts(out, "<td>");
    (percent ? html_percent : html_number)(out, value, percent);
    if (!share && percent && strcmp(key, "draft_overlap") == 0)
      html_error(out, 100 * report_number(event, "draft_overlap_se"), 1);
    tpo_buf_puts(out, "</td>");
  }
  tpo_buf_puts(out, "</tr>\n");
}

static void put_table(struct tpo_buf *out, const struct report *report, const char *of, const char *title)
{
  tpo_buf_printf(out,
                 "<h3>%s</h3>\n<div class=\"scroll\"><table class=\"compare\">\n<thead><tr>"
                 "<th scope=\"col\">%s</th>",
                 title, report_unit(report, false));
  for (size_t i = 0; i < report->n_iterations; i++)
    if (report_breakdown(&report->iterations[i], "thoughts", of, NULL))
      tpo_buf_printf(out, "<th scope=\"col\">%d</th>", report_position(report, report->iterations[i].number));
  tpo_buf_puts(out, "</tr></thead>\n<tbody>\n");
  put_row(out, report, of, "thoughts", "thoughts", false);
  for (int k = 0; k <= N_THOUGHT_KINDS; k++) put_row(out, report, of, kind_name(k), kind_name(k), true);
  put_row(out, report, of, "overlap with the response, of drafting thoughts", "draft_overlap", false);
  put_row(out, report, of, "overlap with the response, of the others", "undrafted_overlap", false);
  tpo_buf_puts(out, "</tbody></table></div>\n");
}

static void put_examples(struct tpo_buf *out, const struct report *report, const char *of)
{
  int iteration = 0;
  const json_t *examples = json_object_get(last_of(report, of, &iteration), "examples");
  if (json_object_size(examples) == 0) return;
  tpo_buf_printf(out, "<details><summary>A sentence of each kind, from the %s of ",
                 strcmp(of, "sample") == 0 ? "samples" : "validation");
  put_stretch(out, report, iteration, false);
  tpo_buf_puts(out, "</summary>\n<dl class=\"glossary\">\n");
  for (int k = 0; k <= N_THOUGHT_KINDS; k++) {
    const char *example = json_string_value(json_object_get(examples, kind_name(k)));
    if (!example) continue;
    tpo_buf_printf(out, "<dt>%s</dt><dd>", kind_name(k));
    html_excerpt(out, example, MOST_EXAMPLE);
    tpo_buf_puts(out, "</dd>\n");
  }
  tpo_buf_puts(out, "</dl>\n</details>\n");
}

static void put_rules(struct tpo_buf *out)
{
  tpo_buf_puts(
      out, "<details><summary>The keyword rules of this version</summary>\n<p class=\"note\">* any ending; "
           "^ at the beginning of a sentence or line; # a line that begins with a bullet or a number."
           "</p>\n<dl class=\"glossary\">\n");
  for (int k = 0; k < N_THOUGHT_KINDS; k++) {
    const struct thought_rule *rule = &thought_rules[k];
    tpo_buf_printf(out, "<dt>%s</dt><dd>", rule->name);
    if (rule->least > 1) tpo_buf_printf(out, "at least %d of: ", rule->least);
    for (int p = 0; p < MOST_PATTERNS && rule->patterns[p]; p++) {
      tpo_buf_puts(out, p ? " · " : "");
      html_text(out, rule->patterns[p]);
    }
    tpo_buf_puts(out, "</dd>\n");
  }
  tpo_buf_puts(out, "</dl>\n</details>\n");
}

void part_thoughts(struct tpo_buf *out, const struct report *report)
{
  int iteration = 0;
  bool begun = false;
  for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
    if (!last_of(report, sets[s].of, &iteration)) continue;
    if (!begun)
      tpo_buf_puts(
          out,
          "<section id=\"thoughts\">\n<h2>Kinds of thought</h2>\n<p class=\"lead\">Told by keyword "
          "rules, which are English words and phrases and no more: shares of the thoughts in which a "
          "kind shows. A thought can show several kinds; “other” shows none. The overlap is the share of a "
          "response’s sequences of three words that stand in its thought too.</p>\n");
    begun = true;
    put_table(out, report, sets[s].of, sets[s].title);
    put_examples(out, report, sets[s].of);
  }
  if (!begun) return;
  put_rules(out);
  tpo_buf_puts(out, "</section>\n");
}
