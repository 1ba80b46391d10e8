/* The built-in categories, and files of others. */
#include "eval/categories/list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"

static const struct {
  const char *name, *about;
} builtin[] = {
    {"General knowledge", "facts about the world, definitions, how things are done or named"},
    {"Mathematics", "calculations, equations, proofs, probability and statistics"},
    {"Reasoning and puzzles", "logic, riddles, games, drawing conclusions from what is given"},
    {"Programming", "writing, explaining or repairing code, databases, command lines, software tools"},
    {"Data and tables", "lists, spreadsheets and records to be sorted, converted or analysed"},
    {"Science and technology", "physics, chemistry, biology, engineering, devices and how they work"},
    {"Health and medicine", "illness, treatment, nutrition, fitness and the mind"},
    {"Law and government", "laws, rights, contracts, public offices and politics"},
    {"Business and finance", "companies, management, money, taxes, investment and trade"},
    {"Marketing and sales", "advertisements, product texts, campaigns, brands and slogans"},
    {"Education", "teaching and learning: lessons, exercises, study plans, explaining to pupils"},
    {"Language and translation", "translating, grammar, vocabulary and where words come from"},
    {"Editing and rewriting", "correcting, shortening, changing the tone or form of a given text"},
    {"Summaries and extraction", "what a given text says in short, or what is to be found in it"},
    {"Creative writing", "stories, poems, songs, jokes, scripts and names that are made up"},
    {"Role-play and conversation", "small talk, playing a character, questions about the assistant itself"},
    {"Letters and reports", "mails, applications, speeches, essays and other texts for a practical purpose"},
    {"Personal advice", "decisions, relationships, career and everyday problems of the person who asks"},
    {"Travel, food and leisure", "journeys, recipes, sports, games to buy, films, music and hobbies"},
    {"History, culture and society", "past events, people, religion, philosophy, art and how people live"},
};

/* Marks and blanks as typesetters have them, and those of full width, as ASCII has them. */
static uint32_t plain(uint32_t cp)
{
  static const struct {
    uint32_t from, to;
    char as;
  } ranges[] = {{0xA0, 0xA0, ' '},     {0x2000, 0x200A, ' '}, {0x202F, 0x202F, ' '},  {0x3000, 0x3000, ' '},
                {0x2010, 0x2015, '-'}, {0x2212, 0x2212, '-'}, {0x2018, 0x201B, '\''}, {0x201C, 0x201F, '"'},
                {0xAB, 0xAB, '"'},     {0xBB, 0xBB, '"'},     {0x2039, 0x203A, '"'},  {0x300C, 0x300F, '"'},
                {0xB7, 0xB7, '.'},     {0x2022, 0x2022, '.'}, {0x2026, 0x2026, '.'},  {0x3001, 0x3001, ','},
                {0x3002, 0x3002, '.'}, {0x3010, 0x3010, '['}, {0x3011, 0x3011, ']'}};
  if (cp >= 0xFF01 && cp <= 0xFF5E) return cp - 0xFF01 + '!';
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (cp >= ranges[i].from && cp <= ranges[i].to) return (uint32_t)ranges[i].as;
  return cp;
}

char *category_fold(const char *text, size_t len)
{
  struct tpo_buf out = {0};
  bool blank = false;
  tpo_buf_puts(&out, "");
  for (size_t at = 0; at < len;) {
    uint32_t cp = plain(tpo_utf8_next(text, len, &at));
    if (cp < 128 && (isspace((int)cp) || strchr("-_/", (int)cp))) {
      blank = out.len > 0;
      continue;
    }
    if (blank) tpo_buf_putc(&out, ' ');
    blank = false;
    if (cp == '&')
      tpo_buf_puts(&out, "and");
    else
      tpo_utf8_append(&out, cp < 128 ? (uint32_t)tolower((int)cp) : cp);
  }
  return tpo_buf_take(&out);
}

static int add(struct category_list *list, const char *name, size_t n_name, const char *about, size_t n_about,
               struct tpo_error *err)
{
  int status = tpo_grow(&list->items, &list->capacity, list->n + 1, sizeof *list->items, err);
  if (status < 0) return status;
  struct category *item = &list->items[list->n++];
  *item = (struct category){strndup(name, n_name), strndup(about, n_about), category_fold(name, n_name)};
  return item->name && item->about && item->folded ? 0
                                                   : tpo_fail(err, TPO_E_MEMORY, "no memory for categories");
}

int category_list_default(struct category_list *list, struct tpo_error *err)
{
  *list = (struct category_list){0};
  int status = 0;
  for (size_t i = 0; i < sizeof builtin / sizeof *builtin && status == 0; i++)
    status =
        add(list, builtin[i].name, strlen(builtin[i].name), builtin[i].about, strlen(builtin[i].about), err);
  return status;
}

