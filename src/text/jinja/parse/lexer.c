/* Tokens of a template as jinja2's lexer makes them with trim_blocks and lstrip_blocks: where tags begin
 * and end, which white space around them goes, raw blocks, comments. What stands inside a tag is
 * lex_tag.c's. */
#include "text/jinja/parse/lexer_state.h"

#include <string.h>
#include "base/memory.h"
#include "base/utf8.h"
#include "text/unicode/space.h"

int jinja_lex_line(struct jinja_lexer *l, size_t at)
{
  for (; l->counted < at; l->counted++) l->line += l->s[l->counted] == '\n';
  return l->run->line = l->line;
}

int jinja_lex_push(struct jinja_lexer *l, enum jinja_token_kind kind, size_t at, const char *text, size_t len)
{
  struct jinja_tokens *out = l->out;
  int status = tpo_grow(&out->items, &out->capacity, out->n + 1, sizeof *out->items, l->run->err);
  if (status < 0) return status;
  out->items[out->n++] =
      (struct jinja_token){.kind = kind, .line = jinja_lex_line(l, at), .text = text, .len = len};
  return TPO_OK;
}

/* The byte length of the white space at `at`, Unicode's and all; 0: none. */
static size_t space_at(const struct jinja_lexer *l, size_t at)
{
  uint32_t cp;
  int used = tpo_utf8_decode((const uint8_t *)l->s + at, l->n - at, &cp);
  return used > 0 && tpo_is_space(cp) ? (size_t)used : 0;
}

size_t jinja_lex_skip_space(const struct jinja_lexer *l, size_t at)
{
  for (size_t used; at < l->n && (used = space_at(l, at)) > 0;) at += used;
  return at;
}

/* Where [begin, end) ends without the white space at its end. */
static size_t strip_end(const struct jinja_lexer *l, size_t begin, size_t end)
{
  while (end > begin) {
    size_t at = end - 1;
    while (at > begin && ((uint8_t)l->s[at] & 0xc0) == 0x80) at--;
    if (space_at(l, at) != end - at) break;
    end = at;
  }
  return end;
}

static bool stands_at(const struct jinja_lexer *l, size_t at, const char *what)
{
  size_t len = strlen(what);
  return l->n - at >= len && memcmp(l->s + at, what, len) == 0;
}

/* What a tag's beginning with this sign leaves of the text [begin, end) before it; strips: of
 * lstrip_blocks. */
static size_t text_end(const struct jinja_lexer *l, size_t begin, size_t end, char sign, bool strips)
{
  if (sign == '-') return strip_end(l, begin, end);
  if (sign == '+' || !strips) return end;
  const char *newline = end > begin ? memrchr(l->s + begin, '\n', end - begin) : NULL;
  if (!newline && !l->line_starting) return end;
  size_t line = newline ? (size_t)(newline - l->s) + 1 : begin;
  return jinja_lex_skip_space(l, line) >= end ? line : end;
}

static int push_text(struct jinja_lexer *l, size_t begin, size_t end)
{
  return begin < end ? jinja_lex_push(l, JINJA_T_TEXT, begin, l->s + begin, end - begin) : TPO_OK;
}

static char sign_at(const struct jinja_lexer *l, size_t at)
{
  return at < l->n && (l->s[at] == '-' || l->s[at] == '+') ? l->s[at] : 0;
}

size_t jinja_lex_closing(const struct jinja_lexer *l, size_t at, const char *mark)
{
  bool output = mark[0] == '}';
  if (stands_at(l, at, mark)) {
    at += 2;
    return !output && at < l->n && l->s[at] == '\n' ? at + 1 : at;
  }
  if (!sign_at(l, at) || !stands_at(l, at + 1, mark)) return 0;
  if (l->s[at] == '-') return jinja_lex_skip_space(l, at + 3);
  return output ? 0 : at + 3;
}

static void close_tag(struct jinja_lexer *l, size_t end)
{
  l->line_starting = l->s[end - 1] == '\n';
  l->at = end;
}

/* Past the word in the tag whose mark and sign end at `at`; 0: another tag. */
static size_t word_in_tag(const struct jinja_lexer *l, size_t at, const char *word)
{
  at = jinja_lex_skip_space(l, at);
  return stands_at(l, at, word) ? jinja_lex_skip_space(l, at + strlen(word)) : 0;
}

