/* `format % values` of strings: %[(name)][flags][width][.precision]type. */
#include <math.h>
#include <string.h>
#include "base/utf8.h"
#include "text/jinja/python/format.h"

struct conversion {
  bool left, zero;
  int64_t width, precision; /* precision -1: none */
  struct jinja_number_format number;
};

struct percent {
  struct jinja_run *run;
  const struct jinja_string *format;
  struct jinja_value args;
  bool row; /* args is a tuple, whose items are taken in turn */
  size_t next;
  struct jinja_builder out;
};

static int take(struct percent *p, struct jinja_value *out)
{
  size_t n = p->row ? p->args.list->n : 1;
  if (p->next >= n) return jinja_fail(p->run, TPO_E_INPUT, "not enough arguments for format string");
  *out = p->row ? p->args.list->items[p->next] : p->args;
  p->next++;
  return 0;
}

static int take_named(struct percent *p, size_t *at, struct jinja_value *out)
{
  const struct jinja_string *f = p->format;
  size_t begin = ++*at;
  for (int depth = 1; *at < f->len; ++*at) {
    if (f->bytes[*at] == '(') depth++;
    if (f->bytes[*at] == ')' && --depth == 0) break;
  }
  if (*at >= f->len) return jinja_fail(p->run, TPO_E_INPUT, "incomplete format key");
  if (p->args.type != JINJA_DICT) return jinja_fail(p->run, TPO_E_INPUT, "format requires a mapping");
  struct jinja_string name = {.bytes = f->bytes + begin, .origins = f->origins + begin, .len = *at - begin};
  ++*at;
  if (!jinja_dict_get(p->args.dict, (struct jinja_value){.type = JINJA_STRING, .string = &name}, out))
    return jinja_fail(p->run, TPO_E_INPUT, "the values of a format have no key '%.*s'", (int)name.len,
                      name.bytes);
  p->next = 1;
  return 0;
}

static int take_size(struct percent *p, size_t *at, int64_t *out)
{
  const struct jinja_string *f = p->format;
  struct jinja_value v = {0};
  *out = 0;
  if (*at < f->len && f->bytes[*at] == '*') {
    ++*at;
    if (take(p, &v) < 0) return TPO_E_INPUT;
    if (v.type != JINJA_INT) return jinja_fail(p->run, TPO_E_INPUT, "* wants int");
    *out = v.integer;
  } else {
    for (; *at < f->len && f->bytes[*at] >= '0' && f->bytes[*at] <= '9'; ++*at)
      if (*out <= JINJA_WIDTH_MAX) *out = *out * 10 + f->bytes[*at] - '0';
  }
  if (*out <= JINJA_WIDTH_MAX && *out >= -JINJA_WIDTH_MAX) return 0;
  return jinja_fail(p->run, TPO_E_UNSUPPORTED, "a format's width of more than %d is not supported",
                    JINJA_WIDTH_MAX);
}

static int parse_flags(struct percent *p, size_t *at, struct conversion *c)
{
  const struct jinja_string *f = p->format;
  for (; *at < f->len && f->bytes[*at] && strchr("-+ #0", f->bytes[*at]); ++*at) {
    char flag = f->bytes[*at];
    if (flag == '-') c->left = true;
    if (flag == '0') c->zero = true;
    if (flag == '#') c->number.alternate = true;
    if (flag == '+' || (flag == ' ' && c->number.sign == '-')) c->number.sign = flag;
  }
  if (take_size(p, at, &c->width) < 0) return TPO_E_INPUT;
  if (c->width < 0) c->left = true, c->width = -c->width;
  if (*at >= f->len || f->bytes[*at] != '.') return 0;
  ++*at;
  if (take_size(p, at, &c->precision) < 0) return TPO_E_INPUT;
  if (c->precision < 0) c->precision = 0;
  if (c->precision > JINJA_PRECISION_MAX && f->bytes[*at] != 's' && f->bytes[*at] != 'r')
    return jinja_fail(p->run, TPO_E_UNSUPPORTED, "a format's precision of more than %d is not supported",
                      JINJA_PRECISION_MAX);
  return 0;
}

static void put_padded(struct percent *p, const struct conversion *c, const struct jinja_string *s)
{
  tpo_origin computed = 0;
  struct jinja_string space = {.bytes = " ", .origins = &computed, .len = 1};
  size_t n = jinja_length(s), padding = (size_t)c->width > n ? (size_t)c->width - n : 0;
  if (!c->left) jinja_build_times(&p->out, &space, padding);
  jinja_build_string(&p->out, s);
  if (c->left) jinja_build_times(&p->out, &space, padding);
}

static int put_text(struct percent *p, const struct conversion *c, char type, struct jinja_value v)
{
  struct jinja_builder text = {.run = p->run};
  struct jinja_value made;
  if (type == 'r') {
    if (jinja_repr(p->run, v, &text) < 0) return TPO_E_INPUT;
  } else {
    jinja_build_value(&text, v);
  }
  if (jinja_build_end(&text, &made) < 0) return TPO_E_INPUT;
  struct jinja_string s = *made.string;
  if (c->precision >= 0) s.len = jinja_offset(&s, (size_t)c->precision);
  put_padded(p, c, &s);
  return 0;
}

