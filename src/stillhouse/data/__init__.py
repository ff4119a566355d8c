"""From raw rows to examples: readers, steps that account for every row, and the split."""
