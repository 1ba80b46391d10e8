/* The filter wordwrap: each line of a text as Python's textwrap breaks it, with the white space inside
 * kept. */
#include <string.h>
#include "text/jinja/builtin/filters.h"
#include "text/regex.h"
#include "text/unicode/space.h"

#define SPACE "\\t\\n\\x0b\\x0c\\r "
#define WORD "\\p{L}\\p{N}_"
#define LETTER "[\\p{L}\\p{Nl}\\p{No}_]"
#define BEFORE_DASHES "[" WORD "!\"'&.,?]"

/* What may stand at the end of a line: white space; dashes between words; a word, or its part up to a
 * hyphen between letters, or up to dashes. */
static const char with_hyphens[] =
    "[" SPACE "]+|(?<=" BEFORE_DASHES ")-{2,}(?=[" WORD "])|[^" SPACE "]+?(?:-(?:(?<=" LETTER LETTER
    "-)|(?<=" LETTER "-" BEFORE_DASHES "-))(?=" LETTER "-?" LETTER ")|(?=[" SPACE "]|\\z)|(?<=" BEFORE_DASHES
    ")(?=-{2,}[" WORD "]))";
static const char at_spaces[] = "[" SPACE "]+|[^" SPACE "]+";

struct wrapping {
  struct jinja_run *run;
  const struct jinja_string *line;
  size_t *ends; /* [n] of chunks, in bytes */
  size_t n;
  int64_t width;
  bool break_words, hyphens;
  struct jinja_builder *out;
  const struct jinja_string *between; /* lines */
  bool begun;                         /* a line was written */
};

static void add_end(struct wrapping *w, size_t end)
{
  if (end > (w->n > 0 ? w->ends[w->n - 1] : 0)) w->ends[w->n++] = end;
}

static int cut(struct wrapping *w, const struct tpo_regex *regex, struct tpo_regex_scratch *scratch)
{
  const struct jinja_string *s = w->line;
  size_t begin, end;
  if (!(w->ends = jinja_alloc(w->run, (s->len + 2) * sizeof *w->ends))) return TPO_E_INPUT;
  w->n = 0;
  bool exact = tpo_regex_differs(regex, s->bytes, s->len);
  for (size_t from = 0; from < s->len; from = end) {
    int found =
        tpo_regex_next(regex, scratch, exact, s->bytes, s->len, from, from > 0, &begin, &end, w->run->err);
    if (found < 0) return TPO_E_INPUT;
    if (!found) begin = end = s->len;
    add_end(w, begin);
    add_end(w, end);
  }
  return 0;
}

static struct jinja_string part(const struct jinja_string *s, size_t begin, size_t end)
{
  return (struct jinja_string){.bytes = s->bytes + begin, .origins = s->origins + begin, .len = end - begin};
}

static bool blank(const struct jinja_string *s)
{
  for (size_t at = 0; at < s->len;)
    if (!tpo_is_space(jinja_next(s, &at))) return false;
  return true;
}

static int64_t columns(const struct wrapping *w, size_t begin, size_t end)
{
  struct jinja_string s = part(w->line, begin, end);
  return (int64_t)jinja_length(&s);
}

/* Where a chunk that is longer than a line is cut: behind its last hyphen that fits, or where the line is
 * full. */
static size_t cut_word(const struct wrapping *w, size_t begin, size_t end, int64_t room)
{
  struct jinja_string s = part(w->line, begin, end);
  size_t full = jinja_offset(&s, (size_t)room);
  const char *hyphen = w->hyphens && full > 0 ? memrchr(s.bytes, '-', full) : NULL;
  size_t at = hyphen ? (size_t)(hyphen - s.bytes) : 0;
  return begin + (at > strspn(s.bytes, "-") ? at + 1 : full); /* something else stands before it */
}

static void put_line(struct wrapping *w, size_t begin, size_t end)
{
  if (begin == end) return;
  if (w->begun) jinja_build_string(w->out, w->between);
  jinja_build_slice(w->out, w->line, begin, end);
  w->begun = true;
}

