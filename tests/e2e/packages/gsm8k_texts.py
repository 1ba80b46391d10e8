"""Responses of our own to problems whose answer is known: (text, answer, why lm_eval's `flexible-extract` and we differ, or
None where we agree whether it is right).

lm_eval's `strict-match` wants "#### N", which no prompt of ours asks for; `flexible-extract` takes the last number, as
digits with dots, commas and dollars, whatever stands around it. We take \\boxed{} first, then "the answer is", then the
last number."""

TEXTS = [
    ("She has 3 + 4 = 7 apples left.", "7", None),
    ("3 times 6 is 18.\nThe answer is 18.", "18", None),
    ("The answer is $1,250.", "1250", None),
    ("In all 1,250 people came.", "1250", None),
    ("That makes -5 degrees.", "-5", None),
    ("It takes 12 hours", "12", None),
    ("I don't know.", "12", None),
    ("", "12", None),
    ("It is 13, not 12, so 13.", "12", None),
    ("He pays $18.", "18", None),
    ("The total is 72\n#### 72", "72", None),
    ("The result: \\boxed{72}", "72", None),
    ("The result is \\boxed{$1{,}250$} dollars", "1250", "of LaTeX's thousands it takes what stands behind the comma"),
    ("\\boxed{18}, which is 3 more than 15.", "18", "it doesn't look for the box"),
    ("The answer is 18. I checked it 2 times.", "18", "it doesn't look for the sentence"),
    ("She pays 18.00 dollars.", "18", "it compares digits, we compare numbers"),
    ("She pays 18.50 dollars.", "18.5", "it compares digits, we compare numbers"),
    ("It fell to \u22125 degrees.", "-5", "it knows the ASCII minus alone"),
    ("It is 7 (seven, ...) in all", "7", "a run of dots and commas is a number to it"),
    ("Half of it, 50%.", "50", None),
    ("10-3 is 7, so 10-7", "7", "the hyphen between two numbers is a sign to it"),
]
