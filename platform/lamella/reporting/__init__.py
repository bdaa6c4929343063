"""Reports for people: the report document as terminal table, self-contained HTML and CSV."""
