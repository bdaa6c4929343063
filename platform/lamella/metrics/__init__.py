"""What is measured: CTR, reading depth, reading time and the rest, as declarations over unit-level columns."""
