"""The Flask service: recommendations, events, administration and pages."""
