"""Addresses of spend, under /o/<organization>/spend/; and of its API under /api/v1/, where a token names the
organization."""

from django.urls import path

from costadvisor.spend import api
from costadvisor.spend.views import bills, pulls, rates

app_name = "spend"
urlpatterns = [
    path("", bills.overview, name="overview"),
    path("reconciliation/", bills.reconciliation, name="reconciliation"),
    path("upload/", bills.upload, name="upload"),
    path("uploads/<int:upload_id>/", bills.preview, name="preview"),
    path("uploads/<int:upload_id>/columns/", bills.mapping, name="mapping"),
    path("uploads/<int:upload_id>/confirm/", bills.confirm, name="confirm"),
    path("uploads/<int:upload_id>/discard/", bills.discard, name="discard"),
    path("typed/", bills.typed_cost, name="typed_cost"),
    path("imports/<int:import_id>/remove/", bills.import_remove, name="import_remove"),
    path("rates/", rates.rates, name="rates"),
    path("rates/<int:rate_id>/withdraw/", rates.withdraw, name="rate_withdraw"),
    path("fetched/", pulls.index, name="pulls"),
    path("fetched/key/", pulls.set_key, name="pull_key"),
    path("fetched/<int:key_id>/now/", pulls.fetch_now, name="pull_now"),
    path("fetched/<int:key_id>/forget/", pulls.forget_key, name="pull_forget"),
]
api_urls = (
    [
        path("uploads", api.UploadsView.as_view(), name="uploads"),
        path("uploads/<int:upload_id>", api.UploadView.as_view(), name="upload"),
        path("uploads/<int:upload_id>/content", api.ContentView.as_view(), name="content"),
        path("uploads/<int:upload_id>/columns", api.ColumnsView.as_view(), name="columns"),
        path("uploads/<int:upload_id>/preview", api.PreviewView.as_view(), name="preview"),
        path("uploads/<int:upload_id>/import", api.ImportView.as_view(), name="import"),
        path("imports", api.ImportsView.as_view(), name="imports"),
        path("imports/<int:import_id>", api.ImportedView.as_view(), name="imported"),
        path("spend/rates", api.RatesView.as_view(), name="rates"),
        path("spend/rates/<int:rate_id>", api.RateView.as_view(), name="rate"),
        path("spend/months", api.MonthsView.as_view(), name="months"),
    ],
    "spend_api",
)
