"""Scores, figures and the HTML report."""
