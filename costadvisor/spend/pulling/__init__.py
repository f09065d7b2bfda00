"""Asking a provider's billing API for its pages. Knows neither the database nor where keys are kept.

reports (what is asked, and of whom) ─► paging (one page) ─► http (one answer, or why there is none)
"""