/* The same for the tag whose mark is at `mark`, and its sign. */
static size_t word_after_mark(const struct jinja_lexer *l, size_t mark, const char *word, char *sign)
{
  *sign = sign_at(l, mark + 2);
  return word_in_tag(l, mark + 2 + (*sign != 0), word);
}

/* Where the content of the raw block begins whose tag is at `mark`; 0: it is none. */
static size_t raw_content(const struct jinja_lexer *l, size_t mark)
{
  char sign;
  size_t at = word_after_mark(l, mark, "raw", &sign);
  if (at && stands_at(l, at, "%}")) return at + 2;
  return at && stands_at(l, at, "-%}") ? jinja_lex_skip_space(l, at + 3) : 0;
}

static int lex_raw(struct jinja_lexer *l, size_t mark, size_t begin)
{
  l->line_starting = l->s[begin - 1] == '\n';
  for (size_t at = begin; at + 1 < l->n; at++) {
    char sign;
    if (!stands_at(l, at, "{%")) continue;
    size_t word = word_after_mark(l, at, "endraw", &sign);
    size_t end = word ? jinja_lex_closing(l, word, "%}") : 0;
    if (!end) continue;
    int status = push_text(l, begin, text_end(l, begin, at, sign, true));
    close_tag(l, end);
    return status;
  }
  jinja_lex_line(l, mark);
  return jinja_fail(l->run, TPO_E_INPUT, "a {%% raw %%} without {%% endraw %%}");
}

static int lex_comment(struct jinja_lexer *l, size_t mark, size_t begin)
{
  const char *close = memmem(l->s + begin, l->n - begin, "#}", 2);
  if (!close) {
    jinja_lex_line(l, mark);
    return jinja_fail(l->run, TPO_E_INPUT, "a comment without \"#}\"");
  }
  size_t at = (size_t)(close - l->s);
  if (at > begin && sign_at(l, at - 1)) at--;
  close_tag(l, jinja_lex_closing(l, at, "#}"));
  return TPO_OK;
}

/* The next tag's mark at or after l->at; l->n: none. */
static size_t next_mark(const struct jinja_lexer *l)
{
  for (size_t at = l->at; at + 1 < l->n; at++) {
    const char *brace = memchr(l->s + at, '{', l->n - at - 1);
    if (!brace) break;
    at = (size_t)(brace - l->s);
    if (brace[1] == '{' || brace[1] == '%' || brace[1] == '#') return at;
  }
  return l->n;
}

/* The text up to the next tag, and that tag. */
static int lex_piece(struct jinja_lexer *l)
{
  size_t begin = l->at, mark = next_mark(l);
  if (mark == l->n) {
    l->at = l->n;
    return push_text(l, begin, mark);
  }
  char kind = l->s[mark + 1], sign = sign_at(l, mark + 2);
  int status = push_text(l, begin, text_end(l, begin, mark, sign, kind != '{'));
  if (status < 0) return status;
  size_t raw = kind == '%' ? raw_content(l, mark) : 0, inside = mark + 2 + (sign != 0);
  if (raw) return lex_raw(l, mark, raw);
  if (kind == '#') return lex_comment(l, mark, inside);
  l->at = inside;
  size_t end;
  status = jinja_lex_tag(l, kind == '{', mark, &end);
  if (status == TPO_OK) close_tag(l, end);
  return status;
}

/* A copy with every line break a \n, and without the last one. */
static int normalise(struct jinja_lexer *l, const char *source, size_t len)
{
  char *copy = jinja_alloc(l->run, len + 1);
  if (!copy) return TPO_E_MEMORY;
  for (size_t i = 0; i < len; i++) {
    copy[l->n++] = source[i] == '\r' ? '\n' : source[i];
    if (source[i] == '\r' && i + 1 < len && source[i + 1] == '\n') i++;
  }
  if (l->n > 0 && copy[l->n - 1] == '\n') l->n--;
  copy[l->n] = 0;
  l->s = copy;
  return TPO_OK;
}

int jinja_lex(struct jinja_run *run, const char *source, size_t len, struct jinja_tokens *out)
{
  struct jinja_lexer l = {.run = run, .out = out, .line = 1, .line_starting = true};
  int status = normalise(&l, source, len);
  while (status == TPO_OK && l.at < l.n) status = lex_piece(&l);
  if (status == TPO_OK) status = jinja_lex_push(&l, JINJA_T_END, l.n, "", 0);
  return status;
}
