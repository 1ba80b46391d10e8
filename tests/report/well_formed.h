/* A strict reader of the HTML that the report writes: every tag closed in order, every attribute's value in
 * double quotes, only the entities that are used, nothing that fetches. Stricter than HTML, so that a slip
 * shows. */
#ifndef TESTS_REPORT_WELL_FORMED_H
#define TESTS_REPORT_WELL_FORMED_H

#include "unit.h"
#include "base/utf8.h"

struct reader {
  const char *html, *at;
  char open[64][24];
  int depth;
};

static inline void wrong(const struct reader *r, const char *what)
{
  fail_msg("%s at byte %zu: %.80s", what, (size_t)(r->at - r->html), r->at);
}

static inline void read_entity(struct reader *r)
{
  static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#10;", "&#9;"};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strncmp(r->at, known[i], strlen(known[i])) == 0) {
      r->at += strlen(known[i]);
      return;
    }
  wrong(r, "an ampersand that begins no entity");
}

static inline void read_text(struct reader *r, char end)
{
  while (*r->at && *r->at != end) {
    if (*r->at == '&')
      read_entity(r);
    else if (*r->at == '<' || *r->at == '>')
      wrong(r, "a stray angle bracket");
    else
      r->at++;
  }
}

static inline void read_name(struct reader *r, char name[24])
{
  size_t len = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
  if (len == 0 || len > 23) wrong(r, "not a name");
  memcpy(name, r->at, len);
  name[len] = '\0';
  r->at += len;
}

static inline void read_attributes(struct reader *r)
{
  static const char *const fetching[] = {"src",    "srcset",     "style",  "data",
                                         "action", "xlink:href", "onload", "onclick"};
  char name[24];
  while (*r->at == ' ') {
    r->at++;
    read_name(r, name);
    for (size_t i = 0; i < sizeof fetching / sizeof fetching[0]; i++)
      if (strcmp(name, fetching[i]) == 0 || strncmp(name, "on", 2) == 0)
        wrong(r, "an attribute that does something");
    if (*r->at != '=') continue;
    if (r->at[1] != '"') wrong(r, "a value without quotes");
    r->at += 2;
    if (strcmp(name, "href") == 0 && *r->at != '#') wrong(r, "a link that leaves the page");
    read_text(r, '"');
    if (*r->at++ != '"') wrong(r, "a value without an end");
  }
}

static inline void read_opening(struct reader *r)
{
  char name[24];
  r->at++;
  read_name(r, name);
  read_attributes(r);
  bool empty = strcmp(name, "meta") == 0 || strcmp(name, "br") == 0;
  if (strncmp(r->at, "/>", 2) == 0) {
    r->at += 2;
    return;
  }
  if (*r->at++ != '>') wrong(r, "a tag without an end");
  if (empty) return;
  if (strcmp(name, "script") == 0 || strcmp(name, "style") == 0) {
    char end[32];
    snprintf(end, sizeof end, "</%s>", name);
    r->at = strstr(r->at, end);
    assert_non_null(r->at);
    r->at += strlen(end);
    return;
  }
  assert_true(r->depth < 64);
  strcpy(r->open[r->depth++], name);
}

static inline void read_closing(struct reader *r)
{
  char name[24];
  r->at += 2;
  read_name(r, name);
  if (*r->at++ != '>') wrong(r, "a closing tag without an end");
  if (r->depth == 0 || strcmp(r->open[--r->depth], name) != 0)
    wrong(r, "a closing tag that fits no opening one");
}

/* Fails the test where html is not well formed. */
static inline void assert_well_formed(const char *html)
{
  static const char doctype[] = "<!DOCTYPE html>\n";
  struct reader r = {.html = html, .at = html};
  size_t bad;
  if (!tpo_utf8_valid(html, strlen(html), &bad)) fail_msg("not UTF-8 at byte %zu", bad);
  for (const char *c = html; *c; c++)
    if ((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') fail_msg("control character %d", *c);
  if (strncmp(html, doctype, strlen(doctype)) == 0) r.at += strlen(doctype);
  while (*r.at)
    if (strncmp(r.at, "</", 2) == 0)
      read_closing(&r);
    else if (*r.at == '<')
      read_opening(&r);
    else
      read_text(&r, '<');
  if (r.depth) fail_msg("<%s> is never closed", r.open[r.depth - 1]);
}

#endif
