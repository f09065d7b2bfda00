"""Addresses of prices, under /o/<organization>/prices/; and of quotes under /api/v1/, where a token names it."""

from django.urls import path

from costadvisor.catalog import api, views

app_name = "catalog"
urlpatterns = [
    path("", views.index, name="index"),
    path("quotes/api/", views.quote_add, {"kind": "api"}, name="quote_api"),
    path("quotes/gpu/", views.quote_add, {"kind": "gpu"}, name="quote_gpu"),
    path("quotes/<int:quote_id>/withdraw/", views.quote_withdraw, name="quote_withdraw"),
]
api_urls = (
    [
        path("quotes", api.QuotesView.as_view(), name="quotes"),
        path("quotes/<int:quote_id>", api.QuoteView.as_view(), name="quote"),
    ],
    "prices_api",
)
