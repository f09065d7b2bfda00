"""Addresses of decisions, under /o/<organization>/decisions/; and of what belongs to no organization: /verify/<hash>,
and of the API under /api/v1/, where a token names it."""

from django.urls import path, re_path

from costadvisor.decisions.api import EvaluateView, PriceChangesView, PriceChangeView
from costadvisor.decisions.views import comparison, decisions, options, prices, recommendations

CHART = r"charts/(?P<chart_id>[a-z_]+)\.(?P<form>svg|csv)$"

app_name = "decisions"
urlpatterns = [
    path("", decisions.index, name="index"),
    path("price-changes/", prices.price_changes, name="price_changes"),
    path("price-changes/<slug:event_id>/", prices.price_change, name="price_change"),
    path("new/", decisions.create, name="create"),
    path("<int:decision_id>/", decisions.detail, name="detail"),
    re_path(rf"^(?P<decision_id>\d+)/{CHART}", decisions.chart, name="chart"),
    path("<int:decision_id>/compare/", comparison.compare, name="compare"),
    path("<int:decision_id>/save/", decisions.save, name="save"),
    path("<int:decision_id>/issue/", decisions.issue, name="issue"),
    path("<int:decision_id>/options/", options.kinds, name="option_kinds"),
    path("<int:decision_id>/options/propose/", options.propose, name="option_propose"),
    path("<int:decision_id>/options/<slug:kind>/", options.add, name="option_add"),
    path("<int:decision_id>/options/<str:option_id>/change/", options.change, name="option_change"),
    path("<int:decision_id>/options/<str:option_id>/remove/", options.remove, name="option_remove"),
    path("<int:decision_id>/versions/<int:version>/", recommendations.detail, name="recommendation"),
    re_path(rf"^(?P<decision_id>\d+)/versions/(?P<version>\d+)/{CHART}", recommendations.chart, name="version_chart"),
    path("<int:decision_id>/versions/<int:version>/sign/", recommendations.sign, name="sign"),
    path("<int:decision_id>/versions/<int:version>/withdraw/", recommendations.withdraw, name="withdraw"),
]
verify_urls = ([path("<str:case_sha256>", recommendations.verify, name="case")], "verify")
api_urls = (
    [
        path("evaluate", EvaluateView.as_view(), name="evaluate"),
        path("price-changes", PriceChangesView.as_view(), name="price_changes"),
        path("price-changes/<slug:event_id>", PriceChangeView.as_view(), name="price_change"),
    ],
    "api",
)
