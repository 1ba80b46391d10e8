/* The pieces of a configuration as a Jinja template, and constants in such a text. */
#include <string.h>
#include "base/json.h"
#include "text/chat/thought/think_template.h"

/* Pairs of a byte and its name behind a backslash. */
static const char named[] = "\\\\''\nn\rr\tt";

void tpo_jinja_quote(struct tpo_buf *out, const char *text, size_t len)
{
  tpo_buf_putc(out, '\'');
  for (size_t i = 0; i < len; i++) {
    const char *escape = named;
    while (*escape && *escape != text[i]) escape += 2;
    if (*escape) {
      tpo_buf_putc(out, '\\');
      tpo_buf_putc(out, escape[1]);
    } else {
      tpo_buf_putc(out, text[i]);
    }
  }
  tpo_buf_putc(out, '\'');
}

void tpo_jinja_unquote(struct tpo_buf *out, const char *quoted)
{
  for (const char *c = quoted + 1; *c && *c != '\''; c++) {
    const char *escape = named;
    if (*c != '\\') {
      tpo_buf_putc(out, *c);
      continue;
    }
    c++;
    while (*escape && escape[1] != *c) escape += 2;
    if (!*escape) return;
    tpo_buf_putc(out, *escape);
  }
}

static void put_items(struct tpo_buf *out, const json_t *value)
{
  bool object = json_is_object(value);
  size_t i;
  json_t *item;
  const char *key;
  tpo_buf_putc(out, object ? '{' : '[');
  const char *between = "";
  json_array_foreach(value, i, item)
  {
    tpo_buf_puts(out, between);
    tpo_jinja_constant(out, item);
    between = ", ";
  }
  json_object_foreach((json_t *)value, key, item)
  {
    tpo_buf_puts(out, between);
    tpo_jinja_quote(out, key, strlen(key));
    tpo_buf_puts(out, ": ");
    tpo_jinja_constant(out, item);
    between = ", ";
  }
  tpo_buf_putc(out, object ? '}' : ']');
}

void tpo_jinja_constant(struct tpo_buf *out, const json_t *value)
{
  switch (json_typeof(value)) {
  case JSON_NULL: tpo_buf_puts(out, "none"); break;
  case JSON_TRUE: tpo_buf_puts(out, "true"); break;
  case JSON_FALSE: tpo_buf_puts(out, "false"); break;
  case JSON_INTEGER: tpo_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); break;
  case JSON_REAL: tpo_json_append_double(out, json_real_value(value)); break;
  case JSON_STRING: tpo_jinja_quote(out, json_string_value(value), json_string_length(value)); break;
  default: put_items(out, value);
  }
}

static const char *or_empty(const char *piece)
{
  return piece ? piece : "";
}

static void put_turn(struct tpo_buf *out, const char *prefix, const char *suffix)
{
  tpo_buf_puts(out, "{{- ");
  tpo_jinja_quote(out, or_empty(prefix), strlen(or_empty(prefix)));
  tpo_buf_puts(out, " ~ text ~ ");
  tpo_jinja_quote(out, or_empty(suffix), strlen(or_empty(suffix)));
  tpo_buf_puts(out, " }}");
}

static void put_text(struct tpo_buf *out, const char *text)
{
  if (!text || !*text) return;
  tpo_buf_puts(out, "{{- ");
  tpo_jinja_quote(out, text, strlen(text));
  tpo_buf_puts(out, " }}");
}

static void put_default_system(struct tpo_buf *out, const struct tpo_template_config *p)
{
  if (!p->default_system || !*p->default_system) return;
  tpo_buf_puts(out, "{%- if messages and messages[0]['role'] != 'system' %}");
  put_text(out, p->system_prefix);
  put_text(out, p->default_system);
  put_text(out, p->system_suffix);
  tpo_buf_puts(out, "{% endif %}\n");
}

void tpo_pieces_template(const struct tpo_template_config *p, struct tpo_buf *out)
{
  put_text(out, p->bos);
  put_default_system(out, p);
  tpo_buf_puts(out, "{%- for message in messages %}\n"
                    "{%- set text = message['content'] %}\n"
                    "{%- if text is not string %}{% set text = text | map(attribute='text') | join('') %}"
                    "{% endif %}\n"
                    "{%- if message['role'] == 'system' %}");
  put_turn(out, p->system_prefix, p->system_suffix);
  tpo_buf_puts(out, "\n{%- elif message['role'] == 'user' %}");
  put_turn(out, p->user_prefix, p->user_suffix);
  tpo_buf_puts(out, "\n{%- elif message['role'] == 'assistant' %}");
  put_turn(out, p->assistant_prefix, p->assistant_suffix);
  tpo_buf_puts(out, "\n{%- else %}{{- raise_exception('the role ' ~ message['role'] ~ "
                    "' is none of system, user, assistant') }}\n"
                    "{%- endif %}\n"
                    "{%- endfor %}\n"
                    "{%- if add_generation_prompt %}");
  put_text(out, p->assistant_prefix);
  tpo_buf_puts(out, "{% endif %}");
}