/* One line from chunk *i on, of which the bytes before `begin` are written already; gives where the next
 * begins. */
static size_t fill_line(struct wrapping *w, size_t *i, size_t begin)
{
  int64_t used = 0;
  size_t end = begin, last = begin; /* last: where the chunk that stands last begins */
  for (; *i < w->n; ++*i) {
    int64_t more = columns(w, end, w->ends[*i]);
    if (used + more > w->width) break;
    used += more;
    last = end;
    end = w->ends[*i];
  }
  if (*i < w->n && columns(w, end, w->ends[*i]) > w->width) {
    size_t stop = w->ends[*i];
    if (w->break_words) stop = cut_word(w, end, stop, w->width - used);
    if (w->break_words || end == begin) {
      *i += stop == w->ends[*i];
      last = end;
      end = stop;
    }
  }
  struct jinja_string tail = part(w->line, last, end);
  put_line(w, begin, blank(&tail) ? last : end);
  return end;
}

static int wrap_line(struct wrapping *w, const struct tpo_regex *regex, struct tpo_regex_scratch *scratch)
{
  size_t i = 0, at = 0;
  if (jinja_spend(w->run, w->line->len) < 0 || cut(w, regex, scratch) < 0) return TPO_E_INPUT;
  w->begun = false;
  while (i < w->n) {
    struct jinja_string chunk = part(w->line, at, w->ends[i]);
    if (w->begun && blank(&chunk)) {
      at = w->ends[i++]; /* no line but the first begins with white space */
      if (i == w->n) break;
    }
    if (jinja_spend(w->run, 1) < 0) return TPO_E_INPUT;
    at = fill_line(w, &i, at);
  }
  return w->out->failed ? TPO_E_INPUT : 0;
}

static int wrap_lines(struct wrapping *w, const struct jinja_list *lines)
{
  struct tpo_regex regex = {0};
  struct tpo_regex_scratch scratch = {0};
  const char *pattern = w->hyphens ? with_hyphens : at_spaces;
  int status = tpo_regex_compile(&regex, pattern, strlen(pattern), "wordwrap", w->run->err);
  for (size_t i = 0; i < lines->n && status == 0; i++) {
    if (i > 0) jinja_build_string(w->out, w->between);
    w->line = lines->items[i].string;
    status = wrap_line(w, &regex, &scratch);
  }
  tpo_regex_scratch_free(&scratch);
  tpo_regex_free(&regex);
  return status;
}

int jinja_filter_wordwrap(struct jinja_run *run, const struct jinja_args *args, struct jinja_value *out)
{
  static const char *const names[] = {"s", "width", "break_long_words", "wrapstring", "break_on_hyphens"};
  struct jinja_value a[5] = {jinja_none(), jinja_int(79), jinja_bool(true), jinja_none(), jinja_bool(true)};
  struct jinja_value lines, line_feed;
  const struct jinja_string *s;
  struct jinja_builder b = {.run = run};
  struct wrapping w = {.run = run, .out = &b};
  if (jinja_bind(run, "wordwrap", args, names, 5, 1, a) < 0 ||
      jinja_string_new(run, "\n", 1, 0, &line_feed) < 0 || jinja_want_string(run, "wordwrap", a[0], &s) < 0 ||
      jinja_want_int(run, "wordwrap", a[1], &w.width) < 0 ||
      jinja_want_string(run, "wordwrap", a[3].type == JINJA_NONE ? line_feed : a[3], &w.between) < 0 ||
      jinja_split_lines(run, s, false, &lines) < 0)
    return TPO_E_INPUT;
  w.break_words = jinja_truthy(a[2]);
  w.hyphens = jinja_truthy(a[4]);
  if (w.width <= 0 && lines.list->n > 0)
    return jinja_fail(run, TPO_E_INPUT, "wordwrap: invalid width %lld (must be > 0)", (long long)w.width);
  if (wrap_lines(&w, lines.list) < 0) return TPO_E_INPUT;
  return jinja_build_end(&b, out);
}
