/* Cuts a Jinja template into tokens, and rewrites those that mean the same into one spelling. */
#include "text/chat/canon.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

/* kind: 's' string, 'n' name or number, 'p' punctuation, 'O' begin of
 * output, 'S' begin of statement, 'E' its end. */
struct token {
  char kind;
  size_t begin, len; /* in the pool */
};

struct lexer {
  const char *begin, *at, *end;
  struct tpo_buf pool; /* the tokens' texts */
  struct token *tokens;
  size_t n, capacity;
  struct tpo_error *err;
};

static int add(struct lexer *l, char kind, const char *text, size_t len)
{
  if (tpo_grow(&l->tokens, &l->capacity, l->n + 1, sizeof *l->tokens, l->err) < 0) return TPO_E_MEMORY;
  l->tokens[l->n++] = (struct token){kind, l->pool.len, len};
  tpo_buf_append(&l->pool, text, len);
  return TPO_OK;
}

static bool is(const struct lexer *l, size_t i, char kind, const char *text)
{
  return i < l->n && l->tokens[i].kind == kind && l->tokens[i].len == strlen(text) &&
         memcmp(l->pool.data + l->tokens[i].begin, text, l->tokens[i].len) == 0;
}

static int lex_string(struct lexer *l)
{
  char quote = *l->at++;
  struct tpo_buf text = {0};
  while (l->at < l->end && *l->at != quote) {
    char c = *l->at++;
    if (c == '\\' && l->at < l->end) {
      c = *l->at++;
      if (c == 'n')
        c = '\n';
      else if (c == 't')
        c = '\t';
      else if (c == 'r')
        c = '\r';
      else if (c != '\\' && c != '\'' && c != '"')
        tpo_buf_putc(&text, '\\');
    }
    tpo_buf_putc(&text, c);
  }
  bool closed = l->at < l->end;
  l->at += closed;
  int status = text.failed ? tpo_fail(l->err, TPO_E_MEMORY, "no memory for a chat template")
               : !closed   ? tpo_fail(l->err, TPO_E_INPUT, "the chat template has a string without an end")
                           : add(l, 's', text.data ? text.data : "", text.len);
  tpo_buf_free(&text);
  return status;
}

/* The tokens of a tag up to its closing "%}" or "}}". *trim: "-" stands before that. */
static int lex_tag(struct lexer *l, char close, bool *trim)
{
  while (l->at < l->end) {
    char c = *l->at;
    if (isspace((unsigned char)c)) {
      l->at++;
      continue;
    }
    *trim = c == '-' && l->end - l->at >= 3 && l->at[1] == close && l->at[2] == '}';
    if (*trim) l->at++;
    if (*l->at == close && l->end - l->at >= 2 && l->at[1] == '}') {
      l->at += 2;
      return TPO_OK;
    }
    int status;
    if (c == '\'' || c == '"') {
      status = lex_string(l);
    } else if (isalnum((unsigned char)c) || c == '_') {
      const char *from = l->at;
      while (l->at < l->end && (isalnum((unsigned char)*l->at) || *l->at == '_')) l->at++;
      status = add(l, 'n', from, (size_t)(l->at - from));
    } else {
      size_t len = l->end - l->at >= 2 && strchr("=!<>", c) && l->at[1] == '=' ? 2 : 1;
      status = add(l, 'p', l->at, len);
      l->at += len;
    }
    if (status < 0) return status;
  }
  return tpo_fail(l->err, TPO_E_INPUT, "the chat template has a tag without an end");
}

/* Text between tags, as transformers sets Jinja up: a statement takes the blanks before it on its line and
 * the newline after it. */
static int lex_text(struct lexer *l, const char *from, const char *to, bool last)
{
  bool statement = !last && (to[1] == '%' || to[1] == '#'), dash = !last && to[2] == '-';
  const char *end = to;
  if (dash) {
    while (end > from && isspace((unsigned char)end[-1])) end--;
  } else if (statement && to[2] != '+') {
    const char *line = end;
    while (line > from && (line[-1] == ' ' || line[-1] == '\t')) line--;
    if (line == l->begin || line[-1] == '\n') end = line;
  } else if (last && end > from && end[-1] == '\n') {
    end--; /* Jinja drops one newline at the end */
  }
  if (end == from) return TPO_OK;
  int status = add(l, 'O', "", 0);
  if (status == TPO_OK) status = add(l, 's', from, (size_t)(end - from));
  return status < 0 ? status : add(l, 'E', "", 0);
}