void category_list_free(struct category_list *list)
{
  for (size_t i = 0; i < list->n; i++) {
    free(list->items[i].name);
    free(list->items[i].about);
    free(list->items[i].folded);
  }
  free(list->items);
  *list = (struct category_list){0};
}

/* Without the blanks around it. */
static const char *trim(const char *text, size_t *len)
{
  while (*len > 0 && isspace((unsigned char)*text)) text++, --*len;
  while (*len > 0 && isspace((unsigned char)text[*len - 1])) --*len;
  return text;
}

/* As answers leave it, which put marks around a name; '#' behind it is a part of it. */
static const char *bare(const struct category *item, size_t *len)
{
  static const char before[] = " *#>`\"'.:,;?!()[]{}|~", behind[] = " *`\"'.:,;?!()[]{}|~";
  const char *text = item->folded;
  text += strspn(text, before);
  *len = strlen(text);
  while (*len > 0 && strchr(behind, text[*len - 1])) --*len;
  return text;
}

static bool are_alike(const struct category *a, const struct category *b)
{
  size_t m, n;
  const char *one = bare(a, &m), *other = bare(b, &n);
  return m == n && memcmp(one, other, m) == 0;
}

/* Whether it looks like the number of another category. */
static bool is_other_number(const struct category *item, size_t number)
{
  size_t len, digits;
  const char *text = bare(item, &len);
  digits = strspn(text, "0123456789");
  return digits > 0 && digits >= len && strtoul(text, NULL, 10) != number;
}

/* The last one, which was added, against those before it. */
static int check_last(const struct category_list *list, const char *path, uint64_t line,
                      struct tpo_error *err)
{
  const struct category *last = &list->items[list->n - 1];
  size_t len;
  bare(last, &len);
  if (len == 0 || strlen(last->name) > CATEGORY_NAME_MOST)
    return tpo_fail(err, TPO_E_INPUT, "%s:%llu: expected a category's name of 1 to %d bytes", path,
                    (unsigned long long)line, CATEGORY_NAME_MOST);
  if (strcmp(last->folded, CATEGORY_NONE) == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s:%llu: \"%s\" is what instructions without a category are called",
                    path, (unsigned long long)line, CATEGORY_NONE);
  for (size_t i = 0; i + 1 < list->n; i++)
    if (are_alike(last, &list->items[i]))
      return tpo_fail(err, TPO_E_INPUT, "%s:%llu: the category \"%s\" is there twice, before as \"%s\"", path,
                      (unsigned long long)line, last->name, list->items[i].name);
  if (is_other_number(last, list->n))
    return tpo_fail(err, TPO_E_INPUT, "%s:%llu: the category \"%s\" is number %zu, and answers give numbers",
                    path, (unsigned long long)line, last->name, list->n);
  if (list->n > CATEGORIES_MOST)
    return tpo_fail(err, TPO_E_INPUT, "%s:%llu: there are more than %d categories", path,
                    (unsigned long long)line, CATEGORIES_MOST);
  return 0;
}

static int add_line(struct category_list *list, const struct tpo_lines *lines, struct tpo_error *err)
{
  const char *line = lines->line.data;
  size_t len = lines->line.len;
  if (len > 0 && (!tpo_utf8_valid(line, len, NULL) || memchr(line, 0, len)))
    return tpo_fail(err, TPO_E_INPUT, "%s:%llu: not valid UTF-8, or a NUL byte in it", lines->path,
                    (unsigned long long)lines->number);
  const char *tab = len > 0 ? memchr(line, '\t', len) : NULL;
  size_t n_name = tab ? (size_t)(tab - line) : len, n_about = tab ? len - n_name - 1 : 0;
  const char *about = tab ? trim(tab + 1, &n_about) : "", *name = n_name ? trim(line, &n_name) : "";
  if (!tab && (n_name == 0 || *name == '#')) return 0;
  if (tab && *name == '#')
    return tpo_fail(
        err, TPO_E_INPUT,
        "%s:%llu: a line that begins with '#' is a comment, and this one has a tab like a category's",
        lines->path, (unsigned long long)lines->number);
  int status = add(list, name, n_name, about, n_about, err);
  return status < 0 ? status : check_last(list, lines->path, lines->number, err);
}

int category_list_read(struct category_list *list, const char *path, struct tpo_error *err)
{
  struct tpo_lines lines;
  *list = (struct category_list){0};
  int more = 1, status = tpo_lines_open(&lines, path, err);
  if (status < 0) return status;
  while (status == 0 && (more = tpo_lines_next(&lines, err)) == 1) status = add_line(list, &lines, err);
  tpo_lines_close(&lines);
  if (more < 0) return more;
  if (status == 0 && list->n < 2)
    return tpo_fail(err, TPO_E_INPUT, "%s: expected at least 2 categories, a line each, and there %s %zu",
                    path, list->n == 1 ? "is" : "are", list->n);
  return status;
}
