/* The page's style and script, from page.css and page.js, compiled in by launch/cmake/EmbedText.cmake. */
#ifndef TPO_REPORT_PAGE_H
#define TPO_REPORT_PAGE_H

extern const char page_css[];
extern const char page_js[];
extern const char page_js_sha256[]; /* 64 hex digits, of page_js */

#endif