static const char *next_tag(const char *at, const char *end)
{
  for (; at + 1 < end; at++)
    if (*at == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#')) return at;
  return end;
}

static int lex(struct lexer *l)
{
  while (l->at < l->end) {
    const char *from = l->at, *tag = next_tag(from, l->end);
    int status = lex_text(l, from, tag, tag == l->end);
    if (status < 0 || tag == l->end) return status;
    char kind = tag[1];
    bool trim = false;
    l->at = tag + 2;
    if (kind == '#') {
      const char *close = memmem(l->at, (size_t)(l->end - l->at), "#}", 2);
      if (!close) return tpo_fail(l->err, TPO_E_INPUT, "the chat template has a comment without an end");
      trim = close > l->at && close[-1] == '-';
      l->at = close + 2;
    } else {
      if (l->at < l->end && (*l->at == '-' || *l->at == '+')) l->at++;
      status = add(l, kind == '{' ? 'O' : 'S', "", 0);
      if (status == TPO_OK) status = lex_tag(l, kind == '{' ? '}' : '%', &trim);
      if (status == TPO_OK) status = add(l, 'E', "", 0);
      if (status < 0) return status;
    }
    if (trim)
      while (l->at < l->end && isspace((unsigned char)*l->at)) l->at++;
    else if (kind != '{' && l->at < l->end && *l->at == '\n')
      l->at++;
  }
  return TPO_OK;
}

/* Where the output that begins at token i ends, if it is a mere sum: its
 * operands can then join their neighbours'. */
static size_t simple_output(const struct lexer *l, size_t i)
{
  for (size_t j = i + 1; j < l->n; j++) {
    const struct token *t = &l->tokens[j];
    if (t->kind == 'E') return j;
    if (t->kind == 'n' && (is(l, j, 'n', "if") || is(l, j, 'n', "or") || is(l, j, 'n', "and") ||
                           is(l, j, 'n', "not") || is(l, j, 'n', "in") || is(l, j, 'n', "is")))
      return 0;
    if (t->kind == 'p' && !strchr("+|.[](),", l->pool.data[t->begin])) return 0;
  }
  return 0;
}

static int copy(struct lexer *to, const struct lexer *from, size_t i)
{
  return add(to, from->tokens[i].kind, from->pool.data + from->tokens[i].begin, from->tokens[i].len);
}

/* Neighbouring outputs become one sum; `.name`, `.strip()` and
 * `loop.index0 == 0` take their other spelling. */
static int rewrite(struct lexer *to, const struct lexer *from)
{
  bool sum = false; /* the last thing written is the end of a sum */
  size_t end = 0;   /* of the sum that is being written */
  int status = TPO_OK;
  for (size_t i = 0; i < from->n && status == TPO_OK; i++) {
    if (from->tokens[i].kind == 'O') {
      end = simple_output(from, i);
      if (end && sum) {
        to->n--;
        status = add(to, 'p', "+", 1);
      } else {
        status = copy(to, from, i);
      }
      sum = false;
    } else if (from->tokens[i].kind == 'E') {
      sum = end == i;
      status = copy(to, from, i);
    } else if (is(from, i, 'p', ".") && is(from, i + 1, 'n', "strip") && is(from, i + 2, 'p', "(") &&
               is(from, i + 3, 'p', ")")) {
      status = add(to, 'p', "|", 1);
      if (status == TPO_OK) status = add(to, 'n', "trim", 4);
      i += 3;
    } else if (is(from, i, 'p', ".") && i + 1 < from->n && from->tokens[i + 1].kind == 'n' &&
               !is(from, i + 2, 'p', "(")) {
      status = add(to, 'p', "[", 1);
      if (status == TPO_OK)
        status = add(to, 's', from->pool.data + from->tokens[i + 1].begin, from->tokens[i + 1].len);
      if (status == TPO_OK) status = add(to, 'p', "]", 1);
      i++;
    } else {
      sum = false;
      status = copy(to, from, i);
      bool message = is(from, i, 'n', "raise_exception") && is(from, i + 1, 'p', "(") && i + 2 < from->n;
      if (message && status == TPO_OK && from->tokens[i + 2].kind == 's') {
        status = copy(to, from, i + 1);
        i += 2;
      }
    }
  }
  return status;
}

/* 'a' + 'b' is 'ab' where nothing binds tighter to either. */
static bool joins(const struct lexer *l, size_t i)
{
  bool before = i == 0 || l->tokens[i - 1].kind == 'O' || is(l, i - 1, 'p', "+") || is(l, i - 1, 'p', "(") ||
                is(l, i - 1, 'p', "=");
  bool after = i + 3 >= l->n || !(is(l, i + 3, 'p', "|") || is(l, i + 3, 'p', ".") ||
                                  is(l, i + 3, 'p', "[") || is(l, i + 3, 'p', "*") || is(l, i + 3, 'p', "%"));
  return before && after && l->tokens[i].kind == 's' && is(l, i + 1, 'p', "+") && i + 2 < l->n &&
         l->tokens[i + 2].kind == 's';
}

/* Writes part of a constant, with the text between `open` and `close` moved to `taken`. */
static bool take_out(struct tpo_buf *out, struct tpo_buf *taken, const char *text, size_t len,
                     const char *open, const char *close)
{
  const char *from = memmem(text, len, open, strlen(open));
  if (!from) return false;
  from += strlen(open);
  const char *to = memmem(from, (size_t)(text + len - from), close, strlen(close));
  if (!to || to == from) return false;
  tpo_buf_clear(taken);
  tpo_buf_append(taken, from, (size_t)(to - from));
  tpo_buf_append(out, text, (size_t)(from - text));
  tpo_buf_putc(out, '\x02');
  tpo_buf_append(out, to, (size_t)(text + len - to));
  return true;
}

static bool is_date(const char *s, size_t len)
{
  static const char form[] = "00 Aaa 0000";
  if (len != strlen(form)) return false;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    if (form[i] == '0' ? !isdigit(c) : form[i] == ' ' ? c != ' ' : !isalpha(c)) return false;
  }
  return true;
}