static int put_character(struct percent *p, const struct conversion *c, struct jinja_value v)
{
  struct jinja_builder text = {.run = p->run};
  int64_t cp = 0;
  struct jinja_value made;
  if (v.type == JINJA_STRING && jinja_length(v.string) == 1)
    jinja_build_string(&text, v.string);
  else if (jinja_is_integer(v, &cp) && cp >= 0 && cp < 0x110000 && (cp & ~0x7ff) != 0xd800)
    jinja_build_code_point(&text, (uint32_t)cp, 0);
  else
    return jinja_fail(p->run, TPO_E_INPUT, "%%c requires int or char");
  if (jinja_build_end(&text, &made) < 0) return TPO_E_INPUT;
  put_padded(p, c, made.string);
  return 0;
}

static int to_integer(struct percent *p, char type, struct jinja_value *v)
{
  int64_t i;
  if (jinja_is_integer(*v, &i)) {
    *v = jinja_int(i);
    return 0;
  }
  if (v->type == JINJA_FLOAT && type == 'd' && fabs(v->real) < 0x1p63) {
    *v = jinja_int((int64_t)v->real);
    return 0;
  }
  if (v->type == JINJA_UNDEFINED) return jinja_fail_undefined(p->run, *v);
  if (v->type == JINJA_FLOAT && type == 'd')
    return jinja_fail(p->run, TPO_E_UNSUPPORTED,
                      "%%d of a number that needs more than 64 bits is not supported");
  return jinja_fail(p->run, TPO_E_INPUT, "%%%c format: a real number is required, not %s", type,
                    jinja_type_name(*v));
}

/* An integer's precision is the least number of its digits. */
static int put_number(struct percent *p, struct conversion *c, char type, struct jinja_value v)
{
  char text[JINJA_NUMBER_TEXT];
  size_t sign;
  bool real = strchr("eEfFgG", type) != NULL;
  if (type == 'i' || type == 'u') type = 'd';
  if (!real && to_integer(p, type, &v) < 0) return TPO_E_INPUT;
  if (real && v.type == JINJA_UNDEFINED) return jinja_fail_undefined(p->run, v);
  if (real && !jinja_is_number(v))
    return jinja_fail(p->run, TPO_E_INPUT, "must be real number, not %s", jinja_type_name(v));
  c->number.type = type;
  c->number.precision = real ? (int)c->precision : -1;
  if (jinja_format_number(p->run, v, &c->number, text, &sign) < 0) return TPO_E_INPUT;
  size_t n = strlen(text), digits = n - sign, zeros = 0;
  if (!real && c->precision > (int64_t)digits) zeros = (size_t)c->precision - digits;
  if (c->zero && !c->left && (size_t)c->width > n + zeros) zeros = (size_t)c->width - n;
  struct jinja_builder built = {.run = p->run};
  struct jinja_value made;
  tpo_origin computed = 0;
  jinja_build_bytes(&built, text, sign, 0);
  jinja_build_times(&built, &(struct jinja_string){.bytes = "0", .origins = &computed, .len = 1}, zeros);
  jinja_build_text(&built, text + sign);
  if (jinja_build_end(&built, &made) < 0) return TPO_E_INPUT;
  put_padded(p, c, made.string);
  return 0;
}

static int convert(struct percent *p, size_t *at)
{
  const struct jinja_string *f = p->format;
  struct conversion c = {.precision = -1, .number = {.sign = '-', .precision = -1}};
  struct jinja_value v = {0};
  bool named = *at < f->len && f->bytes[*at] == '(';
  if (named && take_named(p, at, &v) < 0) return TPO_E_INPUT;
  if (parse_flags(p, at, &c) < 0) return TPO_E_INPUT;
  if (*at < f->len && strchr("hlL", f->bytes[*at])) ++*at;
  if (*at >= f->len) return jinja_fail(p->run, TPO_E_INPUT, "incomplete format");
  char type = f->bytes[(*at)++];
  if (type == '%') {
    jinja_build_slice(&p->out, f, *at - 1, *at);
    return 0;
  }
  if (!type || !strchr("srcdiuoxXeEfFgG", type))
    return jinja_fail(p->run, TPO_E_INPUT, "unsupported format character '%c'", type);
  if (!named && take(p, &v) < 0) return TPO_E_INPUT;
  if (type == 's' || type == 'r') return put_text(p, &c, type, v);
  return type == 'c' ? put_character(p, &c, v) : put_number(p, &c, type, v);
}

int jinja_percent(struct jinja_run *run, const struct jinja_string *format, struct jinja_value args,
                  struct jinja_value *out)
{
  struct percent p = {
      .run = run, .format = format, .args = args, .row = args.type == JINJA_TUPLE, .out = {.run = run}};
  if (format->markup)
    return jinja_fail(run, TPO_E_UNSUPPORTED,
                      "%% of a string that the filter `safe` or `escape` made is not supported");
  for (size_t at = 0; at < format->len;) {
    const char *mark = memchr(format->bytes + at, '%', format->len - at);
    size_t end = mark ? (size_t)(mark - format->bytes) : format->len;
    jinja_build_slice(&p.out, format, at, end);
    at = end + 1;
    if (mark && convert(&p, &at) < 0) return TPO_E_INPUT;
  }
  bool indexed =
      args.type == JINJA_LIST && (args.list->kind == JINJA_PLAIN_LIST || args.list->kind == JINJA_RANGE);
  bool mapping = indexed || args.type == JINJA_DICT || args.type == JINJA_UNDEFINED; /* as Python sees it */
  if (p.next < (p.row ? args.list->n : !mapping))
    return jinja_fail(run, TPO_E_INPUT, "not all arguments converted during string formatting");
  return jinja_build_end(&p.out, out);
}
