/* A JSON validator (RFC 8259) that needs no memory but the stack, nested at most 500 deep. Like the
 * benchmark's, it takes NaN, Infinity and -Infinity for numbers, and objects that name a key twice. */
#include "checks/text.h"

enum { MAX_DEPTH = 500 };

struct reader {
  struct span text;
  size_t at;
};

static void skip_space(struct reader *r)
{
  while (r->at < r->text.len && strchr(" \t\r\n", r->text.text[r->at]) && r->text.text[r->at]) r->at++;
}

static bool take(struct reader *r, const char *word)
{
  size_t len = strlen(word);
  if (r->text.len - r->at < len || memcmp(r->text.text + r->at, word, len) != 0) return false;
  r->at += len;
  return true;
}

static char peek(const struct reader *r)
{
  return r->at < r->text.len ? r->text.text[r->at] : '\0';
}

static bool read_string(struct reader *r)
{
  if (!take(r, "\"")) return false;
  while (r->at < r->text.len) {
    unsigned char c = (unsigned char)r->text.text[r->at++];
    if (c == '"') return true;
    if (c < 0x20) return false;
    if (c != '\\') continue;
    char escaped = peek(r);
    if (escaped == '\0' || !strchr("\"\\/bfnrtu", escaped)) return false;
    r->at++;
    for (int i = 0; escaped == 'u' && i < 4; i++, r->at++)
      if (!peek(r) || !strchr("0123456789abcdefABCDEF", peek(r))) return false;
  }
  return false;
}

static size_t skip_digits(struct reader *r)
{
  size_t start = r->at;
  while (peek(r) >= '0' && peek(r) <= '9') r->at++;
  return r->at - start;
}

static bool read_number(struct reader *r)
{
  if (take(r, "NaN") || take(r, "Infinity") || take(r, "-Infinity")) return true;
  take(r, "-");
  if (!take(r, "0") && skip_digits(r) == 0) return false;
  if (take(r, ".") && skip_digits(r) == 0) return false;
  if (take(r, "e") || take(r, "E")) {
    if (!take(r, "+")) take(r, "-");
    if (skip_digits(r) == 0) return false;
  }
  return true;
}

static bool read_value(struct reader *r, int depth)
{
  skip_space(r);
  char open = peek(r);
  if (open == '"') return read_string(r);
  if (take(r, "true") || take(r, "false") || take(r, "null")) return true;
  if (open != '{' && open != '[') return read_number(r);
  if (depth == MAX_DEPTH) return false;
  const char *close = open == '{' ? "}" : "]";
  r->at++;
  skip_space(r);
  if (take(r, close)) return true;
  for (;;) {
    skip_space(r);
    if (open == '{') {
      if (!read_string(r)) return false;
      skip_space(r);
      if (!take(r, ":")) return false;
    }
    if (!read_value(r, depth + 1)) return false;
    skip_space(r);
    if (take(r, close)) return true;
    if (!take(r, ",")) return false;
  }
}

bool text_is_json(struct span text)
{
  struct reader r = {text, 0};
  if (!read_value(&r, 0)) return false;
  skip_space(&r);
  return r.at == text.len;
}