static void write_string(struct tpo_canon *canon, const char *text, size_t len)
{
  static const char system[] = "<|im_start|>system\n";
  if (len > strlen(system) && memcmp(text, system, strlen(system)) == 0 &&
      take_out(&canon->text, &canon->system, text, len, system, "<|im_end|>")) {
    canon->has_system = true;
  } else if (is_date(text, len)) {
    tpo_buf_clear(&canon->date);
    tpo_buf_append(&canon->date, text, len);
    tpo_buf_putc(&canon->text, '\x02');
  } else if (!take_out(&canon->text, &canon->knowledge, text, len, "Cutting Knowledge Date: ", "\n")) {
    tpo_buf_append(&canon->text, text, len);
  }
}

static void write_out(struct tpo_canon *canon, const struct lexer *l)
{
  struct tpo_buf joined = {0};
  for (size_t i = 0; i < l->n; i++) {
    const struct token *t = &l->tokens[i];
    tpo_buf_putc(&canon->text, t->kind);
    if (t->kind == 's') {
      tpo_buf_append(&joined, l->pool.data + t->begin, t->len);
      for (bool more = joins(l, i); more;
           more = is(l, i + 1, 'p', "+") && i + 2 < l->n && l->tokens[i + 2].kind == 's' &&
                  !(is(l, i + 3, 'p', "|") || is(l, i + 3, 'p', "[") || is(l, i + 3, 'p', "."))) {
        i += 2;
        tpo_buf_append(&joined, l->pool.data + l->tokens[i].begin, l->tokens[i].len);
      }
      write_string(canon, joined.data ? joined.data : "", joined.len);
      tpo_buf_clear(&joined);
    } else if (is(l, i, 'p', "[") && is(l, i + 1, 's', "index0") && is(l, i + 2, 'p', "]") &&
               is(l, i + 3, 'p', "==") && is(l, i + 4, 'n', "0")) {
      tpo_buf_puts(&canon->text, "[\x1fsfirst\x1fp]");
      i += 4;
    } else {
      tpo_buf_append(&canon->text, l->pool.data + t->begin, t->len);
    }
    tpo_buf_putc(&canon->text, '\x1f');
  }
  if (joined.failed) canon->text.failed = true;
  tpo_buf_free(&joined);
}

/* Jinja reads every kind of line end as a newline. */
static void copy_lines(const char *template, struct tpo_buf *out)
{
  for (const char *c = template; *c; c++) {
    if (*c == '\r' && c[1] == '\n') continue;
    tpo_buf_putc(out, *c == '\r' ? '\n' : *c);
  }
}

int tpo_canon_make(struct tpo_canon *canon, const char *template, struct tpo_error *err)
{
  struct tpo_buf source = {0};
  copy_lines(template, &source);
  const char *text = source.data ? source.data : "";
  struct lexer raw = {.begin = text, .at = text, .end = text + source.len, .err = err}, plain = {.err = err};
  int status = source.failed ? TPO_E_MEMORY : lex(&raw);
  if (status == TPO_OK) status = rewrite(&plain, &raw);
  if (status == TPO_OK) write_out(canon, &plain);
  if (source.failed || raw.pool.failed || plain.pool.failed || canon->text.failed)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a chat template");
  tpo_buf_free(&source);
  tpo_buf_free(&raw.pool);
  tpo_buf_free(&plain.pool);
  free(raw.tokens);
  free(plain.tokens);
  return status;
}

void tpo_canon_free(struct tpo_canon *canon)
{
  tpo_buf_free(&canon->text);
  tpo_buf_free(&canon->system);
  tpo_buf_free(&canon->knowledge);
  tpo_buf_free(&canon->date);
  *canon = (struct tpo_canon){0};
}
